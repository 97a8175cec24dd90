"What is done to be quick changes nothing: chunks of columns, channels that are alike, channels that are left out further on, modules walked once. No test looks at the clock"
import json, runpy, sys
import pytest
from utils import *
import fastcam.engine.method, fastcam.engine.perturb
from fastcam.engine.dry import all_modules, own_random
from fastcam.engine.tail import _learned, is_alone, pooled, shortcuts, tail, without

x = drawn_batch(4)
quick = os.environ.get('FASTCAM_SHORTCUTS')!='0'                                              # see `test_without_shortcuts`
counts_passes = pytest.mark.skipif(not quick, reason='says which stages are run, or what is remembered of them, where shortcuts are taken')

def net(n=3):
    "`small_net` in eval mode"
    return small_net(n).eval()

def close(got, want, rtol=1e-5):
    "Equal but for the order in which float32 numbers are summed"
    got,want = (t.as_subclass(Tensor) for t in (got,want))
    assert got.shape==want.shape
    assert (got-want).abs().max() <= rtol*want.abs().max(), ((got-want).abs().max()/want.abs().max()).item()

by_rows = ['gradcam','hirescam','elementwise','layercam','gradcampp','xgradcam','eigencam','eigengradcam','kpcacam','segeigencam','fem','random']

# ---- all columns at once
@pytest.mark.parametrize('method', by_rows)
@pytest.mark.parametrize('at_once', [1, 2, 2**22])
def test_columns(monkeypatch, method, at_once):
    "Columns in chunks of any size are columns one by one, at one layer and at several"
    model,targets = net(7),[6,0,3,1,5]
    one = torch.cat([cam_maps(model, x, [t], ['0.1','0.3'], method, fuse='mean').as_subclass(Tensor) for t in targets], 1)
    n = at_once if at_once>2 else at_once*sum(math.prod(o.grid)*o.channels for o in find_layers(model, x, ['0.1','0.3']).values())*len(x)
    monkeypatch.setattr(fastcam.engine.method, '_at_once', n)
    close(cam_maps(model, x, targets, ['0.1','0.3'], method, fuse='mean'), one)

def test_columns_of_items():
    "Columns that differ from item to item, and a method of one's own, which sees a column at a time"
    model,seen = net(),[]
    def mine(o):
        seen.append(tuple(o.a.shape))
        return (o.g.relu()*o.a).sum(1)
    idx = tensor([[0,2],[1,1],[2,0],[0,1]])
    close(cam_maps(model, x, idx, '0.3', mine), cam_maps(model, x, idx, '0.3', 'layercam'))
    assert seen==[(len(x),16,12,12)]*2
    with pytest.raises(ValueError, match='gave'): cam_maps(model, x, [0,1], '0.3', weight_method(lambda a,g: g, lambda wa: wa.sum(1)[:1]))

weights = dict(channel = lambda a,g: g.mean((2,3), keepdim=True),
               shared  = lambda a,g: g.mean((0,2,3), keepdim=True),
               nobatch = lambda a,g: g.mean((0,2,3))[:,None,None],
               double  = lambda a,g: g.mean((2,3), keepdim=True).double(),
               one     = lambda a,g: g.mean((1,2,3), keepdim=True),
               number  = lambda a,g: g.mean(),
               plain   = lambda a,g: 2.)

@pytest.mark.parametrize('w', weights)
def test_weights(w):
    "Weights of any form that broadcasts, also inside autocast: where they are one for a channel the product is of matrices, in full precision"
    model = net()
    def plain(o): return (weights[w](o.a, o.g)*o.a).sum(1)
    close(cam_maps(model, x, 1, '0.3', weight_method(weights[w])), cam_maps(model, x, 1, '0.3', plain))
    with torch.autocast('cpu', dtype=torch.bfloat16): close(cam_maps(model, x, 1, '0.3', weight_method(weights[w])), cam_maps(model, x, 1, '0.3', plain))

