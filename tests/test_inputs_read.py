"Which input a layer reads, and along which axes: what changes an input, goes to it or draws it acts on that one"
import pytest
from utils import *
from fastcam.engine.dry import shared_inputs
from fastcam.engine.layer import reads_of

def same(got, want, tol=1e-5):
    got,want = (o.as_subclass(Tensor) for o in (got,want))
    assert got.shape==want.shape
    assert (got-want).abs().max()<=tol*want.abs().max()

few = dict(sscam=dict(samples=2), iscam=dict(samples=2))
at_input = ['scorecam','sscam','iscam','smoothgradcampp','guidedbackprop','guidedgradcam','fullgrad']
smooths = ['tta','noise','windows']
asked = [*[dict(method=m, **few.get(m, {})) for m in at_input], *[dict(smooth=s, **(dict(scales=2) if s=='windows' else {})) for s in smooths]]
by_name = [' '.join(str(v) for v in a.values()) for a in asked]

def convs(nd, ci=3):
    conv = (None,nn.Conv1d,nn.Conv2d,nn.Conv3d)[nd]
    return nn.Sequential(conv(ci, 6, 3, 2, 1), nn.ReLU(), conv(6, 8, 3, 2, 1), nn.ReLU())

class Body(nn.Module):
    "`read(inputs)` gives what the convolutions are given, as they take it, and numbers beside"
    def __init__(self, nd, read, n=0, ci=3):
        super().__init__()
        torch.manual_seed(0)
        self.read,self.body,self.head = read,convs(nd, ci),nn.Linear(8+n, 4)
    def forward(self, *xb):
        x,*more = self.read(*xb)
        return self.head(torch.cat([self.body(x).flatten(2).mean(2), *more], 1))

def alone(x): return (x,)
# how the model takes what is given, and how that is made of (batch, channels, *size)
turned = {'steps first':        (1, 9, (2,9,40),      lambda x: x.transpose(1, 2)),
          'one band':           (1, 1, (2,1,40),      lambda x: x[:,0]),
          'pictures, bands last': (2, 3, (2,3,20,28), lambda x: x.permute(0,2,3,1)),
          'pictures, one band': (2, 1, (2,1,20,28),   lambda x: x[:,0]),
          'pictures, turned':   (2, 3, (2,3,20,28),   lambda x: x.transpose(2, 3)),
          'clips, time first':  (3, 3, (2,3,8,12,16), lambda x: x.transpose(1, 2)),
          'clips, bands last':  (3, 3, (2,3,8,12,16), lambda x: x.permute(0,2,3,4,1))}
back = {'steps first':        lambda x: x.transpose(1, 2),
        'one band':           lambda x: x[:,None],
        'pictures, bands last': lambda x: x.permute(0,3,1,2),
        'pictures, one band': lambda x: x[:,None],
        'clips, time first':  lambda x: x.transpose(1, 2),
        'clips, bands last':  lambda x: x.permute(0,4,1,2,3)}

@pytest.mark.parametrize('kw', asked, ids=by_name)
@pytest.mark.parametrize('how', back)
def test_laid_out_otherwise(how, kw):
    "The map is that of the same model for what is laid out as usual"
    nd,ci,shape,turn = turned[how]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    usual,other = Body(nd, alone, ci=ci).eval(),Body(nd, lambda x: (back[how](x),), ci=ci).eval()
    same(cam_maps(other, turn(x).contiguous(), target=1, **kw), cam_maps(usual, x, target=1, **kw), 1e-4)

class Two(nn.Module):
    "A body for each of two inputs; `flip` calls them the other way around"
    def __init__(self, one, two, n, flip=False):
        super().__init__()
        torch.manual_seed(0)
        self.one,self.two,self.head,self.flip = one,two,nn.Linear(n, 3),flip
    def mean(self, body, x):
        x = body(x)
        return x if x.ndim==2 else x.flatten(2).mean(2)
    def forward(self, a, b):
        if self.flip: b,a = self.mean(self.two, b),self.mean(self.one, a)
        else: a,b = self.mean(self.one, a),self.mean(self.two, b)
        return self.head(torch.cat([a,b], 1))

