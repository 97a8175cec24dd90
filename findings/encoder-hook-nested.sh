#!/usr/bin/env bash
# torch 2.14.1: a forward hook on a layer of nn.TransformerEncoder gets a nested tensor,
# or a plain one, by whether gradients are on.
#
# Guess: in eval mode a hook on encoder.layers[0] gets a (batch, length, features) tensor,
# whether or not gradients are on: the same hook that works when training works when predicting.
#
# Behavior: in eval mode under no_grad, with a padding mask, the encoder takes its fast path
# and packs the texts into a nested tensor before the layers, though a hook is there to see
# it. The hook's output has is_nested set, and asking it for its shape raises an error. The
# layer's own fast path does look for hooks and steps aside; the packing does not. The
# encoder's final output is a plain padded tensor again.
#
# Output when written (29 November 2026):
#   gradients on:  nested False, shape (2, 5, 16)
#   no_grad:       nested True, shape not to be had (RuntimeError)
#   no_grad, no padding mask: nested False, shape (2, 5, 16)
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
torch.manual_seed(0)
encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2).eval()
x = torch.randn(2, 5, 16)
pad = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1]], dtype=torch.bool)
seen = []
encoder.layers[0].register_forward_hook(lambda m, i, o: seen.append(o))

def hooked(grad, mask):
    seen.clear()
    with torch.set_grad_enabled(grad): out = encoder(x, src_key_padding_mask=mask)
    assert not out.is_nested and out.shape == x.shape
    try: shape = str(tuple(seen[0].shape))
    except RuntimeError: shape = 'not to be had (RuntimeError)'
    return f'nested {seen[0].is_nested}, shape {shape}'

got = hooked(True, pad), hooked(False, pad), hooked(False, None)
for name, o in zip(('gradients on: ', 'no_grad:      ', 'no_grad, no padding mask:'), got): print(name, o)
plain = 'nested False, shape (2, 5, 16)'
as_found = got == (plain, 'nested True, shape not to be had (RuntimeError)', plain)
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