def test_gradients_are_not_kept(monkeypatch):
    "Memory: gradients of one chunk of columns at a time, where they are asked for at the layer itself"
    model,most = net(7),[]
    monkeypatch.setattr(fastcam.engine.method, '_at_once', 2*len(x)*16*12*12)
    real = Capture.grads
    def grads(self, numbers, which=None, create_graph=False, keep=True):
        most.append(which.shape[1])
        return real(self, numbers, which, create_graph, keep)
    monkeypatch.setattr(Capture, 'grads', grads)
    with shortcuts(False): cam_maps(model, x, list(range(7)), '0.3')
    assert most==[2,2,2,1]

# ---- memory: nothing is kept for gradients that nobody asks for
class Checkpointed(nn.Module):
    "A linear net behind a convolution; in `saving` mode what is inside is computed anew in the backward pass"
    def __init__(self):
        super().__init__()
        self.conv,self.block,self.saving = nn.Conv2d(1, 4, 3),nn.Sequential(nn.Linear(4,11), nn.GELU(), nn.Linear(11,3)),False
    def forward(self, x):
        p = self.conv(x).mean((2,3))
        return torch.utils.checkpoint.checkpoint(self.block, p, use_reentrant=False) if self.saving else self.block(p)

def test_parameters_are_not_tracked():
    "What a linear layer is given is kept for the gradients of its weights alone: it is not kept; all is as it was afterwards, frozen parts, too, and where the model fails"
    model,x = Checkpointed().eval(),torch.randn(2, 1, 8, 9)
    model.block[0].bias.requires_grad_(False)
    was,kept = [p.requires_grad for p in model.parameters()],[]
    def run():
        kept.clear()
        with torch.no_grad(), Capture(model, find_layers(model, x, 'conv')) as cap, torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(tuple(t.shape)) or t, noop):
            model(x)
            return cap.grads(cap.pred)['conv']
    want = torch.autograd.functional.jacobian(lambda a: model.block(a.mean((2,3))).sum(0), model.conv(x).detach())
    close(run(), want)
    assert [p.requires_grad for p in model.parameters()]==was and kept.count((2,11))==1                        # what GELU was given, and not what it gave
    model.saving = True
    close(run(), want)
    h = model.block[2].register_forward_pre_hook(lambda *_: 1/0)
    with pytest.raises(ZeroDivisionError): run()
    h.remove()
    assert [p.requires_grad for p in model.parameters()]==was and all(p.grad is None for p in model.parameters())

# ---- Score-CAM: channels that are alike
class Twins(nn.Module):
    "Hands on channels, some of them twice at a scale that rounds nothing, some constant"
    def forward(self, a): return torch.cat([a, 4*a[:,:5], a[:,2:4]*.5, a[:,:2]*0], 1)

def twins_net():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3,8,3,stride=4), nn.ReLU(), Twins(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(17,3)).eval()

def score_loop(model, layer, x, c):
    "Every channel, one by one (1910.01279)"
    with torch.no_grad():
        box,maps = [],[]
        h = model[layer].register_forward_hook(lambda m,i,o: box.append(o))
        model(x)
        h.remove()
        a = box[0]
        for item,ai in zip(x, a):
            up = F.interpolate(ai[:,None], size=x.shape[2:], mode='bilinear')
            lo,hi = up.amin((2,3), keepdim=True),up.amax((2,3), keepdim=True)
            s = torch.cat([model(item[None]*m[None])[:,c] for m in (up-lo)/(hi-lo).clamp(min=1e-8)])
            maps.append((s.softmax(0)[:,None,None]*ai).sum(0))
    return torch.stack(maps)

def test_scorecam_twins():
    "Channels with the same mask are asked once, dead ones never; the map is that of the plain loop"
    model,asked = twins_net(),[]
    want = score_loop(model, 2, x, 1)
    h = model.register_forward_pre_hook(lambda m,i: asked.append(len(i[0])))
    got = cam_maps(model, x, 1, '2', 'scorecam')
    h.remove()
    close(got[:,0], want, 1e-4)                                                        # exponents of scores
    assert sum(asked[2:])<=8*len(x)+len(x)                                             # of 17 channels, after the dry pass: eight, and the empty picture

