"What is measured: each case is some ways to the same thing, one of them the base that the others are compared with"
from functools import cache, partial
import torch
from torch import nn

device,dtype = 'cpu',torch.float32                                # set by run.py from the command line
MiB = 2**20

class Case:
    "Ways to the same thing, by name"
    def __init__(self,
        ways, # name -> function without arguments
        base, # The way that the others are compared with
        bounds=None, # way -> (other way, limit): at most so many times the other
        few=(), # Ways that take long: measured in two rounds, the first and the last
        equal=None, # Function giving {what: (how far it is off, how far it may be)}; run outside of what is timed
        notes=None # Function giving {what: text} to print beside
    ):
        self.ways,self.base,self.bounds,self.few,self.equal,self.notes = ways,base,bounds or {},set(few),equal,notes

# ---- models: a name, its last and an inner layer
layers = {'resnet34': ('layer4','layer2'), 'efficientnet_lite0': ('bn2','blocks.3'), 'vit_tiny': ('blocks.11.norm1','blocks.5')}

@cache
def model(name, n=1000):
    "A network with random weights"
    torch.manual_seed(0)
    if name=='resnet34':
        from torchvision.models import resnet34
        m = resnet34(num_classes=n)
    else:
        import timm
        m = timm.create_model({'efficientnet_lite0':'tf_efficientnet_lite0', 'vit_tiny':'vit_tiny_patch16_224'}[name], num_classes=n)
    return m.eval().to(device, dtype)

