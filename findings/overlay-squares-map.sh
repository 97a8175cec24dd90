#!/usr/bin/env bash
# torchcam 0.5.0: `overlay_mask` colors the square of the map.
#
# Guess: the overlay shows the map that it is given: a cell of .5 has the color that the color
# map gives .5, so that a color bar of 0 to 1 beside it is right.
#
# Behavior: a cell of .5 has the color of .25, one of .7 that of .49. What is moderately
# important looks unimportant, and the same map drawn with matplotlib looks wider.
#
# Output when written (30 November 2026), the value whose color an even map of it gets:
#   .3 -> .09
#   .5 -> .25
#   .7 -> .49
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet torch==2.14.1 torchcam==0.5.0 matplotlib==3.11.2 numpy==2.4.6 pillow==13.0.0
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import sys
import numpy as np
from matplotlib import colormaps
from PIL import Image
from torchcam.utils import overlay_mask

colors, black = colormaps['jet'], Image.new('RGB', (32, 32))

def drawn(v):
    "The value 0..1 whose color an even map of `v` gets; nothing of the photo below"
    got = np.asarray(overlay_mask(black, Image.fromarray(np.full((4, 4), v, np.float32), mode='F'), colormap='jet', alpha=0.))[16, 16]
    values = np.linspace(0, 1, 1001)
    return values[np.abs(colors(values, bytes=True)[:, :3].astype(int)-got.astype(int)).sum(1).argmin()]

got = {v: drawn(v) for v in (.3, .5, .7)}
for v, d in got.items(): print(f'{v:.1f} -> {d:.2f}'.replace('0.', '.'))
as_found = all(abs(d-v**2) < .01 for v, d in got.items())
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
