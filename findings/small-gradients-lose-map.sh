#!/usr/bin/env bash
# torchcam 0.5.0 and grad-cam (pytorch-grad-cam) 1.5.7, torch 2.14.1: a map normalized to 0..1 fades to
# nothing when the score's gradient is small.
#
# Guess: a normalized map has a maximum of 1, and a score's scale, which only multiplies every weight
# by one number, leaves the map as it is.
#
# Behavior: both add a fixed small number to what they divide by. torchcam's Grad-CAM of a
# score times 1e-4 is fainter, and at 1e-7 its maximum is 0.012. grad-cam's
# GradCAM holds. For Grad-CAM++, whose second and third powers of the gradient are
# smaller still, torchcam's map is gone at 1e-4 and grad-cam's at 1e-7. Such gradients are
# usual: those of a probability near 0 or 1, in place of its logit.
#
# Output when written (29 November 2026), the map's maximum:
#   score times:         1      1e-4   1e-7
#   torchcam GradCAM     1.000  0.921  0.012
#   torchcam GradCAMpp   0.978  0.000  0.000
#   grad-cam GradCAM     1.000  1.000  1.000
#   grad-cam GradCAM++   1.000  0.978  0.000
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet grad-cam==1.5.7 torchcam==0.5.0 torch==2.14.1 torchvision==0.29.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import copy, sys, torch
from torch import nn
import pytorch_grad_cam, torchcam.methods
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
torch.set_num_threads(1)
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
                    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()
x = torch.randn(1, 3, 16, 16)

def scaled(by):
    "The network with its scores times `by`"
    n = copy.deepcopy(net)
    with torch.no_grad():
        n[-1].weight *= by
        n[-1].bias *= by
    return n

def tc(name, n):
    with getattr(torchcam.methods, name)(n, n[3]) as cam: return cam(1, n(x))[0].max().item()

def gc(name, n):
    with getattr(pytorch_grad_cam, name)(n, [n[3]]) as cam: return cam(x, [ClassifierOutputTarget(1)]).max().item()

rows = dict.fromkeys(['torchcam GradCAM', 'torchcam GradCAMpp', 'grad-cam GradCAM', 'grad-cam GradCAM++'])
for label, (f, name) in zip(rows, [(tc, 'GradCAM'), (tc, 'GradCAMpp'), (gc, 'GradCAM'), (gc, 'GradCAMPlusPlus')]):
    rows[label] = [f(name, scaled(by)) for by in (1, 1e-4, 1e-7)]
print('score times:         1      1e-4   1e-7')
for k, v in rows.items(): print(f'{k:<19}', *(f' {o:.3f}' for o in v))
t, tp, g, gp = rows.values()
as_found = (min(t[0], tp[0], g[0], gp[0]) > .9 and .5 < t[1] < .95 and t[2] < .05 and tp[1] < .01
            and min(g) > .99 and gp[1] > .9 and gp[2] < .01)
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
