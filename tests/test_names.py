"What a map is called is what it explains: one output for two classes, several targets, losses of all kinds, callbacks, targets as a person types them"
import pytest
from utils import *
from test_tasks import scene, scenes, picture, pooled, body, trained, valid, titles, peaks_at, Dense, Output, size, r, colors

@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close('all')

def quiet(dls, net, loss, **kwargs):
    learn = Learner(dls, net, loss_func=loss, **kwargs)
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn

def gradcam(net, x, f):
    "Grad-CAM by hand, of the number `f` makes of the prediction, at the end of `net[0]`"
    a = net[0](x).detach().requires_grad_()
    g, = torch.autograd.grad(f(net[1](a)).sum(), a)
    return (g.mean((2,3), keepdim=True)*a).sum(1).detach()

def batch_of(learn, its): return learn.dls.test_dl(its, bs=len(its)).one_batch()[0].as_subclass(Tensor)

# ---- one output, two classes

only = 'blue','red'

@cache
def two_classes():
    "Is the disc blue (0) or red (1)? One output says it"
    dls = scenes(CategoryBlock, lambda i: first(scene(i, only)[1]), get_x=partial(picture, only=only))
    return trained(dls, pooled(1), loss_func=BCEWithLogitsLossFlat(), epochs=5)

def test_one_logit():
    "The output speaks for the second class, its negative for the first; what is predicted is explained, with its probability"
    learn,net = two_classes(),two_classes().model
    its,cams = valid(learn),learn.cam()
    p = learn.get_preds()[0][:,0]
    assert ((p>.5)==tensor([first(scene(i, only)[1])=='red' for i in its])).float().mean()>.95
    want = [only[int(o>.5)] for o in p]
    assert set(want)==set(only) and cams.predicted==want and cams.labels==[[o] for o in want] and cams.actuals==[first(scene(i, only)[1]) for i in its]
    assert torch.allclose(cams.preds, torch.stack([1-p,p], 1), atol=1e-5)
    assert torch.allclose(tensor(cams.probs)[:,0], torch.maximum(p, 1-p), atol=1e-5)
    assert len(cams.where(prob=(.5,1)))==len(its) and cams.where(error=True).rows==[i for i,(a,b) in enumerate(zip(want, cams.actuals)) if a!=b]
    with evaluating(net): red = gradcam(net, batch_of(learn, its[:6]), lambda o: o[:,0])
    both = learn.cam(its[:6], target=['red','blue'])
    assert torch.allclose(both.maps[:,0].as_subclass(Tensor), red, atol=1e-5) and torch.equal(both.maps[:,0], -both.maps[:,1])
    assert torch.equal(both.maps, learn.cam(its[:6], target=[1,0]).maps) and torch.allclose(cams[:6].maps[:,0].as_subclass(Tensor), torch.where((p[:6]>.5)[:,None,None], red, -red), atol=1e-5)
    hits = [peaks_at(m[0], first(scene(i, only)[1].values())) for i,m in zip(its, cams.maps)]
    assert np.mean(hits)>.9

def test_one_logit_everywhere():
    "Films, exports, summaries, metrics and boxes say the same"
    learn = two_classes()
    its = valid(learn)[:6]
    cams = learn.cam(its)
    film = CAMFilm(its)
    quiet(learn.dls, deepcopy(learn.model), BCEWithLogitsLossFlat()).fit(1, 0., cbs=film)
    assert film.frames[0].labels==cams.labels and film.frames[0].predicted==cams.predicted and torch.allclose(film.frames[0].preds, cams.preds, atol=1e-5)
    with TemporaryDirectory() as d:
        saved = load_cams(learn.export_cams(Path(d)/'maps', its, dtype='float32', views=False))
        assert saved.labels==cams.labels and saved.predicted==cams.predicted and torch.allclose(tensor(saved.probs), tensor(cams.probs), atol=1e-5)
        assert torch.equal(saved.maps, cams.maps)
    assert set(learn.cam_summary().df.index)==set(learn.cam().labels.concat())
    assert list(cams.to_df()['class'])==cams.predicted
    x,maps = batch_of(learn, its),cams.maps[:,0]
    s = learn.cam_metrics(its, methods=['gradcam'], metrics=['insertion_auc'], layers=[-1])
    assert 0<=s.loc['gradcam',('insertion_auc ↑','mean')]<=1                               # of probabilities, also where it is the first class's
    for t in (Prob(), ReST(), Versus(), Versus('blue'), Prob('blue'), Neg(), TopK(2), Above(.2), PerItem(['red','blue']*3), tensor([0,1]*3)):
        assert learn.cam(its, target=t).maps.isfinite().all()
    assert learn.cam(target=Actual()).labels==learn.cam().actuals.map(lambda o: [o])
    lab = learn.cam(its, target=PerItem(['red','blue']*3)).labels
    assert lab==[['red'],['blue']]*3

def test_one_logit_probability():
    "`Prob` is the sigmoid of the output, and one less that"
    learn,net = two_classes(),two_classes().model
    its = valid(learn)[:5]
    with evaluating(net): want = gradcam(net, batch_of(learn, its), lambda o: 1-o[:,0].sigmoid())
    assert torch.allclose(learn.cam(its, target=Prob('blue')).maps[:,0].as_subclass(Tensor), want, atol=1e-6)

@pytest.mark.parametrize('thresh', [.2,.8])
@pytest.mark.parametrize('flat', [True,False])
def test_threshold(thresh, flat):
    "What is predicted follows the loss's threshold; an output may lack its dimension"
    plain = two_classes()
    net = nn.Sequential(plain.model[0], nn.Sequential(*plain.model[1], *([nn.Flatten(0)] if flat else [])))
    bias = net[1][2].bias.data.clone()
    try:
        net[1][2].bias.data += 1 if thresh<.5 else -1.5                             # so that some lie between the threshold and a half
        learn = quiet(plain.dls, net, BCEWithLogitsLossFlat(thresh=thresh))
        p = learn.get_preds()[0].flatten()
        cams = learn.cam()
        assert ((p>thresh)!=(p>.5)).any() and cams.predicted==[only[int(o>thresh)] for o in p] and cams.labels==[[o] for o in cams.predicted]
    finally: net[1][2].bias.data = bias

