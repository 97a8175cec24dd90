#!/usr/bin/env bash
# transformers 5.23.0, torch 2.14.1: hidden_states[-1] is last_hidden_state for some models and what comes
# before the final norm for others.
#
# Guess: the last of the hidden states is the last hidden state, the very numbers that the head reads,
# for every model of the library.
#
# Behavior: Bert and Llama hold to it: Llama, which has a final norm, gives the normalized numbers in both.
# ViT, DINOv2 and SigLIP, which have a final norm too, give in hidden_states[-1] the numbers before that
# norm, and in last_hidden_state those after it. The shapes are the same, and both fields are
# filled. A head's weights applied to hidden_states[-1] score the wrong numbers. CLIP's picture
# model has the two equal, as its norm applies to the class token alone.
#
# Output when written (29 November 2026), hidden_states[-1] equals last_hidden_state:
#   BertModel True
#   LlamaModel True
#   CLIPVisionModel True
#   ViTModel False, equals it after model.layernorm: True
#   Dinov2Model False, equals it after model.layernorm: True
#   SiglipVisionModel False
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet transformers==5.23.0 torch==2.14.1
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'EOF'
import sys, torch, transformers as hf
torch.set_num_threads(1)
torch.manual_seed(0)
small = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
pic, txt = dict(image_size=32, patch_size=8), dict(vocab_size=50)
models = dict(BertModel=(hf.BertConfig, txt), LlamaModel=(hf.LlamaConfig, txt), CLIPVisionModel=(hf.CLIPVisionConfig, pic),
              ViTModel=(hf.ViTConfig, pic), Dinov2Model=(hf.Dinov2Config, pic), SiglipVisionModel=(hf.SiglipVisionConfig, pic))
got = {}
for name, (config, kw) in models.items():
    model = getattr(hf, name)(config(**small, **kw)).eval()
    norm = getattr(model, 'layernorm', None)
    for p in model.parameters(): torch.nn.init.normal_(p, 1 if p.ndim == 1 else 0, .1)
    inp = dict(input_ids=torch.randint(0, 50, (1, 6))) if kw is txt else dict(pixel_values=torch.randn(1, 3, 32, 32))
    with torch.no_grad():
        out = model(**inp, output_hidden_states=True)
        last, state = out.hidden_states[-1], out.last_hidden_state
        assert last.shape == state.shape
        got[name] = [torch.allclose(last, state, atol=1e-4)]
        if norm is not None: got[name].append(torch.allclose(norm(last), state, atol=1e-4))
    print(f'{name} {got[name][0]}' + (f', equals it after model.layernorm: {got[name][1]}' if norm is not None else ''))
as_found = got == dict(BertModel=[True], LlamaModel=[True], CLIPVisionModel=[True],
                       ViTModel=[False, True], Dinov2Model=[False, True], SiglipVisionModel=[False])
print('as found' if as_found else 'CHANGED')
sys.exit(not as_found)
EOF
