"The race for the best method: its error, what it asks, and what it says"
import numpy as np
import pytest
from fastcore.test import test_close as close, test_eq as eq
from utils import *
from fastcam.evidence.best import Race, above, collage, own_quarter, _fours
from fastcam.evidence.sanity import class_overlap

def made_up(rng, n, k, gap, noise):
    "Scores (n, k): items differ most, entries by `gap` from one to the next, the first the best"
    return rng.normal(0, 1, (n,1)) + noise(rng, (n,k)) - gap*np.arange(k)

class Asked:
    "Scores that are asked, and how many"
    def __init__(self, x): self.x,self.n = x,0
    def __call__(self, entries, items, steps):
        res = self.x[items][:,entries]
        self.n += res.size
        return res

normal = lambda rng, size: rng.normal(0, .2, size)
skewed = lambda rng, size: .2*(rng.exponential(1, size)-1)
coins = lambda rng, size: rng.integers(0, 2, size)-.5

@pytest.mark.parametrize('noise', [normal,skewed,coins], ids=['normal','skewed','0 or 1'])
@pytest.mark.parametrize('error', [.05,.3])
def test_error_is_as_stated(noise, error):
    "Where no entry is better than another, the first drops out at most as often as is stated: the hardest case, in 400 races"
    rng,lost,runs = np.random.default_rng(0),0,400
    for _ in range(runs):
        race = Race(Asked(made_up(rng, 41, 6, 0, noise)), 6, 41, error=error).run()
        lost += 0 not in race.alive
    assert lost/runs <= error+2*(error*(1-error)/runs)**.5

def test_error_is_used():
    "A test that never dropped anything would have no error either"
    rng,lost = np.random.default_rng(1),0
    for _ in range(300): lost += len(Race(Asked(made_up(rng, 41, 6, 0, normal)), 6, 41, error=.5).run().alive)<6
    assert lost>30

def test_what_is_beaten_is_asked_no_more():
    rng = np.random.default_rng(0)
    ask = Asked(made_up(rng, 80, 8, .3, normal))
    race = Race(ask, 8, 80).run()
    assert race.best==0 and ask.n<.4*ask.x.size
    df = race.ranking
    eq(df.n[0], 80); eq(df.tie.tolist(), [True]+[False]*7)
    assert df.n[7]==10 and df.behind[7]>2*df.behind_se[7]
    close(df.behind[3], (ask.x[:int(df.n[3]),0]-ask.x[:int(df.n[3]),3]).mean())

def test_ranking_is_that_of_all_scores():
    "Where nothing drops out, these are the means and the paired errors"
    x = made_up(np.random.default_rng(2), 10, 4, .01, normal)
    df,best = Race(Asked(x), 4, 10).run().ranking,x.mean(0).argmax()
    for i in range(4):
        d = x[:,best]-x[:,i]
        close(df.score[i], x[:,i].mean()); close(df.se[i], x[:,i].std(ddof=1)/10**.5); close(df.behind[i], d.mean()); close(df.behind_se[i], d.std(ddof=1)/10**.5)
        eq(df.tie[i], not d.mean()>2*d.std(ddof=1)/10**.5)

def test_random_is_no_rival():
    "What may not win drops out as others do, but drives nobody out, and is not the best"
    x = made_up(np.random.default_rng(0), 40, 3, 0, normal)
    x[:,0] += 1
    race,without = Race(Asked(x), 3, 40, [False,True,True]).run(),Race(Asked(x[:,1:]), 2, 40).run()
    eq(race.best, without.best+1)
    eq([i-1 for i in race.alive if i>0], without.alive)
    assert not race.ranking.tie[0] and race.ranking.behind[0]<0
    x[:,0] -= 2
    ask = Asked(x)
    race = Race(ask, 3, 40, [False,True,True]).run()
    assert 0 not in race.alive and race.ranking.n[0]<40
    before = race.ranking.score[0]
    race.complete(0)
    eq(race.ranking.n[0], 40)
    close(race.ranking.score[0], x[:,0].mean())

def test_nan():
    x = made_up(np.random.default_rng(0), 20, 3, .01, normal)
    x[3,0] = np.nan                                                    # no map for one item
    x[5] = np.nan                                                      # an item without a question
    df = Race(Asked(x), 3, 20).run().ranking
    assert not df.tie[0] and df.n[1]==19
    with pytest.raises(ValueError, match='without NaN'): Race(Asked(x[:,:2]), 2, 20, [True,False]).run().ranking

@pytest.mark.parametrize('shift,want', [(0,4),(.1,8),(.16,4)], ids=['settled','moves','told apart'])
def test_finer_steps_only_where_they_matter(shift, want):
    "The second entry is as good as the first in fine steps, in coarse ones it loses by the square of their size"
    x = np.stack([np.zeros(12), np.tile([.28,-.28], 6)], 1)
    def ask(entries, items, steps): return (x+shift*np.array([0,-1])*(4/steps)**2)[items][:,entries]
    race = Race(ask, 2, 12, steps=(4,8,16)).run()
    eq(race.ranking.steps[race.best], want)
    eq(Race(ask, 2, 12, steps=(4,8,16)).run(thorough=True).ranking.steps[0], 16)

