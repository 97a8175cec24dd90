"Every method: the peers' maps where they are right, the paper's formula in plain tensors where they are not or ask the model again; and what all methods have in common"
import itertools, pytest, warnings
from contextlib import suppress
from copy import deepcopy
from utils import *
from test_parity import case, close, linear_heads, pgc
import pytorch_grad_cam as P, torchcam.methods as T, captum.attr
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget, ClassifierOutputReST
from fastcam.engine.tail import is_alone, shortcuts
timm = pytest.importorskip('timm')
from torchvision.models import VisionTransformer

# ---- models
def awake(model, seed=0, std=.02):
    "Batchnorm statistics and biases that are not trivial, a head that is not zero"
    g = torch.Generator().manual_seed(seed)
    for m in model.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            for t,(lo,hi) in {m.weight:(.5,1.5), m.bias:(-.3,.3), m.running_mean:(-.3,.3), m.running_var:(.5,2)}.items(): t.data.uniform_(lo, hi, generator=g)
        elif isinstance(m, nn.Linear):
            if m.bias is not None: m.bias.data.normal_(0, std, generator=g)
            if not m.weight.any(): m.weight.data.normal_(0, .5, generator=g)
    return model.eval()

@cache
def vit(fused=True):
    "A small timm ViT with a class token, 6x6 patches"
    set_seed(1)
    model = awake(timm.create_model('vit_tiny_patch16_224', img_size=96, depth=3, num_classes=10))
    for b in model.blocks: b.attn.fused_attn = fused
    return model

@cache
def tv_vit():
    "A small torchvision ViT, whose attention is `nn.MultiheadAttention`; 4x4 patches"
    set_seed(1)
    model = awake(VisionTransformer(image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=5), std=.1)
    for p in model.encoder.parameters(): p.data.mul_(3) if p.ndim==2 else None          # attention far from even
    return model

@cache
def narrow():
    "A resnet18 of few channels"
    set_seed(2)
    model = awake(timm.models.resnet.ResNet(timm.models.resnet.BasicBlock, [2,2,2,2], channels=(8,12,16,24), num_classes=5))
    model.fc.weight.data.mul_(6)                                                        # scores that differ, or every weighting would look alike
    return model

def noise(*shape, seed=0): return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

@cache
def net(nd=2):
    "A small net of `nd` dimensions whose head is not linear, and a batch of its inputs"
    # something speaks for each of the classes 0, 2 and 3 in each item, and no score is near zero
    set_seed({1:8, 2:10, 3:7}[nd])
    conv,norm,pool = (getattr(nn, f'{o}{nd}d') for o in ('Conv','BatchNorm','AdaptiveAvgPool'))
    layer = lambda i,o,s: nn.Sequential(conv(i, o, 3, stride=s, padding=1), norm(o), nn.ReLU(inplace=True))
    model = nn.Sequential(nn.Sequential(layer(2,6,1), layer(6,8,2), layer(8,10,2)), nn.Sequential(pool(1), nn.Flatten(), nn.Linear(10,8), nn.SiLU(), nn.Linear(8,4)))
    for p in model.parameters():
        if p.ndim>1: p.data.mul_(2.5)                                                   # gradients that depend on the input
    return awake(model, nd, .5), noise(3, 2, *{1:(40,), 2:(16,20), 3:(8,12,8)}[nd])

def setting(name):
    "Model, batch, its classes, the last and an inner layer: of the tests of parity, at half the size and for fewer items; and the ViT"
    if name=='vit': return vit(),noise(3, 3, 96, 96),[4,0,7],['blocks.2.norm1','blocks.1.norm1']
    model,x,classes,layers = case(name)
    return model,(x[:3] if name=='resnet18' else x[:3,:,::2,::2]),classes[:3],layers

def patches(t): return t[:,1:].transpose(1,2).unflatten(2, (6,6))

def raw(model, x, classes, method='gradcam', layer=None, **kw):
    "One raw map for each item, a plain tensor"
    return cam_maps(model, x, classes if isinstance(classes, Target) else tensor(classes), layer, method, **kw)[:,0].as_subclass(Tensor)

def by_hooks(model, layer, x, score):
    "Activations and gradients (batch, channels, *grid) of `score(pred)` (batch,), by a hook"
    seen = []
    h = model.get_submodule(layer).register_forward_hook(lambda m,i,o: seen.append(o) or o.clone())
    try: s = score(model(x))
    finally: h.remove()
    g, = torch.autograd.grad(s.sum(), seen)
    return tuple(patches(t.detach()) if t.ndim==3 and t.shape[1]==37 else t.detach() for t in (seen[0], g))

def logit(classes): return lambda y: y.gather(1, tensor(classes)[:,None])[:,0]

names = pytest.mark.parametrize('name', ['resnet18','lite0','vit'])
depth = pytest.mark.parametrize('depth', [0,1], ids=['last','inner'])

# ---- closed forms: pytorch-grad-cam
closed = dict(gradcam=P.GradCAM, hirescam=P.HiResCAM, elementwise=P.GradCAMElementWise, gradcampp=P.GradCAMPlusPlus, layercam=P.LayerCAM, fem=P.FEM)
eigen = dict(eigencam=P.EigenCAM, eigengradcam=P.EigenGradCAM, kpcacam=P.KPCA_CAM, segeigencam=P.SegEigenCAM)
eps = torch.finfo(torch.float32).eps

def peer(kind, name):
    "pytorch-grad-cam's class for `pgc`: its gradients kept whether it uses them or not, on patches for the ViT"
    class Within:
        def __init__(self, **kw):
            self.o = kind(**kw, **(dict(reshape_transform=patches) if name=='vit' else {}))
            self.o.uses_gradients = True
        def __enter__(self): return self.o
        def __exit__(self, *args): self.o.activations_and_grads.release()
    return Within

def formula(kind, model, a, g):
    "What pytorch-grad-cam makes of activations and gradients, in double precision"
    with kind(model=model, target_layers=[]) as o: return tensor(o.get_cam_image(None, None, None, a.double().numpy(), g.double().numpy(), False)).float()

@names
@depth
@pytest.mark.parametrize('method', closed)
def test_closed(name, depth, method):
    model,x,classes,layers = setting(name)
    close(raw(model, x, classes, method, layers[depth]), pgc(peer(closed[method], name), model, model.get_submodule(layers[depth]), x, classes))

@names
@depth
def test_xgradcam(name, depth):
    "It divides by the sum of a channel, which has as many correct digits less as terms of both signs cancel in it: none where none are negative"
    model,x,classes,layers = setting(name)
    a,g = by_hooks(model, layers[depth], x, logit(classes))
    got,want = raw(model, x, classes, 'xgradcam', layers[depth]),formula(P.XGradCAM, model, a, g)
    if (a>=0).all(): return close(got, want)
    total = lambda t: t.double().sum((2,3), keepdim=True)
    lost = ((total(g*a)/total(a)*a).abs() * total(a.abs())/total(a).abs()).sum(1)
    assert ((got-want).abs()<=4*eps*lost+1e-5*want.abs().max()).all() and np.corrcoef(got.flatten(), want.flatten())[0,1]>.999

@names
@depth
@pytest.mark.parametrize('method', eigen)
def test_eigen(name, depth, method):
    "Up to the sign, which an SVD leaves open: ours goes with the sum over channels, SegEigenCAM's has a rule. A direction is known to eps/(1 - second/first singular value)"
    model,x,classes,layers = setting(name)
    a,g = by_hooks(model, layers[depth], x[:2], logit(classes[:2]))
    got,want = raw(model, x[:2], classes[:2], method, layers[depth]),formula(eigen[method], model, a, g)
    turn = (got*want).sum((1,2), keepdim=True).sign()
    wa = dict(eigengradcam=a*g, segeigencam=a*g.abs()).get(method, a)
    cells = wa.double().flatten(2)
    s = torch.linalg.svdvals(cells-cells.mean(2, keepdim=True))
    close(got*turn, want, max(1e-5, 4*eps/(1-s[:,1]/s[:,0]).min().item()))
    if method=='segeigencam': assert (turn==1).all()
    else: assert ((got*(wa.sum(1)-wa.sum(1).mean((1,2), keepdim=True))).sum((1,2))>0).all()

