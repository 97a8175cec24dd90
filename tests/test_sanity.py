"Randomising the weights: similarity against scipy and skimage, what is randomised when, the verdict, and that nothing of the learner changes"
from fastcore.test import expect_fail
import pytest
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity
from utils import *
import fastcam.evidence.sanity as sanity

rng = torch.Generator().manual_seed(0)
a,b = torch.randn(2, 6, 9, 11, generator=rng)

def edges(o):
    "What the picture is, whatever the model"
    x = o.xb[0].mean(1, keepdim=True)
    return F.avg_pool2d((x[...,1:,1:]-x[...,:-1,:-1]).abs(), 4, ceil_mode=True)[:,0]
def pixels(o): return F.avg_pool2d(o.xb[0].mean(1), 2)

def headmap(o):
    "Depends on the head alone: each class has a pattern of its own, weighed by the head's first weights"
    w = list(o.model.parameters())[-2].flatten()[:36].reshape(6,6)
    return w.expand(len(o.a), 6, 6)

# ---- how alike
def test_spearman():
    for x,y in ((a,b), (a.round(), b.round())):                                                      # with ties
        assert np.allclose(spearman(x, y), [spearmanr(u.flatten(), v.flatten())[0] for u,v in zip(x,y)], atol=1e-6)
        assert np.allclose(spearman(x, y, abs=True), [spearmanr(u.abs().flatten(), v.abs().flatten())[0] for u,v in zip(x,y)], atol=1e-6)
    assert torch.equal(spearman(a, torch.ones_like(a)), torch.zeros(6))

@pytest.mark.parametrize('abs', [False,True])
def test_ssim(abs):
    "As skimage's with a window of 5, its edges left out"
    for x,y in ((a,b), (a,a+.1*b), (a,-a)):
        f = lambda m: (m.abs() if abs else m).div(m.abs().max()).double().numpy()
        want = [structural_similarity(f(u), f(v), win_size=5, data_range=1 if abs else 2, full=True)[1][2:-2,2:-2].mean() for u,v in zip(x,y)]
        assert np.allclose(map_ssim(x, y, abs), want, atol=1e-5)

def test_ssim_of_any_grid():
    for shape in ((7,), (3,3), (1,1), (4,5,6)):
        m = torch.rand(3, *shape, generator=rng)
        assert torch.allclose(map_ssim(m, 2*m), torch.ones(3))

# ---- what is randomised
@pytest.mark.parametrize('arch', ['xresnet18','small','vit'])
def test_stages_hold_all(arch):
    "Each parameter in one stage, the head first, the stem last"
    if arch=='vit':
        timm = pytest.importorskip('timm')
        m = timm.create_model('vit_tiny_patch16_224', img_size=32, patch_size=8, depth=3, num_classes=4)
    else: m = xresnet18(n_out=4) if arch=='xresnet18' else small_net()
    ws = weight_stages(m, torch.randn(2,3,32,32))
    assert sorted(sum(ws.values(), []))==sorted(n for n,_ in m.named_parameters())
    ps = [n for n,_ in m.named_parameters()]
    assert list(ws)[0]=='head' and ps[-1] in ws['head'] and ps[0] in list(ws.values())[-1]
    if arch=='xresnet18': assert len(ws)>=5, ws.keys()

def test_shuffled():
    "Values stay, places do not; nothing else changes; the same again with the same seed"
    m,n = small_net(),small_net()
    for o in (m,n): sanity._shuffle(o, ['1.4.weight','0.0.0.weight'], torch.Generator().manual_seed(3))
    for (k,p),q,was in zip(m.named_parameters(), n.parameters(), small_net().parameters()):
        assert torch.equal(p, q) and torch.equal(p.flatten().sort().values, was.flatten().sort().values)
        assert torch.equal(p, was)==(k not in ('1.4.weight','0.0.0.weight'))

