"Metrics: what peers or a plain loop give, cases whose answer is known, and the learner's table and choice"
import inspect, itertools, random, warnings
import fastcam
import numpy as np
import pytest
from copy import deepcopy
from fastcore.test import test_close as close, test_eq as eq
from utils import *
from fastcam.evidence.metric import _fill, _squares
from fastcam.evidence.best import Race

@cache
@torch.enable_grad()
def net(): return trained_learner().model

@cache
def x(): return drawn_batch(5).float()

@cache
def classes():
    with torch.no_grad(), evaluating(net()): return net()(x()).argmax(1)

@cache
def exact():
    "The model and its input in double precision. In single precision chunks of another size round otherwise, by up to 3e-6 here, and where that tips a ReLU whose input is nearly 0 the gradient, and so the map, jumps: in one of 700 models by up to 5e-4"
    return deepcopy(net()).double(),x().double()

def explain(xb, target=None, **kwargs): return cam_maps(net() if tuplify(xb)[0].dtype==torch.float else exact()[0], xb, target=ifnone(target, classes()), layer=-2, **kwargs)

@cache
def maps(): return explain(x())[:,0]

def probs(xs):
    with torch.no_grad(), evaluating(net()): return net()(xs).softmax(1)

def p_of(xs): return probs(xs).gather(1, classes()[:,None])[:,0]

def full(m=None): return ifnone(m, maps()).resize(x().shape[2:]).as_subclass(Tensor)

@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield

@cache
def distinct():
    "Maps of the size of the pictures without ties, whose order would be anyone's; enlarged ones have some at the border"
    res = full()+torch.rand(full().shape, generator=torch.Generator().manual_seed(0))*1e-3
    return TensorCAM(res.flatten(1).argsort(dim=1).argsort(dim=1).reshape(res.shape)/4096)          # numbers that are exact, 1 less them too

class Sum(nn.Module):
    "A linear model with one output: the sum of all values, each by its weight"
    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(w, requires_grad=False)
    def forward(self, x): return (x*self.w).flatten(1).sum(1, keepdim=True)

def linear(*size, seed=0):
    "A linear model, an input without ties, and what each place gives to the output, all positive"
    g = torch.Generator().manual_seed(seed)
    w,x = (torch.rand(2, 1, *size, generator=g)+.1).unbind(0)
    x = x[None]
    c = (w*x)[:,0]
    return Sum(w/c.sum()),x,c/c.sum()

raw = dict(target=0, act=noop)