class Fixed(nn.Module):
    "A model of two inputs, of which number `i` is `x`, one for all items"
    def __init__(self, model, x, i): super().__init__(); self.model,self.x,self.i = model,x,i
    def forward(self, y):
        x = self.x.expand(len(y), *self.x.shape[1:])
        return self.model(x, y) if self.i==0 else self.model(y, x)

pairs = {'numbers, picture': (nn.Identity, (5,), 'two', 13), 'two pictures': (lambda: convs(2), (3,24,32), 'two', 16), 'two pictures, the first': (lambda: convs(2), (3,24,32), 'one', 16),
         'signal, picture': (lambda: convs(1), (3,50), 'two', 16)}

@pytest.mark.parametrize('kw', asked, ids=by_name)
@pytest.mark.parametrize('how', pairs)
def test_beside_another_input(how, kw):
    "The map is that of the model of one input that the other is built into"
    one,size,layer,n = pairs[how]
    xb = [torch.randn(2, *o, generator=torch.Generator().manual_seed(i)) for i,o in enumerate((size, (3,24,32)))]
    model,i = Two(one(), convs(2), n, flip=layer=='one').eval(),int(layer=='two')
    if kw.get('method') not in ('guidedbackprop','fullgrad'): kw = dict(kw, layer=layer)
    elif 'signal' in how: i = 0                                       # to what the default layer reads
    def alone(j):
        one = Fixed(model, xb[1-i][j:j+1], 1-i).eval()
        named = {'layer': f"model.{layer}"} if 'layer' in kw else {}
        return cam_maps(one, xb[i][j:j+1], target=1, **{**kw, **named}).as_subclass(Tensor)
    same(cam_maps(model, tuple(xb), target=1, **kw), torch.cat([alone(0), alone(1)]), 1e-4)

