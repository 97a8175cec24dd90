#!/usr/bin/env bash
# timm 1.0.31, torch 2.14.1: the tokens that Hiera's blocks give are not in the
# order of the picture's rows until its last stage.
#
# Guess: a block that gives 196 tokens for a 224-pixel picture is a 14 x 14 grid,
# row by row, as in every ViT: token 1 is to the right of token 0, token 14 below it.
#
# Behavior: before the last stage the tokens are in the order in which the
# model pools them (mask unit by mask unit), so token 1 reads a place two cells to the
# right, and token 14 one four rows down. model.reroll(tokens, block_index) gives them
# in the picture's order, with the channels last. Reshaping to 14 x 14 gives a map that
# looks fine and is shuffled. Nothing in the shape tells.
#
# Output when written (29 November 2026), block 9 of hiera_tiny_224, 14 x 14:
#   token 1   reshaped: (0, 1)  reads: (0, 2)
#   token 14  reshaped: (1, 0)  reads: (4, 0)
#   token 100 reshaped: (7, 2)  reads: (1, 4)
#   after reroll, all read their own place: True
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet timm==1.0.31 torch==2.14.1 torchvision==0.29.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import sys, timm, torch
import torch.nn.functional as F
torch.set_num_threads(1)
torch.manual_seed(0)
model = timm.create_model('hiera_tiny_224', pretrained=False).eval()
block, side = model.stage_ends[2], 14
seen = []
model.blocks[block].register_forward_hook(lambda m, i, o: seen.append(o))
x = torch.randn(1, 3, 224, 224, requires_grad=True)
model(x)
tokens = seen[0]
rows = model.reroll(tokens, block).reshape(1, side*side, -1)

def reads(t, i):
    "The cell of the picture whose pixels weigh the most for token `i`"
    g, = torch.autograd.grad((t[0, i] * torch.randn(t.shape[2])).sum(), x, retain_graph=True)
    return divmod(F.adaptive_avg_pool2d(g.abs().sum(1), side).argmax().item(), side)

wrong, right = 0, True
for i in (1, 14, 100):
    a, b = divmod(i, side), reads(tokens, i)
    wrong += a != b
    right &= reads(rows, i) == a
    print(f'token {i:<3} reshaped: {a}  reads: {b}')
print('after reroll, all read their own place:', right)
as_found = tokens.shape[1] == side*side and wrong == 3 and right
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