def test_eigen_sign():
    "A channel and its negative, as a peer's SVD may see them: the map is bright where the activations are"
    a = torch.zeros(1, 3, 4, 4)
    a[:,:2,1:3,1:3] = 1.
    for reduce in (pca_reduce, kpca_reduce):
        for t in (a, a+3, -a):
            m = reduce(t)[0]
            assert (m[1:3,1:3].mean()-m[0].mean()).sign()==t[0,0,1,1]-t[0,0,0,0]

def second_order(model, layer, x, score):
    "Mean over the grid of g - H A/2, where A is what the map shows: on the ViT the patches, without the class token"
    seen = []
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):            # fused attention has no second derivative
        h = model.get_submodule(layer).register_forward_hook(lambda m,i,o: seen.append(o) or o.clone())
        try: s = score(model(x)).sum()
        finally: h.remove()
        g, = torch.autograd.grad(s, seen, create_graph=True)
        a, = [t.detach().clone() for t in seen]
        if a.ndim==3: a[:,0] = 0
        w = g.detach()-torch.autograd.grad(g, seen, a)[0]/2
    if a.ndim==3: a,w = patches(a),patches(w)
    return w.mean((2,3), keepdim=True),a

@names
@depth
@pytest.mark.parametrize('target', ['logit','rest'])
def test_shapleycam(name, depth, target):
    "Second derivatives by hand, of a logit and of the target it is meant for; and the peer's, but for the ViT, where it counts the class token among the cells, and fails to make a map"
    model,x,classes,layers = setting(name)
    layer,of = model.get_submodule(layers[depth]),PerItem(classes) if target=='logit' else ReST(PerItem(classes))
    got = raw(model, x, of, 'shapleycam', layers[depth])
    score = logit(classes) if target=='logit' else lambda y: logit(classes)(y)-F.cross_entropy(y, tensor(classes), reduction='none')
    w,a = second_order(model, layers[depth], x, score)
    close(got, (w*a).sum(1))
    if name=='vit': return
    kind = ClassifierOutputReST if target=='rest' else ClassifierOutputTarget
    with P.ShapleyCAM(model, [layer]) as o:
        o.activations_and_grads.clear,seen,f = noop,[],o.get_cam_image
        o.get_cam_image = lambda *args: seen.append(f(*args)) or seen[-1]
        o(x, [kind(c) for c in classes])
    close(got, tensor(seen[0]))

# ---- closed forms: torchcam
def tc(kind, name, layer, model, x, classes, **kw):
    "torchcam's map before its ReLU and scaling"
    with kind(model, layer, input_shape=x.shape[1:], **(dict(reshape_transform=patches) if name=='vit' else {}), **kw) as o:
        getattr(o, 'base_cam', o)._relu = False
        return o(classes, model(x), normalized=False)[0].detach()

@names
@depth
@pytest.mark.parametrize('method,kind', [('gradcam',T.GradCAM), ('xgradcam',T.XGradCAM), ('layercam',T.LayerCAM)])
def test_torchcam(name, depth, method, kind):
    model,x,classes,layers = setting(name)
    if method=='xgradcam' and name!='resnet18': pytest.skip('sums that cancel: see test_xgradcam')
    close(raw(model, x, classes, method, layers[depth]), tc(kind, name, layers[depth], model, x, classes))

def test_gradcampp_of_the_paper():
    "Equations 7 and 19 of 1710.11063, cell by cell; torchcam's weights are something else"
    model,x,classes,layers = setting('resnet18')
    a,g = by_hooks(model, layers[0], x, logit(classes))
    want = torch.zeros(len(x), *a.shape[2:])
    for b in range(len(x)):
        for k in range(a.shape[1]):
            alpha = [[0. if d==0 else d**2/(2*d**2+a[b,k].sum().item()*d**3+1e-6) for d in row] for row in g[b,k].tolist()]
            want[b] += (tensor(alpha)*g[b,k].relu()).sum()*a[b,k]
    close(raw(model, x, classes, 'gradcampp', layers[0]), want)
    other = tc(T.GradCAMpp, 'resnet18', layers[0], model, x, classes)
    close(other, ((g**2*g.relu()).sum((2,3), keepdim=True)*a).sum(1))                   # what it computes
    assert (other/other.abs().max()-want/want.abs().max()).abs().max()>.01

# ---- asking the model again: the paper's formula as a loop over plain tensors
def weighted(w, a): return (torch.as_tensor(w).reshape(*a.shape[:2], *[1]*(a.ndim-2))*a).sum(1)

def enlarged(t, size):
    "One channel at the input's size, scaled to 0..1"
    m = F.interpolate(t[None,None], size, mode={1:'linear', 2:'bilinear', 3:'trilinear'}[t.ndim], align_corners=False)[0,0]
    return (m-m.min())/(m.max()-m.min()) if m.max()>m.min() else m*0

def score_loop(model, layer, x, classes, masks):
    "Score-CAM and its kin: softmax over channels of the mean score of the picture under `masks(mask)`"
    a,_ = by_hooks(model, layer, x, logit(classes))
    with torch.no_grad():
        s = [[torch.stack([model(x[b:b+1]*m)[0,c] for m in masks(enlarged(a[b,k], x.shape[2:]))]).mean() for k in range(a.shape[1])] for b,c in enumerate(classes)]
    return weighted(tensor(s).softmax(1), a)

def gauss(shape, sigma, seed): return noise(*shape, seed=seed)*sigma

masks_of = dict(
    scorecam = ({}, lambda m: [m]),
    sscam = (dict(samples=3, sigma=.5), lambda m: [m+gauss((1,1,*m.shape), .5, i)[0,0] for i in range(3)]),
    iscam = (dict(samples=4), lambda m: [m*i/4 for i in (1,2,3,4)]))

@pytest.mark.parametrize('nd', [1,2,3])
@pytest.mark.parametrize('method', masks_of)
def test_scores_of_masks(method, nd):
    model,x = net(nd)
    kw,masks = masks_of[method]
    for layer in ('0.2','0.1.1'): close(raw(model, x, [2,0,3], method, layer, **kw), score_loop(model, layer, x, [2,0,3], masks))

def ablation_loop(model, layer, x, classes):
    "The share of the score that goes with each channel: of its size, so that what helps counts as help where the score is negative"
    a,_ = by_hooks(model, layer, x, logit(classes))
    with torch.no_grad(): y,w = model(x),torch.zeros(a.shape[:2])
    for b,c in enumerate(classes):
        for k in range(a.shape[1]):
            def without(m, i, o):
                o = o.clone()
                o[:,k] = 0
                return o
            h = model.get_submodule(layer).register_forward_hook(without)
            with torch.no_grad(): w[b,k] = (y[b,c]-model(x[b:b+1])[0,c])/y[b,c].abs()
            h.remove()
    return weighted(w, a)

@pytest.mark.parametrize('nd', [1,2,3])
def test_ablation(nd):
    model,x = net(nd)
    for layer in ('0.2','0.1.1'): close(raw(model, x, [2,0,3], 'ablationcam', layer), ablation_loop(model, layer, x, [2,0,3]))

def test_ablation_of_tokens():
    "The class token stays as it is"
    model,x = vit(),noise(1, 3, 96, 96)
    got = raw(model, x, [3], 'ablationcam', 'blocks.2.norm1', n=5)
    a = by_hooks(model, 'blocks.2.norm1', x, logit([3]))[0]
    y,want = model(x)[0,3].detach(),torch.zeros(1, 6, 6)
    for k in a.abs().mean((2,3))[0].topk(5).indices.tolist():
        def without(m, i, o): return torch.cat([o[:,:1], o[:,1:]*(torch.arange(o.shape[2])!=k)], 1)
        h = model.blocks[2].norm1.register_forward_hook(without)
        with torch.no_grad(): want += (y-model(x)[0,3])/y.abs()*a[:,k]
        h.remove()
    close(got, want, 1e-4)                                                              # differences of scores that are alike

def test_ablation_through_the_head():
    "Running what lies after the layer is running it all"
    model,x = net()
    for layer in ('0.2','0.1.1'):
        seen = []
        h = model[0][0].register_forward_hook(lambda m,i,o: seen.append(len(o)))
        with shortcuts(): quick = raw(model, x, [2,0,3], 'ablationcam', layer)
        assert max(seen)<=len(x)
        with shortcuts(False): slow = raw(model, x, [2,0,3], 'ablationcam', layer)
        assert max(seen)>len(x)
        h.remove()
        close(quick, slow)