@pytest.mark.parametrize('method', ['scorecam','sscam','iscam','ablationcam'])
def test_asked_once_for_all_columns(method):
    "Several targets cost the passes of one, and give the maps of each"
    model,kw,asked = net(),dict(samples=2) if method in ('sscam','iscam') else {},[]
    find_layers(model, x)
    h = model.register_forward_pre_hook(lambda m,i: asked.append(len(i[0])))
    maps = [cam_maps(model, x, t, '0.3', method, **kw) for t in (2,0)]
    each = len(asked)
    both = cam_maps(model, x, [2,0], '0.3', method, **kw)
    h.remove()
    assert len(asked)-each==each//2
    close(both, torch.cat(maps, 1))

# ---- Ablation-CAM: a channel less is a feature less
def ablation_loop(model, layer, x, c):
    "Every channel, one by one, through the whole model"
    mod,off = model.get_submodule(layer),[None]
    def hook(m, i, o):
        o = o.clone()
        if off[0] is not None: o[:,off[0]] = 0
        box.append(o)
        return o
    h = mod.register_forward_hook(hook)
    with torch.no_grad():
        box = []
        y = model(x)[:,c]
        a,w = box[0],[]
        for k in range(a.shape[1]):
            off[0] = k
            w.append((y-model(x)[:,c])/y.abs())
    h.remove()
    return (torch.stack(w, 1)[...,None,None]*a).sum(1)

class Pools(nn.Module):
    "Average pooling that looks at all channels: what it gives is divided by their sum"
    def forward(self, a): return a.mean((2,3))/a.mean((2,3)).sum(1, keepdim=True)

class Reads(nn.Module):
    "The layer feeds the pooling, and something else besides"
    def __init__(self): super().__init__(); self.conv,self.pool,self.lin = nn.Conv2d(3,8,3,stride=4),nn.AdaptiveAvgPool2d(1),nn.Linear(8,3)
    def forward(self, x):
        a = self.conv(x)
        return self.lin(self.pool(a).flatten(1)) + a.amax((1,2,3))[:,None]

class Clipped(nn.Module):
    "Changes nothing that is there, and makes something of nothing"
    def forward(self, p): return F.threshold(p, 1e-6, 5.)

def body(): return [nn.Conv2d(3,8,3,stride=4), nn.ReLU(inplace=True)]
heads = dict(linear  = lambda: [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(8,3)],
             concat  = lambda: [AdaptiveConcatPool2d(1), nn.Flatten(), nn.Linear(16,3)],
             deep    = lambda: list(create_head(8, 3)),
             sums    = lambda: [Pools(), nn.Linear(8,3)],
             clipped = lambda: [nn.AdaptiveAvgPool2d(1), nn.Flatten(), Clipped(), nn.Linear(8,3)],
             conv    = lambda: [nn.Conv2d(8,6,3), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(6,3)],
             nopool  = lambda: [nn.Flatten(), nn.Linear(8*12*12,3)])
where = dict(linear=nn.Linear, concat=nn.Linear, deep=AdaptiveConcatPool2d, sums=None, clipped=nn.AdaptiveAvgPool2d, conv=None, nopool=None)

@pytest.mark.parametrize('head', heads)
def test_ablation_further_on(head):
    "A channel is left out as far on as that is exact, and no further; the map is that of the plain loop"
    torch.manual_seed(0)
    model = nn.Sequential(*body(), *heads[head]()).eval()
    for m in model.modules():
        if isinstance(m, nn.BatchNorm1d): m.running_mean.uniform_(-.3,.3); m.running_var.uniform_(.2,.8)
    want = ablation_loop(model, '1', x, 1)
    # differences of scores that are alike; what pools is known the second time
    for _ in range(2): close(cam_maps(model, x, 1, '1', 'ablationcam')[:,0], want, 1e-4)
    with torch.no_grad(), Capture(model, find_layers(model, x, '1')) as cap: model(x)
    with torch.no_grad(): pool = pooled(cap, '1')
    assert pool is None if where[head] is None or not quick else isinstance(pool[0], where[head])

