#!/usr/bin/env bash
# torch 2.14.1, on the CPU: no gradient leads from a recurrent layer's last state to its steps.
#
# Guess: nn.GRU gives (steps, state), and state[-1] is steps[:, -1], the very same numbers. A classifier
# may read either, and Grad-CAM over the steps, or a hook on the layer's output, sees the same gradient.
#
# Behavior: the state is computed beside the steps, not from them. Where the head reads state[-1], autograd
# knows no way from the score to the steps: a gradient asked for there is an error, or none with
# allow_unused, and a hook that retains it finds None. The same holds for nn.LSTM and nn.RNN. Whoever
# explains such a net at its recurrent layer finds that nothing there counts.
#
# Output when written (1 December 2026):
#   GRU: state[-1] equals steps[:, -1]: True; gradient at the steps of a head on the step: True, on the state: False
#   LSTM: state[-1] equals steps[:, -1]: True; gradient at the steps of a head on the step: True, on the state: False
#   RNN: state[-1] equals steps[:, -1]: True; gradient at the steps of a head on the step: True, on the state: False
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet torch==2.14.1 numpy
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import sys, torch
from torch import nn
torch.set_num_threads(1)
found = []
for kind in (nn.GRU, nn.LSTM, nn.RNN):
    torch.manual_seed(0)
    layer, head, x = kind(4, 8, batch_first=True), nn.Linear(8, 3), torch.randn(2, 20, 4)
    steps, state = layer(x)
    state = state[0] if isinstance(state, tuple) else state
    grads = [torch.autograd.grad(head(o).sum(), steps, allow_unused=True, retain_graph=True)[0] for o in (steps[:, -1], state[-1])]
    found.append((torch.equal(steps[:, -1], state[-1]), *[g is not None for g in grads]))
    print('%s: state[-1] equals steps[:, -1]: %s; gradient at the steps of a head on the step: %s, on the state: %s' % (kind.__name__, *found[-1]))
as_found = found == [(True, True, False)]*3
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
