#!/usr/bin/env bash
# torch 2.14.1: a hook registered after a compiled model's first call is never called.
#
# Guess: torch.compile guards what it compiled, so a hook that appears later makes it
# compile again, and the hook is called. In any case a hook on the root module is.
#
# Behavior: neither is called, and there is no warning: the model predicts as before, and
# what should have been recorded is not there. A hook that was there at the first call is
# called at every call. Holds for the compiler's eager backend too, so it is not a matter of
# the generated code.
#
# Output when written (29 November 2026), calls of the hook in one forward:
#   inner layer, hook before the first call: 1
#   inner layer, hook after the first call:  0
#   root module, hook after the first call:  0
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
x = torch.randn(1, 3, 8, 8)

def calls(where, late):
    "How often a hook at `where` of a new compiled model is called in its last forward"
    torch._dynamo.reset()
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)).eval()
    compiled, seen = torch.compile(net, backend='eager'), []
    if late: compiled(x)
    where(net).register_forward_hook(lambda m, i, o: seen.append(1))
    compiled(x)
    return len(seen)

inner, root = (lambda net: net[1]), (lambda net: net)
got = calls(inner, False), calls(inner, True), calls(root, True)
print('inner layer, hook before the first call:', got[0])
print('inner layer, hook after the first call: ', got[1])
print('root module, hook after the first call: ', got[2])
as_found = got == (1, 0, 0)
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
