#!/usr/bin/env bash
# timm 1.0.31, torch 2.14.1: set_fused_attn(False) does nothing for a model that exists, and a
# hook on attn_drop is called at no forward.
#
# Guess: an attention block passes its weights through attn_drop, so a hook there reads
# them. Where the fused attention skips that, set_fused_attn(False) before the forward brings
# it back.
#
# Behavior: the fused attention takes attn_drop's rate and never calls the module. Each
# attention module keeps, from when it was made, whether to fuse, so the switch has to be
# set before create_model (or each block's fused_attn set to False). Neither case raises an
# error: an attention-rollout hook gathers an empty list.
#
# Output when written (29 November 2026), calls of a hook on blocks[0].attn.attn_drop:
#   as made:                                0
#   after set_fused_attn(False):            0
#   made after set_fused_attn(False):       1, (1, 3, 197, 197)
#   made before, block's fused_attn False:  1, (1, 3, 197, 197)
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet timm==1.0.31 torch==2.14.1 torchvision==0.29.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import sys, timm, torch
from timm.layers import set_fused_attn
torch.set_num_threads(1)
x = torch.randn(1, 3, 224, 224)

def make(): return timm.create_model('vit_tiny_patch16_224', pretrained=False).eval()

def calls(net):
    seen = []
    h = net.blocks[0].attn.attn_drop.register_forward_hook(lambda m, i, o: seen.append(tuple(o.shape)))
    with torch.no_grad(): net(x)
    h.remove()
    return seen

net = make()
got = [calls(net)]
set_fused_attn(False)
got.append(calls(net))
got.append(calls(make()))
net.blocks[0].attn.fused_attn = False
got.append(calls(net))
names = 'as made', 'after set_fused_attn(False)', 'made after set_fused_attn(False)', "made before, block's fused_attn False"
for n, o in zip(names, got): print(f'{n + ":":<39}', ', '.join(map(str, [len(o), *o])))
as_found = got == [[], [], [(1, 3, 197, 197)], [(1, 3, 197, 197)]]
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