def test_ablation_read_twice():
    "Something else reads the layer: the pooling is not all"
    torch.manual_seed(0)
    model = Reads().eval()
    close(cam_maps(model, x, 1, 'conv', 'ablationcam')[:,0], ablation_loop(model, 'conv', x, 1), 1e-4)

@counts_passes
def test_ablation_head_is_another():
    "What pooled the layer is not there any more"
    torch.manual_seed(0)
    model = nn.Sequential(*body(), *heads['linear']()).eval()
    cam_maps(model, x, 1, '1', 'ablationcam')
    layers = find_layers(model, x, '1')                                                       # of the model as it was
    for i,m in enumerate(heads['linear']()): model[2+i] = m
    model.eval()
    close(cam_maps(model, x, 1, '1', 'ablationcam')[:,0], ablation_loop(model, '1', x, 1), 1e-4)
    with torch.no_grad(), Capture(model, layers) as cap: model(x)
    with torch.no_grad(): assert pooled(cap, '1')[0] is model[5]

# ---- per call
def test_modules():
    "The quick walk finds what `modules()` finds, each once, shared and missing ones included"
    model = net()
    model.again,model.none = model[0],None
    model.register_module('empty', nn.Sequential())
    model[1].train()
    mods,train = all_modules(model)
    assert set(mods)==set(model.modules()) and len(mods)==len(list(model.modules())) and set(train)=={m for m in mods if m.training} and 0<len(set(train))<len(mods)

def test_evaluating_puts_back():
    "Also modes that the model itself changes"
    model = net()
    for i,m in enumerate(model.modules()): m.training = i%3==0
    was = [m.training for m in model.modules()]
    with evaluating(model):
        assert not any(m.training for m in model.modules())
        model[0].train()
    assert [m.training for m in model.modules()]==was

def testown_random():
    "The same numbers in the block each time, and the caller's as if there had been none"
    draw = lambda: (random.random(), np.random.rand(), torch.rand(1).item())
    was,seen = rng_state(),[]
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), own_random():
            seen.append(draw())
            1/0
    assert rng_state()==was and seen[0]==seen[1]
    with own_random():
        first = draw()
        with own_random(): draw()
        second = draw()
    with own_random(): assert (draw(),draw())==(first,second)                                         # one within another
    assert rng_state()==was

def test_changed_model_is_looked_at_again():
    "What is remembered of a model goes when a module is another"
    model = net()
    cam_maps(model, x, 0)
    model[0][3] = nn.Sequential(nn.Conv2d(12,10,3,padding=1), nn.ReLU())
    model[1][2],model[1][4] = nn.BatchNorm1d(10),nn.Linear(10,3)
    model.eval()
    assert cam_maps(model, x, 0).grid==(24,24)

@counts_passes
def test_heads_come_and_go():
    "A new head may lie where an old one lay in memory: it is another all the same, and nothing is kept of those that went"
    model = net()
    for i in range(30):
        model[1][4] = nn.Linear(16, 3+i%3)
        cam_maps(model, x, 2+i%3, method='ablationcam')
        lay = first(find_layers(model, x).values())
        known = _learned(lay)
        assert lay.module is not None and len(known.before) and len(known.pools) and all(r() is not None for r in known.pools)
    assert len(fastcam.engine.layer._found[model])==1

# ---- benchmarks
root = Path(__file__).parent.parent/'benchmarks'

def test_results():
    "The results that the docs show are of cases that there are, their maps were equal, and they say where they come from"
    if not (root/'results.json').exists(): pytest.skip('no results')
    res = json.loads((root/'results.json').read_text())
    assert {'date','command','cpu','threads','measure','versions'} <= set(res['head'])
    sys.path.insert(0, str(root))
    try: cases = runpy.run_path(str(root/'cases.py'))['cases']
    finally: sys.path.remove(str(root))
    assert {n for n in res['cases'] if not n.startswith(('memory','import'))} <= set(cases)
    for n,r in res['cases'].items():
        for what,o in r.get('equal',{}).items(): assert o['off']<=o['limit'], (n,what)

