#!/usr/bin/env bash
# grad-cam (pytorch-grad-cam) 1.5.7 with fastai 2.8.12, torch 2.14.1:
# a batch as fastai's DataLoaders give it (a TensorImage) cannot leave the `with` block.
#
# Guess: a TensorImage is a tensor, so GradCAM explains it as it does the plain one, and takes
# its hooks away at the end of the block.
#
# Behavior: the map is made, and it is the plain tensor's. Then the block ends with a RuntimeError
# (activations that carry a subclass are views, and grad-cam detaches them in place), and
# both of its hooks stay on the layer. `batch.as_subclass(torch.Tensor)` is explained without an error.
#
# Output when written (30 November 2026):
#   plain tensor   raises: None  hooks left: 0
#   fastai's batch raises: Can't detach views in-place  hooks left: 2
#                  the same map: True
#   as found
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet grad-cam==1.5.7 fastai==2.8.12 torch==2.14.1 torchvision==0.29.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - 2>"$dir/errors" <<'EOF'
import sys, torch
from torch import nn
from fastai.vision.all import TensorImage
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
torch.set_num_threads(1)
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
x = torch.rand(1, 3, 16, 16)

def explained(x):
    "The map, what the block's end raised, and how many hooks stay"
    m = said = None
    try:
        with GradCAM(net, [net[0]]) as cam: m = cam(x, [ClassifierOutputTarget(1)])
    except RuntimeError as e: said = str(e).split('.')[0]
    return m, said, len(net[0]._forward_hooks)

m, *plain = explained(x)
print('plain tensor   raises:', plain[0], ' hooks left:', plain[1])
theirs, *batch = explained(TensorImage(x))
print("fastai's batch raises:", batch[0], ' hooks left:', batch[1])
same = theirs is not None and bool((theirs == m).all())
print('               the same map:', same)
as_found = plain == [None, 0] and batch == ["Can't detach views in-place", 2] and same
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
