#!/usr/bin/env bash
# torch 2.14.1: a model prepared for quantization-aware training changes in eval mode, with every forward.
#
# Guess: eval() stops what a model learns from its inputs, as it does for batch norm's running
# mean. Predicting a picture twice gives the same, whatever was predicted in between.
#
# Behavior: the observers that prepare_qat puts in go on widening their ranges in eval mode and under
# no_grad, and the fake quantization's scale follows. An unusual picture, or the noisy and
# masked copies that an explanation method makes, changes the model for good: the first picture's
# prediction is another one afterward. model.apply(torch.ao.quantization.disable_observer) stops it.
#
# Output when written (29 November 2026):
#   buffers changed: 0.activation_post_process.activation_post_process.max_val,
#     0.activation_post_process.activation_post_process.min_val, 0.activation_post_process.scale
#   the same picture, before and after another one: 0.034 apart
#   with the observers disabled: 0.000 apart
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet torch==2.14.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import copy, sys, torch
from torch import nn
from torch.ao.quantization import disable_observer, get_default_qat_qconfig, prepare_qat
torch.set_num_threads(1)
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
net.qconfig = get_default_qat_qconfig('fbgemm')
net = prepare_qat(net.train())
net(torch.randn(2, 3, 8, 8))
net.eval()
x, bright = torch.randn(1, 3, 8, 8), torch.randn(1, 3, 8, 8) * 20

@torch.no_grad()
def apart(net):
    "How far a picture's prediction moves when another picture is predicted in between"
    net(x)
    a = net(x)
    net(bright)
    return (a - net(x)).abs().max().item()

frozen = copy.deepcopy(net).apply(disable_observer)
before = {k: v.clone() for k, v in net.state_dict().items()}
a, b = apart(net), apart(frozen)
changed = sorted(k for k, v in net.state_dict().items() if not torch.equal(v, before[k]))
print('buffers changed:', ', '.join(changed))
print(f'the same picture, before and after another one: {a:.3f} apart')
print(f'with the observers disabled: {b:.3f} apart')
as_found = any(k.endswith('.scale') for k in changed) and any(k.endswith('.max_val') for k in changed) and a > 1e-3 and b == 0
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