def test_layer_passed_by():
    "Where the input goes on beside the layer, the whole model is run: the same as the loop"
    class Beside(nn.Module):
        def __init__(self): super().__init__(); self.conv,self.head = nn.Conv2d(2, 4, 3, stride=2, padding=1),nn.Linear(6, 3)
        def forward(self, x): return self.head(torch.cat([self.conv(x).relu().mean((2,3)), x.std((2,3))], 1))
    set_seed(0)
    model,x = Beside().eval(),net()[1]
    close(raw(model, x, [2,0,1], 'ablationcam', 'conv'), ablation_loop(model, 'conv', x, [2,0,1]))

@pytest.mark.parametrize('method', ['scorecam','sscam','iscam','ablationcam'])
def test_chunks_and_strongest(method):
    "In chunks of any size; `n` of all channels is no `n`, `n` of few weighs only those"
    model,x = net()
    f = partial(raw, model, x, [2,0,3], method, '0.2', **{'sscam':dict(samples=2)}.get(method, {}))
    for bs in (1,4,7,1000): close(f(bs=bs), f())
    for n in (10,11): assert torch.equal(f(n=n), f())
    a,_ = by_hooks(model, '0.2', x, logit([2,0,3]))
    top = a.mean((2,3)).argmax(1)
    assert (f(n=1).flatten(1)-f().flatten(1)).abs().max()>1e-3*f().abs().max()
    if method!='ablationcam': close(f(n=1), a[torch.arange(3),top])
    with pytest.raises(ValueError, match='at least one channel'): f(n=0)

def test_dead_channels():
    "A channel that is zero for one item and not for another: the loop's map"
    model,x = deepcopy(net()[0]),net()[1]
    model[0][2][1].bias.data[:4] = tensor([-9.,-1.,-.5,9.])
    for method,loop in dict(scorecam=partial(score_loop, masks=lambda m: [m]), ablationcam=ablation_loop).items():
        assert (by_hooks(model, '0.2', x, logit([2,0,3]))[0].amax((2,3))==0).any()
        close(raw(model, x, [2,0,3], method, '0.2'), loop(model, '0.2', x, [2,0,3]))

def smoothpp_loop(model, layer, x, classes, samples, sigma, last=False):
    a,_ = by_hooks(model, layer, x, logit(classes))
    gs = [by_hooks(model, layer, x+gauss((1,*x.shape[1:]), sigma, i), logit(classes))[1] for i in range(samples)]
    w = torch.zeros(a.shape[:2])
    for b in range(a.shape[0]):
        for k in range(a.shape[1]):
            d1,d2,d3 = (sum(f(g[b,k]) for g in gs)/samples for f in (lambda g: g.clamp(min=0), lambda g: g**2, lambda g: g**3))
            den = 2*d2+a[b,k].sum()*d3
            alpha = torch.where(den==0, 0., d2/torch.where(den==0, 1., den))
            w[b,k] = (alpha*(gs[-1][b,k].clamp(min=0) if last else d1)).sum()
    return weighted(w, a)

@pytest.mark.parametrize('nd', [1,2,3])
def test_smoothgradcampp(nd):
    "First derivatives averaged like the others, where torchcam takes the last sample's"
    model,x = net(nd)
    kw = dict(samples=3, sigma=.4)
    got = raw(model, x, [2,0,3], 'smoothgradcampp', '0.1', **kw)
    close(got, smoothpp_loop(model, '0.1', x, [2,0,3], **kw))
    slip = smoothpp_loop(model, '0.1', x, [2,0,3], last=True, **kw)
    assert (got-slip).abs().max()>1e-2*got.abs().max()

def test_smoothgradcampp_slip_of_torchcam():
    "Its sum over samples is not symmetric: the same samples in another order give another map"
    model,x = net()
    def of(order):
        with T.SmoothGradCAMpp(model, '0.1', num_samples=2, input_shape=x.shape[1:]) as o:
            left = [noise(*x.shape, seed=i)*.5 for i in order]
            o._distrib.sample = lambda size: left.pop(0)
            model(x)
            return o([2,0,3], normalized=False)[0]
    assert (of([0,1])-of([1,0])).abs().max()>1e-2*of([0,1]).abs().max()

# ---- the peers, whose interpolation and scaling differ in detail
def corr(a, b): return min(np.corrcoef(p.flatten(), q.flatten())[0,1] for p,q in zip(a, b))

@cache
def scored():
    "The narrow resnet18, two inputs, each with a class of positive and one of negative score"
    model,x = narrow(),noise(2, 3, 96, 96)
    with torch.no_grad(): y = model(x)
    return model,x,y.argmax(1).tolist(),y.argmin(1).tolist()

@pytest.mark.parametrize('layer', ['layer2','layer1'])
def test_peers_scorecam(layer):
    model,x,high,_ = scored()
    got = raw(model, x, high, 'scorecam', layer)
    with T.ScoreCAM(model, layer) as o:
        o._relu = False
        with torch.no_grad(): model(x)
        theirs = o(high, normalized=False)[0]
    plain = by_hooks(model, layer, x, logit(high))[0].mean(1)
    assert corr(got, theirs)>.99 and corr(got, pgc(peer(P.ScoreCAM, ''), model, model.get_submodule(layer), x, high))>.99
    assert corr(got, plain)<.98                                                         # weights that are all alike would not do

@pytest.mark.parametrize('layer', ['layer4','layer3'])
def test_peers_ablationcam(layer):
    "The same where the score is positive; where it is negative, dividing by it turns the map over"
    model,x,high,low = scored()
    with torch.no_grad(): y = model(x)
    assert y.amax(1).min()>0 and y.amin(1).max()<0
    for classes,sign in ((high,1), (low,-1)):
        theirs = pgc(peer(P.AblationCAM, ''), model, model.get_submodule(layer), x, classes)
        assert corr(sign*raw(model, x, classes, 'ablationcam', layer), theirs)>.99

def test_ablation_of_a_negative_score():
    "On a linear head what a channel gives to the score is known: its weight is that over the size of the score, whose sign does not turn the map over"
    model,x = linear_heads('small')
    with torch.no_grad(): y = model(x)
    assert (y<0).any()
    got = cam_maps(model, x, [0,1,2], method='ablationcam').as_subclass(Tensor)
    for c in range(3):
        a,g = by_hooks(model, '0.3', x, logit([c]*len(x)))
        close(got[:,c], weighted((g*a).sum((2,3))/y[:,c:c+1].abs(), a), 1e-4)           # differences of scores that are alike

def test_iscam_coefficients():
    "The mask fades in from a share of 1/samples to itself, as 2010.03023 integrates; torchcam's coefficients are running sums and reach 5.5"
    class Bright(nn.Module):
        "The score is how bright the input is"
        def __init__(self): super().__init__(); self.conv = nn.Conv2d(1, 1, 1); nn.init.ones_(self.conv.weight); nn.init.zeros_(self.conv.bias)
        def forward(self, x): seen.append(x.amax((1,2,3))); return self.conv(x).mean((2,3))
    seen = []
    x,model = torch.zeros(1, 1, 8, 8),Bright().eval()
    x[...,2:6,2:6] = 1
    find_layers(model, x, 'conv')                                    # looks at the model once, with noise where the picture is symmetric
    seen.clear()
    cam_maps(model, x, 0, 'conv', 'iscam')
    steps = sorted({round(o.item(), 4) for t in seen for o in t})
    assert steps==[i/10 for i in range(11)]
    seen.clear()
    with T.ISCAM(model, 'conv', input_shape=(1,8,8)) as o:
        model(x)
        o(0)
    assert max(t.max().item() for t in seen)==pytest.approx(5.5)