class Function(nn.Module):
    "What `forward` itself does, and no module of the model"
    def __init__(self, f): super().__init__(); self.f = f
    def forward(self, x): return self.f(x)

def sure(o): return o.sigmoid().clamp(1e-6, 1-1e-6).reshape(o.shape)

class Gate(nn.Module):
    "A module that ends in a sigmoid and is no end of the model"
    def __init__(self): super().__init__(); self.sigmoid = nn.Sigmoid()
    def forward(self, x): return x+0*self.sigmoid(x)

@pytest.mark.parametrize('last,loss', [([],nn.BCEWithLogitsLoss()), ([],F.binary_cross_entropy_with_logits), ([nn.Sigmoid()],nn.BCELoss()), ([nn.Sigmoid()],F.binary_cross_entropy),
                                       ([nn.Sigmoid()],lambda p,y: F.binary_cross_entropy(p[:,0], y.float())), ([],lambda p,y: F.binary_cross_entropy_with_logits(p[:,0], y.float())),
                                       ([Function(sure)],lambda p,y: F.binary_cross_entropy(p[:,0], y.float())), ([Gate()],lambda p,y: F.binary_cross_entropy_with_logits(p[:,0], y.float()))])
def test_one_output_losses(last, loss):
    "Whatever loss is given: one less the probability is that of the first class"
    plain = two_classes()
    learn = quiet(plain.dls, nn.Sequential(plain.model[0], nn.Sequential(*plain.model[1], *last)), loss)
    its = valid(learn)[:6]
    want,got = plain.cam(its),learn.cam(dl=[(batch_of(learn, its),)])
    assert got.labels==want.labels and torch.allclose(got.preds, want.preds, atol=1e-5)

def test_one_logit_mask():
    "A mask of one channel: both codes are classes, each explained where it is predicted"
    codes = ['background','pet']
    def mask(i):
        m = np.zeros((size,size), np.uint8)
        for x,y in scene(i)[1].values(): m[y-r:y+r,x-r:x+r] = 1
        return PILMask.create(m)
    learn = trained(scenes(MaskBlock(codes), mask, n=120), Dense(1), loss_func=BCEWithLogitsLossFlat(), epochs=4)
    its = valid(learn)[:5]
    cams,there = learn.cam(its),learn.get_preds(dl=learn.dls.test_dl(its))[0][:,0]>.5
    assert [sorted(o) for o in cams.labels]==[['background','pet']]*5 and torch.allclose(cams.preds[:,1], there.float().mean((1,2)), atol=1e-5)
    x,net = batch_of(learn, its),learn.model
    with evaluating(net):
        a = net.body(x).detach().requires_grad_()
        out = F.interpolate(net.head(a), size=x.shape[-2:], mode='bilinear')[:,0]
        for j,(m,sign) in enumerate(((~there,-1),(there,1))):
            g, = torch.autograd.grad(((sign*out*m).sum((1,2))/m.sum((1,2))).sum(), a, retain_graph=True)
            want = (g*a).sum(1).detach()
            assert torch.allclose(learn.cam(its, target=codes[j], method='hirescam').maps[:,0].as_subclass(Tensor), want, atol=1e-5)
    pet = learn.cam(its, target='pet', method='hirescam')
    assert pet.labels==[['pet']]*5 and torch.equal(pet.maps[:,0], learn.cam(its, target=1, method='hirescam').maps[:,0])
    assert all(any(peaks_at(m[0], c) for c in scene(i)[1].values()) for i,m in zip(its, pet.maps))
    (u,v),(y,x) = np.argwhere(there[0].numpy())[0],np.argwhere(~there[0].numpy())[0]
    assert learn.cam(its[0], target=[Region((int(u),int(v))), Region((int(y),int(x)))]).labels==[['pet','background']]

# ---- several targets

tones = 'bright','dark','red'                                                              # 'red' is a class of both

class Two(nn.Module):
    "Two heads on one body; `how` they are given"
    def __init__(self, a, b, how='tuple'):
        super().__init__()
        torch.manual_seed(0)
        self.body,self.pool,self.a,self.b,self.how = body(),nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),nn.Linear(32,a),nn.Linear(32,b),how
    def forward(self, x):
        f = self.pool(self.body(x))
        res = self.a(f),self.b(f)
        return dict(tuple=res, list=list(res), dict=dict(first=res[0], second=res[1])).get(self.how, None) or (torch.cat(res, 1) if self.how=='side' else torch.stack(res, 1))

def two_targets(tones=tones, n=40, **kwargs):
    "DataLoaders of scenes with two category targets"
    blocks = DataBlock((ImageBlock,CategoryBlock,CategoryBlock), n_inp=1, get_items=range, get_x=partial(picture, only=only), splitter=RandomSplitter(.4, seed=0),
                       get_y=[lambda i: first(scene(i, only)[1]), lambda i: tones[i%len(tones)]], batch_tfms=Normalize.from_stats(*imagenet_stats))
    set_seed(0)
    return blocks.dataloaders(n, bs=8, num_workers=0)

def parts(p): return list(p.values()) if isinstance(p, dict) else list(p) if isinstance(p, (tuple,list)) else list(p.split([2,3], 1)) if p.ndim==2 else list(p.unbind(1))
def both_losses(p, a, b): return sum(F.cross_entropy(q, y) for q,y in zip(parts(p), (a,b)))