# ---- what comes before a layer is not run again
class Parts(nn.Module):
    "Stages whose calls are counted, from which `mix` makes a prediction"
    def __init__(self, mix):
        super().__init__()
        torch.manual_seed(0)
        self.a,self.b,self.c,self.head,self.mix,self.ran = nn.Conv2d(3,4,3),nn.Sequential(nn.Conv2d(4,6,3), nn.ReLU()),nn.Conv2d(6,6,3),nn.Linear(6,3),mix,[]
        for n in 'abc': self.count(n)
    def count(self, n):
        m,f = getattr(self, n),type(getattr(self, n)).forward
        def forward(*args):
            self.ran.append(n)
            return f(m, *args)
        m.forward = forward
    def forward(self, x): return self.mix(self, x)

def chain(m, x): return m.head(m.c(m.b(m.a(x))).tanh().mean((2,3)))
def twice(m, x): return m.head(m.c(m.b(m.a(x))).tanh().mean((2,3))) + m.a(x[:,:,:4,:4]*0).sum()*0
def beside(m, x):
    a = m.a(x)
    return m.head(m.c(m.b(a)).tanh().mean((2,3))) + a.mean((1,2,3))[:,None]

def tails(model):
    "Which stages three captures ran to ask for the prediction if stage `b` gave other activations, of other rows; it must be that of the whole model"
    rows,ran,res = [1,0,0],[],[]
    for i in range(3):
        with torch.no_grad(), Capture(model, find_layers(model, x, 'b')) as cap: model(x)
        a = cap.a('b')[rows]*.9
        model.ran.clear()
        with torch.no_grad(): res.append(tail(cap, 'b', a, tensor(rows)))
        ran.append(''.join(model.ran))
    h = model.b.register_forward_hook(lambda m,i,o: a)
    with torch.no_grad(): want = model(x[rows])
    h.remove()
    for r in res: close(r, want)
    return ran

@counts_passes
def test_tail_skips_what_is_before():
    "The first tail asks in full whether the layer is all that counts, and later ones run what follows"
    model = Parts(chain).eval()
    own = {n: vars(getattr(model, n))['forward'] for n in 'abc'}
    assert tails(model)==['abccc','cc','cc']
    assert {n: vars(getattr(model, n))['forward'] for n in 'abc'}==own
    plain = net()
    cam_maps(plain, x, method='ablationcam'), cam_maps(plain, x, method='ablationcam')
    assert not any('forward' in vars(m) for m in plain.modules())

@counts_passes
@pytest.mark.parametrize('mix,ran', [(twice, ['abcaacaaca','acaaca','acaaca']), (beside, ['abcabc']*3)])
def test_tail_runs_what_is_needed(mix, ran):
    "A stage that is called again afterwards is run; where the input passes the layer by, all is"
    assert tails(Parts(mix).eval())==ran

@counts_passes
def test_tail_of_a_model_that_changes_its_mind():
    "What was known not to matter is found to matter, and all is run"
    model = Parts(chain).eval()
    tails(model)
    model.mix = beside
    assert tails(model)==['cabcabc','abcabc','abcabc']

@counts_passes
def test_tail_keeps_hooks_of_others():
    "A stage in which somebody else's hooks keep something, as those of a U-Net do, is run"
    model,kept = Parts(chain).eval(),[]
    model.a = nn.Sequential(model.a)
    model.a[0].register_forward_hook(lambda m,i,o: kept.append(len(o)))
    assert all('a' in r and 'b' not in r for r in tails(model)[1:]) and kept

def behind(m, x): return chain(m, x) + m.a.forward(torch.ones(1, 3, 4, 4)).mean()
def popped(m, x):
    fs = m.a(x)
    return m.head(m.c(m.b(fs.pop())).tanh().mean((2,3)))
def turned(m, x): return m.head(m.c(m.b(m.a(x).transpose_(2,3))).tanh().mean((2,3)))

@counts_passes
def test_tail_asks_again_with_what_is_left_out():
    "A stage is called afterwards in a way that no hook sees"
    assert tails(Parts(behind).eval())==['abca'+'c'+'abca'+'abca', 'abcaabca', 'abcaabca']