# ---- on a learner
@cache
def files(): return drawn_files(240)[0][:12]

def rows_of_model(learn, f):
    "What `f()` gives, and how many rows the model is asked for"
    seen = []
    h = learn.model.register_forward_hook(lambda m,i,o: seen.append(len(o)))
    try: return f(),sum(seen)
    finally: h.remove()

def test_equal_maps_are_asked_once():
    "HiResCAM is Grad-CAM in front of mean pooling: beside it, it costs nothing but the gradients"
    learn = small_learner(nn.Sequential(nn.Conv2d(3,8,3,stride=2), nn.ReLU(), nn.Conv2d(8,8,3,stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,3)))
    one,n = rows_of_model(learn, lambda: learn.best_cam(files(), methods=['gradcam'], layers=-1))
    two,m = rows_of_model(learn, lambda: learn.best_cam(files(), methods=['gradcam','hirescam'], layers=-1))
    eq(m, n)
    eq(two.ranking.score['gradcam',-1], two.ranking.score['hirescam',-1])
    assert two.asked==m and two.ranking.tie['hirescam',-1]

def test_scores_are_the_metrics():
    "Insertion less deletion, in the steps that the table names"
    learn = trained_learner()
    best = learn.best_cam(files(), methods=['gradcam'], layers=-2)
    cams,steps = learn.cam(files(), layer=-2),int(best.ranking.steps['gradcam',-2])
    want = insertion_auc(learn.model, cams.inputs, cams.maps, steps=steps)-deletion_auc(learn.model, cams.inputs, cams.maps, steps=steps)
    close(best.ranking.score['gradcam',-2], want.mean().item(), 1e-4)
    fine = learn.best_cam(files()[:4], methods=['gradcam','layercam'], layers=-2, quick=False)
    m = cams.maps[:4]
    want = insertion_auc(learn.model, cams.inputs[:4], m)-deletion_auc(learn.model, cams.inputs[:4], m)
    if fine.ranking.tie['gradcam',-2]: close(fine.ranking.score['gradcam',-2], want.mean().item(), 1e-4)

def test_asks_far_less_than_everything():
    learn = trained_learner()
    best,n = rows_of_model(learn, lambda: learn.best_cam(drawn_files(240)[0], max_n=32))
    eq(best.asked, n)
    assert n <= 32*14*37/4
    assert best.ranking.loc[best.method,best.layer].tie and best.method!='random'

def test_price_is_told():
    "By the bar, and it is not exceeded by the race"
    learn,said = trained_learner(),[]
    class Bar:
        def __init__(self, gen, **kw): self.gen,self.comment = gen,''
        def __iter__(self):
            said.append((len(self.gen),self.comment))
            yield from self.gen
    import fastcam.evidence.best as room
    was = room.progress_of
    room.progress_of = lambda learn: Bar
    try: best = learn.best_cam(files(), methods=['gradcam','layercam'])
    finally: room.progress_of = was
    (most,comment), = said
    assert comment.startswith(f'at most {most} passes, about ')

