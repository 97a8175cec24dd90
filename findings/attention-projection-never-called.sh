#!/usr/bin/env bash
# torch 2.14.1, torchvision 0.29.1: the projection at the end of nn.MultiheadAttention is never called.
#
# Guess: `out_proj` is a module with weights, listed by named_modules, and every attention ends with it: a
# forward hook on it sees the output of the attention, as a hook on the projection of timm's attention does.
#
# Behavior: nn.MultiheadAttention hands the weights of `out_proj` to a function, with and without
# gradients, fused or not. A hook on it is never called, and a module that stands in its place is asked
# for its weight, not called.
#
# Output when written (30 November 2026), calls of hooks in torchvision's ViT of 12 blocks:
#   self_attention: 12
#   self_attention.out_proj: 0
#   mlp.3: 12
#   as found
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - 2>"$dir/errors" <<'EOF'
import sys, torch
from torchvision.models import VisionTransformer
torch.set_num_threads(1)
net = VisionTransformer(image_size=32, patch_size=8, num_layers=12, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=3).eval()
names = 'self_attention', 'self_attention.out_proj', 'mlp.3'
calls = dict.fromkeys(names, 0)

def count(name):
    def hook(module, args, out): calls[name] += 1
    return hook

for block in net.encoder.layers:
    for name in names: block.get_submodule(name).register_forward_hook(count(name))
net(torch.randn(1, 3, 32, 32)).sum().backward()
for name, n in calls.items(): print(f'{name}: {n}')
as_found = list(calls.values()) == [12, 0, 12]
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
