#!/usr/bin/env bash
# fastai 2.8.12, torch 2.14.1: get_preds(ds_idx=0) predicts augmented pictures.
#
# Guess: get_preds is for prediction, and says so by putting the training set in order and keeping
# its last items. So its predictions for the training set are those of the pictures as they
# are: the same each time, and those of test_dl on the same items.
#
# Behavior: it shuffles no more, but the training transforms, random crops and flips included, still
# run. Two calls give two answers, and neither is that of test_dl. With ds_idx=1 the answers are
# the same each time. Whoever looks for the training pictures that a model gets wrong this way, and
# then explains them with test_dl or predict, explains other predictions.
#
# Output when written (29 November 2026):
#   ds_idx=0, twice the same: False
#   ds_idx=0 as test_dl on the same items: False
#   ds_idx=0, targets in the items' order: True
#   ds_idx=1, twice the same: True
#   ds_idx=1 as test_dl on the same items: True
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
set_seed(0)
path = Path('pictures')
path.mkdir()
rng = np.random.default_rng(0)
for i in range(12): Image.fromarray(rng.integers(0, 255, (48, 40, 3), dtype=np.uint8)).save(path/f'{i % 2}_{i}.png')
dls = ImageDataLoaders.from_name_func(path, get_image_files(path), lambda o: o[0], valid_pct=.25, seed=0,
    item_tfms=Resize(32), batch_tfms=aug_transforms(), bs=4, num_workers=0, device='cpu')
net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8*30*30, 2))
learn = Learner(dls, net, loss_func=CrossEntropyLossFlat())
got = []
with learn.no_bar():
    for idx in (0, 1):
        ds = dls.loaders[idx].dataset
        (a, targets), (b, _) = learn.get_preds(ds_idx=idx), learn.get_preds(ds_idx=idx)
        c = learn.get_preds(dl=dls.test_dl(ds.items))[0]
        got.append((torch.allclose(a, b), torch.allclose(a, c, atol=1e-5),
                    targets.tolist() == [int(o.name[0]) for o in ds.items]))
print('ds_idx=0, twice the same:', got[0][0])
print('ds_idx=0 as test_dl on the same items:', got[0][1])
print("ds_idx=0, targets in the items' order:", got[0][2])
print('ds_idx=1, twice the same:', got[1][0])
print('ds_idx=1 as test_dl on the same items:', got[1][1])
as_found = got == [(False, False, True), (True, True, True)]
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