# ---- smoothing of any method
@pytest.mark.parametrize('nd', [1,2,3])
@pytest.mark.parametrize('method', ['gradcam','layercam','gradcampp'])
def test_tta_and_noise(nd, method):
    model,x = net(nd)
    f = lambda x: raw(model, x, [2,0,3], method, '0.1')
    close(raw(model, x, [2,0,3], method, '0.1', smooth='tta'), sum(f(x*g)+f((x*g).flip(-1)).flip(-1) for g in (.9,1,1.1))/6)
    close(raw(model, x, [2,0,3], method, '0.1', smooth='tta', gains=(2,)), (f(x*2)+f(x.flip(-1)*2).flip(-1))/2)
    noisy = [f(x+gauss((1,*x.shape[1:]), .2, i)) for i in range(3)]
    close(raw(model, x, [2,0,3], method, '0.1', smooth='noise', samples=3, sigma=.2), sum(noisy)/3)
    assert (noisy[0]-noisy[1]).abs().max()>1e-2*noisy[0].abs().max()

def blurred(m, sigma=2., r=6):
    "A Gaussian over a window of 13 in each dimension, edges repeated"
    k = torch.exp(-torch.arange(-r, r+1)**2/(2*sigma**2))
    for d in range(m.ndim):
        n,i = m.shape[d],torch.arange(m.shape[d])
        m = sum(w*m.index_select(d, (i+o).clamp(0, n-1)) for w,o in zip(k/k.sum(), range(-r, r+1)))
    return m

@pytest.mark.parametrize('nd', [1,2])
def test_windows(nd):
    "SESS: windows of the input's size over the enlarged input, their maps weighted by the probability over the largest, averaged where they show something, blurred"
    model,x = net(nd)
    mode,size,c = {1:'linear', 2:'bilinear'}[nd],tuple(x.shape[2:]),[2,0,3]
    grow = lambda t, s: F.interpolate(t, s, mode=mode, align_corners=False)
    want = []
    for b in range(len(x)):
        seen = []
        for i in range(3):
            big = tuple(round(s*(1+i*.4)) for s in size)
            xs = grow(x[b:b+1], big)
            for at in itertools.product(*[sorted({*range(0, n-s, s), n-s}) for n,s in zip(big,size)]):
                win = (...,*[slice(o,o+s) for o,s in zip(at,size)])
                m = raw(model, xs[win], c[b:b+1], 'layercam', '0.1').relu()
                with torch.no_grad(): p = model(xs[win]).softmax(1)[0,c[b]]
                seen.append((big, win, m/m.max() if m.max()>0 else m, p))
        top,total,count = max(p for *_,p in seen),0,0
        for big,win,m,p in seen:
            full = torch.zeros(1, 1, *big)
            full[win] = grow(m[None], size)*p/top
            full = grow(full, size)
            total,count = total+full,count+(full>0)
        want.append(blurred((total/count.clamp(min=1))[0,0]))
    close(raw(model, x, c, 'layercam', '0.1', smooth='windows', scales=3, step=.4), torch.stack(want))

def test_own_smoothing():
    "A function of a method and a pass"
    model,x = net()
    twice = lambda method, o, gain=3.: method(o)+method(o.again(*[t*gain for t in o.xb]))
    f = lambda x: raw(model, x, [2,0,3], 'layercam')
    close(raw(model, x, [2,0,3], 'layercam', smooth=twice, gain=.5), f(x)+f(x*.5))

# ---- through the whole network
def test_fullgrad():
    "pytorch-grad-cam's sum, before its last scaling; its bilinear enlargement is OpenCV's"
    for model,x in ((small_net().eval(),drawn_batch(3)), (narrow(),noise(3, 3, 64, 64)), (setting('resnet18')[0],setting('resnet18')[1])):
        classes = [2,0,1]
        with P.FullGrad(model, []) as o:
            x1,seen = x.clone().requires_grad_(),[]
            o.aggregate_multi_layers = lambda t: seen.append(t) or t
            o.activations_and_grads.clear = noop
            torch.autograd.Variable,was = (lambda t, requires_grad: x1),torch.autograd.Variable
            try: o(x, [ClassifierOutputTarget(c) for c in classes])
            finally: torch.autograd.Variable = was
        model.zero_grad()
        close(raw(model, x, classes, 'fullgrad'), tensor(seen[0])[:,0])

@pytest.mark.parametrize('nd', [1,3])
def test_fullgrad_by_hand(nd):
    "Signals and volumes: |x dy/dx| and |b dy/db| of each convolution and batchnorm, scaled, enlarged and summed"
    model,x = net(nd)
    def scaled(t): return sum((c.abs()-c.abs().min())/(c.abs().max()-c.abs().min()+1e-7) for c in t)
    for b,c in enumerate([2,0,3]):
        outs = []
        mods = [m for l in model[0] for m in l[:2]]
        hs = [m.register_forward_hook(lambda m,i,o: outs.append(o) or o.clone()) for m in mods]
        x1 = x[b:b+1].clone().requires_grad_()
        y = model(x1)[0,c]
        for h in hs: h.remove()
        gx,*gs = torch.autograd.grad(y, [x1, *outs])
        want = scaled((x1.detach()*gx)[0])
        for m,g in zip(mods, gs):
            bias = m.bias if not hasattr(m, 'running_mean') else m.bias-m.running_mean*m.weight/(m.running_var+m.eps).sqrt()
            part = scaled(torch.stack([g[0,k]*bias[k].detach() for k in range(g.shape[1])]))
            want = want+F.interpolate(part[None,None], x.shape[2:], mode='linear' if nd==1 else 'trilinear', align_corners=False)[0,0]
        close(raw(model, x, [2,0,3], 'fullgrad')[b], want)

def out_of_place(model):
    res = deepcopy(model)
    for m in res.modules():
        if isinstance(m, nn.ReLU): m.inplace = False
    return res

@pytest.mark.parametrize('inplace', [True,False])
def test_guidedbackprop(inplace):
    "Colors summed; the peers know no in-place ReLUs, ours gives the same with them"
    for model,x,classes in ((small_net().eval(),drawn_batch(3),[2,0,1]), (setting('resnet18')[:3])):
        got = raw(model if inplace else out_of_place(model), x, classes, 'guidedbackprop')
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            close(got, captum.attr.GuidedBackprop(out_of_place(model)).attribute(x.clone(), target=tensor(classes)).detach().sum(1))
        theirs = [P.GuidedBackpropReLUModel(model=out_of_place(model))(x[i:i+1].clone(), c) for i,c in enumerate(classes)]
        close(got, torch.stack([tensor(t).sum(-1) for t in theirs]))

def test_guidedgradcam():
    "Grad-CAM, positive and enlarged, times guided backprop; in one dimension too"
    for nd in (1,2,3):
        model,x = net(nd)
        m,c = (raw(model, x, [2,0,3], o) for o in ('guidedbackprop','gradcam'))
        close(raw(model, x, [2,0,3], 'guidedgradcam'), F.interpolate(c.relu()[:,None], x.shape[2:], mode={1:'linear',2:'bilinear',3:'trilinear'}[nd], align_corners=False)[:,0]*m)

def test_legrad_pooler():
    "Where tokens are pooled by an attention of its own, as in SigLIP: the gradients of that attention, which reads each block's tokens in turn, in plain tensors"
    torch.manual_seed(0)
    m = timm.create_model('vit_tiny_patch16_224', global_pool='map', num_classes=7, img_size=64, depth=3, class_token=False).eval()
    x,zs,maps,pool = torch.randn(2,3,64,64),[],[],m.attn_pool
    hooks = [b.register_forward_hook(lambda b, i, o: zs.append(o)) for b in m.blocks]
    pred = m(x)
    for h in hooks: h.remove()
    for z in zs:
        heads = lambda t: t.unflatten(2, (-1,pool.head_dim)).transpose(1, 2)
        q,(k,v) = heads(pool.q(pool.latent.expand(2, -1, -1))),map(heads, pool.kv(m.norm(z)).chunk(2, 2))
        a = (q@k.transpose(-2,-1)*pool.scale).softmax(-1)
        y = pool.proj((a@v).transpose(1, 2).flatten(2))
        s = m.head((y+pool.mlp(pool.norm(y)))[:,0])
        g, = torch.autograd.grad(s[:,3].sum(), a, retain_graph=True)
        maps.append(g.relu().mean((1,2)))
    assert torch.allclose(s, pred, atol=1e-4)
    close(raw(m, x, 3, 'legrad'), torch.stack(maps).mean(0).unflatten(1, (4,4)))