# ---- the check
def test_verdict():
    "A map of the picture alone is found out; one that depends on the head alone is not; the first is the same at all stages"
    check = trained_learner().sanity_check(methods=[edges,pixels,headmap,'gradcam'], max_n=8)
    assert set(check.ignores)=={'edges','pixels'}
    df = check.df
    assert np.allclose(df.loc[['edges','pixels'],['spearman','ssim','spearman_abs','ssim_abs']], 1) and (df.loc[['edges','pixels'],'spearman se']<1e-6).all()
    assert (df.loc['headmap'].spearman.abs()<.5).all() and 'depends' in check.verdict.verdict['headmap']
    assert (df.n==8).all() and df.index.get_level_values('stage')[0]=='head' and len(check.values)==4*len(df.loc['edges'])*8*3
    assert 'ignores the model, or the model has learned little' in repr(check)                      # which of both it is, the maps do not tell

def test_blind_to_the_class():
    "Eigen-CAM does not know the head; Grad-CAM does"
    v = trained_learner().sanity_check(methods=['eigencam','gradcam'], max_n=4, draws=2).verdict.verdict       # each draw starts from the trained weights
    assert 'blind to the class' in v['eigencam'] and 'blind' not in v['gradcam']

def test_rule_of_the_backward():
    "A rule reaches the methods of gradients; Random, which has none, is as ever"
    learn,fs = small_learner(),drawn_files()[0][:3]
    kw = dict(methods=["gradcam","random"], draws=1, layer=-2)
    ruled,plain = learn.sanity_check(fs, rule="guided", **kw),learn.sanity_check(fs, **kw)
    want = learn.cam(fs, rule="guided", layer=-2)
    assert torch.allclose(ruled.examples["gradcam","trained"].as_subclass(Tensor), want.maps[:,0].as_subclass(Tensor), atol=1e-5)
    assert not torch.allclose(ruled.examples["gradcam","trained"], plain.examples["gradcam","trained"], atol=1e-4)
    assert torch.equal(ruled.examples["random","trained"], plain.examples["random","trained"])
    for f in (learn.cam_metrics, learn.best_cam): f(fs, methods=["gradcam"], rule="guided", **(dict(metrics="average_drop") if f==learn.cam_metrics else dict(by="average_drop")))
    assert "random" in learn.cam_localize(fs, truth=lambda f: TensorMask(drawn_files()[1][f]), methods=["gradcam"], rule="guided").index

def test_rule():
    "Two standard errors, of items and of draws, above or below one half"
    def of(vals):
        vals = np.asarray(vals, dtype=float)                                                     # (draws, items)
        df = pd.DataFrame([dict(method='m', stage='head', draw=d, item=i, **{k:v for k in sanity._alike}) for d,r in enumerate(vals) for i,v in enumerate(r)])
        return SanityCheck(df, {}, None, .5)
    sure = of([[.8,.82,.81],[.79,.8,.83]])
    assert sure.ignores==['m'] and sure.df['spearman se'].item()==pytest.approx(math.hypot(pd.Series([.795,.81,.82]).sem(), pd.Series([.81,2.42/3]).sem()))
    assert of([[.9,.2,.7],[.9,.2,.7]]).verdict.verdict['m'].startswith('inconclusive')                # items differ
    assert of([[.9,.9,.9],[.3,.3,.3]]).verdict.verdict['m'].startswith('inconclusive')                # draws differ
    assert of([[.1,.2,.1]]).verdict.verdict['m']=='depends on the model'
    assert of([[np.nan]*2]).verdict.verdict['m'].startswith('no maps')

def test_same_question():
    "After the weights changed, the class explained is still the one that the trained model predicted"
    learn,seen = trained_learner(),[]
    def spy(o):
        seen.append(o.score(o.pred).detach()-o.pred.gather(1, want[:len(o.pred),None].to(o.pred.device))[:,0].detach())
        return o.a.sum(1)
    fs = learn.dls.valid.items[:3]
    want = learn.cam(fs).targets[:,0]
    learn.sanity_check(fs, methods=spy, draws=1)
    assert len(seen)>3 and all((o==0).all() for o in seen)

def test_several_targets():
    learn = small_learner()
    check = learn.sanity_check(methods='gradcam', target=TopK(2), max_n=3, draws=1, bs=2)
    assert check.df.n.unique().tolist()==[3] and len(check.values)==len(check.df)*6 and len(check.cams)==3

