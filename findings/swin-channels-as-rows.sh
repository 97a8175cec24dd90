#!/usr/bin/env bash
# torchvision 0.29.1's Swin with torchcam 0.5.0, grad-cam 1.5.7 and captum 0.9.0, torch 2.14.1: all three
# make a map of a Swin stage whose columns are channels, without a word.
#
# Guess: Swin's stages give (batch, rows, columns, channels). A Grad-CAM that
# assumes (batch, channels, rows, columns) meets 7 channels of 7 x 768 places, which is no
# picture's shape, and says so.
#
# Behavior: none does. torchcam and captum give a map of 7 x 768. grad-cam
# scales it to the picture's 224 x 224, so it looks like any other map: its rows are the
# picture's columns, and its columns are the 768 channels. Its reshape_transform argument mends
# that, but nothing asks for it.
#
# Output when written (29 November 2026):
#   the layer  (1, 7, 7, 768)
#   torchcam   (1, 7, 768)
#   captum     (1, 1, 7, 768)
#   grad-cam   (1, 224, 224)
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
from captum.attr import LayerActivation, LayerGradCam
torch.set_num_threads(1)
torch.manual_seed(0)
net = torchvision.models.swin_t().eval()
x, layer = torch.randn(1, 3, 224, 224), net.features[7]
got = {'the layer': tuple(LayerActivation(net, layer).attribute(x).shape)}
with TorchcamGradCAM(net, layer) as cam: got['torchcam'] = tuple(cam(1, net(x))[0].shape)
got['captum'] = tuple(LayerGradCam(net, layer).attribute(x, target=1).shape)
with GradCAM(net, [layer]) as cam: got['grad-cam'] = cam(x, [ClassifierOutputTarget(1)]).shape
for k, v in got.items(): print(f'{k:<10} {v}')
as_found = list(got.values()) == [(1, 7, 7, 768), (1, 7, 768), (1, 1, 7, 768), (1, 224, 224)]
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