def test_legrad():
    "torchcam's, told to read the class token as the head does"
    model,x,classes = tv_vit(),noise(3, 3, 32, 32),[2,0,4]
    with T.LeGrad(model, [*model.encoder.layers], score_projection=lambda t: model.heads(model.encoder.ln(t)[:,0])) as o:
        model(x)
        want = o(classes, normalized=False)[0].detach()
    close(raw(model, x, classes, 'legrad'), want)

def attentions(model, x):
    "Attention matrices (batch, heads, tokens, tokens) of each block, by hooks on attention that is not fused"
    seen = []
    if hasattr(model, 'blocks'): hs = [b.attn.attn_drop.register_forward_pre_hook(lambda m,i: seen.append(i[0])) for b in model.blocks]
    else:
        def ask(m, args, kw): return args,{**kw, 'need_weights':True, 'average_attn_weights':False}
        hs = [f for b in model.encoder.layers for f in (b.self_attention.register_forward_pre_hook(ask, with_kwargs=True), b.self_attention.register_forward_hook(lambda m,i,o: seen.append(o[1])))]
    with torch.no_grad(): model(x)
    for h in hs: h.remove()
    return seen

@pytest.mark.parametrize('kind', ['timm','torchvision'])
def test_rollout(kind):
    model,x = (vit(False),noise(2, 3, 96, 96)) if kind=='timm' else (tv_vit(),noise(2, 3, 32, 32))
    want = []
    for b in range(2):
        r = torch.eye(1)
        for a in attentions(model, x):
            m = (a[b].mean(0)+torch.eye(a.shape[-1]))/2
            r = m if len(r)==1 else m@r
        want.append(r[0,1:].unflatten(0, (6,6) if kind=='timm' else (4,4)))
    close(raw(model, x, [1,2], 'rollout'), torch.stack(want))

@pytest.mark.parametrize('method', ['rollout','legrad'])
def test_fused_attention(method):
    "Fused or not, the map is the same, and attention is afterwards as it was"
    x = noise(2, 3, 96, 96)
    got = [raw(vit(fused), x, [1,2], method) for fused in (True,False)]
    assert all(b.attn.fused_attn for b in vit().blocks)
    close(*got)

def test_legrad_of_blocks():
    "By hand on timm's attention: gradients of each block's own score, positive, averaged over heads and queries, then over blocks"
    model,x,classes = vit(False),noise(2, 3, 96, 96),[3,8]
    seen,outs = [],[]
    hs = [b.attn.attn_drop.register_forward_pre_hook(lambda m,i: seen.append(i[0])) for b in model.blocks]+[b.register_forward_hook(lambda m,i,o: outs.append(o)) for b in model.blocks]
    try: model(x)
    finally:
        for h in hs: h.remove()
    want = 0
    for a,t in zip(seen, outs):
        s = model.forward_head(model.norm(t)).gather(1, tensor(classes)[:,None]).sum()
        want = want+torch.autograd.grad(s, a, retain_graph=True)[0].relu().mean((1,2))/3
    close(raw(model, x, classes, 'legrad'), want[:,1:].unflatten(1, (6,6)))

@pytest.mark.parametrize('method', ['rollout','legrad'])
def test_attention_of_a_cnn(method):
    with pytest.raises(ValueError, match="'gradcam'"): raw(net()[0], net()[1], [0,1,2], method)

# ---- targets
def test_versus_pgc():
    "FinerCAM as its authors and pytorch-grad-cam have it: rivals weighed by their probability"
    model,x,_,layers = setting('resnet18')
    with P.FinerCAM(model, [model.get_submodule(layers[0])]) as o:
        o(x)
        held = o.base_cam.activations_and_grads
        want = tensor(o.base_cam.get_cam_image(x, None, None, held.activations[0].numpy(), held.gradients[0].numpy(), False))
        held.activations.clear(); held.gradients.clear()
    model.zero_grad()
    close(raw(model, x, Versus(), layer=layers[0]), want)

@pytest.mark.parametrize('method,kind', [('gradcam',T.GradCAM), ('layercam',T.LayerCAM)])
def test_versus_torchcam(method, kind):
    model,x,classes,layers = setting('resnet18')
    close(raw(model, x, Versus(PerItem(classes), alpha=.6, weigh=False), method, layers[0]), tc(T.FinerCAM, 'resnet18', layers[0], model, x, classes, base_method=kind))

def nearest(y, c): return (y-y[c]).abs().argsort()[1:4]

by_hand = dict(
    prob = (Prob, lambda y,c: y.exp()[c]/y.exp().sum()),
    neg = (Neg, lambda y,c: -y[c]),
    negprob = (lambda t: Neg(Prob(t)), lambda y,c: -y.exp()[c]/y.exp().sum()),
    rest = (ReST, lambda y,c: y[c]+y[c]-y.exp().sum().log()),
    mean = (partial(Versus, weigh=False, alpha=.6), lambda y,c: y[c]-.6*y[nearest(y, c)].mean()),
    weighed = (Versus, lambda y,c: ((y.softmax(0)*(y[c]-y))[nearest(y, c)].sum()/y.softmax(0)[nearest(y, c)].sum())))

@pytest.mark.parametrize('target', by_hand)
def test_targets(target):
    "Autograd of the number written out; in columns, with methods of gradients, of scores and of the whole network"
    model,x = net()
    make,f = by_hand[target]
    cols = [2,0,3]
    for c in cols:
        a,g = by_hooks(model, '0.2', x, lambda y: torch.stack([f(p, c) for p in y]))
        close(raw(model, x, make(c), 'hirescam', '0.2'), (g*a).sum(1))
        with torch.no_grad():
            s = lambda x: torch.stack([f(p, c) for p in model(x)])
            w = torch.stack([torch.stack([s(x[b:b+1]*enlarged(a[b,k], x.shape[2:]))[0] for k in range(a.shape[1])]) for b in range(3)]).softmax(1)
        close(raw(model, x, make(c), 'scorecam', '0.2'), weighted(w, a))
    for method in ('gradcam','scorecam','ablationcam','shapleycam','smoothgradcampp','fullgrad','guidedbackprop'):
        got = cam_maps(model, x, make(cols), method=method).as_subclass(Tensor)
        for j,c in enumerate(cols): close(got[:,j], raw(model, x, make(c), method))

# ---- several layers
def test_fuse():
    "At the finest grid; each the paper's formula on maps scaled by their largest value"
    model,x = net()
    layers = ['0.2','0.0','0.1']
    f = lambda **kw: cam_maps(model, x, [2,0], layers, 'layercam', **kw).as_subclass(Tensor)
    apart = cam_maps(model, x, [2,0], layers, 'layercam', fuse=None)
    assert [*apart]==layers or set(apart)==set(layers)
    for l in layers: close(apart[l].as_subclass(Tensor), cam_maps(model, x, [2,0], l, 'layercam').as_subclass(Tensor))
    big = apart['0.0'].shape[2:]
    fine = torch.stack([F.interpolate((m/m.amax((2,3), keepdim=True)), big, mode='bilinear', align_corners=False) for m in (apart[l].as_subclass(Tensor) for l in layers)])
    assert f().shape[2:]==big==x.shape[2:]
    close(f(), fine.mean(0))
    close(f(fuse='max'), fine.amax(0))
    close(f(fuse='product'), fine.prod(0))
    close(f(fuse='tanhmax'), (2*fine).tanh().amax(0))
    got = cam_maps(model, x, [2,0], layers, 'layercam', fuse=lambda maps: maps[0]*0+len(maps))
    assert (got==3).all()

def test_fuse_keeps_the_sign():
    "'mean' and 'max' of maps of both signs; 'product' and 'tanhmax' are of what speaks for the class: two negatives make no positive"
    model,x = net()
    fine,pos = [],[]
    for l in ('0.1','0.2'):
        m = cam_maps(model, x, 1, l, 'hirescam').as_subclass(Tensor)
        for res,t in ((fine,m/m.abs().amax((2,3), keepdim=True)), (pos,m.relu()/m.relu().amax((2,3), keepdim=True).clamp(min=1e-30))):
            res.append(F.interpolate(t, (8,10), mode='bilinear', align_corners=False))
    fine,pos = torch.stack(fine),torch.stack(pos)
    assert ((fine[0]<0)&(fine[1]<0)).any()
    f = lambda fuse: cam_maps(model, x, 1, ['0.1','0.2'], 'hirescam', fuse=fuse).as_subclass(Tensor)
    close(f('product'), pos.prod(0))
    close(f('tanhmax'), (2*pos).tanh().amax(0))
    close(f('mean'), fine.mean(0))
    close(f('max'), fine.amax(0))

