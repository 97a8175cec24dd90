"Models that put the parts of an item into the batch, frames, patches or pairs: which row is which part of which item is measured, and maps have an axis for the parts. Truth is autograd by hand, and patches planted in a known part"
import timm
import pytest
from utils import *
from fastcam.engine.tail import shortcuts
from fastcam.evidence.metric import *

def tiny(c=3, n=8): return nn.Sequential(nn.Conv2d(c,n,3,2,1), nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n,2*n,3,2,1), nn.ReLU())

class Video(nn.Module):
    "A body of pictures on frames folded by `fold` to rows; what they give goes through `unfold` to (batch, frames, channels)"
    def __init__(self, body=None, n=16, c=3, classes=5):
        super().__init__()
        self.body,self.fc = ifnone(body, tiny(c)),nn.Linear(n,classes)
    def fold(self, x): return x.flatten(0,1)
    def unfold(self, f, b): return f.unflatten(0, (b,-1))
    def gather(self, f): return f.mean(1)
    def forward(self, x): return self.fc(self.gather(self.unfold(self.body(self.fold(x)).mean((2,3)), len(x))))

class InChannels(Video):
    "(batch, frames*3, h, w), as TSN and TSM take it"
    def fold(self, x): return x.unflatten(1, (-1,3)).flatten(0,1)
class Interleaved(Video):
    "(batch, 3*frames, h, w), the frames of a color beside each other"
    def fold(self, x): return x.unflatten(1, (3,-1)).transpose(1,2).flatten(0,1)
class ChannelsFirst(Video):
    "(batch, 3, frames, h, w)"
    def fold(self, x): return x.transpose(1,2).flatten(0,1)
class BandsLast(Video):
    "(batch, frames, h, w, 3)"
    def fold(self, x): return x.permute(0,1,4,2,3).flatten(0,1)
class TimeMajor(Video):
    def fold(self, x): return x.transpose(0,1).flatten(0,1)
    def unfold(self, f, b): return f.unflatten(0, (-1,b)).transpose(0,1)
class Bytes(Video):
    def fold(self, x): return (x.float()/255).flatten(0,1)
class Recurrent(Video):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.rnn = nn.LSTM(16, 16, batch_first=True)
    def gather(self, f): return self.rnn(f)[0][:,-1]

