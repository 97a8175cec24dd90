#!/usr/bin/env bash
# fastai 2.8.12, torch 2.14.1: a test set counts its inputs by itself.
#
# Guess: dls.test_dl makes a loader like the validation set's, without targets. So its n_inp, how many
# parts of a batch go to the model, is the n_inp that the data block was given.
#
# Behavior: the test set is made anew and counts all its parts but the last as inputs, one at least.
# Without labels the last part is an input as well: of two inputs n_inp says one. With labels, one
# input and two targets have an n_inp of two. The learner itself reads its DataLoaders' n_inp and
# predicts rightly; whoever takes b[:dl.n_inp] of a test loader's batch, to explain what was
# predicted, gives the model one picture of two, or a target as an input.
#
# Output when written (1 December 2026):
#   two inputs: validation set 2, test set 1, parts of a test batch 2
#   one input, two targets: validation set 1, test set with labels 2, parts of a test batch 3
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet fastai==2.8.12 torch==2.14.1 torchvision==0.29.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import sys, numpy as np
from fastai.vision.all import *
torch.set_num_threads(1)
path = Path('pictures')
path.mkdir()
rng = np.random.default_rng(0)
for i in range(8): Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path/f'{i % 2}_{i}.png')
files = get_image_files(path).sorted()

def loaders(blocks, n_inp, getters):
    block = DataBlock(blocks, n_inp=n_inp, getters=getters, splitter=IndexSplitter([0, 4]))
    return block.dataloaders(files, bs=2, num_workers=0, device='cpu')

def label(o): return o.name[0]
two = loaders((ImageBlock, ImageBlock, CategoryBlock), 2, [noop, noop, label])
test = two.test_dl(files[:4])
a = two.valid.n_inp, test.n_inp, len(test.one_batch())
print('two inputs: validation set %d, test set %d, parts of a test batch %d' % a)
one = loaders((ImageBlock, CategoryBlock, CategoryBlock), 1, [noop, label, label])
test = one.test_dl(files[:4], with_labels=True)
b = one.valid.n_inp, test.n_inp, len(test.one_batch())
print('one input, two targets: validation set %d, test set with labels %d, parts of a test batch %d' % b)
as_found = (a, b) == ((2, 1, 2), (1, 2, 3))
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