def test_fuse_peers():
    "torchcam's fusion of LayerCAM; the product is its RefineCAM, up to the scaling"
    model,x,classes,_ = setting('resnet18')
    layers = ['0.5','0.6','0.7']
    with T.LayerCAM(model, layers, input_shape=x.shape[1:]) as o: maps = [m.detach() for m in o(classes, model(x), normalized=False)]
    top = [m/m.amax((1,2), keepdim=True) for m in maps]
    close(raw(model, x, classes, 'layercam', layers, fuse='tanhmax'), T.LayerCAM._fuse_cams(T.LayerCAM._scale_cams([F.interpolate(m[:,None], maps[0].shape[1:], mode='bilinear', align_corners=False)[:,0] for m in top]), maps[0].shape[1:]))
    with T.RefineCAM(model, layers, input_shape=x.shape[1:], base_method=T.LayerCAM) as o: want = o(classes, model(x), normalized=False)[0].detach()
    def from_zero(o):
        "The peer's scaling begins at the smallest value"
        m = as_method('layercam')(o)
        return m-m.amin((1,2), keepdim=True)
    close(raw(model, x, classes, from_zero, layers, fuse='product'), want)

# ---- what all methods have in common
few = dict(sscam=dict(samples=2), iscam=dict(samples=2), smoothgradcampp=dict(samples=2), smoothgrad=dict(samples=2), ig=dict(steps=3), rise=dict(n=40))   # so that it is quick
of_tokens = ['rollout','legrad']
of_input = ['guidedbackprop','guidedgradcam','fullgrad','inputgrad','inputxgradient','smoothgrad','ig','occlusion','rise']
every = list(cam_methods().index)
grid_methods = [m for m in every if m not in of_tokens]

@cache
def linear_net(nd=2):
    "Like `net`, with the head that 'cam' needs"
    model = deepcopy(net(nd)[0])
    set_seed(nd)
    model[1] = nn.Sequential(*model[1][:2], nn.Linear(10, 4))
    return model,net(nd)[1]

@cache
def guarded(method):
    "A model for this method with a `Fuse` in front and one at the end, and a batch"
    if method in of_tokens: return nn.Sequential(Fuse(), vit(), Fuse()),noise(3, 3, 96, 96)
    model,x = linear_net() if method=='cam' else net()
    return nn.Sequential(Fuse(), model, Fuse()),x

def on(method, nd=2): return (vit(),noise(3, 3, 96, 96)) if method in of_tokens else linear_net(nd) if method=='cam' else net(nd)

def explain(model, x, target, method, **kw): return cam_maps(model, x, target, method=method, **few.get(method, {}), **kw).as_subclass(Tensor)

def test_table():
    "What the issue of methods asks for is there; each has its paper, but for what is a baseline or our own; what it costs and what it is for"
    tab = cam_methods()
    assert {'cam','headcam','gradcam','hirescam','elementwise','gradcampp','xgradcam','layercam','eigencam','eigengradcam','kpcacam','segeigencam','fem','shapleycam','random','scorecam','sscam','iscam',
        'ablationcam','smoothgradcampp','fullgrad','guidedbackprop','guidedgradcam','legrad','rollout','inputgrad','inputxgradient','smoothgrad','ig','occlusion','rise','lafam'}<=set(tab.index)
    assert tab.index.is_unique and {o for o in tab.index if not tab.paper[o]}=={'random','headcam'}
    assert all(tab['what for'].str.len()>10) and tab['what for'].is_unique
    free = {'eigencam','kpcacam','fem','random','headcam','scorecam','sscam','iscam','ablationcam','rollout','occlusion','rise','lafam'}
    assert {o for o in tab.index if not tab.gradients[o]}==free
    again = {'cam','headcam','scorecam','sscam','iscam','ablationcam','smoothgradcampp','fullgrad','guidedbackprop','guidedgradcam','rollout','legrad','ig','smoothgrad','occlusion','rise'}
    assert {o for o in tab.index if tab['further passes'][o]}==again
    assert 'eigen' in tab.keywords['gradcam'] and {'n','bs'}<=set(tab.keywords['scorecam'].split(', '))

@pytest.mark.parametrize('method', [o for o in every if o not in ('cam','headcam')])
def test_batch_is_its_items(method):
    "In any order, with another target for each, with very bright and dark neighbors"
    model,x = on(method)
    classes = tensor([2,0,3])
    alone = torch.cat([explain(model, x[i:i+1], c.item(), method) for i,c in enumerate(classes)])
    tol = 1e-4 if method in eigen else 1e-5                                             # singular vectors: eps/(1 - second/first value)
    for rows in ([0,1,2], [2,0], [1,1,2]): close(explain(model, x[rows], classes[rows], method), alone[rows], tol)
    close(explain(model, torch.cat([x*50, x*0, x]), classes.repeat(3), method)[-3:], alone, tol)

@pytest.mark.parametrize('method', every)
def test_columns(method):
    "Several classes are each class by itself, also where one comes twice"
    model,x = on(method)
    got = explain(model, x, [2,0,2], method)
    for j,c in enumerate([2,0,2]): close(got[:,j], explain(model, x, c, method)[:,0])

@pytest.mark.parametrize('nd', [1,3])
@pytest.mark.parametrize('method', grid_methods)
def test_dimensions(method, nd):
    "Signals and volumes"
    model,x = on(method, nd)
    got = cam_maps(model, x, [2,0], method=method, **few.get(method, {}))
    assert got.nd==nd and got.shape[2:]==(x.shape[2:] if method in of_input else first(find_layers(model, x).values()).grid) and got.shape[:2]==(3,2)
    assert got.isfinite().all() and all(len(m.unique())>1 for m in got.flatten(0,1))

@pytest.mark.parametrize('method', ['gradcam','hirescam','elementwise','gradcampp','xgradcam','layercam','eigencam','eigengradcam','segeigencam','fem','kpcacam','shapleycam'])
def test_volume_is_a_picture(method):
    "A net of pictures gives the same maps when its grid is unfolded to three dimensions, or folded to one"
    class As(nn.Module):
        def __init__(self, nd): super().__init__(); self.nd,self.body,self.grid,self.head = nd,net()[0][0],nn.Identity(),net()[0][1]
        def forward(self, x):
            a = self.body(x.flatten(2,-2) if self.nd!=1 else x.unflatten(2, (16,20)))               # (batch, 10, 4, 5)
            return self.head(self.grid({1:a.flatten(2), 3:a.unflatten(2, (2,2))}[self.nd]).reshape(a.shape))
    x = net()[1]
    want = raw(net()[0], x, [2,0,3], method, '0.2')
    for nd,xs in ((1,x.flatten(2)), (3,x.unflatten(2, (4,4)))):
        o = Explainer(PerItem([2,0,3]), None, method, n_items=3)
        lay = {'grid': GridLayer('grid', (m := As(nd).eval()).grid, 10, (20,) if nd==1 else (2,2,5))}
        with evaluating(m), Capture(m, lay) as cap:
            m(xs)
            got = torch.stack(list(o.explain(cap, range(3)).maps[None]))
        close(got.as_subclass(Tensor)[:,0].reshape(want.shape), want, 1e-4 if method in eigen else 1e-5)

@pytest.mark.parametrize('method', every)
def test_half_precision(method):
    "A bfloat16 model gives finite float32 maps, close to those of float32 as far as eight bits go"
    model,x = on(method)
    got = explain(deepcopy(model).bfloat16(), x.bfloat16(), [2,0], method)
    want = explain(model, x, [2,0], method)
    assert got.dtype==torch.float32 and got.shape==want.shape and got.isfinite().all() and got.abs().max()>0
    # these divide by sums or differences that nearly vanish, or count cells above a threshold
    if method not in ('xgradcam','ablationcam','fem'): assert corr(got.flatten(0,1), want.flatten(0,1))>.8

@pytest.mark.parametrize('method', every)
def test_no_trace(method):
    model,x = guarded(method)
    model = deepcopy(model)
    unsettle(model)
    xb,was = x.clone(),snapshot(model)
    explain(model, x, [2,0], method)
    assert changed(was, snapshot(model))==[] and torch.equal(x, xb) and x.grad is None and not x.requires_grad