# ---- peers
def test_deletion_is_quantus(quiet):
    quantus = pytest.importorskip('quantus')
    n = x()[0,0].numel()
    pf = quantus.PixelFlipping(features_in_step=3*n//24, perturb_baseline=0., normalise=False, disable_warnings=True)
    curves = pf(net().eval(), x().numpy(), classes().numpy(), distinct()[:,None].numpy(), softmax=True, device='cpu', channel_first=True)
    curves = torch.cat([p_of(x())[:,None], tensor(np.array(curves)).float()], 1)
    close(deletion_auc(net(), x(), distinct(), steps=24), torch.trapezoid(curves, dim=1)/24, 1e-5)         # float32 and another order of sums

def test_fill_is_quantus(quiet):
    from_quantus = pytest.importorskip('quantus.functions.perturb_func')
    for seed in range(3):
        m = torch.rand(48, 48, generator=torch.Generator().manual_seed(seed))
        for p in (.1, .5, .9):
            gone = m>p if seed else full()[0]>full()[0].quantile(p)                                         # single pixels, and large holes
            ref = from_quantus.noisy_linear_imputation(x()[0].numpy().astype(np.float64), gone.flatten().nonzero()[:,0].numpy(), noise=0.)
            close(_fill(x()[0], gone), tensor(ref).float(), 1e-4)

def test_fill_keeps_and_averages():
    "By the definition: what is there stays, and each missing place is the weighted mean of the neighbors that exist"
    for size in ((40,),(12,10),(5,6,7)):
        t,gone = torch.randn(2, *size, generator=torch.Generator().manual_seed(0)),torch.rand(size, generator=torch.Generator().manual_seed(1))<.6
        res = _fill(t, gone)
        eq(res[:,~gone], t[:,~gone])
        for at in gone.nonzero().tolist():
            near = [(tuple(o+d for o,d in zip(at, off)), .5**sum(map(abs, off))) for off in itertools.product((-1,0,1), repeat=len(size)) if any(off)]
            near = [(i,w) for i,w in near if all(0<=o<s for o,s in zip(i, size))]
            close(res[(slice(None), *at)], sum(w*res[(slice(None), *i)] for i,w in near)/sum(w for _,w in near), 1e-4)
    assert not _fill(t, torch.ones_like(gone)).any()
    eq(_fill(t, torch.zeros_like(gone)), t)

def test_road_is_pytorch_grad_cam(quiet):
    "Without noise, which theirs draws anew each time"
    peer = pytest.importorskip('pytorch_grad_cam.metrics.road')
    from pytorch_grad_cam.metrics.perturbation_confidence import PerturbationConfidenceMetric, RemoveMostRelevantFirst, RemoveLeastRelevantFirst
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
    ps,targets = (10,40,70),[ClassifierOutputSoftmaxTarget(c) for c in classes().tolist()]
    def ref(remove):
        return np.mean([PerturbationConfidenceMetric(remove(p, peer.NoisyLinearImputer(noise=0)))(x(), distinct().numpy(), targets, net().eval()) for p in ps], 0)
    morf,lerf = ref(RemoveMostRelevantFirst),ref(RemoveLeastRelevantFirst)
    kw = dict(percentiles=ps, noise=0)
    close(road_morf(net(), x(), distinct(), **kw), tensor(morf), 1e-4)                                      # theirs solves in another order
    close(road_lerf(net(), x(), distinct(), **kw), tensor(lerf), 1e-4)
    close(road(net(), x(), distinct(), **kw), tensor(lerf-morf)/2, 1e-4)
    assert tensor(morf).abs().max()>.01, 'nothing changes: this compares nothing'

def test_drop_and_increase_are_pytorch_grad_cam(quiet):
    peer = pytest.importorskip('pytorch_grad_cam.metrics.cam_mult_image')
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
    seen = set()
    for cs in (classes(), probs(x()).argmin(1)):                                                             # the least likely class gains by almost anything
        m,targets = explain(x(), target=cs)[:,0],[ClassifierOutputSoftmaxTarget(c) for c in cs.tolist()]
        masks = m.resize((48,48)).normalize().numpy()
        drop,more = (getattr(peer, n)()(x(), masks, targets, net().eval()) for n in ('DropInConfidence','IncreaseInConfidence'))
        close(average_drop(net(), x(), m, target=cs)*probs(x()).gather(1, cs[:,None])[:,0], tensor(drop), 1e-5)             # theirs is no share
        eq(confidence_increase(net(), x(), m, target=cs), tensor(more))
        seen |= set(more.tolist())
    assert seen=={0.,1.}, 'both answers should be among these'

def test_infidelity_is_captum(quiet):
    captum = pytest.importorskip('captum.metrics')
    n = 40
    lo,hi = _squares((48,48), n)
    inside = torch.zeros(n, 1, 48, 48)
    for m,(y1,x1),(y2,x2) in zip(inside, lo.tolist(), hi.tolist()): m[:,y1:y2,x1:x2] = 1
    def perturb(xs):
        i = inside.repeat(len(x()), 1, 1, 1)
        return i.expand_as(xs),xs*(1-i)
    maps3 = full()[:,None].expand_as(x())/3
    ref = captum.infidelity(net().eval(), perturb, x(), maps3, target=classes(), n_perturb_samples=n, normalize=True)
    close(infidelity(net(), x(), maps(), samples=n), ref, 1e-4)
    assert ref.max()>1e-3

def test_squares():
    lo,hi = _squares((28,56), 500)
    side = hi-lo
    assert (lo>=0).all() and (hi<=tensor([28,56])).all()
    eq(side[:,0].unique().tolist(), list(range(1,11)))
    eq(side[:,1], 2*side[:,0])

def test_max_sensitivity_is_captum(quiet):
    captum = pytest.importorskip('captum.metrics')
    n,g = 6,torch.Generator().manual_seed(0)
    eps = torch.stack([(torch.rand(3,48,48, generator=g)*2-1)*.2 for _ in range(n)])
    ref = captum.sensitivity_max(lambda xs, target: explain(xs[0] if isinstance(xs, tuple) else xs, target=target)[:,0].as_subclass(Tensor)[None].unbind(), x(),
                                 perturb_func=lambda xs: xs+eps.repeat(len(x()), 1, 1, 1), n_perturb_samples=n, target=classes())
    close(max_sensitivity(net(), x(), maps(), explain, samples=n), ref, 1e-4)
    assert ref.min()>1e-3

def test_coherency_and_complexity_are_pytorch_grad_cam():
    peer = pytest.importorskip('pytorch_grad_cam.metrics.arcc')
    masks = maps().resize((48,48)).normalize()
    again = lambda input_tensor, targets: explain(input_tensor)[:,0].resize((48,48)).normalize().numpy()
    coh,compl = peer.Coherency()(x(), masks.numpy(), None, net(), again),peer.Complexity()(masks.numpy())
    close(coherency(net(), x(), maps(), explain), tensor(coh), 1e-5)
    close(complexity(net(), x(), maps()), tensor(compl), 1e-6)
    drop = average_drop(net(), x(), maps())
    close(adcc(net(), x(), maps(), explain), 3/(1/tensor(coh) + 1/(1-tensor(compl)) + 1/(1-drop)), 1e-5)

# ---- plain loops
def test_curves_are_a_loop():
    order = distinct().as_subclass(Tensor).flatten(1).argsort(dim=1, descending=True)
    k = torch.exp(-torch.arange(-5,6)**2/50.)
    k = (k/k.sum())[:,None]*(k/k.sum())
    blur = F.conv2d(F.pad(x(), [5]*4, mode='replicate'), k.expand(3,1,11,11), groups=3)
    for f,a,b in ((deletion_auc,x(),x()*0+.3),(insertion_auc,blur,x())):
        now,curve = a.clone(),[p_of(a)]
        for s in range(48):
            for i,o in enumerate(order): now[i].flatten(1)[:,o[s*48:(s+1)*48]] = b[i].flatten(1)[:,o[s*48:(s+1)*48]]
            curve.append(p_of(now))
        area = sum((p+q)/2 for p,q in zip(curve, curve[1:]))/48
        close(f(net(), x(), distinct(), **({'base':.3} if f is deletion_auc else {})), area, 1e-4)

def test_flip_agreement_is_a_loop():
    m,xs = exact()
    again = partial(cam_maps, m, layer=-2)
    ours = again(xs, target=classes())[:,0]
    for i in range(5):
        a = ours[i].flatten().numpy()
        b = again(xs[i:i+1].flip(-1), target=classes()[i:i+1])[0,0].flip(-1).flatten().numpy()
        close(flip_agreement(m, xs, ours, again)[i], np.corrcoef(a, b)[0,1], 1e-5)

# ---- answers that are known
@pytest.mark.parametrize('size', [(40,),(8,9),(4,5,6)], ids=str)
def test_linear(size):
    "On a sum, the map that is what each place gives: no curve falls or rises faster, no square surprises; its negative is the other end"
    model,x,c = linear(*size)
    n = c.numel()
    down = lambda o: 1-torch.cat([tensor([0.]), o.flatten().cumsum(0)])
    best,worst = (torch.trapezoid(down(o))/n for o in (c.flatten().sort(descending=True).values, c.flatten().sort().values))
    flat = torch.ones_like(c)
    for m,area in ((c,best),(-c,worst)): close(deletion_auc(model, x, m, steps=n, **raw), area[None], 1e-5)
    assert best < deletion_auc(model, x, flat, steps=n, **raw).item() < worst
    kw = dict(steps=n, sigma=1., **raw)
    good,none,bad = (insertion_auc(model, x, m, **kw).item() for m in (c,flat,-c))
    assert good!=none!=bad
    close(infidelity(model, x, c, target=0), tensor([0.]), 1e-9)
    close(infidelity(model, x, -7*c, target=0), tensor([0.]), 1e-9)                                     # the best factor is found, of either sign
    assert infidelity(model, x, flat, target=0)>1e-7
    close(complexity(model, x, c, **raw), (c/c.max()).mean()[None])
    eq(average_drop(model, x, flat, **raw), tensor([0.]))
    eq(average_drop(model, x, flat*0, **raw), tensor([1.]))
    eq(confidence_increase(model, x, c, **raw), tensor([0.]))

def test_road_of_the_inverted_map_is_the_negative():
    model,x,c = linear(9,8)
    x = x.clone()
    x[...,:3,:3] += 3
    m = (x*model.w)[:,0]
    good,bad = (road(model, x, o, noise=0, **raw) for o in (m,-m))
    assert good>.01
    close(good, -bad, 1e-6)
    close(road_lerf(model, x, m, noise=0, **raw), road_morf(model, x, -m, noise=0, **raw), 1e-6)

def test_equal_places_have_a_fair_order():
    "On an even picture every order gives a straight line; a constant map goes through the places at random, the same for all"
    x = torch.ones(2,1,8,8)
    model = Sum(torch.ones(1,8,8)/64)
    close(deletion_auc(model, x, torch.ones(2,8,8), **raw), tensor([.5,.5]), 1e-6)
    # all that counts is on the right: by rows from a corner it would be .5 as well, by columns 0 or 1
    x[...,:4] = 0
    res = deletion_auc(model, x, torch.ones(2,8,8), steps=64, **raw)
    eq(res[0], res[1])
    assert .15<res[0]<.35, 'about half of the output that is left'

@pytest.mark.parametrize('f', [deletion_auc,insertion_auc,average_drop,confidence_increase,road_morf,road_lerf,road,infidelity,max_sensitivity,flip_agreement,complexity,coherency,adcc], ids=lambda f: f.__name__)
class TestEach:
    kw = dict(deletion_auc=dict(steps=8), insertion_auc=dict(steps=8), infidelity=dict(samples=9), max_sensitivity=dict(samples=2), road=dict(percentiles=(50,)), road_morf=dict(percentiles=(50,)), road_lerf=dict(percentiles=(50,)))
    def ask(self, f, m, model=None, xs=None, **kwargs):
        if 'explain' in inspect.signature(f).parameters: kwargs = {'explain':explain, **kwargs}
        return f(ifnone(model, net()), ifnone(xs, x()), m, **self.kw.get(f.__name__, {}), **kwargs)

    def test_nan(self, f):
        "A map that is no number has no value; the others have theirs"
        m = maps().clone()
        m[1,0,0],m[3] = torch.nan,torch.inf
        res,ref = self.ask(f, m),self.ask(f, maps())
        eq(res.isnan().tolist(), [False,True,False,True,False])
        close(res[[0,2,4]], ref[[0,2,4]], 1e-6)

    def test_chunks(self, f):
        "Neither chunks nor what else is in the batch matter, and nothing of the model, its input or the random state is changed"
        model,xs = exact()
        m = explain(xs)[:,0]
        was,xs_was,m_was = snapshot(model),xs.clone(),m.clone()
        ref = self.ask(f, m, model, xs)
        assert ref.shape==(5,) and ref.dtype==torch.float32
        close(self.ask(f, m, model, xs, bs=2), ref, 1e-6)
        one = partial(explain, target=classes()[2:3])
        close(self.ask(f, m[2:3], model, xs[2:3], **({'explain':lambda xb, target: one(xb)} if 'explain' in inspect.signature(f).parameters else {})), ref[2:3], 1e-6)
        assert not changed(was, snapshot(model))
        eq(xs, xs_was); eq(m, m_was)

    def test_targets(self, f):
        "Maps of several targets give a column each"
        m = explain(exact()[1], target=[0,2])
        res = self.ask(f, m, *exact(), target=[0,2])
        assert res.shape==(5,2)
        close(res[:,1], self.ask(f, m[:,1], *exact(), target=2), 1e-6)
        close(self.ask(f, m[:,1:], *exact(), target=2), res[:,1], 1e-6)

    @pytest.mark.parametrize('size', [(32,),(8,10,9)], ids=str)
    def test_grids(self, f, size):
        "Signals and volumes"
        torch.manual_seed(0)
        d = len(size)
        conv = getattr(nn, f'Conv{d}d')
        model = nn.Sequential(conv(2,4,3,padding=1), nn.ReLU(), getattr(nn, f'AdaptiveAvgPool{d}d')(1), nn.Flatten(), nn.Linear(4,3)).eval()
        xs = torch.randn(2,2,*size)
        kw = dict(explain=partial(cam_maps, model)) if 'explain' in inspect.signature(f).parameters else {}
        assert self.ask(f, cam_maps(model, xs), model, xs, **kw).isfinite().all()

    def test_registered(self, f):
        row = metrics_table().loc[f.__name__]
        assert row.better in '↑↓' and row.range and row.what

def test_what_is_measured():
    "The probability, unless told otherwise; a target that is a number already is left as it is"
    y = lambda **kw: Scorer(net(), x(), maps(), **kw).y
    close(y(), p_of(x()), 1e-6)
    with torch.no_grad(), evaluating(net()): logits = net()(x())
    close(y(act=noop), logits.amax(1), 1e-6)
    close(y(target=Versus()), Versus().setup().ask(logits, range(5)).scores(logits)[:,0], 1e-6)
    one = Sum(torch.ones(3,48,48)/99)
    close(Scorer(one, x(), maps(), target=0).y, one(x())[:,0].sigmoid(), 1e-6)

def test_second_input_stays():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = net()
        def forward(self, a, b): return self.a(a)+b
    b = torch.arange(15).reshape(5,3).float()
    with torch.no_grad(), evaluating(net()): c = (net()(x())+b).argmax(1)
    res = average_drop(Two(), (x(),b), maps(), bs=2)
    seen = Scorer(Two(), (x(),b), maps())
    close(seen.y, (lambda p: p.gather(1, c[:,None])[:,0])((net().eval()(x())+b).softmax(1)), 1e-5)
    assert res.shape==(5,)

def test_mistakes():
    with pytest.raises(ValueError, match=r'shape \(5, 3, 4, 5, 6\)'): complexity(net(), x(), torch.zeros(5,3,4,5,6))
    with pytest.raises(ValueError, match='shape'): complexity(net(), x(), maps()[:3])
    with pytest.raises(ValueError, match='2 maps for each item, and 1 target'): complexity(net(), x(), torch.zeros(5,2,6,6))
    with pytest.raises(TypeError, match='torch.int64, such as the tokens of a text'): complexity(net(), torch.ones(5,7).long(), maps())
    with pytest.raises(TypeError, match='expected one tensor'): complexity(net(), x(), L(maps()))
    with pytest.raises(ValueError, match="'deletion_auc'"): trained_learner().cam_metrics(metrics='deletion')
    with pytest.raises(TypeError, match="'noop' is no metric yet"): trained_learner().cam_metrics(metrics=noop)
    with pytest.raises(ValueError, match='gradcam'): trained_learner().cam_metrics(methods='gradcan')
    with pytest.raises(ValueError, match="'gradcam' comes twice"): trained_learner().cam_metrics(methods=['gradcam','gradcam'])
    with pytest.raises(ValueError, match='nothing to choose'): trained_learner().best_cam(methods='random')
    with pytest.raises(ValueError, match='two at least'): trained_learner().best_cam(max_n=1)
    with pytest.raises(ValueError, match='expected'): register_metric('up')

# ---- on a learner
def test_table_is_the_functions():
    "Means and errors are those of the functions on the maps of `learn.cam` and the inputs that it shows"
    learn = trained_learner()
    files = drawn_files(240)[0][:7]
    df = learn.cam_metrics(files, methods='layercam', layers=[-1,-2], bs=3)
    for l in (-1,-2):
        cams = learn.cam(files, method='layercam', layer=l)
        for name,f in metrics_table().iterrows():
            g = getattr(fastcam.evidence.metric, name)
            kw = dict(explain=partial(cam_maps, learn.model, method='layercam', layer=l)) if 'explain' in inspect.signature(g).parameters else {}
            v = g(learn.model, cams.inputs, cams.maps, **g.quick, **kw)
            row = df.loc['layercam',l][f'{name} {f.better}']
            close(row['mean'], v.mean().item(), 1e-4)
            close(row['se'], (v.std()/7**.5).item(), 1e-4)
    assert set(df.index)=={(m,l) for m in ('layercam','random') for l in (-1,-2)}
    assert (df['n']==7).all() and (df['passes']==1).all() and (df['seconds']>0).all()

def test_table_options():
    learn = trained_learner()
    kw = dict(metrics=['complexity','average_drop'], methods=['gradcam','ablationcam'])
    df = learn.cam_metrics(max_n=8, **kw)
    torch.manual_seed(7); random.seed(7); np.random.seed(7)
    again = learn.cam_metrics(max_n=8, **kw)
    eq(df.drop(columns='seconds', level=0).to_numpy(), again.drop(columns='seconds', level=0).to_numpy())
    assert list(df.index)==['gradcam','ablationcam','random'] and list(df.columns.levels[1])
    # its prediction, at most seven passes that look for how the head pools and what lies before it, and the head for each of 32 channels, few of them dead
    assert 30 < df.loc['ablationcam']['passes'].item() <= 1+7+32
    first8 = learn.cam_metrics(drawn_files(240)[0][:8], **kw)
    assert not np.allclose(df['complexity ↓','mean'], first8['complexity ↓','mean'])
    nan = learn.cam_metrics(max_n=8, metrics='complexity', methods=[nans_for_some])
    assert nan.loc['nans_for_some','n'].item()<8 and nan.loc['random','n'].item()==8

def nans_for_some(o):
    m = o.a.sum(1)
    m[::2] = torch.nan
    return m

def test_sample_is_drawn():
    seen = []
    def look(o):
        seen.extend(o.xb[0][:,0,0,:5].tolist())
        return o.a.sum(1)
    learn = trained_learner()
    learn.cam_metrics(methods=[look], metrics='complexity', max_n=10)
    xs = learn.dls.valid.new(shuffle=False).one_batch()[0][:10,0,0,:5].tolist()
    assert 0 < sum(o in xs for o in seen) < 10, 'not just the first'

@pytest.mark.parametrize('loss', [BCEWithLogitsLossFlat(), MSELossFlat()], ids=['several labels','regression'])
def test_tasks(loss):
    "Each item counts once, with the mean over its targets"
    learn = small_learner()
    learn.loss_func = loss
    files = drawn_files()[0][:6]
    df = learn.cam_metrics(files, methods='hirescam', metrics='average_drop', bs=4)
    cams = learn.cam(files, method='hirescam')
    assert not all(len(o)==1 for o in cams.labels)
    assert df.loc['hirescam','n'].item()==6 and np.isfinite(df.loc['hirescam','average_drop ↓']['mean'])
    act = torch.sigmoid if isinstance(loss, BCEWithLogitsLossFlat) else noop
    vals = []
    for c in cams:
        xb = c._cams.inputs
        vals.append(np.mean([average_drop(learn.model, xb, m[None], target=int(t), act=act).item() for m,t in zip(c.maps, c.targets)]))
    close(df.loc['hirescam','average_drop ↓']['mean'], np.mean(vals), 1e-4)

def test_no_trace():
    learn = small_learner()
    unsettle(learn.model)
    was = snapshot(learn)
    learn.cam_metrics(max_n=5, methods='gradcam')
    assert not changed(was, snapshot(learn))
    learn.best_cam(max_n=5, methods=['gradcam','layercam'])
    assert not changed(was, snapshot(learn))
    def fails(o): raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): learn.cam_metrics(max_n=5, methods=[fails])
    assert not changed(was, snapshot(learn))