@pytest.mark.parametrize('how', ['tuple','list','dict','side'])
def test_heads(how):
    "A column for each head, its class by its own names; what the numbers say by hand"
    learn = quiet(two_targets(), Two(2, 3, how), both_losses)
    its,cams,net = valid(learn),learn.cam(),learn.model
    with evaluating(net), torch.no_grad(): ps = parts(net(batch_of(learn, its)))
    kinds,second = only,sorted(tones)
    shown = [kinds[0], f'{kinds[1]} (head 0)'],['bright','dark','red (head 1)']
    want = [[n[p[i].argmax()] for n,p in zip(shown, ps)] for i in range_of(its)]
    assert cams.labels==want and cams.predicted==[', '.join(o) for o in want]
    true = [(first(scene(i, only)[1]),tones[i%3]) for i in its]
    assert cams.actuals==[', '.join(n[list(k).index(c)] for n,k,c in zip(shown, (kinds,second), o)) for o in true]
    assert torch.allclose(cams.preds, torch.cat([p.softmax(1) for p in ps], 1), atol=1e-5)
    for j in (0,1):
        hand = learn.cam(target=lambda p: parts(p)[j].max(1).values)
        assert torch.allclose(cams.maps[:,j], hand.maps[:,0], atol=1e-6) and hand.actuals==cams.actuals
    assert cams.where(error=False).rows==[i for i,(a,b) in enumerate(zip(cams.predicted, cams.actuals)) if a==b]
    assert len(titles(cams[:3]))==6
    one = lambda t: learn.cam(its[:4], target=t).labels[0]
    assert one('dark')==['dark'] and one(['blue','bright'])==['blue','bright'] and one(Head(1,'red'))==['red (head 1)'] and one(3)==['dark']
    assert one([Head(0,'red'), Head(1,'red'), Head(1)])==['red (head 0)','red (head 1)',want[0][1]] and learn.cam(target=Actual()).labels==cams.actuals.map(lambda o: o.split(', '))
    assert one(PerItem(['blue','dark','bright','blue']))==['blue'] and one(Neg('dark'))[0].endswith('dark') and len(one(TopK(2)))==4
    hand = learn.cam(its[:4], target=lambda p: parts(p)[1].softmax(1)[:,2])
    assert torch.allclose(learn.cam(its[:4], target=Prob(Head(1,'red'))).maps, hand.maps, atol=1e-6)
    hand = learn.cam(its[:4], target=lambda p: parts(p)[1][:,1]-parts(p)[1][:,[0,2]].mean(1))
    assert torch.allclose(learn.cam(its[:4], target=Versus('dark', rivals=3, weigh=False)).maps, hand.maps, atol=1e-6)     # rivals are of its own head
    with pytest.raises(ValueError, match=r"Head\(0, 'red'\).*Head\(1, 'red'\)"): learn.cam(its[:4], target='red')
    with pytest.raises(ValueError, match='no class'): learn.cam(its[:4], target='purple')
    with pytest.raises(IndexError, match='2'): learn.cam(its[:4], target=Head(2))

@pytest.mark.parametrize('how', ['tuple','side'])
def test_heads_are_measured_alike(how):
    "Whichever way classes of several heads are asked for, metrics measure their probabilities, each among those of its head; of numbers the numbers"
    learn = quiet(two_targets(), Two(2, 3, how), both_losses)
    its = valid(learn)[:4]
    b = learn.dls.test_dl(its, bs=4).one_batch()[0].as_subclass(Tensor)
    def value(t): return learn.cam_metrics(its, methods=['gradcam'], metrics=['insertion_auc','average_drop'], layers=[-1], target=t).loc['gradcam'].drop(['seconds','passes'], level=0).to_numpy()
    assert np.allclose(value(None), value([Head(0),Head(1)]), atol=1e-6) and np.allclose(value(['blue','dark']), value([Head(0,'blue'),Head(1,'dark')]), atol=1e-6)
    one = [value(t)[0] for t in ('blue','dark')]
    assert np.allclose(value(['blue',Head(1,'dark')])[0], np.mean(one), atol=1e-6)
    # by hand, with a map of nothing: the probability of a class of the second head where nothing is seen; of what is against it its output
    def nothing(o): return 0*o.a.sum(1)
    for t,f in (('dark',lambda p: p.softmax(1)[:,1]), (Neg('dark'),lambda p: -p[:,1])):
        with evaluating(learn.model), torch.no_grad(): y,empty = [f(parts(learn.model(x))[1]) for x in (b,torch.zeros_like(b))]
        got = learn.cam_metrics(its, methods=[nothing], metrics=['average_drop'], layers=[-1], target=t).loc['nothing',('average_drop ↓','mean')]
        assert abs(got-((y-empty).relu()/y.abs()).mean())<1e-5

def test_heads_fewer():
    "A second target of fewer classes than the first; stacked heads of as many; a head of one output"
    first3 = lambda: two_targets(tones=('x','y'))
    learn = quiet(first3(), Two(2, 2, 'stacked'), both_losses)
    assert learn.cam().labels==quiet(learn.dls, Two(2, 2), both_losses).cam().labels and {len(o) for o in learn.cam().labels}=={2}
    learn.show_cam(target=lambda p: p[:,0].max(1).values)
    one = quiet(learn.dls, Two(1, 2), lambda p,a,b: F.binary_cross_entropy_with_logits(p[0][:,0], a.float())+F.cross_entropy(p[1], b))
    with evaluating(one.model), torch.no_grad(): p = one.model(batch_of(one, valid(one)))[0][:,0].sigmoid()
    cams = one.cam()
    assert torch.allclose(cams.preds[:,:2], torch.stack([1-p,p], 1), atol=1e-5) and [o[0] for o in cams.labels]==[only[int(o>.5)] for o in p]
    with pytest.raises(ValueError, match='2 targets of 2, 2 classes'): quiet(learn.dls, Two(4, 3), lambda p,a,b: p[0].mean()).cam()

# ---- a class and values

class Both(Two):
    "The same, in the form `how`"
    def forward(self, x):
        f = self.pool(self.body(x))
        a,b = self.a(f),self.b(f)
        return dict(tuple=(a,b), dict=dict(kind=a, value=b), points=(a,b.reshape(len(b), -1, 2) if self.how=='points' else None), alone=(a,b[:,0]), side=torch.cat([a,b], 1))[self.how]

