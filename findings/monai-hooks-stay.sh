#!/usr/bin/env bash
# monai 1.6.1: the hooks of a deleted `GradCAM` stay on the model.
#
# Guess: the object that puts hooks on the model takes them off again, at the end of a call or
# when it is deleted. A new GradCAM for each picture costs nothing later.
#
# Behavior: each object leaves a forward and a backward hook on the layer for good, and there is
# no method that removes them. They run in every later call of the model and hold its last
# activations and gradients; deleted objects stay in memory by way of them.
#
# Output when written (30 November 2026), after three GradCAMs that were used and deleted:
#   forward hooks on the layer:  3
#   backward hooks on the layer: 3
#   objects still in memory:     3
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet torch==2.14.1 monai==1.6.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import gc, sys, weakref
import torch
from torch import nn
from monai.visualize import GradCAM
torch.set_num_threads(1)

net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
alive = []
for i in range(3):
    cam = GradCAM(nn_module=net, target_layers='0')
    cam(x=torch.randn(1, 1, 8, 8))
    alive.append(weakref.ref(cam.nn_module))
    del cam
gc.collect()
got = len(net[0]._forward_hooks), len(net[0]._backward_hooks), sum(r() is not None for r in alive)
print('forward hooks on the layer: ', got[0])
print('backward hooks on the layer:', got[1])
print('objects still in memory:    ', got[2])
as_found = got == (3, 3, 3)
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
