#!/usr/bin/env bash
# grad-cam (pytorch-grad-cam) 1.5.7, torch 2.14.1, beside torchcam 0.5.0 and captum 0.9.0:
# GradCAM replaces the gradients of the model's parameters and leaves it in eval mode.
#
# Guess: explaining a picture only reads the model. The .grad that a training step has
# gathered is still there after the `with` block, as is the training mode.
#
# Behavior: GradCAM zeroes the parameters' gradients and leaves those of the explained
# score in .grad, so an optimizer step that follows (gradient accumulation, or a callback that draws
# a map before the step) takes a step toward the explained class. The model stays in
# eval mode. torchcam and captum leave both as they were.
#
# Output when written (29 November 2026):
#   grad-cam  gradients kept: False  still training: False
#             gradients are those of the explained score: True
#   torchcam  gradients kept: True  still training: True
#   captum    gradients kept: True  still training: True
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet grad-cam==1.5.7 torchcam==0.5.0 captum==0.9.0 torch==2.14.1 torchvision==0.29.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import sys, torch
from torch import nn
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchcam.methods import GradCAM as TorchcamGradCAM
from captum.attr import LayerGradCam
torch.set_num_threads(1)
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
batch, picture = torch.randn(4, 3, 16, 16), torch.randn(1, 3, 16, 16)

def with_grad_cam():
    with GradCAM(net, [net[1]]) as cam: cam(picture, [ClassifierOutputTarget(1)])

def with_torchcam():
    with TorchcamGradCAM(net, net[1]) as cam: cam(1, net(picture))

def with_captum():
    LayerGradCam(net, net[1]).attribute(picture, target=1)

def kept(explain):
    "Whether gradients and mode are, after `explain`, those of the training step"
    net.train()
    net.zero_grad()
    nn.functional.cross_entropy(net(batch), torch.arange(4)).backward()
    before = [p.grad.clone() for p in net.parameters()]
    explain()
    return all(torch.equal(a, p.grad) for a, p in zip(before, net.parameters())), net.training

got = kept(with_grad_cam)
print('grad-cam  gradients kept:', got[0], ' still training:', got[1])
score = torch.autograd.grad(net(picture)[0, 1], list(net.parameters()))
theirs = all(torch.allclose(a, p.grad) for a, p in zip(score, net.parameters()))
print('          gradients are those of the explained score:', theirs)
others = kept(with_torchcam), kept(with_captum)
for name, o in zip(('torchcam', 'captum  '), others): print(f'{name}  gradients kept: {o[0]}  still training: {o[1]}')
as_found = got == (False, False) and theirs and others == ((True, True), (True, True))
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