class Shift(nn.Module):
    "TSM: an eighth of the channels comes from the frame before, an eighth from the next"
    def __init__(self, m, n): super().__init__(); self.m,self.n = m,n
    def forward(self, x):
        x = x.unflatten(0, (-1,self.n))
        k = max(1, x.shape[2]//8)
        y = torch.zeros_like(x)
        y[:,:-1,:k],y[:,1:,k:2*k],y[:,:,2*k:] = x[:,1:,:k],x[:,:-1,k:2*k],x[:,:,2*k:]
        return self.m(y.flatten(0,1))

def shifting(n=4):
    block = lambda i,o,s=1: nn.Sequential(Shift(nn.Conv2d(i,o,3,s,1), n), nn.BatchNorm2d(o), nn.ReLU())
    return nn.Sequential(nn.Conv2d(3,8,3,2,1), nn.ReLU(), block(8,16,2), block(16,16), block(16,16))

class Pair(nn.Module):
    "Two pictures, one behind the other in the batch"
    def __init__(self): super().__init__(); self.body,self.fc = tiny(),nn.Linear(32,5)
    def forward(self, a, b):
        f,g = self.body(torch.cat([a,b])).mean((2,3)).chunk(2)
        return self.fc(torch.cat([f*g,(f-g).abs()], 1))

class Bag(nn.Module):
    "Attention over the patches of a bag; `one` is a model that takes one bag, as is usual"
    def __init__(self, one=False):
        super().__init__()
        self.one,self.body,self.att,self.fc = one,tiny(),nn.Sequential(nn.Linear(16,8), nn.Tanh(), nn.Linear(8,1)),nn.Linear(16,2)
    def forward(self, x):
        if self.one:
            h = self.body(x.squeeze(0)).mean((2,3))
            return self.fc((self.att(h).softmax(0)*h).sum(0, keepdim=True))
        h = self.body(x.flatten(0,1)).amax((2,3)).unflatten(0, (len(x),-1))
        return self.fc((self.att(h).softmax(1)*h).sum(1))

def in_order(rows, b): return rows.unflatten(0, (b,-1))
def part_by_part(rows, b): return rows.unflatten(0, (-1,b)).transpose(0,1)

def clip(*shape): return lambda b: (torch.randn(b, *shape, generator=torch.Generator().manual_seed(1)),)
models = {
    'frames': (Video, clip(6,3,32,48), 'body', in_order),
    'two frames': (Video, clip(2,3,32,48), 'body', in_order),
    'as many frames as bands': (Video, clip(3,3,32,48), 'body', in_order),
    'TSN on a timm body': (lambda: Video(timm.create_model('resnet18', num_classes=0, global_pool=''), 512), clip(4,3,64,96), 'body', in_order),
    'TSM': (lambda: Video(shifting()), clip(4,3,32,48), 'body', in_order),
    'in channels': (InChannels, clip(5*3,32,48), 'body', in_order),
    'in channels, three of three': (InChannels, clip(3*3,32,48), 'body', in_order),
    'interleaved': (Interleaved, clip(3*5,32,48), 'body', in_order),
    'channels first': (ChannelsFirst, clip(3,6,32,48), 'body', in_order),
    'bands last': (BandsLast, clip(4,32,48,3), 'body', in_order),
    'part by part': (TimeMajor, clip(6,3,32,48), 'body', part_by_part),
    'bytes': (Bytes, lambda b: ((clip(4,3,32,48)(b)[0]*50+128).clamp(0,255).byte(),), 'body', in_order),
    'LSTM': (Recurrent, clip(6,3,32,48), 'body', in_order),
    'pair': (Pair, lambda b: tuple(t.contiguous() for t in clip(2,3,32,48)(b)[0].unbind(1)), 'body', part_by_part),
    'bag': (Bag, clip(7,3,32,32), 'body', in_order),
    'one bag': (lambda: Bag(one=True), clip(7,3,32,32), 'body', in_order)}
alone = {'one bag'}
def n_parts(kind): return {'frames':6,'two frames':2,'as many frames as bands':3,'TSN on a timm body':4,'TSM':4,'in channels':5,'in channels, three of three':3,
    'interleaved':5,'channels first':6,'bands last':4,'part by part':6,'bytes':4,'LSTM':6,'pair':2,'bag':7,'one bag':7}[kind]

@cache
def model_of(kind):
    torch.manual_seed(0)
    return models[kind][0]().eval()

def by_hand(kind, xb, cols):
    "Activations and gradients (batch, channels, parts, h, w) of these columns (batch, k), one at a time"
    m,(_,_,layer,order),kept = model_of(kind),models[kind],{}
    h = m.get_submodule(layer).register_forward_hook(lambda m,i,o: kept.setdefault('a', o.detach().requires_grad_()))
    p = m(*xb)
    h.remove()
    b = len(xb[0])
    on_grid = lambda t: order(t, b).transpose(1,2)
    gs = [torch.autograd.grad(p.gather(1, c[:,None]).sum(), kept['a'], retain_graph=True)[0] for c in cols.T]
    return on_grid(kept['a'].detach()),[on_grid(g) for g in gs]

ways = {'gradcam': lambda a,g: (g.mean((2,3,4), keepdim=True)*a).sum(1), 'hirescam': lambda a,g: (g*a).sum(1), 'layercam': lambda a,g: (g.relu()*a).sum(1)}

@pytest.mark.parametrize('b', [1,2,3])
@pytest.mark.parametrize('kind', models)
def test_as_by_hand(kind, b):
    "For any number of items, and several columns, found without being told; in whatever order it is asked first"
    if kind in alone and b>1: return
    m,xb = model_of(kind),models[kind][1](b)
    forget_layers(m)
    cols = torch.stack([m(*xb).argmax(1), torch.arange(b)%2], 1)
    a,gs = by_hand(kind, xb, cols)
    for layer in (None,models[kind][2]):
        for method,f in ways.items():
            got = cam_maps(m, xb, target=cols, layer=layer, method=method)
            assert got.nd==3 and got.shape==(b,2,n_parts(kind),*a.shape[3:])
            torch.testing.assert_close(got.as_subclass(Tensor), torch.stack([f(a, g) for g in gs], 1), rtol=1e-3, atol=1e-6)

@pytest.mark.parametrize('kind', models)
def test_part_is_found(kind):
    "What is different in one part only changes the map of that part: the activations say which row is which, whatever the order"
    m,(x,*rest) = model_of(kind),models[kind][1](1 if kind in alone else 3)
    lay = first(find_layers(m, (x,*rest)).values())
    i,k = len(x)-1,n_parts(kind)-1
    reads = reads_of(m, (x,*rest), lay)
    whole = reads.of((x,*rest))
    assert whole.shape[2]==n_parts(kind)
    other = whole.clone()
    other[i,:,k] = other[i,:,k].flip(-1)
    got,was = (_activations(m, lay, reads.put((x,*rest), w)) for w in (other,whole))
    changed = (got!=was).flatten(3).any(3).any(1)                              # (items, parts)
    assert changed[i,k] and not changed[:i].any()
    assert changed[i].sum()==1 or kind=='TSM'                                   # which hands on to its neighbors
    for a,b in zip(reads.put((x,*rest), whole), (x,*rest)): assert torch.equal(a, b)

def _activations(m, lay, xb):
    kept = []
    h = lay.module.register_forward_hook(lambda m,i,o: kept.append(o.detach()))
    m(*xb)
    h.remove()
    return lay.to_grid(kept[0])

@pytest.mark.parametrize('kind', ['frames','part by part','pair','in channels','TSM'])
def test_round_trip(kind):
    "Put back, activations are as the layer gives them, of any items"
    m,xb = model_of(kind),models[kind][1](3)
    lay,kept = first(find_layers(m, xb).values()),[]
    h = lay.module.register_forward_hook(lambda m,i,o: kept.append(o.detach()))
    m(*xb)
    m(*[x[[2,0]] for x in xb])
    h.remove()
    a = lay.to_grid(kept[0])
    assert torch.equal(lay.from_grid(a, kept[0]), kept[0])
    torch.testing.assert_close(lay.from_grid(a[[2,0]], kept[0], [2,0]), kept[1])
    torch.testing.assert_close(lay.to_grid(lay.joined(torch.stack([kept[0], -kept[0]]))), torch.cat([a,-a]))

@pytest.mark.parametrize('kind', ['frames','part by part','pair','in channels','one bag'])
@pytest.mark.parametrize('method', ['scorecam','ablationcam','headcam','cam','eigencam','gradcampp','fem','shapleycam','smoothgradcampp','guidedbackprop','guidedgradcam'])
def test_methods(kind, method):
    "A batch is its items; and shortcuts change nothing"
    if method=='cam' and kind in ('pair','one bag'): return                     # its head is not linear
    m,xb = model_of(kind),models[kind][1](1 if kind in alone else 2)
    got = cam_maps(m, xb, target=1, method=method)
    assert got.isfinite().all() and got.any() and got.shape[2]==n_parts(kind)
    with shortcuts(False): torch.testing.assert_close(cam_maps(m, xb, target=1, method=method), got, rtol=1e-3, atol=1e-5)
    for i in range(len(got)): torch.testing.assert_close(cam_maps(m, tuple(x[i:i+1] for x in xb), target=1, method=method)[0], got[i], rtol=1e-3, atol=1e-5)

def test_score_and_ablation_by_hand():
    "Channels left out, and pictures seen through them, one by one"
    m,xb = model_of('part by part'),models['part by part'][1](2)
    a,_ = by_hand('part by part', xb, torch.ones(2,1).long())
    y = m(*xb)[:,1]
    def without(c):
        h = m.body.register_forward_hook(lambda m,i,o: o*(torch.arange(o.shape[1])!=c).float()[:,None,None])
        try: return m(*xb)[:,1]
        finally: h.remove()
    w = torch.stack([(y-without(c))/y.abs() for c in range(16)], 1)*a.flatten(2).any(2)
    torch.testing.assert_close(cam_maps(m, xb, target=1, method='ablationcam')[:,0].as_subclass(Tensor), (w[...,None,None,None]*a).sum(1), rtol=1e-3, atol=1e-5)
    masks = F.interpolate(a, size=(6,32,48), mode='trilinear', align_corners=False)
    lo,hi = (f(masks.flatten(2), 2)[...,None,None,None] for f in (torch.amin,torch.amax))
    masks = (masks-lo)/(hi-lo).clamp(min=1e-8)
    s = torch.stack([m(xb[0]*masks[:,c,:,None])[:,1] for c in range(16)], 1)
    torch.testing.assert_close(cam_maps(m, xb, target=1, method='scorecam')[:,0].as_subclass(Tensor), (s.softmax(1)[...,None,None,None]*a).sum(1), rtol=1e-3, atol=1e-4)

@pytest.mark.parametrize('smooth', ['tta','noise'])
def test_smooth(smooth):
    for kind in ('part by part','pair','in channels'):
        m,xb = model_of(kind),models[kind][1](2)
        got = cam_maps(m, xb, target=1, smooth=smooth)
        torch.testing.assert_close(cam_maps(m, tuple(x[1:] for x in xb), target=1, smooth=smooth)[0], got[1], rtol=1e-3, atol=1e-5)
        assert got.shape[2]==n_parts(kind) and (got!=cam_maps(m, xb, target=1)).any()

# ---- what is refused

class Mixed(Video):
    "Rows are frames of both halves"
    def fold(self, x): return (x+x.flip(1)).flatten(0,1)
class Shuffled(Video):
    def fold(self, x): return x[:,torch.tensor([2,0,1,4,3,5])].flatten(0,1)
class Sampled(Video):
    "Blank frames are left out, so that rows depend on what is in them"
    def fold(self, x): return x.flatten(0,1)[:6]
    def unfold(self, f, b): return f.unflatten(0, (1,-1)).expand(b,-1,-1)
class ByFrame(Video):
    "An answer for each frame"
    def forward(self, x): return self.fc(self.body(self.fold(x)).mean((2,3)))
class Changing(Video):
    "The order changes on the way"
    def __init__(self): super().__init__(); self.late = nn.Conv2d(16,16,1)
    def forward(self, x):
        f = self.late(TimeMajor.fold(self, self.body(self.fold(x)).unflatten(0, (len(x),-1))))
        return self.fc(TimeMajor.unfold(self, f.mean((2,3)), len(x)).mean(1))

@pytest.mark.parametrize('cls,says', [(Mixed,'reads several parts'), (Shuffled,'another order.*are read by rows 1, 2, 0, 4, 3, 5'), (Sampled,'depends on more than that of items: 6 for one, 6 for two')])
def test_refused(cls, says):
    "Where no order is proven, by default and by name"
    torch.manual_seed(0)
    m,x = cls().eval(),torch.randn(2,6,3,32,48)
    for layer in (None,'body'):
        with pytest.raises(ValueError, match='6 rows for one item.*'+says): find_layers(m, x, layer)
    with pytest.raises(ValueError, match='6 rows for one item.*'+says): cam_maps(m, x, layer='body')
    with pytest.raises(ValueError, match="'occlusion', 'ig'"): cam_maps(m, x, method='gradcam')
    with pytest.warns(UserWarning, match='6 rows for one item.*'+says): cam_maps(m, x)                # occlusion instead

@pytest.mark.parametrize('kind,grid', [('frames',(6,32,48)), ('in channels',(5,32,48)), ('channels first',(6,32,48)), ('pair',(32,48))])
def test_input_as_layer(kind, grid):
    "The input itself has the frames as an axis, too; of inputs that are parts it is the first"
    m,xb = model_of(kind),models[kind][1](2)
    got = cam_maps(m, xb, target=1, layer='input', method='hirescam')
    x = xb[0].clone().requires_grad_()
    g, = torch.autograd.grad(m(x, *xb[1:])[:,1].sum(), x)
    want = (x*g).detach()
    want = {'frames': lambda t: t.sum(2), 'in channels': lambda t: t.unflatten(1, (5,3)).sum(2), 'channels first': lambda t: t.sum(1), 'pair': lambda t: t.sum(1)}[kind](want)
    assert got.shape==(2,1,*grid)
    torch.testing.assert_close(got[:,0].as_subclass(Tensor), want, rtol=1e-3, atol=1e-5)

def test_order_that_changes():
    "A layer in another order than the first is not shown, and the one before it is"
    torch.manual_seed(0)
    m,x = Changing().eval(),torch.randn(2,6,3,32,48)
    assert list(find_layers(m, x))==['body']
    with pytest.raises(ValueError, match='late'): find_layers(m, x, 'late')

def test_answers_by_frame():
    torch.manual_seed(0)
    m,x = ByFrame().eval(),torch.randn(2,6,3,32,48)
    with pytest.raises(ValueError, match='12 rows for 2 items'): cam_maps(m, x)
    got = cam_maps(m, x, target=lambda p: p.unflatten(0, (-1,6))[:,4,1])
    assert got.shape==(2,1,6,8,12) and got[:,:,4].any() and not cam_maps(m, x, target=lambda p: p.unflatten(0, (-1,6))[:,4,1], method='hirescam')[:,:,[0,1,2,3,5]].any()

def test_bag_as_batch():
    "A bag that is the batch: said, with what to do; and that is right"
    class AsBatch(Bag):
        def forward(self, x): return Bag.forward(self, x[None])
    torch.manual_seed(0)
    m,x = AsBatch(one=True).eval(),torch.randn(7,3,32,32)
    with pytest.raises(ValueError, match=r'1 rows for 7 items.*x\[None\]'): cam_maps(m, x)
    class AsItem(nn.Module):
        def __init__(self): super().__init__(); self.m = m
        def forward(self, x): return self.m(x[0])
    assert cam_maps(AsItem().eval(), x[None]).shape==(1,1,7,8,8)

# ---- nothing changes where rows are items

def test_plain_models_are_not_asked(monkeypatch):
    "Not a call more than before: one to look at a convolutional net"
    import fastcam.engine.layer as room
    def never(*args): raise AssertionError('asked about rows')
    monkeypatch.setattr(room, 'find_rows', never)
    m = small_learner().model if 'small_learner' in globals() else nn.Sequential(tiny(), AdaptiveAvgPool(), nn.Flatten(), nn.Linear(16,3))
    calls = []
    m.register_forward_hook(lambda *_: calls.append(1))
    m.eval()
    forget_layers(m)
    cam_maps(m, torch.randn(2,3,32,48))
    assert len(calls)==2
    swin = timm.create_model('swin_tiny_patch4_window7_224', img_size=64, window_size=4, num_classes=3).eval()
    assert cam_maps(swin, torch.randn(1,3,64,64)).nd==2                          # windows are rows inside of it

def test_named_where_others_are_found():
    "Where rows are items further on, those are the default, and a layer of rows is known by its name"
    class Compared(Pair):
        def __init__(self): super().__init__(); self.late,self.fc = nn.Conv2d(32,8,1),nn.Linear(8,5)
        def forward(self, a, b): return self.fc(self.late(torch.cat(self.body(torch.cat([a,b])).chunk(2), 1)).mean((2,3)))
    torch.manual_seed(0)
    m,xb = Compared().eval(),models['pair'][1](2)
    before = layers_table(m, xb)
    kept = {}
    h = m.body.register_forward_hook(lambda m,i,o: kept.setdefault('a', o.detach().requires_grad_()))
    p = m(*xb)
    h.remove()
    g, = torch.autograd.grad(p[:,1].sum(), kept['a'])
    want = part_by_part((kept['a'].detach()*g).sum(1), 2)
    torch.testing.assert_close(cam_maps(m, xb, target=1, layer='body', method='hirescam')[:,0].as_subclass(Tensor), want, rtol=1e-3, atol=1e-6)
    assert list(find_layers(m, xb))==['late'] and layers_table(m, xb).equals(before)

def test_fullgrad_by_hand():
    "Biases count where convolutions see frames, too"
    for kind in ('frames','part by part'):
        m,(x,),outs = model_of(kind),models[kind][1](2),[]
        hs = [o.register_forward_hook(lambda m,i,o: (outs.append((m,o)),o)[1]) for o in m.body if isinstance(o, (nn.Conv2d,nn.BatchNorm2d))]
        x = x.clone().requires_grad_()
        gs = torch.autograd.grad(m(x)[:,1].sum(), [x,*[o for _,o in outs]])
        for h in hs: h.remove()
        def summed(t):
            t = t.abs()
            t = t-t.flatten(2).amin(2)[...,None,None,None]
            return (t/(t.flatten(2).amax(2)+1e-7)[...,None,None,None]).sum(1)
        want = summed((x.detach()*gs[0]).transpose(1,2))
        for (o,_),g in zip(outs, gs[1:]):
            b = o.bias if isinstance(o, nn.Conv2d) else o.bias-o.running_mean*o.weight*(o.running_var+o.eps).rsqrt()
            t = summed(models[kind][3](g*b.detach()[:,None,None], 2).transpose(1,2))
            want = want+F.interpolate(t[:,None], size=want.shape[1:], mode='trilinear', align_corners=False)[:,0]
        torch.testing.assert_close(cam_maps(m, x.detach(), target=1, method='fullgrad')[:,0].as_subclass(Tensor), want, rtol=1e-3, atol=1e-3)

@pytest.mark.parametrize('kind', ['frames','part by part','pair','in channels'])
def test_metrics(kind):
    "What the map calls important is blanked, in all parts"
    m,xb = model_of(kind),models[kind][1](2)
    maps = cam_maps(m, xb, target=1)
    for f in (deletion_auc,average_drop,complexity):
        v = f(m, xb, maps, target=1, layer=models[kind][2])
        assert v.shape[0]==2 and v.isfinite().all()

# ---- learners

def blob(i, n=6, size=32):
    "A clip (n,3,size,size) of noise; if `i` is odd, there is a striped patch in one frame; that frame, and its corner"
    rng = np.random.default_rng(i)
    x,t,(r,c) = rng.normal(0, .5, (n,3,size,size)).astype(np.float32),rng.integers(n),rng.integers(0, size-8, 2)
    if i%2: x[t,:,r:r+8,c:c+8] += 2*(np.mgrid[:8,:8][0]%2*2-1)
    return tensor(x),int(t),(int(r),int(c))

def trained_on(model, get, n=600, epochs=6):
    set_seed(0)
    model = model()
    dsets = Datasets(list(range(n)), [get,lambda i: i%2], splits=[list(range(n-64)),list(range(n-64,n))])
    learn = Learner(dsets.dataloaders(bs=32, num_workers=0), model, loss_func=CrossEntropyLossFlat(), metrics=accuracy)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, 1e-2)
    with learn.no_bar(), learn.no_logging(): assert learn.validate()[1]>.95
    return learn

