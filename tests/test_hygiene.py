"No trace: however a call ends, learner, model and the state of torch are afterwards what they were"
import pytest
from contextlib import nullcontext, suppress
from utils import *

files,x = drawn_files()[0],drawn_batch()
said = 'the fuse blew'
errors = [RuntimeError(said), KeyboardInterrupt(said)]

# ---- every public call that runs the model or reads data: a function of a learner, and of keywords for the target or the method where it takes these
def _shown(f):
    f()
    plt.close('all')

def _capture(learn):
    with evaluating(learn.model), Capture(learn.model, find_layers(learn.model, x, ['0.1','0.3'])) as cap:
        learn.model(x)
        with torch.inference_mode(False), torch.enable_grad(): cap.grads(cap.pred[:,:2])

explaining = dict(
    cam_items       = lambda learn, **kw: learn.cam(files[:7], **kw),
    cam_valid       = lambda learn, **kw: learn.cam(**kw),
    cam_train       = lambda learn, **kw: learn.cam(ds_idx=0, max_n=7, **kw),
    cam_dl          = lambda learn, **kw: learn.cam(dl=learn.dls.train, **kw),
    cam_batches     = lambda learn, **kw: learn.cam(dl=[(x,)]*2, **kw),
    cam_layers      = lambda learn, **kw: learn.cam(files[:7], layer=['0.0',-1], fuse=None, **kw),
    show_cam        = lambda learn, **kw: _shown(lambda: learn.show_cam(files[:7], **kw)),
    cams_show       = lambda learn, **kw: _shown(lambda: learn.cam(files[:7], **kw).show()),
    cams_inputs     = lambda learn, **kw: learn.cam(files[:7], **kw).inputs,
    cams_pictures   = lambda learn, **kw: learn.cam(**kw).pictures(),
    cam_maps        = lambda learn, **kw: cam_maps(learn.model, x, **kw),
    cam_maps_layers = lambda learn, **kw: cam_maps(learn.model, x, layer=[0,-1], **kw))
calls = dict(explaining,
    grid_layers = lambda learn: grid_layers(learn.model, x),
    find_layers = lambda learn: find_layers(learn.model, x, [-2,'0.0']),
    capture     = _capture)
by_learner = [o for o in explaining if not o.startswith('cam_maps')]
each_call       = pytest.mark.parametrize('call', calls)
each_explaining = pytest.mark.parametrize('call', explaining)
each_by_learner = pytest.mark.parametrize('call', by_learner)

@pytest.fixture(autouse=True)
def own_autocast():
    "What one test leaves of mixed precision does not reach the next"
    dtype = torch.get_autocast_dtype('cpu')
    yield
    torch.set_autocast_enabled('cpu', False)
    torch.set_autocast_dtype('cpu', dtype)
    while modes_state()['autocast_depth']>0: torch.autocast_decrement_nesting()
    torch.clear_autocast_cache()

@pytest.fixture
def learn():
    "A learner after a short training, with modes, flags and gradients that a careless call would tidy away"
    res = small_learner(bs=6)
    with res.no_logging(): res.fit(1)
    unsettle(res.model)
    return res

def fails(call, learn, error=(Exception,KeyboardInterrupt), said=said, **kw):
    "`call` fails with `error` and leaves no trace"
    was = snapshot(learn)
    with pytest.raises(error, match=said): calls[call](learn, **kw)
    assert changed(was, snapshot(learn))==[]

def same_preds(learn):
    "fastai's own `get_preds` does not hang, and gives what the model says"
    with evaluating(learn.model), torch.no_grad(): want = learn.model(x).softmax(1)
    got,_ = soon(partial(learn.get_preds, dl=learn.dls.test_dl(files[:len(x)])))
    assert torch.allclose(got, want, atol=1e-5)

# ---- after success
@each_call
def test_success(learn, call):
    "Whatever mode of torch the caller is in"
    for world in (nullcontext, torch.no_grad, torch.inference_mode, partial(torch.autocast, 'cpu')):
        with world():
            was = snapshot(learn)
            calls[call](learn)
            assert changed(was, snapshot(learn))==[]

@pytest.mark.parametrize('method', 'cam headcam gradcam hirescam'.split())
def test_methods(learn, method):
    was = snapshot(learn)
    learn.cam(files[:7], method=method, target=[0,2])
    cam_maps(learn.model, x, method=method)
    assert changed(was, snapshot(learn))==[]