@counts_passes
def test_tail_of_stages_whose_output_is_changed():
    "The model takes from the list that a stage gave, or changes the shape of its tensor in place"
    class Listed(nn.Module):
        def __init__(self, a): super().__init__(); self.a = a
        def forward(self, x): return [x, self.a(x)]
    model = Parts(popped).eval()
    model.a = Listed(model.a)
    assert tails(model)[1:]==['cc','cc']
    assert tails(Parts(turned).eval())[1:]==['cc','cc']

@counts_passes
def test_tail_of_stages_that_keep_something():
    "What a stage has kept of the batch is found to matter later: it does not fit other rows"
    class Keeps(nn.Module):
        def __init__(self, a): super().__init__(); self.a = a
        def forward(self, x):
            self.kept = self.a(x)
            return self.kept
    def uses(m, x):
        y = m.c(m.b(m.a(x))).tanh().mean((2,3))
        return m.head(y*m.a.kept.mean((2,3)).repeat(1,2)[:,:6] if m.gate else y)
    model = Parts(uses).eval()
    model.a,model.gate = Keeps(model.a),False
    assert tails(model)[1:]==['cc','cc']
    model.gate = True
    assert all('a' in r and 'b' in r for r in tails(model))

@counts_passes
def test_tail_of_stages_with_attributes_of_their_own():
    "A stage hands its attributes on to what it wraps, or takes none: it is as it was afterwards"
    class Around(nn.Module):
        def __init__(self, a): super().__init__(); vars(self)['inner'] = a; self.add_module('a', a)
        def __setattr__(self, k, v): setattr(vars(self)['inner'], k, v) if 'inner' in vars(self) else super().__setattr__(k, v)
        def __delattr__(self, k): raise AttributeError(k)
        def forward(self, x): return self.a(x)
    model = Parts(chain).eval()
    was = vars(model.a)['forward']
    model.a = Around(model.a)
    assert tails(model)[1:]==['cc','cc'] and vars(model.a.a)['forward'] is was and 'forward' not in vars(model.a)

def test_tail_of_a_renamed_layer():
    "The modules are the same, in the same order, and have other names"
    model = Parts(chain).eval()
    with torch.no_grad(), Capture(model, find_layers(model, x, 'b')) as cap: want = model(x)
    names = dict(model._modules)
    model._modules.clear()
    for n,m in names.items(): model._modules[n.upper()] = m
    model.mix = lambda m, x: m.HEAD(m.C(m.B(m.A(x))).tanh().mean((2,3)))
    with torch.no_grad(): close(tail(cap, 'b', cap.a('b'), torch.arange(len(x))), want)

@pytest.mark.parametrize('how', ['hook','forward'])
def test_ablation_of_a_linear_layer_that_is_changed(how):
    "The last layer is scaled by a hook, or its `forward` is another: as the loop over the whole model"
    model = nn.Sequential(nn.Conv2d(3,8,3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,4)).eval()
    for changed in (False,True):
        if changed and how=='hook': model[4].register_forward_hook(lambda m,i,o: o*.1)
        if changed and how=='forward': model[4].forward = lambda x: F.linear(x, model[4].weight, model[4].bias) + x.flip(1)[:,:4]
        with torch.no_grad():
            a,y,w = model[1](model[0](x)),model(x)[:,:1],[]
            for c in range(8):
                b = a.clone()
                b[:,c] = 0
                w.append((y-model[2:](b)[:,:1])/y.abs())
        close(cam_maps(model, x, 0, '1', method='ablationcam')[:,0], (torch.cat(w, 1)[...,None,None]*a).sum(1), 1e-4)

@counts_passes
def test_tail_after_half_precision():
    "What is known of one precision is not taken for another"
    model,lay = Parts(chain).eval(),None
    for half in (False,True,False):
        with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16, enabled=half), Capture(model, find_layers(model, x, 'b')) as cap:
            pred = model(x)
            got = tail(cap, 'b', cap.a('b'), torch.arange(len(x)))
        assert got.dtype==pred.dtype==(torch.bfloat16 if half else torch.float32) and torch.equal(got, pred)
    assert set(_learned(cap.layers['b']).before)=={torch.float32,torch.bfloat16}

