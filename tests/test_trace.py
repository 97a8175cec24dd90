"What a model and its hooks keep of a call is as it was after an explanation, however that ends, and holds no graph. The next call costs nothing for it"
import pytest
from copy import deepcopy
from functools import partial
from utils import *
import fastcam.engine.trace
from fastcam.engine.trace import _keepers, untouched

x = drawn_batch(3)

class Keeps(nn.Module):
    "`small_net` that counts its calls and keeps what it computes, in places of all kinds"
    def __init__(self):
        super().__init__()
        self.net,self.n,self.log,self.by_name,self.state = small_net(),0,[],{},SimpleNamespace()
        self.register_buffer('seen', torch.zeros(1))
        self.register_buffer('mean', torch.zeros(1))
    def forward(self, x):
        self.n += 1
        self.seen += len(x)
        self.mean = self.mean*.9 + x.mean()*.1
        f = self.features = self.net[0](x)
        self.both = (self.features,f)
        self.log.append(f)
        self.by_name['f'] = self.state.f = f
        return self.net[1](f)

def kept(model): return model.n,model.seen.item(),model.mean.item(),model.seen,model.mean,[k for k in ('features','both') if hasattr(model, k)]
def same(a, b): return a[:3]==b[:3] and a[3] is b[3] and a[4] is b[4] and a[5]==b[5]
def knows(model):
    "Finds the layers of `model`"
    with untouched(model, fully=True): find_layers(model, x)
    return model

calls = dict(gradcam={}, classes=dict(target=[0,2]), ablation=dict(method='ablationcam'), headcam=dict(method='headcam'), shapley=dict(method='shapleycam'),
             fullgrad=dict(method='fullgrad'), guided=dict(method='guidedbackprop'), noise=dict(smooth='noise', samples=2), layers=dict(layer=[-1,-2]))

@pytest.mark.parametrize('call', calls)
def test_attributes_and_buffers(call):
    model = knows(Keeps().eval())
    was = kept(model)
    for _ in range(3):
        cam_maps(model, x, **calls[call])
        assert same(kept(model), was)
        deepcopy(model)

def test_of_an_earlier_call():
    "What was there before is there again: the very same tensors, also with a graph of the user's own"
    model = knows(Keeps().eval())
    model(x)
    was,f,log = kept(model),model.features,list(model.log)
    for _ in range(2):
        cam_maps(model, x)
        assert same(kept(model), was) and model.features is f and f.grad_fn is not None
        assert all(a is b for a,b in zip(model.log, log)) and not any(o.requires_grad for o in model.log[len(log):])

@pytest.mark.parametrize('error', [KeyboardInterrupt, ValueError('no')], ids=str)
@pytest.mark.parametrize('calls', [0, 1])
def test_fails(error, calls):
    "In the first call, and in one when it is known what keeps something"
    model = knows(Keeps().eval())
    for _ in range(calls): cam_maps(model, x)
    was = kept(model)
    model.net[1][3].left,model.net[1][3].error = 0,error
    with pytest.raises(BaseException): cam_maps(model, x)
    assert same(kept(model), was)
    deepcopy(model)

at_top = []
def to_top(m, i, o): at_top.append(o)

class Own:
    def __init__(self): self.kept,self.last = {},None
    def keep(self, m, i, o): self.kept[len(self.kept)],self.last = o,(o,)
    def held(self): return [*self.kept.values(),*self.last]

def hooked(kind, m):
    "Puts a hook of this kind on module `m`; gives a function that gives what it keeps"
    if kind in ('hook_output','Hooks'):
        h = hook_output(m, detach=False) if kind=='hook_output' else Hooks([m], lambda m,i,o: [o], detach=False)
        return lambda: [h.stored] if kind=='hook_output' else h.stored[0]
    if kind=='method':
        own = Own()
        m.register_forward_hook(own.keep)
        return own.held
    if kind=='global':
        at_top.clear()
        m.register_forward_hook(to_top)
        return lambda: at_top
    box = L() if kind=='L' else []
    if kind=='partial': m.register_forward_hook(partial(lambda box,m,i,o: box.append(o), box))
    elif kind=='before': m.register_forward_pre_hook(lambda m,i: box.append(i[0]))
    else: m.register_forward_hook(lambda m,i,o: box.append(o))
    return lambda: list(box)

@pytest.mark.parametrize('kind', ['closure','partial','before','method','global','L','hook_output','Hooks'])
@pytest.mark.parametrize('call', ['gradcam','ablation','fullgrad'])
def test_hooks_of_the_user(kind, call):
    "What they keep holds no graph, and is kept"
    model = knows(small_net().eval())
    held = hooked(kind, model[1][2])
    for _ in range(2):
        cam_maps(model, x, **calls[call])
        assert held() and not any(o.requires_grad for o in held())
        deepcopy(held())

def test_hook_on_the_layer():
    "Also of the layer itself, registered after the prediction was looked at; the maps are the same"
    model = knows(small_net().eval())
    want = cam_maps(model, x, [0,1])
    held = hooked('closure', model[0])
    assert torch.equal(cam_maps(model, x, [0,1]), want) and held() and not any(o.requires_grad for o in held())