@each_by_learner
def test_training_afterwards(call):
    "A learner that has explained trains on just as one that has not, bit for bit"
    learn,other = small_learner(),small_learner()
    calls[call](learn)
    for o in (learn,other):
        set_seed(1)
        with o.no_logging(): soon(partial(lambda o: o.fit_one_cycle(1) or True, o))
    assert changed(model_bits(other), model_bits(learn))==[]
    assert [*map(float, learn.recorder.losses)]==[*map(float, other.recorder.losses)]

def test_curves(learn):
    "What the recorder holds of a training is still there to be plotted"
    was = [*map(float, learn.recorder.losses)], learn.recorder.values.copy()
    learn.cam(files[:3])
    assert was[0] and was==([*map(float, learn.recorder.losses)], learn.recorder.values)

def test_inside_a_fit():
    "A callback may explain between two epochs: the training is bit for bit what it is without"
    class Looks(Callback):
        def after_epoch(self):
            if not hasattr(self.learn, 'gather_preds'): self.seen = self.learn.cam(files[:3])
    res = []
    for cbs in (None, Looks()):
        learn = small_learner(cbs=cbs)
        set_seed(1)
        with learn.no_logging(): learn.fit_one_cycle(2)
        res.append({**model_bits(learn), **rng_state(), 'values':str(learn.recorder.values), 'losses':[*map(float, learn.recorder.losses)], 'lrs':learn.recorder.lrs})
    assert len(learn.looks.seen)==3 and changed(*res)==[]

# ---- after an exception and a KeyboardInterrupt
@pytest.mark.parametrize('call,later', [(o,False) for o in calls] + [(o,True) for o in explaining])
def test_model_fails(learn, call, later):
    "In its body or its head; in the pass that finds the layers, or in the batch that is explained: the second, where there are two"
    if later: calls[call](learn)
    for fuse in (learn.model[0][2], learn.model[1][3]):
        for error in errors:
            fuse.left,fuse.error = int(later and call in by_learner),error
            fails(call, learn, type(error))
            fuse.left = None
            if call in by_learner: same_preds(learn)

@each_explaining
def test_function_fails(learn, call):
    for what in ('target','method'):
        for error in errors:
            def f(o): raise error
            fails(call, learn, type(error), **{what: f})
    same_preds(learn)

class Trips(Callback):
    "A callback that fails in one event"
    def __init__(self, event, error): setattr(self, event, self.trip); self.error = error
    def trip(self): raise self.error

events = 'before_fit before_epoch before_validate before_batch after_pred after_loss after_batch after_validate after_epoch after_fit'.split()

@each_by_learner
def test_before_fit_fails(learn, call):
    "Stock fastai keeps its lock after this, and the next call hangs"
    learn.add_cb(Trips('before_fit', ValueError(said)))
    fails(call, learn, ValueError)
    learn.remove_cb(learn.trips)
    same_preds(learn)

@pytest.mark.parametrize('event', events)
def test_callback_fails(learn, event):
    for error in (*errors, ValueError()):
        learn.add_cb(Trips(event, error))
        was = snapshot(learn)
        with pytest.raises(BaseException) as e: learn.cam(files[:7])
        assert isinstance(e.value, type(error) if error.args else (ValueError,IndexError))       # fastai itself stumbles over an exception without a message
        assert changed(was, snapshot(learn))==[]
        learn.remove_cb(learn.trips)
        same_preds(learn)

@pytest.mark.parametrize('event', events)
def test_callback_cancels(learn, event):
    "Whatever comes of it"
    for error in (CancelFitException(), CancelBatchException(), CancelValidException()):
        learn.add_cb(Trips(event, error))
        was = snapshot(learn)
        with suppress(Exception): learn.cam(files[:7])
        assert changed(was, snapshot(learn))==[]
        learn.remove_cb(learn.trips)
        same_preds(learn)

def test_unreadable_item_fails(learn, tmp_path):
    "In the second batch"
    bad = tmp_path/'broken.png'
    bad.write_bytes(b'no picture')
    was = snapshot(learn)
    with pytest.raises(Exception, match='broken.png'): learn.cam([*files[:7], bad])
    assert changed(was, snapshot(learn))==[]
    same_preds(learn)

def test_show_fails(learn):
    was = snapshot(learn)
    with pytest.raises(ValueError, match='no_such_cmap'): learn.show_cam(files[:2], cmap='no_such_cmap')
    plt.close('all')
    assert changed(was, snapshot(learn))==[]