def test_tail_fails_and_puts_back():
    "What follows the layer fails: the stages run again as they did"
    model = Parts(chain).eval()
    own = [vars(m).get('forward') for m in model.modules()]
    tails(model)
    def broken(m, x):
        m.b(m.a(x))
        raise KeyError('broken')
    with torch.no_grad(), Capture(model, find_layers(model, x, 'b')) as cap: model(x)
    assert is_alone(cap, 'b')
    model.mix = broken
    with pytest.raises(KeyError): tail(cap, 'b', cap.a('b'), torch.arange(len(x)))
    assert [vars(m).get('forward') for m in model.modules()]==own

# ---- shortcuts decide nothing
@pytest.mark.skipif(not quick, reason='this is the run without shortcuts')
def test_without_shortcuts(run):
    "All tests of what follows a layer pass without them, but for those that count passes"
    out = run('python', '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests/test_speed.py', 'tests/test_methods.py', '-k', 'ablation or tail or headcam or passed_by or chunks or threads',
              cwd=root.parent, FASTCAM_SHORTCUTS='0')
    assert int(re.search(r'(\d+) passed', out)[1])>40

def test_shortcuts_come_and_go():
    "They are back when a block ends, also by an exception, and in a block within another"
    model,asked = net(),[]
    h = model[0][0].register_forward_hook(lambda m,i,o: asked.append(len(o)))
    cam_maps(model, x, 0, '0.3', 'headcam')                                                   # the first call notes what is before the layer
    def passes():
        asked.clear()
        return cam_maps(model, x, 0, '0.3', 'headcam'),max(asked)
    with shortcuts(): want,n = passes()
    assert n<=len(x)
    with shortcuts(False):
        got,n = passes()
        assert n>len(x)
        with pytest.raises(ZeroDivisionError), shortcuts(): 1/0
        assert passes()[1]==n
    with shortcuts(): assert passes()[1]<=len(x)
    h.remove()
    close(got, want)

# ---- hooks act for their own thread
def in_thread(f):
    "What `f()` gives in another thread"
    res = []
    t = threading.Thread(target=lambda: res.append(f()))
    t.start(); t.join()
    return res[0]

class Waits(nn.Module):
    "Calls `then` in each call"
    then = None
    def forward(self, a):
        if self.then is not None: self.then()
        return a

@pytest.mark.parametrize('method', ['gradcam','ablationcam','headcam','shapleycam','guidedbackprop','fullgrad'])
@pytest.mark.parametrize('layer', ['0.1','0.3'])
def test_threads(method, layer):
    "Whenever an explanation calls the model, another thread predicts with it: that prediction is the model's own, on its own batch, and has no graph; the maps are what they are alone"
    model = net()
    model[1].add_module('waits', Waits())
    own,other = torch.randn(7, 3, 48, 48),[]
    with torch.no_grad(): pred = model(own)
    want = [cam_maps(model, x, [0,2], layer, method).as_subclass(Tensor) for _ in range(2)][1]              # what is before the layer is left out in the second
    def then():
        model[1].waits.then = None                                                                     # not within itself
        with torch.no_grad(): other.append(in_thread(lambda: model(own)))
        model[1].waits.then = then
    model[1].waits.then = then
    got = cam_maps(model, x, [0,2], layer, method)
    assert torch.equal(got.as_subclass(Tensor), want) and other
    assert all(torch.equal(o, pred) for o in other)

# ---- what is done for speed gives way where it does not hold
class Adapts(nn.Module):
    "Changes a weight of its own by a gradient before it predicts"
    def __init__(self): super().__init__(); torch.manual_seed(0); self.conv,self.fast,self.out = nn.Conv2d(3,8,3),nn.Linear(8,8),nn.Linear(8,4)
    def forward(self, x):
        h = self.conv(x).relu().mean((2,3))
        with torch.enable_grad(): g, = torch.autograd.grad((self.fast(h)-h).pow(2).sum(), self.fast.weight, create_graph=True)
        return self.out(h@(self.fast.weight-.1*g).T)