def picture(bs):
    "Input of a smooth random picture each, not of noise"
    x = torch.randn(bs, 3, 14, 14, generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(x, 224, mode='bicubic').to(device, dtype)

def forward(m, x):
    with torch.no_grad(): return m(x)

# ---- the floor: no graph before the layer, and no more than the bare gradient after it
def after(m, layer, x, score, batched=None):
    "Activations of `layer`, and the gradient of `score(pred)` there"
    acts = []
    def hook(mod, i, o):
        torch.set_grad_enabled(True)
        acts.append(o.detach().requires_grad_())
        return acts[0]
    h = m.get_submodule(layer).register_forward_hook(hook)
    try:
        with torch.no_grad(): s = score(m(x))
        return acts[0].detach(),torch.autograd.grad(s, acts[0], batched, is_grads_batched=batched is not None)[0]
    finally: h.remove()

def top(pred): return pred.max(1).values.sum()

def on_grid(name, t):
    "What a layer of model `name` gives as (..., channels, *grid)"
    if 'vit' not in name: return t
    return t[...,1:,:].transpose(-1, -2).unflatten(-1, (14,14))

def gradcam_map(name, a, g):
    "Grad-CAM as in its paper"
    a,g = (on_grid(name, t).float() for t in (a,g))
    return (g.mean((-1,-2), keepdim=True)*a).sum(-3)

def off(got, want):
    "Largest difference, as a share of the largest value"
    got,want = (torch.as_tensor(t).detach().cpu().float().as_subclass(torch.Tensor) for t in (got,want))
    return ((got-want).abs().max()/want.abs().max()).item()

def shown(m, size=(224,224)):
    "A raw map as pytorch-grad-cam gives it: positive part, scaled from its least to its largest value, enlarged, scaled again"
    def scaled(t):
        lo,hi = t.amin((2,3), keepdim=True),t.amax((2,3), keepdim=True)
        return (t-lo)/(1e-7+hi-lo)
    return scaled(nn.functional.interpolate(scaled(m.detach().cpu().float()[:,None].relu()), size, mode='bilinear', align_corners=False))[:,0]

def apart(got, want):
    "1 less the correlation"
    return 1-torch.corrcoef(torch.stack([torch.as_tensor(t).detach().cpu().float().as_subclass(torch.Tensor).flatten() for t in (got,want)]))[0,1].item()

# ---- Grad-CAM of the predicted class
def gradcam(name, where, bs):
    from fastcam.engine.explain import cam_maps
    m,x,layer = model(name),picture(bs),layers[name][where!='last']
    lay,known = m.get_submodule(layer),forward(m, x).argmax(1)                    # captum wants to be told the class
    def pgc():
        from pytorch_grad_cam import GradCAM
        with GradCAM(m, [lay], reshape_transform=partial(on_grid, name)) as cam: return torch.tensor(cam(x, None))
    def tc():
        from torchcam.methods import GradCAM
        with GradCAM(m, lay) as cam:
            pred = m(x)
            return cam(pred.argmax(1).tolist(), pred, normalized=False)[0]
    def capt():
        from captum.attr import LayerGradCam
        return LayerGradCam(m, lay).attribute(x, known)[:,0]
    ours = partial(cam_maps, m, x, layer=None if where=='last' else layer)
    floor = partial(after, m, layer, x, top)
    ways = {'forward': partial(forward, m, x), 'floor': floor, 'fastcam': ours, 'pytorch-grad-cam': pgc}
    if 'vit' not in name: ways |= {'torchcam': tc, 'captum': capt}
    tol = 1e-4 if dtype==torch.float32 else 5e-2
    def equal():
        want,res = gradcam_map(name, *floor()),{'fastcam and floor': (off(ours()[:,0], gradcam_map(name, *floor())), tol)}
        res['fastcam and pytorch-grad-cam'] = (apart(shown(want), pgc()), 1e-3)
        if 'captum' in ways: res['fastcam and captum'] = (off(capt(), want), tol)
        return res
    return Case(ways, 'forward', {'fastcam': ('floor', 1.05)}, equal=equal)

# ---- Grad-CAM of all classes
def classes(name, n):
    from fastcam.engine.explain import cam_maps
    m,x,layer = model(name, n),picture(1),layers[name][0]
    lay = m.get_submodule(layer)
    floor = lambda: after(m, layer, x, lambda p: p, torch.eye(n, device=device, dtype=dtype)[:,None])
    ours = lambda: cam_maps(m, x, layer=None, target=list(range(n)))
    ways = {'forward': partial(forward, m, x), 'floor': floor, 'fastcam': ours}
    def pgc():
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
        with GradCAM(m, [lay], reshape_transform=partial(on_grid, name)) as cam: return [cam(x, [ClassifierOutputTarget(i)]) for i in range(n)]
    def tc():
        from torchcam.methods import GradCAM
        with GradCAM(m, lay) as cam:
            pred = m(x)
            return [cam(i, pred, retain_graph=True)[0] for i in range(n)]
    if n<100 and 'vit' not in name: ways |= {'pytorch-grad-cam': pgc, 'torchcam': tc}
    def equal():
        a,g = floor()
        return {'fastcam and floor': (off(ours()[0], gradcam_map(name, a, g)[:,0]), 1e-4)}
    bounds = {} if 'vit' in name else {'fastcam': ('forward', 1.5 if n>100 else 1.15)}
    return Case(ways, 'forward', bounds, few=['pytorch-grad-cam','torchcam'], equal=equal)

# ---- Ablation-CAM
def ablation(name, layer, bound=None):
    from fastcam.engine.explain import cam_maps
    import fastcam.engine.perturb
    m,x = model(name),picture(1)
    def pgc():
        from pytorch_grad_cam import AblationCAM
        with AblationCAM(m, [m.get_submodule(layer)]) as cam: return cam(x, None)
    def plain():
        "Channel after channel, the whole model"
        box = {}
        def hook(mod, i, o):
            o = o.clone()
            if 'c' in box: o[:,box['c']] = 0
            else: box['a'] = o.clone()
            return o
        h = m.get_submodule(layer).register_forward_hook(hook)
        try:
            pred = forward(m, x)
            c,w = pred.argmax(1).item(),[]
            for box['c'] in range(box['a'].shape[1]): w.append((pred[0,c]-forward(m, x)[0,c])/pred[0,c].abs())
        finally: h.remove()
        return (torch.stack(w)[None,:,None,None]*box['a']).sum(1)
    ours = lambda: cam_maps(m, x, layer=layer, method='ablationcam')
    ways = {'forward': partial(forward, m, x), 'fastcam': ours, 'pytorch-grad-cam': pgc}
    return Case(ways, 'forward', {'fastcam': ('forward', bound)} if bound else {'fastcam': ('pytorch-grad-cam', 1.)}, few=['pytorch-grad-cam'],
                equal=lambda: {'fastcam and plain loop': (off(ours()[:,0], plain()), 1e-3)})

# ---- Score-CAM on the packaged model and one of its photos
@cache
def demo():
    from fastcam.apps.demo import demo_learner
    learn = demo_learner()
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    learn.model.to(device)
    return learn,next(iter(learn.dls.valid))[0].as_subclass(torch.Tensor).to(device)

def scorecam():
    from fastcam.engine.explain import cam_maps
    import fastcam.engine.perturb
    learn,x = demo()
    m,x = learn.model,x[:1]
    lay = m.get_submodule('bn2')
    def pgc(bs=16):
        from pytorch_grad_cam import ScoreCAM
        with ScoreCAM(m, [lay]) as cam:
            cam.batch_size = bs
            return torch.tensor(cam(x, None))
    def tc():
        from torchcam.methods import ScoreCAM
        with ScoreCAM(m, lay, batch_size=16) as cam:
            with torch.no_grad(): pred = m(x)
            return cam(pred.argmax(1).tolist(), pred, normalized=False)[0]
    def plain():
        "Every channel, in batches of 16, as the paper says"
        with torch.no_grad():
            box = []
            h = lay.register_forward_hook(lambda m,i,o: box.append(o))
            try: c = m(x).argmax(1).item()
            finally: h.remove()
            a,s = box[0],[]
            for o in nn.functional.interpolate(a, x.shape[2:], mode='bilinear', align_corners=False)[0].split(16):
                lo,hi = o.flatten(1).min(1).values[:,None,None],o.flatten(1).max(1).values[:,None,None]
                s.append(m(x*((o-lo)/(hi-lo).clamp(min=1e-8))[:,None])[:,c])
            return (torch.cat(s).softmax(0)[None,:,None,None]*a).sum(1)
    ours = lambda **kw: cam_maps(m, x, layer='bn2', method='scorecam', **kw)
    def half():
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16): return ours()
    kept = {}
    def keep(n, f):
        def _f():
            kept[n] = f()
            return kept[n]
        return _f
    ways = {n: keep(n, f) for n,f in {'plain loop': plain, 'fastcam': ours, 'fastcam n=100': partial(ours, n=100), 'fastcam bfloat16': half,
                                      'pytorch-grad-cam': pgc, 'torchcam': tc}.items()}
    return Case(ways, 'pytorch-grad-cam', {'fastcam': ('pytorch-grad-cam', 1/1.5)}, few=ways,
                equal=lambda: {'fastcam and plain loop': (off(kept['fastcam'][:,0], kept['plain loop']), 1e-3)},
                notes=lambda: {f'correlation of {n} with the exact map': f"{1-apart(kept[n][:,0], kept['plain loop']):.4f}" for n in ('fastcam n=100','fastcam bfloat16')})

