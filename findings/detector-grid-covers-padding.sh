#!/usr/bin/env bash
# torchvision 0.29.1, torch 2.14.1: the maps in a detector's backbone cover more than the picture, and how
# much more depends on the other pictures of the batch.
#
# Guess: the grid of a backbone's layer spans the picture, so that its cell (i, j) of (h, w) lies at
# (i+.5)/h, (j+.5)/w of it; and a picture has the same grid whatever else is in the batch.
#
# Behavior: the detector resizes each picture and pads all of them, at the right and the bottom, to the
# largest of the batch, rounded up to a multiple of 32. Where a bright square at three quarters of
# the picture's width lies, read as a share of the grid's width, says how far off the guess is.
# The size that was resized to is in the second value of `model.transform`.
#
# Output when written (30 November 2026):
#   alone              grid (10, 15), the square at 0.75 of its width
#   beside a wide one  grid (10, 20), the square at 0.56 of its width
#   as found
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - 2>"$dir/errors" <<'EOF'
import sys, torch
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn
torch.set_num_threads(1)
torch.manual_seed(0)
net = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None).eval()
seen = {}
net.backbone.body.register_forward_hook(lambda module, args, out: seen.update(x=args[0], grid=tuple(out['0'].shape[-2:])))

gray = torch.tensor(net.transform.image_mean)[:, None, None]        # what the padding is, too
picture = gray.repeat(1, 100, 150)
picture[:, 40:60, 105:120] = 1                                      # its middle at .75 of the width

def square(batch):
    "The grid of the first picture, and where the square's middle is on it, as a share of its width"
    with torch.no_grad(): net(batch)
    bright = seen['x'][0].mean((0, 1))                              # as the backbone gets it, by column
    at = (bright.relu() * (torch.arange(len(bright)) + .5)).sum() / bright.relu().sum() / len(bright)
    return seen['grid'], round(at.item(), 2)

alone, beside = square([picture]), square([picture, gray.repeat(1, 100, 200)])
print(f'alone              grid {alone[0]}, the square at {alone[1]} of its width')
print(f'beside a wide one  grid {beside[0]}, the square at {beside[1]} of its width')
as_found = alone == ((10, 15), .75) and beside == ((10, 20), .56)
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
