"""A small model of every family of timm, torchvision, transformers, MONAI and segmentation_models_pytorch: is the default layer's map right?

`python benchmarks/sweep.py` writes `sweep.csv` row by row; `--only PATTERN` asks some of them anew, and leaves the other rows as they are. Each model of `zoo.py` has random weights
and a fixed seed, and is asked one at a time. Three things are looked at, none of them with the package's own probe:

- places: the gradient of a cell, at the input, is where that cell lies; and what is changed at a place of the input changes the cell of that place most. Both are contrasted with the other
  cells; their centers must follow the places with a correlation of .8 along each axis and lie within a cell of them, in one way or the other. Of deep convolutions with random weights
  both are noise, as large as the picture: then the gradient is asked again with the absolute values of the filters, without activation functions, and not through what is pooled to
  one number, so that nothing cancels ("positive")
- maps: Grad-CAM and HiResCAM are those that a plain forward hook on the module of that name and `torch.autograd.grad` give, to 1e-5 of the largest value
- no warning, and no hook left behind

A row is right, refused (an error that says why), WRONG, an error; or unseen: the map is right, but with random weights nobody can see where the cells look: the layer's place is "not proven", or the gradient of its maps dies out. What a model itself cannot do, as taking another size, is no row."""
import argparse, csv, fnmatch, gc, math, signal, sys, time, traceback, warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent), str(here)]
import torch
from torch.overrides import TorchFunctionMode
from zoo import entries, sources

table = here/'sweep.csv'
columns = 'library family model size params layer kind grid place status gradient planted positive maps seconds note'.split()
methods = 'gradcam','hirescam'

class TooLong(BaseException): "A row took longer than it may"

@contextmanager
def limited(seconds):
    "Ends a block that takes so many seconds of a CPU, wherever it is"
    def stop(*_): raise TooLong(f'more than {seconds} s')
    was = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try: yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, was)

# ---- models as if trained a little
norms = torch.nn.modules.batchnorm._BatchNorm

@torch.no_grad()
def settle(model, x):
    "No weight is (nearly) zero throughout, and batchnorm has seen data, without which random weights explode or die out"
    rng = torch.Generator().manual_seed(0)
    for p in model.parameters():
        if p.numel() and p.abs().max()<1e-3: p.copy_(torch.randn(p.shape, generator=rng)*.1+(.5 if p.ndim==1 and p.any() else 0))
    bns = [m for m in model.modules() if isinstance(m, norms) and m.track_running_stats]
    if not bns: return model.eval()
    was = [m.momentum for m in bns]
    model.eval()
    for m in bns: m.train(); m.momentum = None
    model(torch.cat([x, x.flip(-1), -x, x*.5]))
    for m,o in zip(bns, was): m.momentum = o
    return model.eval()

