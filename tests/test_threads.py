"Every public call is right under any number of threads, and what others see of a model is what it always was"
import asyncio, pickle, threading
import pytest
from copy import deepcopy
from concurrent.futures import ThreadPoolExecutor
from utils import *
from fastcam.engine.trace import alone, own_hooks
from fastcam.engine.dry import own_random

methods = ['gradcam','gradcampp','shapleycam','eigencam','ablationcam','headcam','scorecam','guidedbackprop']

def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(ConvLayer(3,4,stride=2), ConvLayer(4,8,stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,3)).eval()

def asked_by(n, fs):
    "What each of `fs` gives, asked by `n` threads; none may take longer than a minute"
    ex = ThreadPoolExecutor(n)
    try: return [o.result(timeout=60) for o in [ex.submit(f) for f in fs]]
    finally: ex.shutdown(wait=False, cancel_futures=True)

def hooks_left(model): return sum(len(m._forward_hooks)+len(m._forward_pre_hooks) for m in model.modules())
def classes(cls=nn.Module): return {cls}.union(*map(classes, cls.__subclasses__()))
def none_left(): return not any(type(vars(c).get('__call__')).__module__.startswith('fastcam') for c in classes())

files = drawn_files()[0]

def close(a, b):
    a,b = (t.detach().as_subclass(Tensor) for t in (a,b))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5*max(1., float(b.abs().max())))

@pytest.fixture
def models(): return [net(0), net(1)]

def batches(n=8): return list(torch.randn(n,2,3,24,24, generator=torch.Generator().manual_seed(0)))

@pytest.mark.parametrize('method', methods)
def test_cam_maps(models, method):
    "Two models, and predictions in between: each answer is the one that is given alone"
    todo = [(m,x) for x in batches() for m in models]
    maps = [partial(cam_maps, m, x, method=method) for m,x in todo]
    preds = [partial(m, x) for m,x in todo]
    want = [f() for f in maps],[f() for f in preds]
    got = asked_by(4, [o for pair in zip(maps, preds) for o in pair])
    for a,b in zip(got[::2], want[0]): close(a, b)
    for a,b in zip(got[1::2], want[1]):
        close(a, b)
        assert a.requires_grad                                      # of its parameters, as ever
    assert none_left() and all(hooks_left(m)==0 and all(p.requires_grad for p in m.parameters()) for m in models)

def learner(model=None):
    res = small_learner(net() if model is None else model)
    res.model.eval()
    return res