def test_learner():
    "`learn.cam`, and a callback that rides in the user's own `get_preds`: a model that carries something on from batch to batch predicts what it predicts without"
    class Carries(nn.Module):
        def __init__(self): super().__init__(); self.net,self.n,self.last = small_net(),0,None
        def forward(self, x):
            self.n += 1
            f = self.net[0](x)
            carry = 0 if self.last is None else self.last.mean()
            self.last = f
            return self.net[1](f) + carry
    learn = small_learner(Carries(), bs=4)
    learn.model.eval()
    knows(learn.model)
    with learn.no_bar():
        want = learn.get_preds()[0]
        assert learn.model.n==3
        learn.model.n,learn.model.last = 0,None
        for _ in range(2):
            cams = learn.cam()
            assert (learn.model.n,learn.model.last)==(0,None) and torch.allclose(torch.stack(list(cams.preds)), want.softmax(1) if want.sum(1).std()>1e-3 else want, atol=1e-6)
            assert torch.equal(learn.get_preds(cbs=CAMCallback())[0], want) and (learn.model.n,learn.model.last)==(0,None)
            deepcopy(learn.model)

@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('backend', ['fbgemm','x86'])
def test_quantized(backend):
    "The observers of a model that is prepared for quantization"
    import torch.ao.quantization as q
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3,8,3,2,1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,3))
    model = nn.Sequential(q.QuantStub(), net, q.DeQuantStub()).train()
    model.qconfig = q.get_default_qat_qconfig(backend)
    q.prepare_qat(model, inplace=True)
    model(x[:1])
    with torch.no_grad(), untouched(model.eval()): model(x[:1])                      # nothing changes: the data are the same
    knows(model)
    was = {n: bits(b) for n,b in model.named_buffers()}
    for kw in [kw for kw in calls.values() if 'layer' not in kw]:
        cam_maps(model, x*2, **kw)
        assert {n: bits(b) for n,b in model.named_buffers()}==was

def test_made_in_the_first_call():
    "A module that makes its layers in its first call keeps them, and lazy ones are what they became"
    class Late(nn.Module):
        def __init__(self): super().__init__(); self.conv,self.lazy,self.head = nn.Conv2d(3,4,3,2),nn.LazyConv2d(5,3),None
        def forward(self, x):
            f = self.lazy(self.conv(x)).relu().mean((2,3))
            if self.head is None: self.head = nn.Linear(f.shape[1], 3)
            return self.head(f)
    model = Late().eval()
    with torch.no_grad(), untouched(model): pred = model(x)
    assert torch.equal(model(x), pred) and model.lazy.in_channels==4 and isinstance(model.lazy, nn.Conv2d)
    cam_maps(model, x)

def test_found_out_once(monkeypatch):
    "After the first call only modules that keep something are looked at; all again when a module is another"
    model,looked = nn.Sequential(knows(Keeps().eval()), nn.Identity()),[]
    class Counted(fastcam.engine.trace._Held):
        def __init__(self, m): looked.append(m); super().__init__(m)
    monkeypatch.setattr(fastcam.engine.trace, '_Held', Counted)
    def go():
        looked.clear()
        with untouched(model): model(x)
        return looked
    assert set(go())==set(model.modules())
    assert go()==[model[0]]==_keepers[model].modules()
    model[1] = nn.ReLU()
    assert set(go())==set(model.modules())
    with untouched(model, [*model.modules()][::-1], fully=True): pass
    assert go()==[model[0]]                                                       # whatever the order; one that was idle in between is not forgotten

def test_model_is_freed():
    model = Keeps().eval()
    with untouched(model): model(x)
    ref = weakref.ref(model)
    del model
    gc.collect()
    assert ref() is None

def test_large_data_is_left_alone():
    "A hook that can reach a lot is not followed through it all"
    model,data = knows(small_net().eval()),[[torch.zeros(1)]*50 for _ in range(2000)]
    model[0].register_forward_hook(lambda m,i,o: data and None)
    seen = {}
    for f in model[0]._forward_hooks.values(): fastcam.engine.trace._walk(f, noop, seen)
    assert len(seen)<=10*fastcam.engine.trace._most+1

class Cached(nn.Module):
    "Fills a cache in its first call, as LeViT does, from a parameter that is zero at first"
    def __init__(self):
        super().__init__()
        self.conv,self.bias,self.head,self.cache,self.seen = nn.Conv2d(3,4,3,2,1),nn.Parameter(torch.zeros(4)),nn.Linear(4,2),{},[]
    def forward(self, x):
        if 'bias' not in self.cache: self.cache['bias'] = self.bias*1
        self.seen.append(len(x))
        return self.head(self.conv(x).add(self.cache['bias'][:,None,None]).relu().mean((2,3)))

def test_cache_is_as_before():
    "What stands in for a zero parameter in the dry pass does not stay in a cache; an entry that was there stays"
    torch.manual_seed(0)
    model,x = Cached().eval(),torch.randn(2,3,16,16)
    fresh = deepcopy(model)
    cam_maps(model, x)
    assert not model.cache and not model.seen
    with torch.no_grad(): want,got = fresh(x),model(x)
    assert torch.equal(got, want) and not model.cache['bias'].any()
    kept = model.cache['bias']
    cam_maps(model, x, layer='conv', method='ablationcam')
    assert model.cache['bias'] is kept and model.seen==[2]