# ---- in fastai's loop
def photos_dl(n=64):
    learn,_ = demo()
    from fastcam.apps.demo import demo_photos
    return learn.dls.test_dl(list(demo_photos())*(n//4), bs=16, num_workers=0)

def explained(n):
    "Maps of `n` photos"
    import fastcam.learner.learner
    return demo()[0].cam(dl=photos_dl(n))

def learner():
    import fastcam.learner.learner
    learn,dl = demo()[0],photos_dl()
    return Case({'get_preds': lambda: learn.get_preds(dl=dl), 'fastcam': lambda: learn.cam(dl=dl)}, 'get_preds', {'fastcam': ('get_preds', 1.10)},
                equal=lambda: {'predictions': (off(learn.cam(dl=dl).preds, learn.get_preds(dl=dl)[0]), 1e-4)})

def _drawn(f):
    import matplotlib.pyplot as plt
    f()
    plt.gcf().canvas.draw()
    plt.close('all')

def show():
    import fastcam.learner.learner, matplotlib
    from fastcam.apps.demo import demo_photos
    from fastai.vision.all import get_grid
    matplotlib.use('agg')
    learn,f = demo()[0],demo_photos()[0]
    m = learn.cam(f)[0].maps[0]
    def predict():
        pic,label,_,p = learn.predict(f, with_input=True)
        ax = get_grid(1, layout='constrained')[0]
        pic.show(ctx=ax)
        m.show(ctx=ax)
        ax.set_title(f'{label} {p.max():.2f}')
    return Case({'predict, then draw': lambda: _drawn(predict), 'show_cam': lambda: _drawn(lambda: learn.show_cam(f))}, 'predict, then draw', {'show_cam': ('predict, then draw', 1.3)})

# ---- methods of the input: the floor is what their passes cost, in the same chunks
def at_input(m, x, score=top):
    "The gradient of `score(pred)` at the input"
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(score(m(x)), x)[0]

def inputs(name, bs):
    from fastcam.engine.explain import cam_maps
    from fastcam.engine.perturb import fitting, noise_like
    import numpy as np
    m,x,n = model(name),picture(bs),8
    c = forward(m, x).argmax(1)
    score = lambda pred: pred.gather(1, c.repeat(len(pred)//bs)[:,None]).sum()
    at,w = np.polynomial.legendre.leggauss(n)
    def ig_floor():
        forward(m, x)
        rows,ts = torch.arange(bs).repeat(n),torch.tensor((at+1)/2).to(x).repeat_interleave(bs).reshape(-1,1,1,1)
        gs = [at_input(m, t*x[r], lambda p: p.gather(1, c[r][:,None]).sum()) for r,t in zip(rows.split(fitting(x)), ts.split(fitting(x)))]
        return ((torch.cat(gs).unflatten(0, (n,bs))*torch.tensor(w/2).to(x).reshape(-1,1,1,1,1)).sum(0)*x).sum(1)
    def noisy_floor():
        forward(m, x)
        return sum(at_input(m, x+noise_like((1,*x.shape[1:]), .3, x, i), score).sum(1) for i in range(n))/n
    ours = lambda **kw: cam_maps(m, x, c[:,None], **kw)[:,0]
    ways = {'inputxgradient floor': lambda: (at_input(m, x, score)*x).sum(1), 'inputxgradient': lambda: ours(method='inputxgradient'), 'ig floor': ig_floor,
            'ig': lambda: ours(method='ig', steps=n, check=False), 'smoothgrad floor': noisy_floor, 'smoothgrad': lambda: ours(method='smoothgrad', samples=n)}
    names = 'inputxgradient','ig','smoothgrad'
    equal = lambda: {n: (off(ways[n](), ways[f'{n} floor']()), 1e-3) for n in names}
    return Case(ways, 'inputxgradient floor', {n: (f'{n} floor', 1.05) for n in names}, few=() if bs==1 else ways, equal=equal)

# ---- objects of a detector
def objects(k=5, size=320):
    "RetinaNet: `k` objects, each its own map at the levels of the pyramid; the floor is one pass and one batched gradient"
    from torchvision.models.detection import retinanet_resnet50_fpn
    from fastcam.engine.explain import cam_maps
    from fastcam.engine.objects import Detections, object_levels
    torch.manual_seed(0)
    m = retinanet_resnet50_fpn(weights=None, weights_backbone=None, min_size=size, max_size=size, score_thresh=.005).eval().to(device)
    x = nn.functional.interpolate(picture(1).float().sigmoid(), size)
    levels = list(object_levels(m, x, Detections(k)))
    def floor():
        acts = {}
        def hook(n, mod, i, o):
            torch.set_grad_enabled(True)
            acts[n] = o.detach().requires_grad_()
            return acts[n]
        hooks = [m.get_submodule(n).register_forward_hook(partial(hook, n)) for n in levels]
        try:
            with torch.no_grad(): s = m(x)[0]['scores'][:k]
            return acts,torch.autograd.grad(s, list(acts.values()), torch.eye(k, device=device), is_grads_batched=True, allow_unused=True)
        finally:
            for h in hooks: h.remove()
    ours = lambda: cam_maps(m, x, Detections(k))
    def equal():
        acts,gs = floor()
        got = cam_maps(m, x, Detections(k), fuse=None)
        return {f'fastcam and floor, {n}': (off(got[n][0], (g*a).sum(2)[:,0].detach()), 1e-4) for (n,a),g in zip(acts.items(), gs) if g is not None and g.any()}
    return Case({'forward': partial(forward, m, x), 'floor': floor, 'fastcam': ours}, 'forward', {'fastcam': ('floor', 1.3)}, equal=equal)

cases = {f'gradcam/{n}/{w}/{bs}': partial(gradcam, n, w, bs) for n in layers for w in ('last','inner') for bs in (1,16,64)}
cases |= {f'classes/{n}/{k}': partial(classes, n, k) for n,k in [('resnet34',37),('efficientnet_lite0',37),('vit_tiny',37),('resnet34',1000),('efficientnet_lite0',1000)]}
cases |= {'ablation/resnet34/layer4': partial(ablation, 'resnet34', 'layer4', 1.4), 'ablation/efficientnet_lite0/bn2': partial(ablation, 'efficientnet_lite0', 'bn2', 1.4),
          'ablation/resnet34/layer3': partial(ablation, 'resnet34', 'layer3')}
cases |= {f'inputs/{n}/{bs}': partial(inputs, n, bs) for n in layers for bs in (1,16)}
cases |= {'objects/retinanet/5': objects} | dict(scorecam=scorecam, learner=learner, show=show)