@pytest.mark.parametrize('end', [False,True], ids=['first','last'])
@pytest.mark.parametrize('method', every)
def test_no_trace_of_a_failure(method, end):
    "The model fails in each of the first calls that a method makes, and in its last; at its beginning and at its end"
    model,x = guarded(method)
    model = deepcopy(model)
    unsettle(model)
    fuse = model[2 if end else 0]
    sizes = []
    h = fuse.register_forward_hook(lambda m,i,o: 'forward' in vars(m) or sizes.append(len(o)))            # what is known not to matter is not run again
    explain(model, x, [2,0], method)
    first = len(sizes)
    explain(model, x, [2,0], method)
    h.remove()
    n = len(sizes)-first                                                                # the first finds more to ask
    for k in sorted({0, 1, 2, n-1} & set(range(n))):
        fuse.left,fuse.error = k,ZeroDivisionError('the fuse blew')
        was = snapshot(model)
        with suppress(ZeroDivisionError):                                               # 'it runs on an empty batch' is asked with any error as a no
            explain(model, x, [2,0], method)
            assert 0 in sizes
        assert fuse.left==0
        assert changed(was, snapshot(model))==[]

@pytest.mark.parametrize('method', [o for o in every if cam_methods().gradients[o]])
def test_no_trace_of_a_failing_gradient(method):
    "The way back fails"
    class Blows(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x): return x.clone()
        @staticmethod
        def backward(ctx, g):
            if armed: raise KeyError('no way back')
            return g
    class Back(nn.Module):
        def forward(self, x): return Blows.apply(x)
    armed = []
    model,x = deepcopy(guarded(method)[0]),guarded(method)[1]
    model[2] = Back()
    unsettle(model)
    find_layers(model, x)
    armed.append(1)
    was = snapshot(model)
    with pytest.raises(KeyError, match='no way back'): explain(model, x, [2,0], method)
    assert changed(was, snapshot(model))==[]

@pytest.mark.parametrize('smooth', ['tta','noise','windows'])
@pytest.mark.parametrize('method', ['gradcam','eigencam','scorecam','shapleycam','fullgrad','guidedgradcam'])
def test_smooth_any_method(method, smooth):
    "A batch is its items, no trace, whatever the method"
    model,x = net()
    kw = {'windows':dict(scales=2), 'noise':dict(samples=2), 'tta':dict(gains=(1,))}[smooth]
    f = lambda x,c: cam_maps(model, x, c, method=method, smooth=smooth, **kw).as_subclass(Tensor)
    was = snapshot(model)
    got = f(x, tensor([2,0,3]))
    assert changed(was, snapshot(model))==[] and got.isfinite().all()
    close(got, torch.cat([f(x[i:i+1], c) for i,c in enumerate([2,0,3])]), 1e-4 if method=='eigencam' else 1e-5)

# ---- identities
@pytest.mark.parametrize('name', ['fastai','small','lite0'])
def test_hirescam_is_cam(name):
    "Times the number of cells, on linear heads after mean pooling"
    model,x = linear_heads(name)
    got,want = (cam_maps(model, x, [0,2], method=m) for m in ('hirescam','cam'))
    close(np.prod(got.grid)*got.as_subclass(Tensor), want.as_subclass(Tensor))

def test_layercam_is_elementwise():
    "Where the activations are not negative; and not where they are"
    model,x,classes,layers = setting('resnet18')
    for l in layers:
        assert (by_hooks(model, l, x, logit(classes))[0]>=0).all(); close(raw(model, x, classes, 'layercam', l), raw(model, x, classes, 'elementwise', l))
    # a ReLU right after the layer would make no difference: no gradient where it is negative
    l = '0.6.0.conv1'
    assert (by_hooks(model, l, x, logit(classes))[0]<0).any()
    a,b = (raw(model, x, classes, m, l) for m in ('layercam','elementwise'))
    assert (a-b).abs().max()>1e-2*b.abs().max()

def test_eigen_of_weights():
    "`eigen=True` is the first principal component of what the method sums"
    model,x = net()
    a,g = by_hooks(model, '0.2', x, logit([2,0,3]))
    for method,wa in dict(gradcam=g.mean((2,3), keepdim=True)*a, layercam=g.relu()*a).items():
        close(raw(model, x, [2,0,3], method, '0.2', eigen=True), pca_reduce(wa))
        cells = wa.flatten(2).double()
        cells = cells-cells.mean(2, keepdim=True)
        u,s,v = torch.linalg.svd(cells)
        first = (s[:,:1]*v[:,0]).float().unflatten(1, a.shape[2:])
        close(raw(model, x, [2,0,3], method, '0.2', eigen=True).abs(), first.abs(), 1e-4)
    for method in ('scorecam','ablationcam'):                                               # their weights, recovered from their maps
        m = raw(model, x, [2,0,3], method, '0.2')
        w = torch.linalg.lstsq(a.flatten(2).transpose(1,2).double(), m.flatten(1)[...,None].double()).solution.float()[...,None]
        close(raw(model, x, [2,0,3], method, '0.2', eigen=True), pca_reduce(w*a), 1e-4)
    with pytest.raises(TypeError, match="'eigen'"): raw(model, x, [2,0,3], 'headcam', '0.2', eigen=True)

def test_random_is_the_same_each_time():
    "The baseline's weights are of a seed of their own: equal for all items and calls, whatever the user's seed"
    model,x = net()
    got = []
    for seed in (0,1):
        set_seed(seed)
        got.append(raw(model, x, [2,0,3], 'random', '0.2'))
    assert torch.equal(*got)
    close(raw(model, x[:1], [1], 'random', '0.2'), got[0][:1])
    a,_ = by_hooks(model, '0.2', x, logit([2,0,3]))
    w = torch.linalg.lstsq(a.movedim(1,-1).reshape(-1, 10).double(), got[0].reshape(-1,1).double()).solution
    assert w.abs().max()<=1 and w.std()>.2

# ---- a method of one's own
@pytest.fixture
def own():
    "Registered for one test"
    from fastcam.engine.method import _methods
    was = dict(_methods)
    yield
    _methods.clear(); _methods.update(was)

def test_own_method(own):
    "Registered here, it works at once with batches, layers, targets, smoothing, keywords and a learner, and is in the table"
    @register_method(paper='a letter', grads=True)
    def power(o, p=1):
        "How strongly, to a power"
        return (o.g*o.a).sum(1).abs()**p
    weight_method(lambda a,g: g.sign(), name='signs', paper='a note', doc='Whether, not how much')
    tab = cam_methods()
    assert tab.loc['power'].tolist()==['a letter','yes','','p','How strongly, to a power'] and tab.loc['signs','what for']=='Whether, not how much' and tab.loc['signs','gradients']=='yes'
    model,x = net()
    f = partial(raw, model, x, [2,0,3])
    for l in ('0.2','0.0'):
        a,g = by_hooks(model, l, x, logit([2,0,3]))
        close(f('power', l), (g*a).sum(1).abs())
        close(f('signs', l), (g.sign()*a).sum(1))
    close(f('power', p=2), f('power')**2)
    close(f('power', smooth='noise', samples=2, p=2), sum(raw(model, x+gauss((1,*x.shape[1:]), .3, i), [2,0,3], 'power', p=2) for i in range(2))/2)
    close(raw(model, x, Neg(2), 'power'), raw(model, x, [2]*3, 'power'))
    assert raw(model, x, [2,0,3], 'power', ['0.0','0.2'], fuse='product').shape==(3,16,20)
    close(explain(model, x, [2,0], 'power')[:,1], raw(model, x, [0]*3, 'power'))
    learn = trained_learner()
    close(learn.cam(max_n=6, target=0, method='power', p=2).maps.as_subclass(Tensor), learn.cam(max_n=6, target=0, method='hirescam').maps.as_subclass(Tensor)**2)
    with pytest.raises(TypeError, match="'q'"): f('power', q=1)
    with pytest.raises(ValueError, match="'powers'.*'power'"): f('powers')

# ---- methods that ask for no layer
class Functional(nn.Module):
    "A convolution of parameters of its own, so that no module gives a grid but the ReLU"
    def __init__(self): super().__init__(); self.w,self.b,self.act,self.head = nn.Parameter(torch.randn(6,3,3,3)),nn.Parameter(torch.randn(6)),nn.ReLU(),nn.Linear(6,3)
    def forward(self, x): return self.head(self.act(F.conv2d(x, self.w, self.b)).mean((2,3)))