@cache
def bags(): return trained_on(Bag, lambda i: blob(i)[0])

@pytest.mark.parametrize('method', ['gradcam','hirescam','layercam','ablationcam'])
def test_planted_patch(method):
    "Of a bag with attention pooling, one patch decides: the map lies there, in that part and at that place"
    learn = bags()
    with learn.no_bar(): cams = learn.cam(dl=learn.dls.valid, method=method, target=1)
    assert cams.frames==6 and cams.maps.shape==(64,1,6,8,8) and len(cams[:3].maps)==3
    energy,near = [],[]
    for i,m in list(zip(range(600-64, 600), cams.maps))[1::2]:
        t,(r,c) = blob(i)[1:]
        m = m[0].relu().as_subclass(Tensor)
        energy.append((m[t].sum()/m.sum()).item())
        z,y,x = np.unravel_index(m.argmax().item(), m.shape)
        near.append(z==t and abs(4*y+2-r-4)<=6 and abs(4*x+2-c-4)<=6)
    assert np.mean(energy)>.9 and np.mean(near)>.9

def test_shown():
    "A strip of the frames, and the map on that of the patch"
    learn = bags()
    items = [541,543]
    with learn.no_bar(): learn.show_cam(items, ncols=1, target=1)
    for i,ax in zip(items, plt.gcf().axes):
        t,(r,c) = blob(i)[1:]
        pic,over = ax.get_images()
        m,a = pic.montage,over.get_array()
        assert pic.get_array().shape==(*m.shape,4) and a.shape==m.shape and m.size==(32,32) and m.ncols==6 and pic.get_extent()==over.get_extent()
        y,x = np.unravel_index(np.nanargmax(a), a.shape)
        assert m.which[x//(32+m.gap)]==t and abs(x%(32+m.gap)-c-4)<=6 and abs(y-r-4)<=6
    plt.close('all')

def test_many_parts_are_drawn():
    "Of more than six, none that counts is left out"
    x = torch.cat([blob(i)[0] for i in range(2,6)])                                # 24 patches
    tdl = torch.utils.data.DataLoader([(x,0)], batch_size=1)
    learn = Learner(DataLoaders(tdl, tdl), bags().model, loss_func=CrossEntropyLossFlat())
    with learn.no_bar(): cams = learn.cam(target=1)
    assert cams.frames==24
    ax, = cams.show()
    pic,over = ax.get_images()
    top = cams.maps[0,0].flatten(1).amax(1).argmax().item()
    a,m = over.get_array(),pic.montage
    assert len(m.which)==6 and m.which[np.nanargmax(a)%a.shape[1]//(32+m.gap)]==top
    plt.close('all')

class PairLearner(nn.Module):
    "Is the patch in the first picture or in the second?"
    def __init__(self): super().__init__(); self.body,self.fc = tiny(),nn.Linear(16,1)
    def forward(self, a, b): return torch.stack(self.fc(self.body(torch.cat([a,b])).amax((2,3)))[:,0].chunk(2), 1)

def test_pairs():
    "Two inputs are two parts: beside each other, or one with its own map"
    set_seed(0)
    def get(i):
        "Both pictures, one with a patch, as a tuple"
        x,t,_ = blob(2*i+1, n=1)
        blank = torch.randn(3,32,32, generator=torch.Generator().manual_seed(i))*.5
        return (x[0],blank) if i%2==0 else (blank,x[0])
    dsets = Datasets(list(range(400)), [lambda i: get(i)[0],lambda i: get(i)[1],lambda i: i%2], n_inp=2, splits=[list(range(350)),list(range(350,400))])
    learn = Learner(dsets.dataloaders(bs=32, num_workers=0), PairLearner(), loss_func=CrossEntropyLossFlat(), metrics=accuracy)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(5, 1e-2)
    with learn.no_bar(): cams = learn.cam(dl=learn.dls.valid, method='hirescam')
    assert cams.frames==2 and cams.maps.shape==(50,1,2,8,8)
    with learn.no_bar(), learn.no_logging(): assert learn.validate()[1]>.9
    side = cams.maps[:,0].relu().as_subclass(Tensor).flatten(2).sum(2).argmax(1)
    assert (side==cams.targets[:,0]).float().mean()>.9
    pic,over = cams[:1].show()[0].get_images()
    assert pic.montage.which==[0,1] and pic.get_array().shape==(*pic.montage.shape,4) and pic.get_extent()==over.get_extent()
    for k in (0,1):
        pic,over = cams[:1].show(inp=k)[0].get_images()
        assert pic.get_array().shape[:2]==(32,32) and over.get_array().shape==(8,8)
        np.testing.assert_allclose(over.get_array(), cams.maps[0,0,k].relu()/cams.maps[0,0,k].relu().max().clamp(min=1e-9), atol=1e-5)
    plt.close('all')

# ---- items that the model itself puts in another order
def brightness(x): return x.detach().flatten(1).mean(1)
class Moved(nn.Module):
    "`move` puts the items in another order before the body, `back` in their own behind the head"
    def __init__(self, move, back):
        super().__init__()
        self.move,self.back,self.body,self.all,self.head = move,back,tiny(),nn.Identity(),nn.Linear(16,3)
    def forward(self, x):
        maps = self.body(self.move(x))
        return self.head(self.all(self.back(maps, x)).mean((2,3)))

def by(order): return (lambda x: x[order(x)]),(lambda y, x: y[order(x).argsort()])
def shuffled(x): return torch.randperm(len(x), generator=torch.Generator().manual_seed(3))
def swapped(x, h): return torch.cat([x[h:],x[:h]])
def mixed(x): return torch.eye(len(x))[shuffled(x)]
moves = dict(
    sort = by(lambda x: brightness(x).argsort()), longest = by(lambda x: brightness(x).sort(descending=True)[1]), best = by(lambda x: brightness(x).topk(len(x))[1]), shuffle = by(shuffled),
    flip = (lambda x: x.flip(0), lambda y,x: y.flip(0)), roll = (lambda x: x.roll(1, 0), lambda y,x: y.roll(-1, 0)), halves = (lambda x: swapped(x, len(x)//2), lambda y,x: swapped(y, len(x)-len(x)//2)),
    numpy = (lambda x: x[brightness(x).numpy().argsort()], lambda y,x: y[brightness(x).numpy().argsort().argsort()]),
    select = (lambda x: x.index_select(0, brightness(x).argsort()), lambda y,x: y.index_select(0, brightness(x).argsort().argsort())),
    list = (lambda x: torch.stack(sorted(x, key=lambda o: o.mean().item())), lambda y,x: torch.stack([y[i] for i in brightness(x).argsort().argsort().tolist()])),
    matrix = (lambda x: torch.einsum('ij,jchw->ichw', mixed(x), x), lambda y,x: torch.einsum('ji,jchw->ichw', mixed(x), y)))

@pytest.mark.parametrize('how', moves)
def test_items_in_another_order(how):
    "Refused at the layer whose rows are others' items, also where the order follows from the items; right at a layer behind, for one item, and where the order happens to be that of the batch"
    torch.manual_seed(0)
    model,x = Moved(*moves[how]).eval(),torch.randn(5,3,32,48)+tensor(2.,0,4,1,3)[:,None,None,None]
    plain = Moved(lambda x: x, lambda y,x: y).eval()
    plain.load_state_dict(model.state_dict())
    want = cam_maps(plain, x, 1)
    torch.testing.assert_close(cam_maps(model, x[2:3], 1, layer='body'), want[2:3])
    if how in ('sort','numpy','select','list'): torch.testing.assert_close(cam_maps(model, x[[1,3,0]], 1, layer='body'), want[[1,3,0]])     # as they are
    for method in ('gradcam','eigencam','scorecam'):
        with pytest.raises(ValueError, match="'body' gives the items of this batch in another order.*one item at a time"): cam_maps(model, x, 1, layer='body', method=method)
    torch.testing.assert_close(cam_maps(model, x, 1, layer='all'), want, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(cam_maps(model, x[2:3], 1, layer='body'), want[2:3])

@pytest.mark.parametrize('back', [lambda y,x: y-y.mean(0), lambda y,x: y*.7+.3*y.roll(1, 0), lambda y,x: y*brightness(x).softmax(0).flip(0)[:,None,None,None], lambda y,x: torch.stack([*y]), lambda y,x: F.relu(y-y.amax((1,2,3)).median())],
                         ids=['centered','mixed','weighed','taken apart','some are dead'])
def test_items_that_know_of_others(back):
    "Items that depend on each other a little, or that nothing is said of, are in order all the same"
    torch.manual_seed(0)
    model,x = Moved(lambda x: x, back).eval(),torch.randn(4,3,32,48)
    act = model.body(x).detach().requires_grad_()
    g, = torch.autograd.grad(model.head(model.back(act, x).mean((2,3)))[:,1].sum(), act)
    torch.testing.assert_close(cam_maps(model, x, 1, layer='body', method='gradcam')[:,0].as_subclass(Tensor), (g.mean((2,3), keepdim=True)*act).sum(1).detach())

def test_order_is_asked_once():
    "Of a model that moves no items: one backward pass more in the first batch, none later"
    model,x,asked = Moved(lambda x: x, lambda y,x: y).eval(),torch.randn(4,3,32,48),[]
    cam_maps(model, x[:1], layer='body')
    for call in range(3):
        model.all.register_full_backward_pre_hook(lambda m,g: asked.append(call))
        cam_maps(model, x, layer='body')
        model.all._backward_pre_hooks.clear()
    assert [asked.count(i) for i in range(3)]==[2,1,1]

def test_order_of_grids_and_rows():
    "Where a prediction is a grid of answers, and where rows are frames"
    torch.manual_seed(0)
    dense,x = Moved(*by(lambda x: brightness(x).argsort())).eval(),torch.randn(4,3,32,48)-torch.arange(4)[:,None,None,None]
    dense.head = nn.Sequential(nn.Linear(16,3), nn.Flatten(0))
    dense.forward = lambda x: nn.functional.conv2d(dense.back(dense.body(dense.move(x)), x), torch.ones(2,16,1,1))
    with pytest.raises(ValueError, match='another order'): cam_maps(dense, x, Region(1), layer='body')
    clips = Video().eval()
    clips.forward = lambda x: Video.forward(clips, x[brightness(x).argsort()])[brightness(x).argsort().argsort()]
    x = torch.randn(3,4,3,32,48)-torch.arange(3)[:,None,None,None,None]
    assert cam_maps(clips, x[:1], 1).grid[0]==4
    with pytest.raises(ValueError, match='another order'): cam_maps(clips, x, 1)
    torch.testing.assert_close(cam_maps(clips, x.flip(0), 1)[1:2], cam_maps(clips, x[1:2], 1), rtol=1e-4, atol=1e-6)

# ---- attention
def small_vit(fused=True):
    torch.manual_seed(0)
    vit = timm.create_model('vit_tiny_patch16_224', img_size=64, embed_dim=24, num_heads=2, depth=2, num_classes=5).eval()
    for p in vit.parameters(): nn.init.normal_(p, std=.3)
    for m in vit.modules():
        if hasattr(m, 'fused_attn'): m.fused_attn = fused
    return vit

class Frames(nn.Module):
    "A transformer for each frame, whose scores are averaged; `over` mixes the frames first"
    def __init__(self, over=None, fused=True): super().__init__(); self.vit,self.over = small_vit(fused),ifnone(over, nn.Identity())
    def forward(self, x): return self.over(self.vit(x.flatten(0,1)).unflatten(0, (len(x),-1))).mean(1)

class TimeMajorFrames(Frames):
    def forward(self, x): return self.vit(x.transpose(0,1).flatten(0,1)).unflatten(0, (-1,len(x))).mean(0)

@pytest.mark.parametrize('fused', [True,False], ids=['fused','written out'])
@pytest.mark.parametrize('cls', [Frames,TimeMajorFrames])
def test_attention_of_each_frame(cls, fused):
    "The maps of a clip are those of its frames, each explained as a picture; LeGrad's as much smaller as the score's share"
    model,vit,x = cls(fused=fused).eval(),small_vit(fused),torch.randn(2,3,3,64,64, generator=torch.Generator().manual_seed(1))
    for method,share in (('rollout',1),('legrad',3)):
        got,want = cam_maps(model, x, 1, method=method)[:,0],cam_maps(vit, x.flatten(0,1), 1, method=method).unflatten(0, (2,3))[:,:,0]
        assert want.flatten(2).std(2).min()>1e-4*want.abs().max()
        torch.testing.assert_close(share*got.as_subclass(Tensor), want.as_subclass(Tensor), rtol=1e-4, atol=1e-6)

def test_attention_among_frames():
    over = nn.TransformerEncoderLayer(5, 1, 8, batch_first=True)
    model,x = Frames(over=over).eval(),torch.randn(2,3,3,64,64)
    with pytest.raises(ValueError, match=r"over the 17 tokens of one of 3 parts.*attention over 3 others"): cam_maps(model, x, 1, method='rollout')

class Checkpointed(nn.Module):
    def __init__(self, m): super().__init__(); self.m = m
    def forward(self, x): return torch.utils.checkpoint.checkpoint(self.m, x, use_reentrant=False)

@pytest.mark.parametrize('method', ['rollout','legrad','shapleycam','gradcam'])
@pytest.mark.parametrize('blocks', ['timm','torch'])
def test_checkpointed_attention(blocks, method):
    "What is computed anew in the backward pass is what was computed"
    def make():
        if blocks=='timm': return small_vit()
        torch.manual_seed(0)
        tokens = nn.Sequential(nn.Conv2d(3,16,16,16), nn.Flatten(2), Turn())
        return nn.Sequential(tokens, nn.Sequential(*[nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(2)]), Mean(), nn.Linear(16,5)).eval()
    plain,model,x = make(),make(),torch.randn(2,3,64,64, generator=torch.Generator().manual_seed(1))
    layers = model.blocks if blocks=='timm' else model[1]
    for i in range(2): layers[i] = Checkpointed(layers[i])
    torch.testing.assert_close(cam_maps(model, x, 1, method=method), cam_maps(plain, x, 1, method=method))

class Turn(nn.Module):
    def forward(self, x): return x.transpose(1,2)
class Mean(nn.Module):
    def forward(self, x): return x.mean(1)