pair_of = lambda p: list(p.values()) if isinstance(p, dict) else list(p) if isinstance(p, tuple) else [p[:,:2],p[:,2:]]

def class_and_values(what):
    "DataLoaders of scenes with a color, and beside it a `what`"
    color = lambda i: first(scene(i, only)[1])
    kw = dict(n_inp=1, splitter=RandomSplitter(.4, seed=0), batch_tfms=Normalize.from_stats(*imagenet_stats))
    if what=='columns':
        df = pd.DataFrame([(i, color(i), i/40, 1.5) for i in range(40)], columns=['id','kind','age','size'])
        block = DataBlock((ImageBlock,CategoryBlock,RegressionBlock(n_out=2)), get_x=lambda r: picture(int(r['id']), only), get_y=[ColReader('kind'), ColReader(['age','size'])], **kw)
        return block.dataloaders(df, bs=8, num_workers=0)
    second,y = dict(value=(RegressionBlock,lambda i: i/40), points=(PointBlock,lambda i: TensorPoint(tensor([scene(i, only)[1][color(i)]]).float())))[what]
    return DataBlock((ImageBlock,CategoryBlock,second), get_items=range, get_x=partial(picture, only=only), get_y=[color,y], **kw).dataloaders(40, bs=8, num_workers=0)

@pytest.mark.parametrize('what,names,hows', [('value',['output'],['tuple','dict','side','alone']), ('columns',['age','size'],['tuple','side']), ('points',['point 0 x','point 0 y'],['points','tuple'])])
def test_class_and_values(what, names, hows):
    "A class and values of one item: a column for the class predicted, and one for each value, by their names; values are what they are, and no probabilities"
    dls = class_and_values(what)
    for how in hows:
        learn = quiet(dls, Both(2, len(names), how), lambda p,a,b: F.cross_entropy(pair_of(p)[0], a)+(pair_of(p)[1].flatten()-b.as_subclass(Tensor).flatten()).abs().mean())
        cams,b = learn.cam(),dls.valid.one_batch()
        with evaluating(learn.model), torch.no_grad(): ps = [(p[:,None] if p.ndim==1 else p.flatten(1)) for p in pair_of(learn.model(b[0].as_subclass(Tensor)))]
        assert torch.allclose(cams.preds[:len(ps[0])], torch.cat([ps[0].softmax(1),ps[1]], 1), atol=1e-5)
        want = [only[i] for i in ps[0].argmax(1)]
        assert cams.labels[:len(want)]==[[w,*names] for w in want] and cams.predicted[:len(want)]==want and cams.signed
        assert torch.allclose(tensor(cams.probs[:len(want)])[:,1:], ps[1], atol=1e-5)
        true = [', '.join([only[a], *[f'{n} {v:.2f}' for n,v in zip(names, y.flatten().tolist())]]) for a,y in zip(b[1], b[2])]
        assert cams.actuals[:len(want)]==true and (t := titles(cams[:1])[1].replace('\n', ' ')).startswith(f'{names[0]} {ps[1][0,0]:.2f}') and t.endswith(f'actual: {true[0]}')
        wrong = [i for i,(w,a) in enumerate(zip(want, b[1])) if w!=only[a]]
        assert [r for r in cams.where(error=True).rows if r<len(want)]==wrong and len(cams.where(actual='red'))+len(cams.where(actual='blue'))==len(cams)
        for j in range_of(names):
            hand = learn.cam(target=lambda p: (o[:,None] if (o := pair_of(p)[1]).ndim==1 else o.flatten(1))[:,j])
            assert torch.allclose(cams.maps[:,1+j], hand.maps[:,0], atol=1e-6)
            one = learn.cam(target=names[j])
            assert one.signed and one.labels[0]==[names[j]] and torch.equal(one.maps[:,0], cams.maps[:,1+j])
        assert learn.cam(target=Head(1)).labels[0]==names and learn.cam(target=[names[0],'red']).labels[0]==[names[0],'red'] and not learn.cam(target='red').signed
        assert learn.cam(target=Actual()).labels[:len(want)]==[[only[a]] for a in b[1]] and learn.cam(target=Prob()).labels[0]==[f'p({want[0]})']
        assert set(learn.cam(target=Above(0.)).labels[0])==set(only) and len(learn.cam(target=TopK(2)).labels[0])==2+len(names)
        for t in (Prob(names[0]), ReST(names[0]), Versus(names[0])):
            with pytest.raises(ValueError, match='is a value'): learn.cam(target=t)
        assert set(learn.cam_summary().df.index)=={*cams.labels.concat()}
        with TemporaryDirectory() as d:
            saved = load_cams(learn.export_cams(Path(d)/'maps', dtype='float32', views=False))
            assert saved.labels==cams.labels and saved.actuals==cams.actuals and saved.predicted==cams.predicted and torch.allclose(tensor(saved.probs), tensor(cams.probs), atol=1e-5)

def test_class_and_value_ask_alike():
    "What does not fit is refused in words; two values without a class; one output for two classes beside a value"
    dls = class_and_values('value')
    with pytest.raises(ValueError, match='2 targets of 2, 1 classes or values'): quiet(dls, Both(3, 2, 'tuple'), lambda p,a,b: p[0].mean()).cam()
    one = quiet(dls, Both(1, 1, 'tuple'), lambda p,a,b: F.binary_cross_entropy_with_logits(p[0][:,0], a.float())+p[1].mean())
    cams = one.cam()
    with evaluating(one.model), torch.no_grad(): p,v = one.model(batch_of(one, valid(one)))
    assert [o[0] for o in cams.labels]==[only[int(o>0)] for o in p] and torch.allclose(cams.preds, torch.cat([1-p.sigmoid(),p.sigmoid(),v], 1), atol=1e-5)
    two = DataBlock((ImageBlock,RegressionBlock,RegressionBlock), n_inp=1, get_items=range, get_x=partial(picture, only=only), get_y=[lambda i: i/40, lambda i: 1-i/40], splitter=RandomSplitter(.4, seed=0))
    learn = quiet(two.dataloaders(40, bs=8, num_workers=0), Both(1, 1, 'tuple'), lambda p,a,b: p[0].mean())
    cams = learn.cam()
    assert cams.signed and cams.labels[0]==['output (head 0)','output (head 1)'] and cams.actuals[0]==f'output (head 0) {valid(learn)[0]/40:.2f}, output (head 1) {1-valid(learn)[0]/40:.2f}'
    assert set(cams.predicted)=={''}