def drawn(size, channels, n=1, seed=0):
    "Smooth noise with some detail"
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, channels, *[max(2, s//8) for s in size], generator=rng)
    return torch.nn.functional.interpolate(coarse, size=size, mode={2:'bilinear', 3:'trilinear'}[len(size)])+.3*torch.randn(n, channels, *size, generator=rng)

def answer(pred):
    "The tensor of the answers, of all that models give"
    if isinstance(pred, torch.Tensor): return pred
    if getattr(pred, 'logits', None) is not None: return pred.logits
    if isinstance(pred, dict): return pred['out'] if 'out' in pred else next(iter(pred.values()))
    return answer(pred[0])

def score(pred):
    "What is explained: the predicted class; of a grid of answers the class that is highest on the whole, in the mean"
    p = answer(pred)
    p = p.flatten(2).mean(2) if p.ndim>2 else p
    return p.max(1).values

# ---- by hand
def on_grid(lay, o):
    "What the module gave, as (batch, channels, *grid), as the words of the layer say: `kind`, tokens in front and behind"
    if isinstance(o, (tuple,list)): o = o[0]
    if lay.kind=='NC*' and o.ndim==len(lay.grid)+2 and not lay.front+lay.back: return o
    if lay.kind=='N*C': return o.movedim(-1, 1)
    if lay.kind=='NCL': o = o.transpose(1, 2)
    if lay.batch_dim: o = o.transpose(0, 1)
    o = o[:,lay.front:o.shape[1]-lay.back]
    if lay.kind=='NWC': o = o[:,list(lay.layout.order)]
    return o.transpose(1, 2).unflatten(2, lay.grid)

@contextmanager
def watched(model, lay):
    "A plain forward hook on the module of this name keeps what its call gives"
    kept = []
    def hook(m, i, o):
        kept.append(o)
        return o.clone() if isinstance(o, torch.Tensor) else None               # what follows may work in place
    h = model.get_submodule(lay.name).register_forward_hook(hook)
    try: yield kept
    finally: h.remove()

def acts_of(model, lay, x):
    with watched(model, lay) as kept: pred = model(x)
    return kept[lay.call],pred

def maps_by_hand(model, lay, x):
    "Grad-CAM and HiResCAM of what is explained; of one item a batchnorm of torch takes gradients of tokens for those of other places, see findings/batchnorm-gradient-place.sh, unless they are laid out as they are read"
    with ExitStack() as hooks:
        for m in model.modules():
            if isinstance(m, norms): hooks.callback(m.register_forward_hook(lambda m, i, o: o.register_hook(torch.Tensor.contiguous) and None).remove)
        o,pred = acts_of(model, lay, x.clone().requires_grad_()*1)
        o = o[0] if isinstance(o, (tuple,list)) else o
        a,g = (on_grid(lay, t) for t in (o.detach(), torch.autograd.grad(score(pred).sum(), o)[0]))
    cells = list(range(2, a.ndim))
    return {m: (a*w).sum(1) for m,w in dict(gradcam=g.mean(cells, keepdim=True), hirescam=g).items()},(a*g).abs().sum(1).max().item()

def off(got, want, least=1e-20):
    "Largest difference as a share of the largest value; of what is summed up (`least`) where that cancels, as HiResCAM does before a layer norm"
    return ((got.as_subclass(torch.Tensor)-want).abs().max()/want.abs().max().clamp(min=least)).item()

# ---- places
def some_cells(grid, n=9):
    "Up to `n` cells, drawn"
    total = math.prod(grid)
    nums = torch.randperm(total, generator=torch.Generator().manual_seed(1))[:n].sort().values.tolist()
    return [tuple(c) for c in torch.stack(torch.unravel_index(torch.tensor(nums), grid), 1).tolist()]

def centers(e):
    "Center of each of `e` (cells, *places) as shares of each axis, of what the others have not"
    e = e.double()/e.double().flatten(1).sum(1).clamp(min=1e-30).reshape(-1, *[1]*(e.ndim-1))
    d = (e-e.mean(0)).clamp(min=0)
    d = d/d.flatten(1).sum(1).clamp(min=1e-30).reshape(-1, *[1]*(e.ndim-1))
    def axis(i): return d.sum([j for j in range(1, d.ndim) if j!=i+1])@((torch.arange(d.shape[i+1]).double()+.5)/d.shape[i+1])
    return torch.stack([axis(i) for i in range(d.ndim-1)], 1)

def follows(seen, cells, grid):
    "Least correlation of any axis of what was `seen` with the `cells` it should be, and how far off it is, in cells, in the median"
    said = (torch.tensor(cells).double()+.5)/torch.tensor(grid)
    told = [i for i in range(len(grid)) if said[:,i].std()>1e-6]
    def cor(p, q): return 0. if p.std()<1e-9 else torch.corrcoef(torch.stack([p, q]))[0,1].item()
    return min(cor(seen[:,i], said[:,i]) for i in told),((seen-said).abs()*torch.tensor(grid))[:,told].median(0).values.max().item()

def by_gradient(model, lay, x, cells, plain=False):
    "Where each cell looks: (cells, *places), by a mixture of its channels, or their `plain` sum"
    leaf = x.clone().requires_grad_()
    a = on_grid(lay, acts_of(model, lay, leaf*1)[0])
    mix = torch.ones(a.shape[1]) if plain else torch.randn(a.shape[1], generator=torch.Generator().manual_seed(2))
    numbers = [a[(0,slice(None),*c)]@mix for c in cells]
    return torch.stack([torch.autograd.grad(n, leaf, retain_graph=True)[0][0].abs().sum(0) for n in numbers])

@torch.no_grad()
def by_planting(model, lay, x, cells):
    "How much each cell changes when the patch of one is changed: (cells, *grid)"
    grid,size = lay.grid,x.shape[2:]
    was,other = on_grid(lay, acts_of(model, lay, x)[0]),drawn(size, x.shape[1], seed=3)
    def planted(c):
        y = x.clone()
        at = (slice(None),slice(None),*[slice(i*s//g, max((i+1)*s//g, i*s//g+1)) for i,s,g in zip(c, size, grid)])
        y[at] = 2*other[at]
        return y
    return torch.stack([(on_grid(lay, acts_of(model, lay, planted(c))[0])-was)[0].abs().sum(0) for c in cells])

acts = 'relu relu_ relu6 hardtanh hardtanh_ hardswish hardswish_ silu silu_ gelu elu elu_ leaky_relu leaky_relu_ mish prelu'.split()
class Linear(TorchFunctionMode):
    "Activation functions hand on what they get, and no gradient leads through what is pooled to one number, as gates of channels are"
    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, '__name__', '')
        if name in acts: return args[0]
        res = func(*args, **(kwargs or {}))
        return res.detach() if name in ('mean','adaptive_avg_pool2d','adaptive_avg_pool3d') and res.ndim>3 and res.shape[2:].numel()==1 else res

@torch.no_grad()
def positive(model, x):
    "The filters of `model` as their absolute values, for good"
    for p in model.parameters():
        if p.ndim>2: p.abs_()
    settle(model, x)

def is_right(lay, cor, cells_off):
    "A cell that sees nearly all of the picture looks nearer to its middle: where no token is left out, which could be the wrong one, the order is what counts"
    return cor>=.8 and cells_off<=(1 if lay.front+lay.back else max(1, max(lay.grid)/4))

# ---- one row
def n_hooks(model): return sum(len(h) for m in model.modules() for k,h in vars(m).items() if k.endswith('_hooks') and hasattr(h, '__len__'))

def build(entry, ways):
    "Model and input of the first of `ways` that works, as far as the model itself is concerned; else None, and why not"
    why = ''
    for size,kwargs in ways:
        try:
            torch.manual_seed(0)
            model,x = entry.make(**kwargs),drawn(size, entry.channels)
            settle(model, x)
            with torch.no_grad(): model(x)
            return model,x,size
        except Exception as e: why = f'{type(e).__name__}: {e}'.split('\n')[0]
    return None,why,ways[0][0]

def seen_warnings(f):
    "What `f` gives, and the texts of the warnings in it"
    with warnings.catch_warnings(record=True) as ws:
        warnings.simplefilter('always')
        res = f()
    return res,{str(w.message) for w in ws}

def ask(model, x, row):
    "Fill in the `row` of this model"
    from fastcam.engine.layer import find_layers
    from fastcam.engine.explain import cam_maps
    hooks = n_hooks(model)
    _,own = seen_warnings(lambda: score(model(x.clone().requires_grad_()*1)).sum().backward())          # the model's
    model.zero_grad()
    dense = answer(model(x)).ndim>2
    (key,lay),ws = seen_warnings(lambda: next(iter(find_layers(model, x).items())))
    row.update(layer=key, kind=lay.kind, grid='x'.join(map(str, lay.grid)), place=lay.place)
    got,more = seen_warnings(lambda: {m: cam_maps(model, x, score if dense else None, method=m)[:,0] for m in methods})
    want,size = maps_by_hand(model, lay, x)
    far = max(off(got[m], want[m], .1*size) for m in methods)
    cells = some_cells(lay.grid)
    g = follows(centers(by_gradient(model, lay, x, cells)), cells, lay.grid)
    p = follows(centers(by_planting(model, lay, x, cells)), cells, lay.grid)
    row.update(gradient=f'{g[0]:.2f} {g[1]:.2f}', planted=f'{p[0]:.2f} {p[1]:.2f}', maps=f'{far:.0e}')
    seen = is_right(lay, *g) or is_right(lay, *p)
    if not seen:
        with Linear():
            positive(model, x)
            looks = by_gradient(model, lay, x, cells, True)
        q = follows(centers(looks), cells, lay.grid)
        seen,row['positive'] = is_right(lay, *q),f'{q[0]:.2f} {q[1]:.2f}'
    unseen = not seen and (lay.place=='not proven' or lay.kind=='NC*' and not looks.any())         # as the package says itself; or there is nothing to see
    faults = [w for w,ok in (('places', seen or unseen), ('maps', far<=1e-5), ('hooks left', n_hooks(model)==hooks), ('warns', not (ws|more)-own)) if not ok]
    row.update(status='WRONG' if faults else 'unseen' if unseen else 'right', note=', '.join(faults)+(f': {sorted((ws|more)-own)[0]}' if 'warns' in faults else ''))

def row_of(entry, ways):
    "The row of an entry at one size; None if the model does not take it"
    row = dict.fromkeys(columns, '')
    row.update(library=entry.library, family=entry.family, model=entry.name)
    t = time.process_time()
    try:
        with limited(entry.seconds):
            model,x,size = build(entry, ways)
            row.update(size='x'.join(map(str, size)))
            if model is None: return row|dict(status='not built', note=x)
            row['params'] = sum(p.numel() for p in model.parameters())
            ask(model, x, row)
    except (ValueError,TypeError) as e: row.update(status='refused' if 'fastcam' in traceback.extract_tb(e.__traceback__)[-1].filename else 'error', note=f'{type(e).__name__}: {e}')
    except TooLong as e: row.update(status='error', note=f"{e}, in {' > '.join(f.name for f in traceback.extract_tb(e.__traceback__)[-8:])}")
    except Exception as e: row.update(status='error', note=f'{type(e).__name__}: {e}')
    row.update(seconds=f'{time.process_time()-t:.1f}', note=' '.join(row['note'].split())[:400])
    return row

def sizes_of(entry): return entry.sizes() if callable(entry.sizes) else entry.sizes
def rows_of(entry):
    for ways in sizes_of(entry): yield row_of(entry, ways)

# ---- the table
def read():
    if not table.exists(): return []
    with open(table, encoding='utf-8', newline='') as f: return list(csv.DictReader(f))

def write(rows):
    with open(table, 'w', encoding='utf-8', newline='') as f:
        w = csv.DictWriter(f, columns, lineterminator='\n')
        w.writeheader()
        w.writerows(rows)

def main(only, libraries, keep, open_only):
    torch.set_num_threads(1)
    rows,todo = read(),[e for e in entries(libraries) if any(fnmatch.fnmatch(e.id, f'*{o}*') for o in only or ['*'])]
    done = {(r['library'],r['family'],r['model']) for r in rows}-{(r['library'],r['family'],r['model']) for r in rows if r['status'] not in ('right','refused','unseen')}
    for e in todo:
        if open_only and (e.library,e.family,e.name) in done: continue
        new = []
        for row in rows_of(e):
            new.append(row)
            print(*(f'{row[c]}' for c in columns[1:]), sep=' | ', flush=True)
            gc.collect()
        def is_this(r): return (r['library'],r['family'],r['model'])==(e.library,e.family,e.name)
        at = next((i for i,r in enumerate(rows) if is_this(r)), len(rows))
        rows = [r for r in rows[:at]]+new+[r for r in rows[at:] if not is_this(r)]
        if keep: write(rows)

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('libraries', nargs='*', help=f"of {', '.join(sources)}; all by default")
    p.add_argument('--only', action='append', help='a part of `library/family/model`, or a pattern with *; may be given several times')
    p.add_argument('--dry', action='store_true', help='do not write the table')
    p.add_argument('--open', action='store_true', help='only what has no row yet, or one that is neither right nor refused')
    a = p.parse_args()
    main(a.only, a.libraries, not a.dry, a.open)