def left_half(f): return TensorBBox(tensor([[0.,0.,24.,48.]]), img_size=fastuple(48,48))
def left(o): return torch.cat([torch.ones_like(o.a[:,0,:,:o.a.shape[-1]//2]), torch.zeros_like(o.a[:,0,:,o.a.shape[-1]//2:])], 2)
def right(o): return 1-left(o)

def test_by_localization():
    "The map that lies on the object wins; of a box it is a truth, of collages the own quarter"
    learn = trained_learner()
    best = learn.best_cam(files(), methods=[right,left], layers=-2, by='localization', truth=left_half)
    assert best.method is left and best.by=='localization'
    assert best.ranking.score['left',-2]>.9 and best.ranking.score['right',-2]<.1
    with pytest.raises(TypeError, match='truth'): learn.best_cam(files(), methods=[right,left], by='localization', truth=3)

def test_no_collages_say_so():
    "Of three classes no four can be put together"
    with pytest.raises(ValueError, match='at least four'): trained_learner().best_cam(files(), methods='gradcam', by='localization')

def test_collages():
    eq(_fours([0,1,1,2,3,0,-1,4,5]), [[0,1,3,4],[2,5,7,8]])
    eq(_fours([0,1,2]), [])
    x = torch.rand(4,3,9,10)
    assert collage(x).shape==(3,9,10)
    m = torch.zeros(1,4,4,4)
    for i in range(4): m[0,i,(i//2)*2:(i//2)*2+2,(i%2)*2:(i%2)*2+2] = 1
    eq(own_quarter(TensorCAM(m, nd=2)), torch.ones(1,4))
    eq(own_quarter(TensorCAM(-m, nd=2)), torch.zeros(1,4))

def test_collages_choose():
    "A net whose classes are colors finds each in its quarter; a map that looks elsewhere loses"
    model = nn.Sequential(nn.Conv2d(3,4,1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,4))
    colors = tensor([[1.,0,0],[0,1,0],[0,0,1],[1,1,0]])
    with torch.no_grad():
        model[0].weight.copy_(tensor([[1.,-1,-1],[-1,1,-1],[-1,-1,1],[1,1,-1]])[...,None,None]); model[0].bias.copy_(tensor([0.,0,0,-1.5]))
        model[4].weight.copy_(torch.eye(4)*10); model[4].bias.zero_()
    xs = colors[torch.arange(16)%4][...,None,None].expand(-1,-1,8,8)+.01*torch.randn(16,3,8,8, generator=torch.Generator().manual_seed(0))
    dls = Datasets(list(range(16)), [[lambda i: TensorImage(xs[i])],[lambda i: TensorCategory(i%4)]]).dataloaders(bs=4, num_workers=0, device='cpu')
    learn = Learner(dls, model, loss_func=CrossEntropyLossFlat())
    def other(o): return 1-(o.g*o.a).sum(1)/(o.g*o.a).sum(1).abs().amax((1,2), keepdim=True).clamp(min=1e-6)
    best = learn.best_cam(ds_idx=0, methods=['gradcam',other], layers='0', by='localization')
    assert best.method=='gradcam' and best.ranking.score['gradcam','0']>.8
    faithful = learn.best_cam(ds_idx=0, methods=[other], layers='0')
    assert not any('By localization' in o for o in faithful.notes)

# ---- class sensitivity
def test_overlap_by_hand():
    m = torch.randn(5,2,4,5, generator=torch.Generator().manual_seed(0))
    for share,k in ((.1,2),(.3,6),(.01,1)):
        want = [len({*a.flatten().topk(k).indices.tolist()}&{*b.flatten().topk(k).indices.tolist()})/k for a,b in m]
        close(class_overlap(m, share), tensor(want))

def test_class_sensitivity():
    from scipy.stats import wilcoxon
    learn = trained_learner()
    df = learn.class_sensitivity(drawn_files(240)[0], methods=['gradcam','eigencam'], layers=[-1,-2], max_n=20)
    eq(set(df.index), {(m,l) for m in ('gradcam','eigencam') for l in (-1,-2)})
    for l in (-1,-2):
        assert df.overlap['eigencam',l]==1 and 'both classes' in df.verdict['eigencam',l]
        assert df.overlap['gradcam',l]<df.overlap['eigencam',l]
    cams = learn.cam(drawn_files(240)[0][:9], target=TopK(2), layer=-2)
    df = learn.class_sensitivity(drawn_files(240)[0][:9], methods='gradcam', layers=-2)
    o = class_overlap(cams.maps)
    close(df.overlap['gradcam',-2], o.mean().item(), 1e-6)
    close(df.p['gradcam',-2], wilcoxon(o.double().numpy()-df.chance['gradcam',-2], alternative='greater').pvalue)
    with pytest.raises(ValueError, match='share'): learn.class_sensitivity(share=10)

def test_no_second_class():
    net = nn.Sequential(nn.Conv2d(3,4,3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,1))
    with pytest.raises(ValueError, match='outputs for 1 of 3 classes'): small_learner(net).class_sensitivity(files()[:3])
    dl = torch.utils.data.DataLoader([(o, tensor(0)) for o in torch.rand(3,3,24,24)], batch_size=3)          # whose classes have no names
    with pytest.raises(ValueError, match='no second class'): Learner(DataLoaders(dl, dl), net, loss_func=CrossEntropyLossFlat()).class_sensitivity()

def test_class_sensitivity_of_a_head():
    "Of a model with a class and a number `head=` says whose classes are compared: as a model of that head alone"
    torch.manual_seed(0)
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body,self.one,self.two = nn.Sequential(nn.Conv2d(3,8,3,2,1), nn.ReLU(), nn.Conv2d(8,8,3,2,1), nn.ReLU()),nn.Linear(8,3),nn.Linear(8,1)
        def forward(self, x):
            f = self.body(x).mean((2,3))
            return self.one(f),self.two(f)
    fs = drawn_files()[0]
    dls = DataBlock((ImageBlock,CategoryBlock,RegressionBlock), n_inp=1, get_y=[lambda f: next(k for k in kinds if k in str(f)), lambda f: float(len(f.name))], splitter=RandomSplitter(seed=0)).dataloaders(fs, bs=4, num_workers=0)
    learn = Learner(dls, Two(), loss_func=lambda o,a,b: F.cross_entropy(o[0], a)+F.mse_loss(o[1][:,0], b.float()))
    with pytest.raises(ValueError, match='`head=` says which'): learn.class_sensitivity(fs[:6], methods='hirescam', layers=-1)
    df = learn.class_sensitivity(fs[:6], methods='hirescam', layers=-1, head=0)
    want = class_overlap(learn.cam(fs[:6], target=Head(0, TopK(2)), method='hirescam', layer=-1).maps)
    close(df.overlap['hirescam',-1], want.mean().item(), 1e-6)