# ---- probabilities, whatever the loss

def focal(p, y): return ((1-F.cross_entropy(p, y, reduction='none').neg().exp())**2*F.cross_entropy(p, y, reduction='none')).mean()

@pytest.mark.parametrize('loss,end', [(nn.CrossEntropyLoss(),[]), (F.cross_entropy,[]), (partial(F.cross_entropy, label_smoothing=.1),[]), (focal,[]), (BaseLoss(nn.CrossEntropyLoss),[]),
                                      (nn.NLLLoss(),[nn.LogSoftmax(1)]), (F.nll_loss,[nn.LogSoftmax(1)]), (lambda p,y: F.nll_loss(p.log(), y),[nn.Softmax(1)])])
def test_probabilities(loss, end):
    "What stands beside a class is its probability, with torch's own losses as with fastai's"
    plain = small_learner()
    learn = quiet(plain.dls, nn.Sequential(plain.model[0], nn.Sequential(*plain.model[1], *end)), loss)
    want,got = plain.cam(),learn.cam()
    assert torch.allclose(got.preds, want.preds, atol=1e-5) and got.labels==want.labels and got.where(prob=(.5,1)).rows==want.where(prob=(.5,1)).rows
    assert [t.split()[:2] for t in titles(got)]==[t.split()[:2] for t in titles(want)]
    with TemporaryDirectory() as d: saved = load_cams(learn.export_cams(Path(d)/'maps', drawn_files()[0][:3], views=False))
    assert torch.allclose(tensor(saved.probs), tensor(learn.cam(drawn_files()[0][:3]).probs), atol=1e-5) and max(saved.probs.concat())<=1

@pytest.mark.parametrize('loss,end', [(nn.BCEWithLogitsLoss(),[]), (nn.BCELoss(),[nn.Sigmoid()]), (F.binary_cross_entropy,[nn.Sigmoid()]), (nn.MultiLabelSoftMarginLoss(),[]),
                                      (lambda p,y: F.binary_cross_entropy(p, y),[Function(sure)]), (lambda p,y: F.binary_cross_entropy_with_logits(p, y),[Gate()])])
def test_probabilities_of_several(loss, end):
    "Several labels: those above a half, also where the model itself gives probabilities"
    y = lambda i: list(scene(i)[1])
    dls = scenes(MultiCategoryBlock, y, n=30)
    torch.manual_seed(0)
    net = pooled(3)
    net[1][2].bias.data = tensor([2.,-2.,.5])
    p = quiet(dls, net, BCEWithLogitsLossFlat()).cam()
    got = quiet(dls, nn.Sequential(net[0], nn.Sequential(*net[1], *end)), loss).cam()
    assert torch.allclose(got.preds, p.preds, atol=1e-5) and got.labels==p.labels and {len(o) for o in got.labels}=={2}

def test_fewer_outputs_than_classes():
    "Four classes in an order, told by three outputs: no output is a class, so none has a name; what is asked by a function, or as it is, has the number it is"
    y = lambda i: 'abcd'[i%4]
    torch.manual_seed(0)
    learn = quiet(scenes(CategoryBlock, y, n=30), pooled(3), lambda p,y: F.binary_cross_entropy_with_logits(p, (y[:,None]>torch.arange(3)).float()))
    its = valid(learn)[:4]
    with evaluating(learn.model), torch.no_grad(): p = learn.model(batch_of(learn, its))
    for t in (None, 'a', 1, Prob('b'), TopK(2), [lambda p: p[:,0], 'b']):
        with pytest.raises(ValueError, match='outputs for 3 of 4 classes.*not known.*Outputs'): learn.cam(its, target=t)
    rank,each = learn.cam(its, target=lambda p: p.sigmoid().sum(1)),learn.cam(its, target=Outputs())
    assert rank.predicted==each.predicted==[None]*4 and rank.probs==[[None]]*4 and each.labels[0]==[f'output {i}' for i in range(3)]
    assert torch.allclose(each.preds, p, atol=1e-5) and torch.allclose(rank.maps[:,0].as_subclass(Tensor), gradcam_of(learn, its, lambda p: p.sigmoid().sum(1)), atol=1e-5)
    more = quiet(learn.dls, pooled(6), CrossEntropyLossFlat()).cam(its)                                  # of more outputs the first are the classes
    assert set(more.labels.concat())<={*'abcd','4','5'}

def gradcam_of(learn, its, f):
    with evaluating(learn.model): return gradcam(learn.model, batch_of(learn, its), f)

# ---- fastai's answer, not the raw output

factor = tensor([2.,1.,-3.])
class Times(nn.Module):
    def forward(self, x): return x*factor
class Pair(nn.Module):
    def __init__(self, net): super().__init__(); self.net = net
    def forward(self, x): y = self.net(x); return y,y.sum(1)
class Logits(Pair):
    def forward(self, x): return Output(logits=self.net(x), loss=None)

class Changes(Callback):
    def __init__(self, how, order=0): self.how,self.order,self.n = how,order,0
    def after_pred(self):
        self.n += 1
        if self.how=='in place': self.learn.pred *= factor
        else: self.learn.pred = dict(temperature=lambda p: p*factor, first=lambda p: p[0]*factor, logits=lambda p: p.logits*factor)[self.how](self.pred)
class Looks(Callback):
    seen = []
    def after_pred(self): self.seen.append(len(self.xb[0]))

