#!/usr/bin/env bash
# quantus 0.6.0: RelevanceMassAccuracy of a signed map is no share: it may be 10 or -5, and the opposite
# map gets the same number.
#
# Guess: the share of a map's relevance that lies in the object is between 0 and 1, best at 1, with or
# without negative numbers in the map; the metric's own settings normalize. A map that speaks against
# the object scores worse than one that speaks for it.
#
# Behavior: it divides the sum inside by the sum over the whole picture, signs and all. A little negative
# background brings the divisor near 0, so two maps that differ by 0.02 in the background score 10 and
# -5, while RelevanceRankAccuracy gives both 1. A map of -1 in the object scores a perfect 1. No warning
# says that the metric wants abs=True or a positive map.
#
# Output when written (29 November 2026), for maps with (object, background):
#   mass  rank
#   (1, 0)      1.00  1.00
#   (-1, 0)     1.00  0.00
#   (1, -0.06)  10.00  1.00
#   (1, -0.08)  -5.00  1.00
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet quantus==0.6.0 torch==2.14.1 torchvision==0.29.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import sys, numpy as np, quantus, torch
from torch import nn
torch.set_num_threads(1)
torch.manual_seed(0)
net = nn.Sequential(nn.Flatten(), nn.Linear(784, 4)).eval()
x = np.random.default_rng(0).random((1, 1, 28, 28), dtype=np.float32)
obj = np.zeros((1, 1, 28, 28), dtype=bool)
obj[..., 5:12, 5:12] = True

def score(metric, inside, outside):
    a = np.where(obj, inside, outside).astype(np.float32)
    m = metric(disable_warnings=True)
    return float(m(model=net, x_batch=x, y_batch=np.array([0]), a_batch=a, s_batch=obj, device='cpu')[0])

got = []
print('mass  rank')
for m in ((1, 0), (-1, 0), (1, -.06), (1, -.08)):
    got.append([score(o, *m) for o in (quantus.RelevanceMassAccuracy, quantus.RelevanceRankAccuracy)])
    print(f'{str(m):<11}', *(f'{o:.2f} ' for o in got[-1]))
as_found = np.allclose(got, [[1, 1], [1, 0], [10, 1], [-5, 1]], atol=.01)
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