class Patches(nn.Module):
    "Patches that lie in the batch on their way"
    def __init__(self): super().__init__(); self.conv,self.act,self.head = nn.Conv2d(3,5,3,padding=1),nn.ReLU(),nn.Linear(5*16,3)
    def forward(self, x):
        p = x.unfold(2,8,8).unfold(3,8,8).permute(0,2,3,1,4,5).reshape(-1,3,8,8)
        return self.head(self.act(self.conv(p)).mean((2,3)).reshape(len(x),-1))

class Signal(nn.Module):
    "A signal (batch, time) without channels"
    def __init__(self): super().__init__(); self.conv,self.act,self.head = nn.Conv1d(1,5,3,padding=1),nn.ReLU(),nn.Linear(5,3)
    def forward(self, x): return self.head(self.act(self.conv(x[:,None])).mean(2))

def dense_net(*size): return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(size),8), nn.ReLU(), nn.Linear(8,3))
no_places = dict(mlp=(partial(dense_net,3,32,32), (3,32,32)), mlp1d=(partial(dense_net,2,40), (2,40)), mlp3d=(partial(dense_net,2,4,5,6), (2,4,5,6)),
                 functional=(Functional, (3,32,32)), patches=(Patches, (3,32,32)), signal=(Signal, (40,)))

def no_layer_by_hand(model, x, t, method):
    "The gradient at the input, or what FullGrad makes of it alone"
    xg = x.clone().requires_grad_()
    relus = [m for m in model.modules() if isinstance(m, nn.ReLU) and method=='guidedbackprop']
    hs = [m.register_forward_hook(lambda m,i,o: o.register_hook(lambda g: g.relu()) and None) for m in relus]
    g, = torch.autograd.grad(model(xg)[:,t].sum(), xg)
    for h in hs: h.remove()
    if x.ndim==2: x,g = x[:,None],g[:,None]
    if relus: return g.sum(1)
    s = (x*g).abs().flatten(2)
    s = s - s.amin(2, keepdim=True)
    return (s/(s.amax(2, keepdim=True)+1e-7)).sum(1).reshape(g[:,0].shape)

@pytest.mark.parametrize('kind', no_places)
@pytest.mark.parametrize('method', ['guidedbackprop','fullgrad'])
def test_no_layer(kind, method, monkeypatch):
    "None is searched; the map is of the input's size, for several columns, and with noise"
    set_seed(0)
    make,size = no_places[kind]
    model,x = make().eval(),torch.randn(2, *size)
    monkeypatch.setattr('fastcam.engine.explain.find_layers', lambda *args: 1/0)
    got,grid = cam_maps(model, x, [0,2], method=method),size[1:] or size
    assert got.shape==(2,2,*grid) and all(p.grad is None for p in model.parameters())
    want = torch.stack([no_layer_by_hand(model, x, t, method) for t in (0,2)], 1)
    if (kind,method)!=('signal','fullgrad'): close(got, want)                            # there the bias has a place
    close(cam_maps(model, x[1:], [0,2], method=method), got[1:])
    assert cam_maps(model, x, [0,2], method=method, smooth='noise', samples=2).shape==got.shape
    assert list(cam_maps(model, x, 0, method=method, fuse=None))==[None]
    with pytest.raises(ZeroDivisionError): cam_maps(model, x, [0,2], layer=0, method=method)           # a layer that is given is looked for
    with pytest.raises(ZeroDivisionError): cam_maps(model, x, [0,2])

def test_no_layer_of_ones_own():
    "Registered with `layer=False`; one that asks for activations all the same says so; `layer` is checked where it is given"
    from fastcam.engine.method import _methods
    was = dict(_methods)
    model,x = dense_net(3,8,8).eval(),torch.randn(2,3,8,8)
    try:
        @register_method(layer=False)
        def inputs(o): return o.xb[0].sum(1)
        @register_method(layer=False)
        def asks(o): return o.a.sum(1)
        for m in ('inputs', inputs, partial(inputs)): close(cam_maps(model, x, 0, method=m)[:,0], x.sum(1))
        with pytest.raises(ValueError, match='asks for a layer'): cam_maps(model, x, 0, method='asks')
        with pytest.raises(ValueError, match='no layer'): cam_maps(model, x, 0, layer='nowhere', method='inputs')
        with pytest.raises(ValueError, match='No layer'): cam_maps(model, x, 0, method='guidedgradcam')
    finally:
        _methods.clear(); _methods.update(was)

def test_no_layer_of_a_learner():
    "`learn.cam` too, with the health of a blank map"
    dls = DataLoaders.from_dsets(*[[(torch.randn(3,8,8),0) for _ in range(4)]]*2, bs=3, device='cpu', num_workers=0)
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192,4), nn.ReLU(), nn.Linear(4,2)), loss_func=CrossEntropyLossFlat())
    nn.init.constant_(learn.model[1].bias, -99.)
    with learn.no_bar(): cams = learn.cam(method='guidedbackprop')
    assert cams.maps.shape==(4,1,8,8) and all('blank' in h for o in cams.health for h in o)

# ---- layers whose items lie in another dimension, and tokens behind the grid
class Recurrent(nn.Module):
    def __init__(self): super().__init__(); self.conv,self.mix,self.head = nn.Conv1d(2,6,3,padding=1),nn.Linear(6,6),nn.Linear(6,4)
    def forward(self, x): return self.head(self.mix(self.conv(x).permute(2,0,1).relu()).tanh().sum(0))

@pytest.mark.parametrize('method', ['gradcam','layercam','gradcampp','ablationcam','headcam','shapleycam'])
def test_items_in_another_dimension(method):
    "As at the same layer of a model that has the batch first, one column and several"
    class Turned(Recurrent):
        def forward(self, x): return self.head(self.mix(self.conv(x).transpose(1,2).relu()).tanh().sum(1))
    set_seed(0)
    model,x = Recurrent().eval(),torch.randn(3,2,9)
    turned = Turned().eval()
    turned.load_state_dict(model.state_dict())
    steps = first(find_layers(model, x, 'mix').values())
    assert steps.kind=='LNC' and steps.batch_dim==1
    want = cam_maps(turned, x, [0,2,1], 'mix', method)
    close(cam_maps(model, x, [0,2,1], 'mix', method), want, 1e-4)
    close(cam_maps(model, x, 2, 'mix', method), want[:,1:2], 1e-4)
    with torch.no_grad(), Capture(model, {'mix':steps}) as cap: model(x)
    assert is_alone(cap, 'mix')

class Tokens(nn.Module):
    "A transformer of 4x4 patches and `n` extra tokens, before or behind them; the first of these is what counts, or else the mean"
    def __init__(self, n, behind):
        super().__init__()
        self.n,self.behind,self.patch,self.extra,self.head = n,behind,nn.Conv2d(3,8,4,4),nn.Parameter(torch.randn(1,n,8)),nn.Linear(8,3)
        self.blocks = nn.Sequential(*[nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0) for _ in range(2)])
    def forward(self, x):
        parts = [self.extra.expand(len(x), -1, -1), self.patch(x).flatten(2).transpose(1,2)]
        t = self.blocks(torch.cat(parts[::-1] if self.behind else parts, 1))
        return self.head(t[:,16 if self.behind else 0] if self.n else t.mean(1))

@pytest.mark.parametrize('n', [0,1,3])
@pytest.mark.parametrize('method', ['rollout','legrad'])
def test_tokens_behind_the_grid(method, n):
    "Attention knows no order: extra tokens before or behind the grid give the same map"
    set_seed(0)
    models,x,maps = [Tokens(n, behind).eval() for behind in (False,True)],torch.randn(2,3,16,16),[]
    models[1].load_state_dict(models[0].state_dict())
    for m in models:
        lay = find_layers(m, x, 'blocks.0.norm1')['blocks.0.norm1']
        assert (lay.front,lay.back)==((0,n) if m.behind else (n,0))
        maps.append(cam_maps(m, x, [0,1], 'blocks.0.norm1', method))
    assert maps[0].std()>0
    close(maps[1], maps[0], 1e-4)