@pytest.mark.parametrize('how,wrap,order', [('temperature',noop,0), ('temperature',noop,90), ('in place',noop,0), ('first',Pair,0), ('logits',Logits,0)])
@pytest.mark.parametrize('kw', [dict(), dict(method='hirescam', target=Prob()), dict(method='ablationcam'), dict(method='scorecam'), dict(method='headcam'), dict(smooth='noise'),
                                dict(method='guidedbackprop'), dict(method='fullgrad')], ids=lambda kw: str(list(kw.values())[:1]))
def test_callback_answers(how, wrap, order, kw):
    "What a callback makes of the prediction is explained as if the model gave it, also where a method asks the model again"
    plain,fs = small_learner(),drawn_files()[0][:3]
    inside = small_learner(nn.Sequential(*plain.model, Times()))
    learn = small_learner(wrap(plain.model), cbs=[Changes(how, order), Looks()])
    learn.loss_func = CrossEntropyLossFlat()
    Looks.seen.clear()
    want,got = inside.cam(fs, **kw),learn.cam(fs, **kw)
    assert got.labels==want.labels and torch.allclose(got.preds, want.preds, atol=1e-5) and got.labels!=plain.cam(fs).labels
    assert torch.allclose(got.preds, learn.get_preds(dl=learn.dls.test_dl(fs))[0], atol=1e-5)
    assert torch.allclose(got.maps, want.maps, atol=1e-4*want.maps.abs().max().item())
    assert len(Looks.seen)<=3                                                              # one that only looks is not asked with each change of the input

@pytest.mark.parametrize('how,wrap', [('temperature',noop), ('first',Pair)])
def test_film_is_answered(how, wrap):
    "A film's frames are what `learn.cam` gives at that time; the callback's own count is that of the fit"
    fs = drawn_files()[0][:3]
    learn = small_learner(wrap(deepcopy(small_learner().model)), cbs=Changes(how))
    learn.loss_func = CrossEntropyLossFlat()
    want,film = learn.cam(fs),CAMFilm(fs)
    was = learn.changes.n
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3, cbs=film)
    assert film.frames[0].labels==want.labels and torch.allclose(film.frames[0].maps, want.maps, atol=1e-4*want.maps.abs().max().item())
    assert learn.changes.n-was==len(learn.dls.train)+len(learn.dls.valid)

@pytest.mark.parametrize('how,wrap', [('temperature',noop), ('in place',noop), ('first',Pair), ('logits',Logits)])
def test_evidence_is_answered(how, wrap):
    "Metrics, the choice of a method, sanity checks, places and summaries ask about what the callback makes of the prediction, also of changed inputs"
    plain,fs,masks = small_learner(),*drawn_files()
    fs = fs[:4]
    inside,learn = small_learner(nn.Sequential(*plain.model, Times())),small_learner(wrap(plain.model), cbs=[Changes(how), Looks()])
    for o in (inside,learn): o.loss_func = CrossEntropyLossFlat()
    def check(f):
        numbers = lambda df: df.drop(columns=['seconds','passes'], errors='ignore').select_dtypes('number').to_numpy()
        want,got,other = [numbers(f(o)) for o in (inside,learn,plain)]
        assert np.allclose(got, want, atol=1e-4, equal_nan=True) and not (got.shape==other.shape and np.allclose(got, other, atol=1e-3, equal_nan=True))
    kw = dict(methods=['gradcam'], layers=[-1])
    check(lambda o: o.cam_metrics(fs, metrics=['average_drop','max_sensitivity'], target=[None,Prob('level'),Neg()], **kw))
    check(lambda o: o.best_cam(fs, methods=['gradcam','hirescam'], by='average_drop', layers=[-1]).ranking)
    if how in ('first','logits'): return
    check(lambda o: o.sanity_check(fs, methods=['gradcam'], draws=1).df)
    check(lambda o: o.cam_localize(fs, truth=lambda f: TensorMask(masks[f]), methods=['gradcam']))
    check(lambda o: o.cam_summary(fs, truth=lambda f: TensorMask(masks[f])).df)

def test_concepts_are_answered():
    "A head that a callback changes names the concepts"
    plain,fs = small_learner(),drawn_files()[0][:3]
    a,b = small_learner(nn.Sequential(*plain.model, Times())).concepts(fs, k=2),small_learner(Pair(plain.model), cbs=Changes('first')).concepts(fs, k=2)
    assert a.labels==b.labels and torch.allclose(a.probs, b.probs, atol=1e-4)

# ---- targets as a person types them

def test_versus_names():
    "A class rather than others by name: the difference of their outputs, and its title"
    learn,fs = small_learner(),drawn_files()[0][:3]
    i,j,k = (list(learn.dls.vocab).index(o) for o in kinds)
    a = learn.cam(fs, target=Versus('checked','level'))
    assert a.labels==[['checked rather than level']]*3
    assert torch.allclose(a.maps, learn.cam(fs, target=lambda p: p[:,i]-p[:,j]).maps, atol=1e-6)
    b = learn.cam(fs, target=Versus('checked', ['level','upright'], weigh=False))
    assert b.labels==[['checked rather than level, upright']]*3
    assert torch.allclose(b.maps, learn.cam(fs, target=lambda p: p[:,i]-(p[:,j]+p[:,k])/2).maps, atol=1e-6)
    hand = lambda p: (p[:,[j,k]].softmax(1)*(p[:,[i]]-p[:,[j,k]])).sum(1)
    assert torch.allclose(learn.cam(fs, target=Versus('checked', ['level','upright'])).maps, learn.cam(fs, target=hand).maps, atol=1e-6)
    two = learn.cam(fs, target=TopK(2)).labels
    assert learn.cam(fs, target=Versus(rivals=1)).labels==[[f'{a} rather than {b}'] for a,b in two]                     # the runner-up is named
    assert learn.cam(fs, target=[Versus(rivals=1), Neg(Versus())]).labels==[[f'{a} rather than {b}', f'against {a} rather than its rivals'] for a,b in two]
    assert learn.cam(fs, target=Versus(None,'level')).labels==[[f'{o[0]} rather than level'] for o in learn.cam(fs).labels]
    with pytest.raises(ValueError, match='upright'): Versus('checked','uprigt').setup(kinds)
    with pytest.raises(ValueError, match='itself'): learn.cam(fs, target=Versus('level','level'))