def test_held_lock(learn):
    "A lock that somebody else holds stays theirs"
    learn.lock.acquire()
    try:
        t = threading.Thread(target=partial(learn.cam, files[:2]), daemon=True)
        t.start()
        t.join(2)
        assert t.is_alive() and learn.lock.locked()
    finally: learn.lock.release()
    t.join(60)
    assert not t.is_alive() and not learn.lock.locked()
    with learn.lock:
        with pytest.raises(ValueError, match='empty'): learn.cam([])
        assert learn.lock.locked()

# ---- mixed precision, as fastai's callback does it: on before each batch, off after the loss
class CPUAutocast(Callback):
    order = 10
    def before_fit(self): self.autocast = torch.autocast('cpu', dtype=torch.float16)
    def before_batch(self): self.autocast.__enter__()
    def after_pred(self): self.learn.pred = to_float(self.pred)
    def after_loss(self): self.autocast.__exit__(None, None, None)

def test_autocast(learn):
    want = learn.cam(files[:7]).maps
    learn.add_cb(CPUAutocast())
    was = snapshot(learn)
    got = learn.cam(files[:7]).maps
    assert got.dtype==torch.float32 and (got-want).abs().max()<=.05*want.abs().max()
    assert changed(was, snapshot(learn))==[]

@pytest.mark.parametrize('error', errors, ids=repr)
@pytest.mark.parametrize('where', ['model','target','method','callback'])
def test_autocast_fails(learn, where, error):
    learn.add_cb(CPUAutocast())
    kw = {}
    def f(o): raise error
    if where=='model': learn.model[1][3].left,learn.model[1][3].error = 0,error
    elif where=='callback': learn.add_cb(Trips('after_pred', error))
    else: kw = {where: f}
    fails('cam_items', learn, type(error), **kw)

def test_autocast_forgets_weights(learn):
    "An exception leaves no cast copy of the weights in autocast's cache: the next use of mixed precision sees the weights as they are then"
    learn.model.requires_grad_(True)
    learn.add_cb(CPUAutocast())
    def f(o): raise ValueError(said)
    fails('cam_items', learn, ValueError, method=f)
    with torch.no_grad():
        for p in learn.model.parameters(): p.mul_(.5)
    def pred():
        with evaluating(learn.model), torch.no_grad(), torch.autocast('cpu', dtype=torch.float16): return learn.model(x)
    got = pred()
    assert torch.equal(got, pred())

def test_quiet(learn):
    "No warning, and nothing printed but the progress bar's"
    import warnings
    calls['cam_items'](learn)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for o in ('cam_items','cam_train','cam_layers','cam_maps'): calls[o](learn)

def test_names_of_the_learner():
    "While a `CAMCallback` is on a learner, `learn.cam` and `learn.show_cam` are still what they were"
    learn = small_learner(cbs=CAMCallback())
    assert len(learn.cam(files[:2]))==2
    with learn.no_logging(): learn.fit(1)
    assert len(learn.cam(files[:2]))==2
    learn.remove_cbs(learn.cbs.filter(lambda o: isinstance(o, CAMCallback)))
    assert len(learn.cam(files[:2]))==2

# ---- several at once
def _hooks(model): return [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]
def _stance(): return torch._dynamo.eval_frame._stance.stance

def _maps(learn, *cbs):
    with learn.no_bar(): learn.get_preds(dl=learn.dls.test_dl(files[:5], bs=2), cbs=list(cbs))
    return [torch.stack([o.as_subclass(Tensor) for o in c.maps]) for c in cbs if isinstance(c, CAMCallback)]

@pytest.mark.parametrize('first', [dict(), dict(method='scorecam'), dict(method='headcam'), dict(method='ablationcam'), dict(smooth='noise', samples=2)], ids=str)
def test_two_callbacks(learn, first):
    "Each explains the prediction, not what the other asked; and compiled modules run compiled again"
    want = _maps(learn, CAMCallback(**first))+_maps(learn, CAMCallback())
    got = _maps(learn, CAMCallback(**first), CAMCallback())
    assert all(torch.allclose(g, w, atol=1e-6*w.abs().max().item()) for g,w in zip(got, want))
    assert _stance()=='default'

def test_callback_that_asks_the_model(learn):
    "Another callback calls the model between its prediction and the explanation"
    class Asks(Callback):
        order = 60
        def after_pred(self): self.learn.model(self.xb[0][:1]*0)
    want, = _maps(learn, CAMCallback())
    got, = _maps(learn, CAMCallback(), Asks())
    assert torch.equal(got, want)