def test_best_cam():
    "On drawn pictures the winner is far from Random, and can be used at once"
    learn = trained_learner()
    best = learn.best_cam(max_n=48, methods=['gradcam','layercam','eigencam'])
    assert best.method!='random' and best.beats_random
    win,rand = best.ranking.loc[best.method,best.layer],best.ranking.loc['random',best.layer]
    assert win.score > rand.score and win.tie
    learn.show_cam(drawn_files()[0][0], **best)
    plt.close('all')
    assert repr(best).startswith(f'method={best.method!r}') and best.ranking.to_html(float_format='%.3f') in best._repr_html_()

def costly(o):
    "Grad-CAM, after another pass"
    o.again(*o.xb)
    return (o.g.mean((2,3), keepdim=True)*o.a).sum(1)

def test_ties_go_to_the_cheaper():
    best = trained_learner().best_cam(max_n=6, methods=[costly,'gradcam'], layers=-1)
    assert best.method=='gradcam' and best.ranking.tie.sum()==2
    assert best.ranking.passes['costly'].item()==2
    best = trained_learner().best_cam(max_n=6, methods=[costly], layers=-1, by='road')
    assert best.method is costly and dict(**best)=={'method':costly, 'layer':-1}

def test_rule():
    "Differences item by item decide, not the spread of the items"
    rng = np.random.default_rng(0)
    hard,loud = rng.normal(0, 10, (2,30))
    cols = dict(a=hard, b=hard-.1+rng.normal(0, .01, 30), c=hard-1+(loud-loud.mean()), nan=hard+np.nan, random=hard+5)
    x = np.stack(list(cols.values()), 1)
    df = Race(lambda entries, items, steps: x[items][:,entries], 5, 30, [True]*4+[False]).run().ranking.set_axis(list(cols))
    eq(df.tie.to_dict(), dict(a=True, b=False, c=True, nan=False, random=False))
    assert df.behind.random<0
    d = cols['a']-cols['c']
    close(df.behind.c, d.mean()); close(df.behind_se.c, d.std(ddof=1)/30**.5)