def test_wrong_says_what():
    "A title is red because of what was predicted: it says that, once, whatever is explained"
    learn = small_learner(n=24)
    cams = learn.cam(target=Actual())
    wrong = [i for i,(p,a) in enumerate(zip(cams.predicted, cams.actuals)) if p!=a]
    assert wrong and len(wrong)<len(cams)
    for c,per in ((cams,'{a} '), (learn.cam(),'{p} '), (learn.cam(method='eigencam'),'without a class')):
        for i,(t,p,a) in enumerate(zip(titles(c), cams.predicted, cams.actuals)):
            head,*rest = t.split('\n')
            assert head.startswith(per.format(p=p, a=a))
            assert [o for o in rest if o[0]!='(']==[f'predicted: {p}']*(i in wrong and not per.startswith('{p}')) + [f'actual: {a}']

def test_against():
    "What speaks against a class: its probability in brackets"
    learn,fs = small_learner(),drawn_files()[0][:2]
    cams = learn.cam(fs)
    assert [t.split('\n')[0] for t in titles(learn.cam(fs, target=Neg()))]==[f'against {o[0]} ({p[0]:.2f})' for o,p in zip(cams.labels, cams.probs)]

@pytest.mark.parametrize('kw', [dict(method='eigencam'), dict(method='random'), dict(method=weight_method(lambda a: a), smooth='tta')], ids=['eigencam','random','own'])
def test_blind(kw):
    "Maps that are the same whatever is asked claim no class, also from a folder; those that are not do"
    learn,fs = small_learner(),drawn_files()[0][:2]
    cams = learn.cam(fs, target=['level','upright'], **kw)
    assert torch.equal(cams.maps[:,0], cams.maps[:,1]) and all(t.split('\n')[0]=='without a class' for t in titles(cams))
    with TemporaryDirectory() as d: assert load_cams(learn.export_cams(Path(d)/'maps', fs, views=False, **{**kw, 'method':'eigencam'})).blind
    for m in ('gradcam','ablationcam','eigengradcam'): assert not any('without' in t for t in titles(learn.cam(fs, method=m)))

# ---- the method follows from the task

usual = 'gradcam','hirescam','layercam','elementwise','gradcampp','xgradcam','eigengradcam','eigencam'

def disc(at): return torch.from_numpy(np.hypot(*(np.mgrid[:size,:size]-np.array(at)[::-1,None,None]))<=r)

def energy(m, at, sign=torch.relu):
    "Share of the map `m` that lies on the disc `at` (x,y)"
    m = TensorCAM(sign(m.as_subclass(Tensor))[None], nd=2).resize((size,size))[0].as_subclass(Tensor)
    return ((m*disc(at)).sum()/m.sum().clamp(min=1e-12)).item()

def test_method_of_the_answer():
    "Grad-CAM for a class and a function of the whole picture, HiResCAM for a region and a function of a place; what is asked for by name is what it was"
    model,x = small_net().eval(),drawn_batch(3)
    for t in (None, 1, TopK(2), Neg(), Versus(), Prob(0), lambda p: p[:,1], [lambda p: p[:,0]-p[:,1], 2]):
        assert torch.equal(cam_maps(model, x, target=t), cam_maps(model, x, target=t, method='gradcam'))
    from test_tasks import segments
    net,x = segments().model,torch.stack([image2tensor(scene(i)[0])/255. for i in range(3)])
    for t in (Region(target=[0,1]), 1, Region((20,20)), Neg(Region((20,20))), lambda p: p[:,1,20,20], lambda p: p[:,:2,20,20]):
        got,want,old = [cam_maps(net, x, target=t, **kw) for kw in (dict(), dict(method='hirescam'), dict(method='gradcam'))]
        assert torch.allclose(got, want, atol=1e-6*want.abs().max().item()) and not torch.allclose(got, old, atol=1e-3*old.abs().max().item())
    mixed = cam_maps(net, x, target=[Region((20,20), 1), lambda p: p[:,1].mean((1,2)), lambda p: p[:,1,20,20]])
    for j,(t,m) in enumerate(((Region((20,20), 1),'hirescam'), (lambda p: p[:,1].mean((1,2)),'gradcam'), (lambda p: p[:,1,20,20],'hirescam'))):
        want = cam_maps(net, x, target=t, method=m)[:,0]
        assert torch.allclose(mixed[:,j], want, atol=1e-5*want.abs().max().item())
    # each item by itself: the first is asked about a pixel, the second about the whole
    both = cam_maps(net, x[:2], target=lambda p: torch.stack([p[0,1,20,20], p[1,1].mean()]))
    assert torch.allclose(both[0], cam_maps(net, x[:1], target=lambda p: p[:,1,20,20])[0], atol=1e-5) and torch.allclose(both[1], cam_maps(net, x[1:2], target=lambda p: p[:,1].mean((1,2)))[0], atol=1e-6)

fewer = dict(scorecam=dict(n=8), sscam=dict(n=8, samples=2), iscam=dict(n=8, samples=2), smoothgrad=dict(samples=4), ig=dict(steps=8, check=False), rise=dict(n=200))

def every_method(f):
    "`f(method=..., **keywords)` of all that are known, by name; three are for other models, and say so"
    res = {}
    for m in cam_methods().index:
        if m in ('cam','rollout','legrad'):
            with pytest.raises(ValueError): f(method=m)
        else: res[m] = f(method=m, **fewer.get(m, {}))
    return res

def on_grid(m, grid):
    "A map of the input laid on a layer's grid, whose cells are larger: a finer grid alone is no better place"
    return F.adaptive_avg_pool2d(m.as_subclass(Tensor)[None], grid)[0]

