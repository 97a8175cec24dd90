"""Are maps under `rule='attnlrp'` those of lxt, the package of that paper's authors? Run by tools/attnlrp.sh

lxt changes the classes and functions of transformers' modules for good, so that ours are made first. Small models with random weights, in double precision; the tolerance is that of maps kept in single precision."""
import importlib, warnings
warnings.filterwarnings('ignore')
import torch, transformers
from lxt.efficient import monkey_patch
from fastcam.all import *

small = dict(vocab_size=50, num_labels=3, pad_token_id=0)
gated = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)
models = dict(Llama=gated, Qwen2=gated, Qwen3=gated|dict(head_dim=8), GPT2=dict(n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2))

def compare(name, config):
    "The largest difference from lxt's relevance of tokens, and that of input times gradient without a rule, in shares of the largest relevance"
    torch.manual_seed(0)
    config = getattr(transformers, f'{name}Config')(**small, **config)
    model = getattr(transformers, f'{name}ForSequenceClassification')(config).eval().double()
    ids = torch.randint(3, 50, (2,9))
    ours,plain = (torch.stack(list(cam_maps(model, ids, 1, method='inputxgradient', rule=rule))).as_subclass(torch.Tensor).squeeze() for rule in ('attnlrp',None))
    monkey_patch(importlib.import_module(f'transformers.models.{name.lower()}.modeling_{name.lower()}'))
    x = model.get_input_embeddings()(ids).detach().requires_grad_()
    model(inputs_embeds=x, attention_mask=torch.ones_like(ids)).logits[:,1].sum().backward()
    theirs = (x*x.grad).sum(-1)
    return [((o-theirs).abs().max()/theirs.abs().max()).item() for o in (ours,plain)]

for name,config in models.items():
    ours,plain = compare(name, config)
    print(f'{name}: {ours:.1e} (without the rule {plain:.1e})')
    assert ours<2e-6<plain, name
