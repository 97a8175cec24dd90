#!/usr/bin/env bash
# torchvision 0.29.1, pillow 13.0.0, torch 2.14.1: to_tensor makes the bright half of a 16-bit gray picture
# negative.
#
# Guess: to_tensor of a 16-bit PNG (a typical X-ray or microscope picture) gives floats from 0 to 1, as
# it does for 8 bits, or refuses.
#
# Behavior: it gives int16, unscaled, so that numbers from 32768 up wrap to negative ones: white is -1,
# beside black, 0. ToTensor of the same file does so too. ToImage with ToDtype(float32, scale=True) gives
# what was guessed. Pillow's own way to 8 bits, convert('L') or convert('RGB') (which fastai's PILImage
# takes), gives neither: all above 255 is white.
#
# Output when written (29 November 2026), for 0, 255, 256, 20000, 40960, 65535:
#   to_tensor        torch.int16 [0, 255, 256, 20000, -24576, -1]
#   ToImage, ToDtype torch.float32 [0.0, 0.004, 0.004, 0.305, 0.625, 1.0]
#   convert('L')     [0, 255, 255, 255, 255, 255]
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet pillow==13.0.0 torch==2.14.1 torchvision==0.29.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import sys, numpy as np, torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.functional import to_tensor
torch.set_num_threads(1)
levels = np.array([[0, 255, 256, 20000, 40960, 65535]], dtype=np.uint16)
Image.fromarray(levels).save('gray.png')
img = Image.open('gray.png')
a = to_tensor(img)
b = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])(img)
c = np.array(img.convert('L')).ravel().tolist()
floats = [round(o, 3) for o in b.flatten().tolist()]
print('to_tensor       ', a.dtype, a.flatten().tolist())
print('ToImage, ToDtype', b.dtype, floats)
print("convert('L')    ", c)
as_found = (a.dtype == torch.int16 and a.flatten().tolist() == [0, 255, 256, 20000, -24576, -1]
            and floats == [0.0, 0.004, 0.004, 0.305, 0.625, 1.0] and c == [0, 255, 255, 255, 255, 255])
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