def test_says_that_random_is_as_good():
    def noise(o): return torch.rand(o.a[:,0].shape, generator=torch.Generator().manual_seed(1))
    best = trained_learner().best_cam(max_n=6, methods=[noise], layers=-1)
    assert not best.beats_random and 'before you trust' in repr(best)

def test_targets_by_item():
    "Classes given item by item belong to the items that are drawn"
    learn = trained_learner()
    files = drawn_files(240)[0][:12]
    idx = tensor([i%3 for i in range(12)])
    kw = dict(metrics='average_drop', methods='gradcam')
    df,by_name = learn.cam_metrics(files, max_n=4, target=idx, **kw),learn.cam_metrics(files, max_n=4, target=PerItem([learn.dls.vocab[i] for i in idx.tolist()]), **kw)
    at = fastcam.evidence.metric._drawn(12, 4)
    chosen = learn.cam_metrics([files[i] for i in at], target=idx[at], **kw)
    for o in (by_name,chosen): eq(df.drop(columns='seconds', level=0).to_numpy(), o.drop(columns='seconds', level=0).to_numpy())
    assert len(learn.sanity_check(files, max_n=4, target=idx, methods='gradcam', draws=1).values.item.unique())==4

@pytest.mark.parametrize('f', ['cam_metrics','best_cam'])
def test_layers_apart_are_refused(f):
    with pytest.raises(ValueError, match='fuse'): getattr(trained_learner(), f)(max_n=2, fuse=None)