@pytest.mark.parametrize('method', ['gradcam','ablationcam','scorecam'])
def test_learner(method):
    "Two learners that share a model: `cam`, `predict` and `get_preds` in threads"
    one = learner()
    two = learner(one.model)
    todo = [f for o in files[:4] for f in (partial(one.cam, o, target=1, method=method, **fewer(method)), partial(two.cam, o, target=1, method=method, **fewer(method)))]
    preds = [partial(one.predict, o) for o in files[:4]]
    with one.no_bar(), two.no_bar():
        want = [f().maps for f in todo],[f()[2] for f in preds]
        cbs = list(one.cbs)
        got = asked_by(4, [o for i,f in enumerate(todo) for o in ((f,preds[i//2]) if i%2 else (f,))])
        for a,b in zip([o.maps for o in got if not isinstance(o, tuple)], want[0]): close(a, b)
        for a,b in zip([o[2] for o in got if isinstance(o, tuple)], want[1]): close(a, b)
        assert list(one.cbs)==cbs and not one.lock.locked() and none_left()

def fewer(method): return dict(n=3) if method in ('ablationcam','scorecam') else {}

def test_show_cam():
    "Pictures drawn in threads, each on axes of its own, and by `asyncio`"
    learn = learner()
    def drawn(f):
        from matplotlib.figure import Figure
        ax = Figure().add_subplot()
        learn.show_cam(f, target=1, ctxs=[ax])
        return torch.from_numpy(np.array(ax.images[-1].get_array().filled(0.) if hasattr(ax.images[-1].get_array(), 'filled') else ax.images[-1].get_array())).float()
    with learn.no_bar():
        want = list(map(drawn, files[:4]))
        for a,b in zip(asked_by(4, [partial(drawn, f) for f in files[:4]]), want): close(a, b)
        async def all_of(): return await asyncio.gather(*[asyncio.to_thread(drawn, f) for f in files[:4]])
        for a,b in zip(asyncio.run(all_of()), want): close(a, b)

def test_by_hand():
    "`CAMCallback` in `get_preds`, which waits behind fastai's own lock"
    learn,cbs = learner(),[CAMCallback(target=1) for _ in range(4)]
    with learn.no_bar():
        want = learn.cam(files[:3], target=1).maps
        asked_by(4, [f for cb in cbs for f in (partial(learn.get_preds, dl=learn.dls.test_dl(files[:3], num_workers=0), cbs=cb), partial(learn.cam, files[3]))])
    for cb in cbs: close(stack_maps(cb.maps), want)

def stack_maps(ms): return torch.stack(list(ms))

def test_global_random_objects(models):
    "The generators that all share are the same objects afterwards, in their states, also where calls overlap"
    learn = learner()
    held = lambda: [id(o) for o in (np.random.mtrand._rand, np.random.get_bit_generator(), random._inst, torch.default_generator)]
    was,states = held(),rng_state()
    with learn.no_bar(): asked_by(4, [f for x in batches(4) for f in (partial(cam_maps, models[0], x), partial(cam_maps, models[1], x), partial(learn.cam, files[0]))])
    assert held()==was and rng_state()==states

def test_blocks_that_overlap():
    "Of two blocks in two threads the one that ends last puts the random states back"
    states,first,second = rng_state(),own_random(),own_random()
    first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert rng_state()==states

@contextmanager
def held_in_call(model):
    "In this block another thread is in the middle of an explanation of `model`"
    inside,go = threading.Event(),threading.Event()
    def method(o):
        with own_hooks([(o.model, lambda m,i,o: None)]):
            inside.set()
            go.wait(30)
        return o.a.sum(1)
    ex = ThreadPoolExecutor(1)
    res = ex.submit(cam_maps, model, batches(1)[0], method=method)
    assert inside.wait(30)
    try: yield
    finally:
        go.set()
        res.result(30)

def test_copies_beside_a_call():
    "A model and its learner are copied, pickled and exported in the middle of a call, and the copies are clean"
    learn = learner()
    x = batches(1)[0]
    want = learn.model(x)
    with held_in_call(learn.model):
        copies = [deepcopy(learn.model), deepcopy(learn).model, pickle.loads(pickle.dumps(learn.model)), learn_again(learn).model]
        close(learn.model(x), want)
    for m in copies:
        close(m(x), want)
        assert hooks_left(m)==0 and not m.training and all(p.requires_grad for p in m.parameters())
        assert not any('forward' in vars(o) for o in m.modules())

def learn_again(learn):
    "The learner, exported and loaded"
    to = learn.path/'threads.pkl'
    learn.export(to)
    try: return torch.load(to, weights_only=False)
    finally: to.unlink()

@pytest.mark.parametrize('error', [ZeroDivisionError, KeyboardInterrupt])
def test_failing_call_frees_its_lock(error):
    "Another thread may explain at once, and fastai's lock is free"
    learn = learner()
    def fails(o): raise error('so')
    for f in (partial(cam_maps, learn.model, batches(1)[0], method=fails), partial(learn.cam, files[0], method=fails)):
        with pytest.raises(error): f()
        assert not learn.lock.locked() and none_left()
        assert asked_by(1, [partial(is_free, learn.model)])==[True] and hooks_left(learn.model)==0

def is_free(model):
    lock = alone(model)
    got = lock.acquire(timeout=.2)
    if got: lock.release()
    return got

def test_one_at_a_time(models):
    "Explanations of one model wait for each other; of another they do not"
    with held_in_call(models[0]):
        assert asked_by(1, [partial(cam_maps, models[1], batches(1)[0])])[0].ndim==4
        assert asked_by(1, [partial(is_free, models[0])])==[False]

@pytest.mark.parametrize('where', ['0','1','4'])
def test_within_a_call(where):
    "A hook on the model that has it explained in the middle of an explanation: both are right"
    model,x = net(),batches(1)[0]
    want,busy,got = [cam_maps(model, o) for o in (x, x.flip(-1))],[],[]
    for fresh in (net(), model):                                    # also while its layers are looked for
        def hook(m, i, o):
            if busy: return
            busy.append(0)
            got.append(cam_maps(fresh, x.flip(-1)))
            busy.clear()
        h = fresh[int(where)].register_forward_hook(hook)
        close(cam_maps(fresh, x), want[0])
        h.remove()
        close(cam_maps(fresh, x), want[0])
    assert len(got)>2 and none_left()
    for o in got: close(o, want[1])

def _vit():
    torch.manual_seed(0)
    blocks = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2, enable_nested_tensor=False)
    return nn.Sequential(nn.Conv2d(3, 16, 4, 4), nn.Flatten(2), Rearranged(), blocks, Pooled(), nn.Linear(16, 3)).eval()

class Rearranged(nn.Module):
    def forward(self, x): return x.transpose(1, 2)
class Pooled(nn.Module):
    def forward(self, x): return x.mean(1)

@pytest.mark.parametrize('inner', [dict(method='gradcam', layer='1'), dict(method='ablationcam', layer='1'), dict(method='inputxgradient'), dict(method='inputxgradient', rule='guided')], ids=str)
@pytest.mark.parametrize('outer', [dict(method='ablationcam', layer='1'), dict(method='scorecam', layer='1'), dict(method='occlusion'), dict(method='fullgrad'), dict(method='guidedgradcam'),
                                   dict(method='gradcam', rule='guided', layer='1'), dict(method='shapleycam', layer='1')], ids=str)
def test_methods_within_a_call(outer, inner):
    "What a method replaces, leaves out or changes in calls of the model is not so in an explanation that a hook asks for in the middle of them, before the layer or behind it"
    _within_a_call(net(), outer, inner, ('0','4'))

@pytest.mark.parametrize('outer', [dict(method='rollout'), dict(method='legrad'), dict(method='inputxgradient', rule='attnlrp'), dict(method='inputxgradient', rule='libragrad')], ids=str)
def test_attention_within_a_call(outer):
    for inner in (dict(method='inputxgradient'), dict(method='rollout')): _within_a_call(_vit(), outer, inner, ('0','5'))

def _within_a_call(model, outer, inner, where):
    x,other = batches(1)[0],batches(1)[0].flip(-1)
    want,wanted,busy = cam_maps(model, x, **outer),cam_maps(model, other, **inner),[]
    for name in where:
        got = []
        def hook(*args):
            if busy: return
            busy.append(0)
            try: got.append(cam_maps(model, other, **inner))
            finally: busy.clear()
        h = model.get_submodule(name).register_forward_hook(hook)
        close(cam_maps(model, x, **outer), want)
        h.remove()
        assert got and none_left()
        for o in got: close(o, wanted)

class Asks(Callback):
    def after_epoch(self): self.maps = self.learn.cam(files[:2], target=1).maps
class AsksInFits(Asks):
    def before_fit(self): self.run = not hasattr(self.learn, 'gather_preds')

def test_within_a_fit():
    "A callback that asks for maps in its own fit; one that would ask again in each prediction, without end, is refused in words"
    def fit(cb):
        learn = small_learner(cbs=cb())
        with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
        return learn
    learn, = asked_by(1, [partial(fit, AsksInFits)])
    close(learn.asks_in_fits.maps, learn.cam(files[:2], target=1).maps)
    with pytest.raises(RuntimeError, match='without end.*before_fit'): asked_by(1, [partial(fit, Asks)])

class TokensOfMaps(nn.Module):
    def __init__(self): super().__init__(); self.conv,self.bn,self.head = nn.Conv2d(3,4,3,2,1),nn.BatchNorm2d(4),nn.Linear(4,3)
    def forward(self, x): return self.head(self.bn(self.conv(x)).flatten(2).transpose(1, 2)).amax(1)

def test_batchnorm_before_tokens():
    "The gradient of one item at the convolution before a batchnorm is what autograd says of two"
    torch.manual_seed(0)
    model,x = TokensOfMaps().eval(),torch.randn(2,3,12,12)
    a = model.conv(x).detach().requires_grad_()
    g, = torch.autograd.grad(model.head(model.bn(a).flatten(2).transpose(1, 2)).amax(1)[:,1].sum(), a)
    want = (g*a).sum(1).detach()
    for i in range(2): close(cam_maps(model, x[i:i+1], target=1, layer='conv', method='hirescam')[0,0], want[i])
    close(cam_maps(model, x, target=1, layer='conv', method='hirescam')[:,0], want)

@pytest.mark.parametrize('method', ['ablationcam','scorecam','headcam'])
def test_batch_statistics(method):
    "Behind a batchnorm that keeps no statistics, nothing depends on the rows that are asked at once"
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3,6,3,2,1), nn.ReLU(), nn.Conv2d(6,6,3,1,1), nn.BatchNorm2d(6, track_running_stats=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6,3)).eval()
    x = torch.randn(4,3,16,16)
    maps = [cam_maps(model, x, target=1, layer='1', method=method, bs=bs) for bs in (3,64,2048)]
    for m in maps[1:]: close(m, maps[0])

def test_int8():
    "Methods without gradients explain a model of static int8 as the float one, nearly; the others say why not"
    import torch.ao.quantization as q
    torch.manual_seed(0)
    model = nn.Sequential(q.QuantStub(), nn.Conv2d(3,8,3,2,1), nn.ReLU(), nn.Conv2d(8,16,3,2,1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16,3), q.DeQuantStub()).eval()
    torch.backends.quantized.engine,x = torch.backends.quantized.supported_engines[-1],torch.randn(2,3,32,32)
    model.qconfig = q.get_default_qconfig(torch.backends.quantized.engine)
    ready = q.prepare(model)
    ready(x)
    whole = q.convert(ready)
    at = {m: [cam_maps(o, x, target=1, layer='4', method=m)[:,0].as_subclass(Tensor) for o in (whole,model)] for m in
          ('eigencam','kpcacam','fem','random','scorecam','sscam','iscam','ablationcam','headcam')}
    for m in at.keys()-{'ablationcam','headcam'}: assert torch.corrcoef(torch.stack([o.flatten() for o in at[m]]))[0,1]>.95, m     # 256 steps lose so much
    # what is lost without a channel is a few steps of int8, and so is what a cell says: asked by hand, in int8
    a = whole[:5](x)
    def score(o): return whole[5:](torch.quantize_per_tensor(o, a.q_scale(), a.q_zero_point(), a.dtype))[:,1]
    f,full = a.dequantize(),score(a.dequantize())
    left = torch.stack([score(f*(torch.arange(16)!=k)[:,None,None]) for k in range(16)], 1)
    close(at['ablationcam'][0], (((full[:,None]-left)/full.abs()[:,None])[...,None,None]*f).sum(1))
    close(at['headcam'][0], torch.stack([score(f[...,r:r+1,c:c+1].expand_as(f)) for r in range(8) for c in range(8)], 1).reshape(2,8,8))
    with pytest.raises(ValueError, match='computes in int8, and no gradient leads'): cam_maps(whole, x)

class Own(nn.Linear):
    "A class that says itself how its modules are called"
    def __call__(self, x): return super().__call__(x)+1

class Child(Own): pass

def test_hooks_of_classes():
    "A hook is called once, for its own module alone, whatever classes are hooked besides; a class is afterwards what it was, and is pickled as such meanwhile"
    import cloudpickle, pickle
    from fastcam.engine.trace import own_hooks
    ms = [nn.Linear(2, 2), Own(2, 2), Child(2, 2), Child(2, 2)]
    was,x,got = [dict(vars(c)) for c in (nn.Linear,Own,Child)],torch.ones(1, 2),[]
    want = [m(x) for m in ms]
    for order in (ms[:3], ms[2::-1]):
        got.clear()
        with own_hooks([(m, lambda m,i,o: got.append(m)) for m in order]):
            for m,w in zip(ms, want): assert torch.equal(m(x), w)
            assert got==ms[:3] and not none_left()
            assert torch.equal(pickle.loads(pickle.dumps(ms[1]))(x), want[1])
            class Here(nn.Linear): pass
            class Louder(nn.Linear):
                def __call__(self, x): return super().__call__(x)+1
            for here in (Here(2, 2), Louder(2, 2)):
                same = here(x)
                with own_hooks([(here, lambda m,i,o: 0*o)]): copied = pickle.loads(cloudpickle.dumps(here))
                assert torch.equal(copied(x), same)
        assert none_left() and [dict(vars(c)) for c in (nn.Linear,Own,Child)]==was

def test_hook_after_failure():
    "What waits for the end of a call is told that it failed, and the error is the module's own"
    from fastcam.engine.trace import own_hooks
    m,got = nn.Linear(2, 2),[]
    with own_hooks([(m, lambda m,i,o: got.append(o), 'ended'), (m, lambda m,i,o: got.append('after'))]):
        with pytest.raises(RuntimeError, match='shape'): m(torch.ones(1, 3))
        assert got==[None]
        m(torch.ones(1, 2))
        assert len(got)==3

def mixing():
    torch.manual_seed(0)
    return nn.Sequential(nn.Sequential(nn.Conv2d(3,8,3,2,1), nn.ReLU()), nn.BatchNorm2d(8, track_running_stats=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,5)).eval(),torch.randn(4,3,24,24)

def test_each_item_by_itself():
    "Where items see each other, as behind a batchnorm that keeps no statistics, Grad-CAM of an item is that of its own score, of one target and of several"
    model,x = mixing()
    a = model[0](x).detach().requires_grad_()
    y = model[1:](a)
    def own(i, c):
        g, = torch.autograd.grad(y[i,c], a, retain_graph=True)
        return (g[i].mean((1,2), keepdim=True)*a[i]).sum(0).detach()
    target = torch.tensor([0,1,2,0])
    close(cam_maps(model, x, target, layer='0')[:,0], torch.stack([own(i, c) for i,c in enumerate(target)]))
    close(cam_maps(model, x, [0,1,2,3,4], layer='0'), torch.stack([torch.stack([own(i, c) for c in range(5)]) for i in range(4)]))

@pytest.mark.parametrize('kw', [dict(method=m) for m in ('hirescam','layercam','gradcampp','inputxgradient','ig')]+[dict(smooth='noise', samples=2), dict(layer=[-1,'1'])], ids=str)
def test_targets_of_other_items(kw):
    "What the others are asked does not change the map of an item"
    model,x = mixing()
    one,two = (cam_maps(model, x, tensor([0,1,2,c]), **kw) for c in (0,1))
    close(one[:3], two[:3])
    assert not torch.allclose(one[3], two[3])
