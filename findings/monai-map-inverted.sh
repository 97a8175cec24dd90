#!/usr/bin/env bash
# monai 1.6.1, torch 2.14.1: a map of MONAI's GradCAM is 0 where the class is seen, and 1 where nothing is.
#
# Guess: monai.visualize.GradCAM gives a map from 0 to 1, as other libraries do, that is largest at what
# speaks for the class.
#
# Behavior: the default postprocessing takes the largest value to 0 and the smallest to 1. With
# postprocessing=lambda m: m the map is the usual one. Here one pixel of the picture is 1, and the class is
# its value: the planted pixel.
#
# Output when written (30 November 2026):
#   default                   planted 0.0  elsewhere 1.0
#   postprocessing=identity   planted 0.000244140625  elsewhere 0.0
#   as found
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet monai==1.6.1 torch==2.14.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - 2>"$dir/errors" <<'EOF'
import sys, torch
from torch import nn
from monai.visualize import GradCAM
torch.set_num_threads(1)

class Brightness(nn.Module):
    "Two classes, by how bright the picture is: class 1 is its mean, class 0 the negative"
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 1, 1, bias=False), nn.Linear(1, 2, bias=False)
        nn.init.ones_(self.conv.weight)
        self.fc.weight.data = torch.tensor([[-1.], [1.]])
    def forward(self, x): return self.fc(self.conv(x).relu().mean((2, 3)))

net, x = Brightness().eval(), torch.zeros(1, 1, 8, 8)
x[0, 0, 2, 5] = 1

def at(**kw):
    m = GradCAM(net, 'conv', **kw)(x, class_idx=1)[0, 0]
    return m[2, 5].item(), m[6, 1].item()

default, plain = at(), at(postprocessing=lambda m: m)
print(f'default                   planted {default[0]}  elsewhere {default[1]}')
print(f'postprocessing=identity   planted {plain[0]}  elsewhere {plain[1]}')
as_found = default == (0, 1) and plain[0] > 0 and plain[1] == 0
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
