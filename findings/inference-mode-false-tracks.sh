#!/usr/bin/env bash
# torch 2.14.1: `inference_mode(False)` inside `no_grad` switches gradients on.
#
# Guess: inference_mode(False) only leaves inference mode, so that what is computed can be used
# by autograd later. Inside no_grad, gradients stay off until they are asked for.
#
# Behavior: the block turns gradients on, whatever was set around it, and turns them off again
# at its end. A pass in it keeps its whole graph, without a word. And a switch made inside of it
# by hand is lost at its end: the mode is the one from before the block.
#
# Output when written (30 November 2026):
#   in no_grad:                                   gradients off
#   in inference_mode(False) in no_grad:          gradients on
#   the output of a model there has a graph:      True
#   after a block in which they were switched off: on
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
net, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), torch.randn(1, 3, 8, 8)
on = torch.is_grad_enabled

with torch.no_grad():
    outside = on()
    with torch.inference_mode(False):
        inside, graph = on(), net(x).grad_fn is not None
with torch.inference_mode(False): torch.set_grad_enabled(False)
after = on()
def said(o): return 'on' if o else 'off'
print('in no_grad:                                   gradients', said(outside))
print('in inference_mode(False) in no_grad:          gradients', said(inside))
print('the output of a model there has a graph:     ', graph)
print('after a block in which they were switched off:', said(after))
as_found = (outside, inside, graph, after) == (False, True, True, True)
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
