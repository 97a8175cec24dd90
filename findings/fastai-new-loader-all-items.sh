#!/usr/bin/env bash
# fastai 2.8.12, torch 2.14.1: dl.new() of a loader of some items gives all of them.
#
# Guess: dl.new(**changes) is the same loader with some things changed, as its use for another batch size or
# other transforms suggests. A loader that was made with n=3 reads three items, and so does a new one of it.
#
# Behavior: the batch size, shuffling, drop_last and functions of its own are carried over; n is not. The
# new loader reads the whole dataset. A loader cut down to a few items to explain, and changed by
# new() to another size of picture, explains the whole validation set.
#
# Output when written (1 December 2026):
#   loader with n=3: 3 items; new(bs=2) of it: 8 items; new(bs=2, n=3): 3 items
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet fastai==2.8.12 torch==2.14.1 torchvision==0.29.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import sys
from fastai.data.all import *
ds = Datasets(list(range(8)), [[lambda o: torch.tensor(o)]])
few = TfmdDL(ds, bs=4, n=3, num_workers=0)
def items(dl): return sum(len(b[0]) for b in dl)
got = items(few), items(few.new(bs=2)), items(few.new(bs=2, n=3))
print('loader with n=3: %d items; new(bs=2) of it: %d items; new(bs=2, n=3): %d items' % got)
as_found = got == (3, 8, 3)
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