@pytest.mark.parametrize('what', ['class','pixel'])
def test_place_of_segmentation(what):
    "On discs whose place is known no method of all is ahead of the default by more than a hundredth, on a grid alike, and Grad-CAM is far behind"
    from test_tasks import segments
    learn,its = segments(),valid(segments())[:10]
    of = {c: [i for i in its if c in scene(i)[1]] for c in colors}
    def pixels(c): return torch.stack([torch.zeros(size, size).index_put_(tuple(tensor(scene(i)[1][c][::-1])[:,None]), tensor(1.)) for i in of[c]])
    asked = {c: c if what=='class' else Region(pixels(c), target=c) for c in of}
    def maps(**kw): return [(m[0],scene(i)[1][c]) for c in of for i,m in zip(of[c], learn.cam(of[c], target=asked[c], **kw).maps)]
    def mean(**kw): return np.mean([energy(on_grid(m, (12,12)), at) for m,at in maps(**kw)])
    res,got = every_method(mean),mean()
    assert len(res)>25 and got>=max(res.values())-.01 and got>res['gradcam']+.2
    # of what a class is seen by, pixels tell a finer story: there the disc itself has less on the layer's grid than the default
    fine = np.mean([energy(m, at) for m,at in maps(method='guidedgradcam')])
    best = np.mean([energy(on_grid(disc(at).float(), (12,12)), at) for _,at in maps(method='random')])
    assert fine>res['guidedgradcam'] and got>=best

def test_place_of_points():
    "Where a point is predicted from: of all methods the default has most on the disc, of both signs"
    one = 'red',
    at = lambda i: TensorPoint(tensor([scene(i, one)[1]['red']]).float())
    net = nn.Sequential(body(), nn.Sequential(nn.Flatten(), nn.Linear(32*12*12, 2)))
    learn = trained(scenes(PointBlock, at, get_x=partial(picture, only=one), n=300), net, epochs=8, lr=3e-3)
    def mean(items, **kw): return np.mean([energy(on_grid(m, (12,12)), scene(i, one)[1]['red'], torch.abs) for i,item in zip(items, learn.cam(items, **kw)) for m in item.maps])
    res = every_method(lambda **kw: mean(items=valid(learn)[:20], **kw))
    assert mean(items=valid(learn)[:20])>=max(res.values())
    assert np.mean([peaks_at(m.as_subclass(Tensor).abs(), scene(i, one)[1]['red']) for i,item in zip(valid(learn), learn.cam()) for m in item.maps])>.95

class Heat(nn.Module):
    "A heat map of where colored discs have their centers, and their sizes, as detectors without anchors give it"
    def __init__(self): super().__init__(); self.body,self.heat,self.sizes = body(),nn.Conv2d(32,1,1),nn.Conv2d(32,2,1)
    def forward(self, x): a = self.body(x); return self.heat(a).sigmoid(),self.sizes(a)

def test_place_of_heat():
    "The peak of a detector's heat map, by a function: nearly all of the map lies on what was detected, of several things alike, with no other argument"
    def centers(i):
        y = torch.zeros(1, 12, 12)
        for u,v in scene(i)[1].values(): y[0,v//4,u//4] = 1
        return y
    x = lambda i: (image2tensor(scene(i)[0])/255.-.3)/.3
    dl = DataLoader([(x(i),centers(i)) for i in range(160)], bs=20)
    learn = trained(DataLoaders(dl, dl), Heat(), loss_func=lambda p,y: F.binary_cross_entropy(p[0], y, weight=1+30*y), epochs=8)
    its = [i for i in range(200, 240) if len(scene(i)[1])>1]
    xb,model,peak = torch.stack([x(i) for i in its]),learn.model.eval(),lambda o: o[0].flatten(1).amax(1)
    with torch.no_grad(): found = [(o%12*4+2,o//12*4+2) for o in model(xb)[0].flatten(1).argmax(1).tolist()]
    at = [min(scene(i)[1].values(), key=partial(math.dist, o)) for i,o in zip(its, found)]
    assert np.mean([math.dist(a, o)<=4 for a,o in zip(at, found)])>.9
    def mean(**kw): return np.mean([energy(m[0], a) for a,m in zip(at, cam_maps(model, xb, target=peak, **kw))])
    assert mean()>=.9 and mean()>=max(mean(method=m) for m in usual)-.01 and mean()>mean(method='gradcam')+.3

def test_versus_numbers():
    "`Versus(0, 2)` is asked which it means; a list says that it is a class"
    with pytest.raises(ValueError, match=r'`Versus\(0, 2\)`: is 2 a class, or how many'): Versus(0, 2)
    logits = torch.randn(3, 5)
    assert torch.allclose(Versus(0, [2]).setup().ask(logits, range(3)).scores(logits)[:,0], logits[:,0]-logits[:,2])
    two,three = (Versus([0], n).setup().ask(logits, range(3)).scores(logits) for n in (2,3))
    assert torch.allclose(three, Versus(0).setup().ask(logits, range(3)).scores(logits)) and not torch.allclose(two, three)

def test_labels_of_whole_numbers():
    "A label as a title says it stands for the class, if one alone is said so"
    assert as_target('1', [1,2,3]).setup([1,2,3]).all.tolist()==[0] and as_target(1, [1,2,3]).all.tolist()==[0]
    with pytest.raises(ValueError, match='There is no class'): as_target('4', [1,2,3])
    class One:
        def __str__(self): return '1'
    with pytest.raises(ValueError, match='There is no class'): as_target('1', [1,One(),2])

def test_head_of_html():
    "fastai's star imports hold a `Head` of HTML"
    from fastcore.xml import Head as Tag
    with pytest.raises(TypeError, match='a tag of HTML'): as_target(Tag(1))

def test_frozen_script():
    model = torch.jit.freeze(torch.jit.script(nn.Sequential(nn.Conv2d(3,4,3), nn.ReLU()).eval()))
    with pytest.raises(TypeError, match='TorchScript runs without Python'): cam_maps(model, torch.rand(1,3,8,8))