# ---- the input itself
def by_hand(learn, files, method, steps=16, **kwargs):
    "Insertion and deletion (items,) as quick as the table's, of maps of the predicted class"
    xb = learn.dls.test_dl(files).one_batch()[0]
    with evaluating(learn.model): m = cam_maps(learn.model, xb, method=method, **kwargs)[:,0]
    return tuple(f(learn.model, xb, m, steps=steps) for f in (insertion_auc,deletion_auc))

@pytest.mark.parametrize('net', [small_net,flat_net])
def test_methods_of_the_input(net):
    "They are measured at the input, whether or not a layer of the model keeps places, with Random beside them"
    learn,files = small_learner(net()),drawn_files()[0][:4]
    ins,dels = by_hand(learn, files, 'ig')
    tab = learn.cam_metrics(files, methods=['ig','occlusion'], metrics=['insertion_auc','deletion_auc'])
    assert list(tab.index)==['ig','occlusion','random']
    close(tab['insertion_auc ↑','mean'].ig, ins.mean().item(), 1e-5)
    close(tab['deletion_auc ↓','mean'].ig, dels.mean().item(), 1e-5)
    want = by_hand(learn, files, 'random', layer='input')[0].mean().item()
    close(tab['insertion_auc ↑','mean'].random, want, 1e-5)
    best = learn.best_cam(files, methods=['ig','occlusion'])
    assert best.layer=='input' and set(best.ranking.index.get_level_values('layer'))=={'input'}
    ins,dels = by_hand(learn, files, 'ig', steps=int(best.ranking.steps['ig','input']))
    close(best.ranking.score['ig','input'], (ins-dels).mean().item(), 1e-5)
    assert torch.equal(learn.cam(files, **best).maps[0], learn.cam(files, method=best.method).maps[0])