def test_gradients_of_parameters():
    "A model that takes them itself, a method that asks for them, and a callback that does between the call and the map"
    model = Adapts().eval()
    a = model.conv(x).detach().requires_grad_()
    h = model.conv.register_forward_hook(lambda m,i,o: a)
    g, = torch.autograd.grad(model(x)[:,1].sum(), a)
    h.remove()
    close(cam_maps(model, x, 1, 'conv')[:,0], (g.mean((2,3), keepdim=True)*a).sum(1))
    def norm(o):
        with torch.enable_grad(): return o.a.sum(1)*torch.autograd.grad(o.score(o.model(*o.xb)).sum(), o.model[1][4].weight)[0].norm()
    assert cam_maps(net(), x, 0, '0.3', norm).any()
    class Asks(Callback):
        order = 65
        def after_pred(self):
            with torch.enable_grad(): self.model(*self.xb).sum().backward()
            had.append([p.grad is not None for p in self.model.parameters()])
            self.model.zero_grad()
    had,learn = [],small_learner()
    with learn.no_bar(): learn.get_preds(cbs=[CAMCallback(), Asks()])
    assert had and all(map(all, had))

class Sign(torch.autograd.Function):
    "Its gradient cannot be asked for in a batch"
    @staticmethod
    def forward(ctx, x): ctx.save_for_backward(x); return x.sign()
    @staticmethod
    def backward(ctx, g):
        res,i = torch.zeros_like(g),ctx.saved_tensors[0].abs()<1
        res[i] = g[i]
        return res

class Binary(nn.Module):
    def forward(self, x): return Sign.apply(x)

def test_columns_one_by_one():
    "What has no batched gradient is asked column by column"
    model = nn.Sequential(nn.Conv2d(3,8,3), Binary(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,4)).eval()
    close(cam_maps(model, x, [2,0,1], '0'), torch.cat([cam_maps(model, x, c, '0').as_subclass(Tensor) for c in (2,0,1)], 1))

@pytest.mark.parametrize('kw,n', [(dict(smooth='noise', samples=2), 2), (dict(method='smoothgradcampp', samples=2), 2), (dict(method='shapleycam'), 0)], ids=str)
def test_no_column_is_asked_for_in_vain(monkeypatch, kw, n):
    "Where each column has passes of its own, gradients are those of that column"
    asked,real = [],Capture.grads
    def grads(self, numbers, which=None, create_graph=False, keep=True):
        asked.append(which.shape[1])
        return real(self, numbers, which, create_graph, keep)
    monkeypatch.setattr(Capture, 'grads', grads)
    cam_maps(net(7), x, list(range(7)), '0.3', **kw)
    assert asked.count(1)>=7*max(n, 1) and sum(asked)<=7*(n+1)

def test_chunks_of_what_is_behind():
    "Columns at once are as many as what follows the layer has room for, not the layer alone"
    up = nn.Sequential(nn.Conv2d(3,2,4,stride=4), nn.Upsample(scale_factor=4), nn.Conv2d(2,16,1), nn.Conv2d(16,9,1)).eval()
    lay = first(find_layers(up, x, '0').values())
    assert lay.wide==16*48*48>math.prod(lay.grid)*lay.channels
    with torch.no_grad(), Capture(up, {'0':lay}) as cap: up(x)
    assert fastcam.engine.method.Pass(cap, as_target(0).ask(up(x).mean((2,3)), range(4))).at_once==fastcam.engine.method._at_once//(4*lay.wide)

def test_sizes_are_forgotten():
    "What is remembered of a model does not grow without end"
    model = net()
    for n in range(8, 88): grid_layers(model, torch.randn(1,3,n,8))
    known = list(fastcam.engine.layer._found[model].values())
    assert len(known)==64
    for n in range(24, 88): grid_layers(model, torch.randn(1,3,n,8))
    assert [id(o) for o in fastcam.engine.layer._found[model].values()]==[id(o) for o in known]               # nor is what is known found again
    assert all(p._backward_hooks is None for p in model.parameters())
