#!/usr/bin/env bash
# grad-cam (pytorch-grad-cam) 1.5.7, torch 2.14.1, numpy 2.4.6: EigenCAM's map of a mirrored
# picture can be the opposite map.
#
# Guess: for a network of 1 x 1 convolutions, whose features of a mirrored picture are
# exactly the mirrored features, the map of the mirrored picture is the mirrored map.
# For GradCAM it is.
#
# Behavior: EigenCAM projects on the first singular vector, whose sign is arbitrary, and then
# cuts what is negative. The order of the places in the features decides the sign, so
# for some networks and pictures the mirrored picture's map lights what the
# other leaves dark. eigen_smooth=True of the other methods uses the same projection
# and does the same.
#
# Output when written (29 November 2026), correlation of the map with the mirrored picture's
# map mirrored back, for ten random networks and pictures (which of them flip may differ
# from one computer to the next):
#   GradCAM                1.00 1.00 1.00 1.00 1.00 1.00 1.00 1.00 1.00 1.00
#   EigenCAM               1.00 1.00 1.00 -0.50 1.00 1.00 -0.54 -0.63 -0.55 1.00
#   GradCAM, eigen_smooth  1.00 -0.56 -0.46 -0.50 -0.52 1.00 -0.58 1.00 -0.55 1.00
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet grad-cam==1.5.7 numpy==2.4.6 torch==2.14.1 torchvision==0.29.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import sys, numpy as np, torch
from torch import nn
from pytorch_grad_cam import EigenCAM, GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
torch.set_num_threads(1)

def alike(method, seed, **kw):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU(),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()
    x = torch.rand(1, 3, 16, 16)
    t = [ClassifierOutputTarget(net(x)[0].argmax().item())]
    with method(net, [net[3]]) as cam:
        a, b = cam(x, t, **kw)[0], cam(x.flip(-1), t, **kw)[0][:, ::-1]
    if np.allclose(a, b, atol=1e-4): return 1.
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]

grad, eigen = ([alike(m, s) for s in range(10)] for m in (GradCAM, EigenCAM))
smooth = [alike(GradCAM, s, eigen_smooth=True) for s in range(10)]
print('GradCAM               ', *(f'{o:.2f}' for o in grad))
print('EigenCAM              ', *(f'{o:.2f}' for o in eigen))
print('GradCAM, eigen_smooth ', *(f'{o:.2f}' for o in smooth))
as_found = min(grad) > .99 and min(eigen) < 0 and min(smooth) < 0
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