def test_captures_end_in_any_order():
    "Of two captures the first ends first"
    model = small_net().eval()
    a,b = (Capture(model, find_layers(model, x, '0.1')) for _ in range(2))
    a.__enter__(); b.__enter__()
    assert _stance()=='force_eager'
    a.remove()
    assert _stance()=='force_eager'
    b.remove(); b.remove()
    assert _stance()=='default' and _hooks(model)==[]

@pytest.mark.parametrize('error', [KeyboardInterrupt,ValueError('no'),SystemExit], ids=str)
def test_interrupted_get_preds(learn, error):
    "The model is interrupted in `get_preds`, where fastai has switched gradients off"
    class Breaks(Callback):
        def before_batch(self): self.learn.model[1][3].left,self.learn.model[1][3].error = 0,error
    with pytest.raises(BaseException): _maps(learn, CAMCallback(), Breaks())
    assert torch.is_grad_enabled() and _stance()=='default' and _hooks(learn.model)==[]

# ---- memory
def _tensors():
    gc.collect()
    return sum(1 for o in gc.get_objects() if issubclass(type(o), Tensor))

def _resident():
    "MB of memory in use"
    return int(Path('/proc/self/statm').read_text().split()[1])*4096/2**20 if Path('/proc/self/statm').exists() else 0.

@pytest.mark.parametrize('call', ['cam_items','cam_maps'])
def test_memory(learn, call):
    "200 calls leave no tensor behind, nor memory that Python does not see: a graph of one call holds more than 1 MB"
    big = torch.rand(8, 3, 96, 96)
    f = partial(calls[call], learn) if call=='cam_items' else lambda: cam_maps(learn.model, big, [0,1])
    for _ in range(10): f()
    tensors,mb = _tensors(),_resident()
    for _ in range(200): f()
    assert _tensors()==tensors and _resident()-mb<100

def test_memory_after_errors(learn):
    def f(o): raise ValueError(said)
    def go():
        with pytest.raises(ValueError): learn.cam(files[:7], method=f)
    for _ in range(5): go()
    n = _tensors()
    for _ in range(30): go()
    assert _tensors()==n

def test_model_is_freed():
    "Nothing that is remembered of a model keeps it alive"
    learn = small_learner()
    learn.cam(files[:3])
    cam_maps(learn.model, x, layer=-2)
    ref = weakref.ref(learn.model)
    del learn
    gc.collect()
    assert ref() is None

# ---- CAMCallback in a fit
def model_bits(learn):
    "Weights, buffers and what the optimizer knows, bit for bit"
    res = {n: bits(p) for n,p in learn.model.state_dict().items()}
    for i,p in enumerate(learn.model.parameters()):
        res |= {f'opt {i} {k}': bits(v) if isinstance(v, Tensor) else v for k,v in learn.opt.state.get(p, {}).items()}
    return res | {'opt': str(learn.opt.hypers)}

@pytest.mark.parametrize('kw', [{}, dict(every=2), dict(layer=[0,-1]), dict(layer='0.0')], ids=str)
@pytest.mark.parametrize('frozen', [False,True])
def test_callback_observes(kw, frozen):
    "Training with `CAMCallback` is training without it: weights, buffers, optimizer, random states, losses, and the random pictures seen"
    res = []
    for cbs in ([], [CAMCallback(**kw)]):
        learn = small_learner(nn.Sequential(*small_net(), nn.Dropout(.1)), tfms=aug_transforms())
        if frozen: learn.model[0].requires_grad_(False)
        set_seed(1)
        with learn.no_logging(): learn.fit_one_cycle(2, cbs=cbs)
        rec = learn.recorder
        res.append({**model_bits(learn), **rng_state(), **modes_state(), 'losses':[*map(float, rec.losses)], 'values':[o[:-1] for o in map(list, rec.values)], 'lrs':rec.lrs,
                    'modes':[m.training for m in learn.model.modules()], 'dl':learn.dls.train.rng.getstate(), 'cbs':[type(o) for o in learn.cbs],
                    'hooks':[len(m._forward_hooks)+len(m._forward_pre_hooks)+len(m._backward_hooks) for m in learn.model.modules()]})
    assert changed(*res)==[]
    cb = cbs[0]
    assert cb.acts and all(o.isfinite().all() for o in cb.acts.values())
    assert frozen or set(cb.grads)==set(cb.acts) and all(o.abs().sum()>0 for o in cb.grads.values())

class Twice(nn.Module):
    "A convolution that is called twice, and gives a tuple if `wrapped`"
    def __init__(self, wrapped): super().__init__(); self.conv,self.head,self.wrapped = Tupled(wrapped),nn.Linear(3,3),wrapped
    def forward(self, x):
        x = main_output(self.conv(main_output(self.conv(x)).tanh()))
        return self.head(x.mean((2,3)))