def test_methods_of_the_input_among_others():
    "Each where it looks by itself: the last two stages, and the input; a layer that is given is that of all"
    learn,files = small_learner(),drawn_files()[0][:4]
    rank = learn.best_cam(files, methods=['gradcam','ig']).ranking
    assert set(rank.index)=={('gradcam',-1),('gradcam',-2),('random',-1),('random',-2),('ig','input'),('random','input')}
    ins,dels = by_hand(learn, files, 'ig', steps=int(rank.steps['ig','input']))
    close(rank.score['ig','input'], (ins-dels).mean().item(), 1e-3)                    # maps that differ in one place of 200 are asked once
    both,alone = (learn.best_cam(files, methods=m, by='average_drop').ranking for m in (['gradcam','ig'],'gradcam'))
    assert both.score['gradcam'].to_dict()==alone.score['gradcam'].to_dict()
    tab = learn.cam_metrics(files, methods=['ig','hirescam'], layers=['input',-1], metrics='insertion_auc')['insertion_auc ↑','mean']
    assert len(tab)==6
    for m,l in itertools.product(['ig','hirescam'], ['input',-1]): close(tab[m].loc[l], by_hand(learn, files, m, layer=l)[0].mean().item(), 1e-5)

def test_no_places_says_why():
    "A method that asks for a layer is refused as ever"
    for f in (small_learner(flat_net()).best_cam, small_learner(flat_net()).cam_metrics):
        with pytest.raises(ValueError, match="'occlusion', 'ig'"): f(drawn_files()[0][:4], methods=['gradcam','ig'])
