#!/usr/bin/env bash
# torch 2.14.1, on the CPU: with a batch of one, the backward of BatchNorm2d and
# InstanceNorm2d can put a gradient at the wrong channel and the wrong place.
#
# Guess: how a gradient lies in memory (its strides) never changes its numbers.
# The token's way to a number, flatten(2).transpose(1,2)[0,5,3], and the map's
# way to the same number, flatten(2)[0,3,5], have the same gradient.
#
# Behavior: for a batch of one picture, autograd hands BatchNorm2d a gradient
# whose strides look like channels-last ones, (128,1,512,128), and what comes back
# is written in another order: channel 40 at (0,3) instead of channel 3 at
# (1,1). With two pictures it is right. InstanceNorm2d errs in the same
# way for a plain channels-last gradient. No error, no warning.
#
# Output when written (29 November 2026):
#   BatchNorm2d, batch 1, as tokens: [[0, 40, 0, 3]]
#   BatchNorm2d, batch 1, as a map:  [[0, 3, 1, 1]]
#   BatchNorm2d, batch 2, as tokens: [[0, 3, 1, 1]]
#   InstanceNorm2d, batch 1: channels-last gradient gives the same: False
#   InstanceNorm2d, batch 2: channels-last gradient gives the same: True
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet torch==2.14.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import sys, torch
from torch import nn
torch.set_num_threads(1)
torch.manual_seed(0)
bn = nn.BatchNorm2d(128).eval()

def place(n, tokens):
    "Where the gradient of one number of the first picture lies in the layer's input"
    x = torch.randn(n, 128, 4, 4, requires_grad=True)
    u = bn(x).flatten(2)
    y = u.transpose(1, 2)[0, 5, 3] if tokens else u[0, 3, 5]
    return torch.autograd.grad(y, x)[0].nonzero().tolist()

def same(n):
    "Whether InstanceNorm2d's gradient is the same for one gradient in two memory formats"
    x = torch.randn(n, 8, 4, 4, requires_grad=True)
    y = nn.InstanceNorm2d(8)(x)
    g = torch.randn(n, 8, 4, 4)
    a, b = (torch.autograd.grad(y, x, o, retain_graph=True)[0]
            for o in (g, g.contiguous(memory_format=torch.channels_last)))
    return torch.allclose(a, b, atol=1e-5)

got = place(1, True), place(1, False), place(2, True), same(1), same(2)
print('BatchNorm2d, batch 1, as tokens:', got[0])
print('BatchNorm2d, batch 1, as a map: ', got[1])
print('BatchNorm2d, batch 2, as tokens:', got[2])
print('InstanceNorm2d, batch 1: channels-last gradient gives the same:', got[3])
print('InstanceNorm2d, batch 2: channels-last gradient gives the same:', got[4])
right = [[0, 3, 1, 1]]
as_found = got[0] != right and got[1] == right and got[2] == right and not got[3] and got[4]
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