class Tupled(nn.Module):
    def __init__(self, wrapped): super().__init__(); self.conv,self.wrapped = nn.Conv2d(3,3,3,padding=1),wrapped
    def forward(self, x): return (self.conv(x),x) if self.wrapped else self.conv(x)

@pytest.mark.parametrize('wrapped', [False,True])
@pytest.mark.parametrize('layer', ['conv@0', 'conv@1', ['conv@0','conv@1']])
def test_callback_observes_calls(wrapped, layer):
    "In a fit, of a module that is called several times the calls that were asked for, also where it gives a tuple"
    class Keep(Callback):
        order = 71
        def after_batch(self): seen.append((self.xb[0].clone(), {n:p.clone() for n,p in self.model.state_dict().items()}))
        def before_batch(self): before.append({n:p.clone() for n,p in self.model.state_dict().items()})
    seen,before,learn = [],[],small_learner(Twice(wrapped))
    cb = CAMCallback(layer=layer)
    with learn.no_logging(): learn.fit(1, cbs=[cb, Keep()])
    x,net = [x for x,_ in seen if x.shape[0]==seen[0][0].shape[0]],Twice(wrapped)
    n = len(learn.dls.train)-1
    net.load_state_dict(before[n])
    one = main_output(net.conv(seen[n][0]))
    want = {'conv@0':one, 'conv@1':main_output(net.conv(one.tanh()))}
    assert set(cb.acts)==set(cb.grads)=={*L(layer)}
    for k in cb.acts: assert torch.allclose(cb.acts[k], want[k], atol=1e-6) and cb.grads[k].shape==cb.acts[k].shape
    if len(cb.grads)==2: assert not torch.equal(cb.grads['conv@0'], cb.grads['conv@1'])

def test_callback_fails_in_fit(learn):
    "An exception in a fit that is observed takes the hooks off"
    learn.model.requires_grad_(True)
    learn.model[1][3].left,learn.model[1][3].error = 2,ValueError(said)
    hooks = lambda: [len(m._forward_hooks)+len(m._forward_pre_hooks) for m in learn.model.modules()]
    was = hooks()
    with learn.no_logging(), pytest.raises(ValueError, match=said): learn.fit(1, cbs=CAMCallback())
    assert hooks()==was

def test_inside_validation():
    "An explanation between two batches of a validation does not change what the metrics report"
    xs,ys = torch.randn(24, 3, 16, 16),torch.randint(0, 2, (24,))
    class Looks(Callback):
        run_train,looks = False,False
        def after_batch(self):
            if self.looks and not self.training and not hasattr(self.learn, 'gather_preds'): self.learn.cam(max_n=2)
    def fit(looks):
        set_seed(1)
        dls = DataLoaders.from_dsets(list(zip(xs[:12],ys[:12])), list(zip(xs[12:],ys[12:])), bs=4, num_workers=0, device='cpu')
        model = nn.Sequential(nn.Conv2d(3,4,3,2,1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,2))
        cb = Looks()
        cb.looks = looks
        learn = Learner(dls, model, loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=cb)
        with learn.no_bar(), learn.no_logging(): learn.fit(2)
        return learn.recorder.values
    assert fit(True)==fit(False)

@pytest.mark.parametrize('kw', [dict(method='rise', n=8), dict(method='occlusion'), dict(method='scorecam'), dict(method='ablationcam')], ids=str)
def test_no_graph_in_a_first_call(kw):
    "Where a model's layers are found, too, the calls of a method without gradients make no graph: it held all of what each call computed, until the last"
    torch.manual_seed(0)
    model,seen = nn.Sequential(nn.Conv2d(3,8,3,2,1), nn.ReLU(), nn.Conv2d(8,8,3,2,1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,3)).eval(),[]
    x = torch.randn(2,3,32,32)
    with torch.no_grad(): find_layers(model, x)
    with torch.no_grad():
        find_layers(model, x[...,:16])
        assert not torch.is_grad_enabled()
    model[6].register_forward_hook(lambda m,i,o: seen.append((len(i[0]), o.requires_grad)))
    cam_maps(model, x[...,:24], 0, **kw)
    asked = [graph for n,graph in seen if n not in (0,1)]
    assert torch.is_grad_enabled() and asked and not any(asked[1:] if kw['method'] in ('scorecam','ablationcam') else asked)          # at a layer the first call has a graph behind it