def test_flat_maps():
    "Nothing to follow is said, not left out"
    check = small_learner().sanity_check(methods=[lambda o: o.a[:,0]*0], max_n=3, draws=1)
    assert check.verdict.verdict.iloc[0].startswith('no maps') and (check.df.n==0).all()

def test_wrong():
    learn = small_learner()
    for exc,said,kw in ((ValueError, 'one layer', dict(layer=[-1,-2])), (ValueError, 'draws', dict(draws=0)), (ValueError, "no method 'gradcan'", dict(methods='gradcan')),
                        (ValueError, 'comes twice', dict(methods=['gradcam','gradcam'])), (TypeError, "'foo'", dict(foo=1))):
        with expect_fail(exc, said): learn.sanity_check(**kw)
    with expect_fail(ValueError, "expected one of spearman"): small_learner().sanity_check(methods='gradcam', max_n=2, draws=1).plot(by='spear')

# ---- nothing changes
def test_weights_stay():
    "Bit for bit, and all else"
    learn = small_learner()
    unsettle(learn.model)
    was = snapshot(learn)
    learn.sanity_check(methods=['gradcam','layercam'], max_n=4, draws=2)
    assert changed(was, snapshot(learn))==[]

@pytest.mark.parametrize('error', [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize('after', [1,2,5])
def test_interrupted(error, after):
    "Whenever it is interrupted"
    learn,n = small_learner(),itertools.count()
    unsettle(learn.model)
    def stops(o):
        if next(n)==after: raise error('stop')
        return o.a.sum(1)
    was = snapshot(learn)
    with pytest.raises(error): learn.sanity_check(methods=['gradcam',stops], max_n=4, draws=2)
    assert changed(was, snapshot(learn))==[]

def test_drawn():
    "The plot has a line for each method, the grid of maps a column for each stage"
    check = small_learner().sanity_check(methods=['gradcam',edges], max_n=3, draws=1)
    ax = check.plot()
    assert [l.get_label() for l in ax.lines[:2]]==['gradcam','edges'] and ax.lines[0].get_ydata()[0]==1
    axs = check.show(1)
    st = check.df.loc['edges'].index.tolist()
    assert axs.shape==(2,1+len(st)) and [o.get_title() for o in axs[1]]==['edges',*st]
    plt.close('all')

def test_one_item():
    "One item says nothing of others"
    check = trained_learner().sanity_check(max_n=1, draws=2, methods=['gradcam','random'])
    assert check.verdict.verdict.str.startswith('inconclusive').all() and not check.ignores
    check.plot()
    plt.close('all')

# ---- the input itself
def input_sum(o): return o.a.sum(1)

@pytest.mark.parametrize('net', [small_net,flat_net])
def test_at_the_input(net):
    "Also where no layer keeps places: what ignores the model is found out there, too"
    learn = small_learner(net())
    check = learn.sanity_check(methods=['inputgrad',input_sum], layer='input', max_n=4, draws=2)
    assert list(check.ignores)==['input_sum']
    assert check.examples['inputgrad','trained'].grid==(48,48)

def test_each_where_it_looks():
    "Without a layer methods of the input are asked there, and the others at the default layer"
    learn = small_learner()
    check = learn.sanity_check(methods=['gradcam','ig'], max_n=3, draws=1)
    xb = to_device(tuplify(check.cams.inputs))
    for m in ('gradcam','ig'): assert torch.allclose(check.examples[m,'trained'], cam_maps(learn.model, xb, method=m)[:len(check.cams),0], atol=1e-6)

def test_stages_without_places():
    "Each module with weights is one, the last of them the head"
    assert weight_stages(flat_net(), drawn_batch(1))=={'head':['3.weight','3.bias'], '1':['1.weight','1.bias']}
    check = small_learner(flat_net()).sanity_check(methods='ig', max_n=3, draws=1)
    assert list(check.df.index.unique('stage'))==['head','1']
    with pytest.raises(ValueError, match="'occlusion', 'ig'"): small_learner(flat_net()).sanity_check(methods=['gradcam'], max_n=3)