def planted(n, seed=0):
    "Pairs of pictures, the second with a bright patch in a known cell where it is of class 1"
    rng = torch.Generator().manual_seed(seed)
    a,b,at = torch.randn(n, 1, 32, 32, generator=rng)*.5,torch.randn(n, 1, 32, 32, generator=rng)*.5,torch.randint(0, 4, (n,2), generator=rng)
    for i in range(n):
        r,c = (at[i]*8).tolist()
        a[i,:,:8,:8] += 2.*(i//2%2)                                  # as bright, but it decides nothing
        if i%2: b[i,:,r:r+8,c:c+8] += 2.
    return a,b,torch.arange(n)%2,at

@cache
def trained_on_the_second():
    set_seed(0)
    def body(): return nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
    model,(a,b,y,_) = Two(body(), body(), 16),planted(128)
    opt = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(60):
        opt.zero_grad()
        F.cross_entropy(model(a, b)[:,:2], y).backward()
        opt.step()
    return model.eval()

@pytest.mark.parametrize('kw', [dict(method='scorecam'), dict(method='guidedbackprop'), dict(smooth='noise')], ids=lambda kw: '-'.join(kw.values()))
def test_second_decides(kw):
    "Trained such that only the second of two pictures decides: the map lies where its patch is"
    model,(a,b,y,at) = trained_on_the_second(),planted(64, 1)
    a,b,at = a[y==1],b[y==1],at[y==1]
    assert (model(a, b)[:,:2].argmax(1)==1).float().mean()>.95
    m = cam_maps(model, (a,b), target=1, **kw)
    if 'guided' in kw.get('method', ''): m = m.abs()                  # pixels, of either sign
    cells = F.adaptive_avg_pool2d(m.as_subclass(Tensor), 4).flatten(1)
    hit = (cells.argmax(1)==at[:,0]*4+at[:,1]).float().mean()
    assert hit>.8, hit

@pytest.mark.parametrize('layer,falls', [('two',True), ('one',False)])
def test_metrics_change_what_the_layer_reads(layer, falls):
    "The probability falls as the second picture is taken away by its map, and does not as the first is: it decides nothing"
    model,(a,b,y,_) = trained_on_the_second(),planted(24, 2)
    a,b = a[y==1],b[y==1]
    maps = cam_maps(model, (a,b), target=1, layer=layer)
    p = model(a, b).softmax(1)[:,1].detach()
    drop = average_drop(model, (a*0, b*0), maps, target=1, layer=layer)                      # nothing to lose: as a check of the scale
    assert drop.abs().max()<1e-6
    left = deletion_auc(model, (a,b), maps, target=1, layer=layer, steps=8)/p
    assert left.mean()<.7 if falls else left.mean()>.9, left.mean()

def test_metrics_of_steps_first():
    "Metrics of signals that the model takes steps first are those of the same model for channels first"
    x = torch.randn(3,9,40)
    usual,other = Body(1, alone, ci=9).eval(),Body(1, lambda x: (x.transpose(1, 2),), ci=9).eval()
    maps = cam_maps(usual, x, target=1)
    for f in (deletion_auc,insertion_auc,average_drop,road_morf,infidelity):
        kw = dict(samples=8) if f is infidelity else {}
        torch.testing.assert_close(f(other, x.transpose(1,2).contiguous(), maps, target=1, **kw), f(usual, x, maps, target=1, **kw), rtol=1e-4, atol=1e-5)
    explain = partial(cam_maps, other)
    torch.testing.assert_close(flip_agreement(other, x.transpose(1,2).contiguous(), maps, explain, target=1), flip_agreement(usual, x, maps, partial(cam_maps, usual), target=1), rtol=1e-3, atol=1e-4)

# ---- what items share
class Clip(nn.Module):
    "Pictures compared with embeddings of the classes, of which there may be as many; `before`: the embeddings come first"
    def __init__(self, before=False):
        super().__init__()
        torch.manual_seed(0)
        self.body,self.proj,self.before = convs(2),nn.Linear(8, 6),before
    def forward(self, x, words):
        if self.before: x,words = words,x
        return 10*F.normalize(self.proj(self.body(x).mean((2,3))), dim=1)@F.normalize(words, dim=1).T

class Scaled(Body):
    "With a temperature, one for all or one for each item"
    def forward(self, x, t): return super().forward(x)/(t.reshape(-1, 1) if t.ndim else t)

class Memory(nn.Module):
    "Each item reads a memory of tokens, numbers of words"
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body,self.emb,self.head = convs(2),nn.Embedding(30, 8),nn.Linear(8, 3)
    def forward(self, x, ids):
        m,q = self.emb(ids).mean(1),self.body(x).mean((2,3))
        return self.head(q+(q@m.T).softmax(1)@m)

pics,words,ids = torch.randn(5,3,24,32),torch.randn(5,6),torch.randint(0, 30, (5,7))
of_rows = [dict(method='ablationcam', bs=7), dict(method='ablationcam', n=3), dict(method='scorecam', bs=4), dict(method='headcam', bs=9), dict(smooth='tta')]

@pytest.mark.parametrize('kw', of_rows, ids=lambda kw: '-'.join(map(str, kw.values())))
@pytest.mark.parametrize('make,other', [(Clip,words), (Memory,ids)], ids=['classes','memory'])
@pytest.mark.parametrize('target', [0,2])
def test_as_many_as_items(make, other, kw, target):
    "What all items share has as many rows as there are items: maps are those of one picture at a time, which cannot be confused"
    model = make().eval()
    got = cam_maps(model, (pics,other), target=target, **kw)
    same(got, torch.cat([cam_maps(model, (p[None],other), target=target, **kw).as_subclass(Tensor) for p in pics]), 1e-3)

def test_which_are_shared():
    "Embeddings of classes and a memory are, in either order; numbers for each item are not, nor a temperature for each"
    net = lambda **kw: Body(2, lambda x,n: (x,n), n=5).eval()
    assert shared_inputs(Clip().eval(), (pics,words))=={1}
    assert shared_inputs(Clip().eval(), (pics[:1],words[:1]))=={1}
    assert shared_inputs(Clip(before=True).eval(), (words,pics))=={0}
    assert shared_inputs(Memory().eval(), (pics,ids))=={1}
    assert shared_inputs(net(), (pics,torch.randn(5,5)))==set()
    assert shared_inputs(net(), (pics[:1],torch.randn(1,5)))==set()
    assert shared_inputs(Scaled(2, alone).eval(), (pics,torch.rand(5)+.5))==set()
    assert shared_inputs(Scaled(2, alone).eval(), (pics,torch.tensor(.5)))=={1}

@pytest.mark.parametrize('n', [3,5])
def test_embeddings_first(n):
    "Embeddings of the classes before the pictures, as many as these or not"
    model,after = Clip(before=True).eval(),Clip().eval()
    for kw in (dict(), dict(method='ablationcam', bs=7), dict(method='scorecam'), dict(smooth='noise')):
        same(cam_maps(model, (words,pics[:n]), target=2, **kw), cam_maps(after, (pics[:n],words), target=2, **kw), 1e-3)

# ---- texts beside numbers and pictures
class WithText(nn.Module):
    "A text beside a picture, or numbers; padding does not count"
    def __init__(self, n=0):
        super().__init__()
        torch.manual_seed(0)
        self.emb,self.rnn,self.body = nn.Embedding(40, 6, padding_idx=1),nn.GRU(6, 6, batch_first=True),nn.Identity() if n else convs(2)
        self.head = nn.Linear(6+(n or 8), 3)
    def forward(self, x, ids):
        o,real = self.rnn(self.emb(ids))[0],(ids!=1).float()[...,None]
        x = self.body(x)
        x = x.mean((2,3)) if x.ndim>2 else x
        return self.head(torch.cat([(o*real).sum(1)/real.sum(1), x], 1))

@pytest.mark.parametrize('n', [0,4], ids=['picture','numbers'])
@pytest.mark.parametrize('tokens', [9,12,16])
def test_text_beside(n, tokens):
    "A text is explained word by word, without its padding, as by hand; the picture by default, where there is one"
    model,x = WithText(n).eval(),torch.randn(3, n) if n else torch.randn(3,3,24,32)
    text = torch.randint(2, 40, (3,tokens), generator=torch.Generator().manual_seed(0))
    text[1,-3:] = 1
    kept = {}
    h = model.rnn.register_forward_hook(lambda m,i,o: kept.update(o=o[0]))
    pred = model(x, text)
    h.remove()
    g, = torch.autograd.grad(pred[:,2].sum(), kept['o'])
    got = cam_maps(model, (x,text), target=2, layer='rnn')
    for i,m in enumerate(got):
        real = text[i]!=1
        same(m, (g[i,real].mean(0)*kept['o'][i,real]).sum(1)[None].detach(), 1e-4)
    default = cam_maps(model, (x,text), target=2)
    assert (len(default[0].shape)==2) == bool(n)
    with pytest.raises(ValueError, match='token numbers'): cam_maps(model, (x,text), target=2, layer='rnn', method='scorecam')

# ---- drawing
def learner_of(model, *xb):
    dl = torch.utils.data.DataLoader(list(zip(*xb, torch.zeros(len(xb[0])).long())), batch_size=2)
    dls = DataLoaders(dl, dl)
    dls.n_inp = len(xb)
    res = Learner(dls, model, loss_func=CrossEntropyLossFlat())
    res.remove_cbs(res.cbs.filter(lambda o: o.name=='progress'))
    return res

def test_drawn_along_its_steps():
    "A signal that the model takes steps first is drawn as a line for each channel"
    x = torch.randn(3,40,5)
    ax = learner_of(Body(1, lambda x: (x.transpose(1, 2),), ci=5).eval(), x).cam().show(max_n=1)[0]
    assert [tuple(line.get_ydata()) for line in ax.lines]==[tuple(o) for o in x[0].T.tolist()]
    plt.close('all')

def test_drawn_on_what_was_read():
    "The second of two pictures is drawn, without asking, where the layer reads that; the first by `inp=0`"
    a,b = torch.rand(2,3,24,32),torch.rand(2,3,48,64)
    cams = learner_of(Two(convs(2), convs(2), 16).eval(), a, b).cam()
    def size(cams, **kw): return np.asarray(cams.show(max_n=1, **kw)[0].get_images()[0].get_array()).shape[:2]
    assert (cams.reads.source,size(cams),size(cams[:1], inp=0),size(cams[0]))==(1,(48,64),(24,32),(48,64))
    assert size(learner_of(Two(convs(2), convs(2), 16).eval(), a, b).cam(layer='one'))==(24,32)
    plt.close('all')

@pytest.mark.parametrize('n', [0,4], ids=['picture','numbers'])
def test_words_beside(n):
    "Texts beside something else come back as texts where their layer is asked for"
    text = torch.randint(2, 40, (2,9))
    cams = learner_of(WithText(n).eval(), torch.randn(2, n) if n else torch.randn(2,3,24,32), text).cam(layer='rnn', target=1)
    assert cams[0].words().tokens.tolist()==[str(i) for i in text[0].tolist()]

# ---- what is a grid of answers
class Answering(nn.Module):
    "`f` of what convolutions give"
    def __init__(self, nd, f, *mods):
        super().__init__()
        torch.manual_seed(0)
        self.body,self.f,self.mods = convs(nd),f,nn.ModuleList(mods)
    def forward(self, x): return self.f(self.body(x), *self.mods)

def pooled(o, fc): return fc(o.flatten(2).mean(2))
def columns(o, rnn, fc): return fc(rnn(o.mean(2).transpose(1, 2))[0])
def queries(o, q, attn, fc): return fc(attn(q.weight.expand(len(o), -1, -1), *2*[o.flatten(2).transpose(1, 2)])[0])
small = torch.randn(2,3,24,32,generator=torch.Generator().manual_seed(0))
no_grids = {
    'digits':           (lambda: Answering(2, lambda o,fc: pooled(o, fc).unflatten(1, (5,11)), nn.Linear(8,55)), small),
    'digits of signals': (lambda: Answering(1, lambda o,fc: pooled(o, fc).unflatten(1, (5,11)), nn.Linear(8,55)), torch.randn(2,3,64)),
    'boards':           (lambda: Answering(2, lambda o,fc: pooled(o, fc).unflatten(1, (5,3,4)), nn.Linear(8,60)), small),
    'steps of a line':  (lambda: Answering(2, columns, nn.GRU(8,8,batch_first=True), nn.Linear(8,11)), small),
    'tags':             (lambda: Answering(1, lambda o,fc: fc(o.transpose(1, 2)), nn.Linear(8,6)), torch.randn(2,3,64)),
    'queries':          (lambda: Answering(2, queries, nn.Embedding(20,8), nn.MultiheadAttention(8,2,batch_first=True), nn.Linear(8,6)), small)}

@pytest.mark.parametrize('what', no_grids)
def test_no_grid_of_answers(what):
    "What only has more than two axes is no segmentation: it is refused with what to give, and explained by a function, as by hand"
    make,x = no_grids[what]
    model = make().eval()
    for target in (None, 3, TopK(2)):
        with pytest.raises(ValueError, match='expected .batch, classes.*function.*lambda pred'): cam_maps(model, x, target=target)
    kept = {}
    h = model.body.register_forward_hook(lambda m,i,o: kept.update(o=o))
    pred = model(x.clone().requires_grad_())
    h.remove()
    g, = torch.autograd.grad(pred.flatten(1)[:,7].sum(), kept['o'])
    want = (g.flatten(2).mean(2).reshape(*g.shape[:2], *[1]*(g.ndim-2))*kept['o']).sum(1, keepdim=True).detach()
    same(cam_maps(model, x, target=lambda pred: pred.flatten(1)[:,7], layer='body', method='gradcam'), want, 1e-4)

class Cooler(Callback):
    def after_pred(self): self.learn.pred = self.pred/2

@pytest.mark.parametrize('what', ['digits','digits of signals'])
def test_no_grid_behind_a_callback(what):
    "Nor is what a callback makes of it: refused with what to give, and each answer explained by its number, as the function says it by hand"
    make,x = no_grids[what]
    learn = learner_of(make().eval(), x)
    learn.loss_func = lambda p,*y: p.mean()
    learn.add_cb(Cooler())
    with pytest.raises(ValueError, match=r'5 answers of 11 classes each.*target=\[Head\(i\) for i in range\(5\)\]'): learn.cam()
    cams = learn.cam(target=[Head(i) for i in range(5)])
    with torch.no_grad(): best = learn.model(x).argmax(2)
    assert cams.labels==[[f'{c} (head {i})' for i,c in enumerate(o)] for o in best.tolist()]
    same(cams.maps, learn.cam(target=lambda p: p.amax(2), method='gradcam').maps)

up = partial(F.interpolate, scale_factor=4)
grids = {
    'pictures':          (lambda: Answering(2, lambda o,c: up(c(o)), nn.Conv2d(8,5,1)), small, (24,32)),
    'at a quarter':      (lambda: Answering(2, lambda o,c: c(o), nn.Conv2d(8,5,1)), small, (6,8)),
    'finer':             (lambda: Answering(2, lambda o,c: up(up(c(o))), nn.Conv2d(8,5,1)), small, (96,128)),
    'signals':           (lambda: Answering(1, lambda o,c: up(c(o)), nn.Conv1d(8,5,1)), torch.randn(2,3,64), (64,)),
    'volumes':           (lambda: Answering(3, lambda o,c: c(o), nn.Conv3d(8,5,1)), torch.randn(2,3,16,16,24), (4,4,6)),
    'one cell':          (lambda: Answering(2, lambda o,c: c(o.mean((2,3), keepdim=True)), nn.Conv2d(8,5,1)), small, (1,1))}

@pytest.mark.parametrize('what', grids)
def test_grid_of_answers(what):
    "A prediction of every place is: a class is explained where it is predicted, as by hand"
    make,x,size = grids[what]
    model = make().eval()
    kept = {}
    h = model.body.register_forward_hook(lambda m,i,o: kept.update(o=o))
    pred = model(x.clone().requires_grad_())
    h.remove()
    assert pred.shape[2:]==size
    there = (pred.argmax(1)==2).flatten(1)
    there = there|~there.any(1, keepdim=True)
    g, = torch.autograd.grad((pred[:,2].flatten(1)*there/there.sum(1, keepdim=True)).sum(), kept['o'])
    want = (g.flatten(2).mean(2).reshape(*g.shape[:2], *[1]*(g.ndim-2))*kept['o']).sum(1, keepdim=True).detach()
    same(cam_maps(model, x, target=2, layer='body', method='gradcam'), want, 1e-4)

@pytest.mark.parametrize('method', ['gradcam','ablationcam','scorecam'])
@pytest.mark.parametrize('nd', [1,2])
def test_points(nd, method):
    "Points (batch, n, 2) are 2n outputs, those of the same head flat"
    x = small if nd==2 else torch.randn(2,3,64)
    fc = nn.Linear(8,6)
    flat,paired = Answering(nd, pooled, fc).eval(),Answering(nd, lambda o,fc: pooled(o, fc).unflatten(1, (3,2)), fc).eval()
    for target in (Outputs(), [0,3,5], Outputs(which=[4])): same(cam_maps(paired, x, target=target, method=method), cam_maps(flat, x, target=target, method=method))
    if method=='gradcam':                                            # windows count by their number, which is no probability
        kw = dict(method=method, smooth='windows', scales=2)
        want = cam_maps(flat, x, target=lambda p: p[:,4], **kw)
        for model in (flat,paired): same(cam_maps(model, x, target=Outputs(which=[4]), **kw), want)
    maps = cam_maps(flat, x, target=Outputs())
    kw = dict(target=Outputs(), samples=8)
    torch.testing.assert_close(infidelity(paired, x, maps, **kw), infidelity(flat, x, maps, **kw))

def test_points_are_named():
    files = drawn_files(8)[0]
    block = DataBlock((ImageBlock,PointBlock), splitter=RandomSplitter(.5, seed=0), get_y=lambda f: tensor([[10.,20.],[30.,40.],[5.,6.]]), item_tfms=Resize(32))
    dls = block.dataloaders(files, bs=4, num_workers=0)
    cams,fc = [],nn.Linear(8,6)
    for shape in ((6,), (3,2)):
        learn = Learner(dls, Answering(2, lambda o,fc: pooled(o, fc).unflatten(1, shape), fc), loss_func=MSELossFlat())
        with learn.no_bar(): cams.append(learn.cam())
    assert cams[0].labels==cams[1].labels and cams[1].labels[0]==[f'point {i} {o}' for i in range(3) for o in 'xy']
    same(cams[1].maps, cams[0].maps)
    assert np.allclose(cams[0].probs[0], cams[1].probs[0])

# ---- wrapped layers
class Lora(nn.Module):
    "As peft has it: beside a linear layer, two of a low rank"
    def __init__(self, l, r=3):
        super().__init__()
        self.base_layer,self.lora_dropout = l,nn.ModuleDict(dict(default=nn.Identity()))
        self.lora_A,self.lora_B = (nn.ModuleDict(dict(default=nn.Linear(*io, bias=False))) for io in ((l.in_features,r), (r,l.out_features)))
    def forward(self, x): return self.base_layer(x)+2*self.lora_B['default'](self.lora_A['default'](self.lora_dropout['default'](x)))

class Adapter(nn.Module):
    "A bottleneck behind a linear layer"
    def __init__(self, l, r=3): super().__init__(); self.l,self.down,self.act,self.up = l,nn.Linear(l.out_features, r),nn.GELU(),nn.Linear(r, l.out_features)
    def forward(self, x):
        x = self.l(x)
        return x+self.up(self.act(self.down(x)))

class Around(nn.Module):
    def __init__(self, l): super().__init__(); self.l = l
    def forward(self, x): return self.l(x)

@pytest.mark.parametrize('around', [Lora,Adapter,Around])
@pytest.mark.parametrize('names', [('qkv',), ('fc1','fc2'), ('proj',), ('qkv','proj','fc1','fc2')], ids=' '.join)
def test_wrapped_layers(names, around):
    "The layer that is found is that of the model without what is around its linear layers, and there the map is the one made by hand"
    import timm
    torch.manual_seed(0)
    kw = dict(img_size=(32,48), patch_size=8, depth=2, embed_dim=24, num_heads=2, num_classes=5)
    model,x = timm.models.VisionTransformer(**kw).eval(),torch.randn(2,3,32,48)
    plain = [o.name for o in stages(grid_layers(model, x))]
    for n,l in list(model.named_modules()):
        if n.startswith('blocks') and n.split('.')[-1] in names: setattr(model.get_submodule(n.rpartition('.')[0]), n.split('.')[-1], around(l))
    model.eval()
    assert [o.name for o in stages(grid_layers(model, x))]==plain
    kept = {}
    h = model.get_submodule(plain[-1]).register_forward_hook(lambda m,i,o: kept.update(o=o))
    pred = model(x)
    h.remove()
    g, = torch.autograd.grad(pred[:,2].sum(), kept['o'])
    cells = lambda t: t[:,1:].transpose(1, 2).unflatten(2, (4,6))
    want = (cells(g).mean((2,3), keepdim=True)*cells(kept['o'])).sum(1, keepdim=True).detach()
    same(cam_maps(model, x, target=2), want, 1e-4)

def test_blocks_are_not_wrapped():
    "Attention and what else has two linear layers of full rank, or an activation behind one, is found as before"
    class Net(nn.Module):
        def __init__(self, *mods): super().__init__(); self.emb,self.block,self.head = nn.Linear(3,8),nn.Sequential(*mods),nn.Linear(8,2)
        def forward(self, x): return self.head(self.block(self.emb(x.transpose(1, 2))).mean(1))
    for mods in ((nn.Linear(8,8),nn.ReLU()), (nn.Linear(8,16),nn.ReLU(),nn.Linear(16,8)), (nn.Linear(8,8),nn.Linear(8,8))):
        torch.manual_seed(0)
        assert first(find_layers(Net(*mods).eval(), torch.randn(2,3,30)))=='block'
