#!/usr/bin/env bash
# grad-cam (pytorch-grad-cam) 1.5.7, torchcam 0.5.0 and captum 0.9.0, torch 2.14.1, torchvision
# 0.29.1, on the CPU: for a layer followed by an in-place ReLU, two of the three read its
# activations after the ReLU.
#
# Guess: asked for the last batch norm of a torchvision ResNet (layer4.1.bn2), all
# three read what that layer gives, negative numbers included.
#
# Behavior: grad-cam and torchcam keep the layer's output without a copy, and the block goes on to
# add its input and apply a ReLU in that memory. Their "activations of bn2" are those of the
# whole block, with no negative number. The gradients are those of bn2's
# own output, so the map multiplies numbers of two places. captum
# copies, and reads the layer.
#
# Output when written (29 November 2026), least activation of layer4.1.bn2, and whether
# the activations are the block's output:
#   grad-cam 0.00 True
#   torchcam 0.00 True
#   captum   -3.25 False
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet grad-cam==1.5.7 torchcam==0.5.0 captum==0.9.0 torch==2.14.1 torchvision==0.29.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import sys, torch, torchvision
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchcam.methods import GradCAM as TorchcamGradCAM
from captum.attr import LayerActivation
torch.set_num_threads(1)
torch.manual_seed(0)
net = torchvision.models.resnet18().eval()
x, bn = torch.randn(1, 3, 64, 64), net.layer4[1].bn2
block = LayerActivation(net, net.layer4[1]).attribute(x)
acts = {}
with GradCAM(net, [bn]) as cam:
    cam(x, [ClassifierOutputTarget(0)])
    acts['grad-cam'] = torch.as_tensor(cam.activations_and_grads.activations[0])
with TorchcamGradCAM(net, bn) as cam:
    net(x)
    acts['torchcam'] = cam.hook_a[0]
acts['captum'] = LayerActivation(net, bn).attribute(x)
got = {k: (v.min().item() >= 0, torch.allclose(v, block, atol=1e-5)) for k, v in acts.items()}
for k, v in acts.items(): print(f'{k:<8} {v.min().item():.2f} {got[k][1]}')
as_found = got == {'grad-cam': (True, True), 'torchcam': (True, True), 'captum': (False, False)}
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
