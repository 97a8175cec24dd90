"Methods of the input itself, and rules for the backward pass: against captum in double precision, plain loops, formulas in plain tensors; dimensions, layouts, batches, no trace"
import pytest
from utils import *
from captum.attr import IntegratedGradients, Saliency, Occlusion, InputXGradient

def as_double(model): return model.double().eval()
def picture_net():
    set_seed(0)
    return as_double(nn.Sequential(nn.Conv2d(3,6,3,2,1), nn.BatchNorm2d(6), nn.SiLU(), nn.Conv2d(6,8,3,padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,4)))
def signal_net():
    set_seed(0)
    return as_double(nn.Sequential(nn.Conv1d(2,6,3,padding=1), nn.GELU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6,4)))
def volume_net():
    set_seed(0)
    return as_double(nn.Sequential(nn.Conv3d(2,6,3,padding=1), nn.GELU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6,4)))
nets = dict(picture=(picture_net, (3,18,14)), signal=(signal_net, (2,40)), volume=(volume_net, (2,6,5,4)))

def random_input(*size): return torch.randn(*size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
def near(got, want, tol=1e-5): assert got.shape==want.shape and (got.as_subclass(Tensor)-want).abs().max()<=tol*want.abs().max()

# ---- captum, to 1e-5 of the maximum: our maps are float32
@pytest.mark.parametrize('kind', nets)
def test_like_captum(kind):
    make,size = nets[kind]
    model,x = make(),random_input(3, *size)
    explain = lambda **kw: cam_maps(model, x, 2, **kw)[:,0]
    near(explain(method='inputgrad'), Saliency(model).attribute(x.clone(), target=2, abs=False).sum(1))
    near(explain(method='inputxgradient'), InputXGradient(model).attribute(x.clone(), target=2).detach().sum(1))
    for steps in (1, 4, 11):
        for base in (0., .5): near(explain(method='ig', steps=steps, baseline=base, bs=5, check=False), IntegratedGradients(model).attribute(x, base, target=2, n_steps=steps, method='gausslegendre').sum(1))
    base = random_input(1, *size)
    near(explain(method='ig', steps=6, baseline=base), IntegratedGradients(model).attribute(x, base, target=2, n_steps=6, method='gausslegendre').sum(1))

@pytest.mark.parametrize('kind,window,stride', [('picture',5,3), ('picture',(4,7),(4,2)), ('picture',1,1), ('signal',6,4), ('signal',7,7), ('volume',2,1), ('volume',(3,2,4),(2,2,1))])
@pytest.mark.parametrize('fill', [0., .7])
def test_occlusion_like_captum(kind, window, stride, fill):
    "Windows that do not fit in a whole number, too"
    make,size = nets[kind]
    model,x = make(),random_input(2, *size)
    each = lambda n: tuple(n) if isinstance(n, tuple) else (n,)*(len(size)-1)
    want = Occlusion(model).attribute(x, (size[0],*each(window)), (size[0],*each(stride)), baselines=fill, target=1)[:,0]
    near(cam_maps(model, x, 1, method='occlusion', window=window, stride=stride, fill=fill, bs=7)[:,0], want.detach())

def test_smoothgrad_is_the_mean_of_gradients():
    "The same noise handed to both"
    from fastcam.engine.perturb import noise_like
    model,x = picture_net(),random_input(2,3,18,14)
    noises = [noise_like((1,3,18,14), .4, x, i) for i in range(5)]
    want = sum(Saliency(model).attribute(x+o, target=3, abs=False).sum(1) for o in noises)/5
    near(cam_maps(model, x, 3, method='smoothgrad', samples=5, sigma=.4)[:,0], want)
    near(cam_maps(model, x, 3, method='inputgrad', smooth='noise', samples=5, sigma=.4)[:,0], want)

def test_rise_is_a_plain_loop():
    "One mask after the other, as the paper has it: random cells enlarged bilinearly and shifted, weighed by the class's probability, less its mean"
    model,x = picture_net(),random_input(2,3,18,14)
    n,p,cells = 60,.4,5
    gen = torch.Generator().manual_seed(3)
    coarse,size = (torch.rand(n, cells+1, cells+1, generator=gen)<p).float(),(18,14)
    shifts = torch.stack([torch.randint(-(-s//cells), (n,), generator=gen) for s in size], 1)
    kept,believed = [],[]
    for c,(i,j) in zip(coarse, shifts.tolist()):
        big = [(cells+1)*-(-s//cells) for s in size]
        m = F.interpolate(c[None,None], big, mode='bilinear', align_corners=False)[0,0,i:i+18,j:j+14]
        kept.append(m)
        with torch.no_grad(): believed.append(model((x*m).double()).softmax(1)[:,2])
    mean = sum(believed)/n
    want = sum((b-mean).reshape(2,1,1)*m for b,m in zip(believed, kept))
    near(cam_maps(model, x, 2, method='rise', n=n, p=p, cells=cells, seed=3, bs=9)[:,0], want/(n*p))

def test_completeness():
    "Integrated gradients add up to what the score gained, and say by how much they do not"
    model,x = picture_net(),random_input(3,3,18,14)*4
    with torch.no_grad(): gained = model(x)-model(x*0)
    near(cam_maps(model, x, [0,1,2,3], method='ig', steps=200, check=False).sum((2,3)), gained, 1e-3)
    dls = DataLoaders.from_dsets(*[[(o.float(),0) for o in x*20]]*2, bs=3, device='cpu', num_workers=0)
    learn = Learner(dls, model.float(), loss_func=CrossEntropyLossFlat())
    with learn.no_bar():
        few,many = learn.cam(method='ig', steps=1),learn.cam(method='ig', steps=100)
    assert any('incomplete' in h for o in few.health for h in o) and not any(h for o in many.health for h in o)

# ---- at the input, as at any layer
def test_any_method_at_the_input():
    model,x = picture_net(),random_input(2,3,18,14)
    near(cam_maps(model, x, 1, layer='input', method='hirescam'), cam_maps(model, x, 1, method='inputxgradient').double())
    near(cam_maps(model, x, 1, layer='2', method='ig', steps=40, baseline=0., check=False).sum((2,3)), (model(x)[:,1]-model[3:](0*model[:3](x))[:,1])[:,None].detach(), 2e-2)
    both = cam_maps(model, x, 1, layer=['input',-1], method='hirescam', fuse=None)
    assert list(both)[0]=='input' and len(both)==2
    near(both['input'], cam_maps(model, x, 1, method='inputxgradient').double())
    for kw in (dict(method='gradcam'), dict(method='ablationcam'), dict(method='scorecam'), dict(method='eigencam'), dict(method='layercam', smooth='tta')):
        assert cam_maps(model, x, 1, layer='input', **kw).grid==(18,14)

class Turned(nn.Module):
    "Channels last"
    def __init__(self, net): super().__init__(); self.net = net
    def forward(self, x): return self.net(x.movedim(-1, 1))

class Second(nn.Module):
    "Numbers before the picture"
    def __init__(self, net): super().__init__(); self.net,self.lin = net,nn.Linear(5,4)
    def forward(self, n, x): return self.net(x)+self.lin(n)

@pytest.mark.parametrize('method', ['inputgrad','inputxgradient','ig','occlusion','smoothgrad','rise'])
def test_inputs_read(method):
    "The input that the layers read, along its own axes: the same map as of the plain model"
    net,x = picture_net().float(),random_input(2,3,18,14).float()
    few = dict(ig=dict(steps=3), smoothgrad=dict(samples=2), rise=dict(n=30)).get(method, {})
    want = cam_maps(net, x, [1,2], method=method, **few).as_subclass(Tensor)
    if method!='smoothgrad': near(cam_maps(Turned(net).eval(), x.movedim(1,-1), [1,2], method=method, **few), want, 1e-4)      # noise is drawn in the input's own order
    two = Second(net).eval()
    nn.init.zeros_(two.lin.weight), nn.init.zeros_(two.lin.bias)
    near(cam_maps(two, (torch.ones(2,5), x), [1,2], method=method, **few), want, 1e-4)

def test_whole_numbers():
    "No gradient leads to a picture of whole numbers; occlusion needs none"
    class Bytes(nn.Module):
        def __init__(self): super().__init__(); self.net = picture_net().float()
        def forward(self, x): return self.net(x.float()/255)
    x = torch.randint(0, 255, (2,3,18,14), dtype=torch.uint8)
    model = Bytes().eval()
    near(cam_maps(model, x, 1, method='occlusion', window=4), cam_maps(model.net, x.float()/255, 1, method='occlusion', window=4).as_subclass(Tensor))
    with pytest.raises(ValueError, match='whole numbers'): cam_maps(model, x, 1, method='ig')

@pytest.mark.parametrize('kw,said', [(dict(method='occlusion', window=0), 'window'), (dict(method='occlusion', window=(2,2,2)), '2 of them'), (dict(method='occlusion', stride=1.5), 'stride'),
                                     (dict(method='ig', steps=0), 'steps'), (dict(method='rise', cells=(1,)), 'cells')])
def test_wrong_choices(kw, said):
    with pytest.raises(ValueError, match=said): cam_maps(picture_net(), random_input(1,3,18,14), 1, **kw)

def test_no_places():
    "Without a layer that keeps places: occlusion by default, one warning for each model; a layer or another method that is asked for is refused as ever"
    import warnings
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(3*8*8,16), nn.ReLU(), nn.Linear(16,4)).eval()
    x = random_input(2,3,8,8).float()
    with pytest.warns(UserWarning, match="No layer.*Shown is 'occlusion'") as said: got = cam_maps(mlp, x)
    assert [w.filename for w in said]==[__file__]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        near(cam_maps(mlp, x), got.as_subclass(Tensor))
        near(cam_maps(mlp, x, method='occlusion'), got.as_subclass(Tensor))
        for kw in (dict(method='gradcam'), dict(layer=-1), dict(smooth='noise')):
            with pytest.raises(ValueError, match='No layer'): cam_maps(mlp, x, **kw)
        with pytest.raises(ValueError, match='No layer|nobody knows'): cam_maps(nn.Linear(8,2), torch.randn(2,8))

def test_line_of_the_warning():
    "It is the user's, whatever lies between"
    with pytest.warns(UserWarning, match="Shown is 'occlusion'") as said: small_learner(flat_net()).cam(max_n=2)
    assert [w.filename for w in said]==[__file__]

# ---- rules
def test_guided_functions():
    "ReLUs that are functions are ReLUs"
    class Net(nn.Module):
        def __init__(self): super().__init__(); self.net = picture_net().float()
        def forward(self, x): return self.net[6:](self.net[5](F.relu(self.net[3](torch.relu(self.net[0](x))))))
    class Mods(nn.Module):
        def __init__(self, net): super().__init__(); self.net = nn.Sequential(net[0], nn.ReLU(), net[3], nn.ReLU(inplace=True), *net[5:])
        def forward(self, x): return self.net(x)
    model,x = Net().eval(),random_input(2,3,18,14).float()
    a,b = (cam_maps(m, x, 1, method='guidedbackprop') for m in (model, Mods(model.net).eval()))
    near(a, b.as_subclass(Tensor))
    near(cam_maps(model, x, 1, method='inputgrad', rule='guided'), a.as_subclass(Tensor))
    assert (cam_maps(model, x, 1, method='inputgrad')-a).abs().max()>1e-3

def lrp_by_hand(x, w, attn):
    "Relevance of tokens `x` (tokens, 6) by the papers' rules, in plain tensors, for one block of attention and a gated layer; `attn` as AttnLRP or LibraGrad treats it"
    norm = lambda t: (t-t.mean(1, keepdim=True))/(t.var(1, correction=0, keepdim=True)+1e-5).sqrt().detach()
    half = lambda t, s: (1-s)*t.detach()+s*t
    n = norm(x)
    q,k,v = n@w['q'],n@w['k'],n@w['v']
    if attn: z = half((half(q,.5)@half(k,.5).T*6**-.5).softmax(1), .5)@half(v,.5)
    else: z = (q@k.T*6**-.5).softmax(1).detach()@v
    h = x+z
    u = norm(h)@w['up']
    return h+(u*(F.gelu(u)/u).detach())@w['down']

class Block(nn.Module):
    def __init__(self, w, fused): super().__init__(); self.w,self.fused,self.norm,self.up,self.down,self.first = w,fused,nn.LayerNorm(6),nn.Linear(6,9,bias=False),nn.Linear(9,6,bias=False),nn.Linear(6,6)
    def forward(self, x):
        n = self.norm(x)
        q,k,v = (n@self.w[i] for i in 'qkv')
        z = F.scaled_dot_product_attention(q[:,None], k[:,None], v[:,None])[:,0] if self.fused else (q@k.transpose(1,2)*6**-.5).softmax(-1)@v
        h = x+z
        return h+self.down(F.gelu(self.up(F.layer_norm(h, (6,)))))

class Tiny(nn.Module):
    def __init__(self, w, fused):
        super().__init__()
        self.embed,self.block,self.head = nn.Conv1d(3,6,1),Block(w, fused),nn.Linear(6,2)
        self.block.up.weight.data,self.block.down.weight.data = w['up'].T.clone(),w['down'].T.clone()
    def forward(self, x): return self.head(self.block(self.tokens(self.embed(x))).mean(1))
    def tokens(self, t): return t.transpose(1,2)

@pytest.mark.parametrize('fused', [True, False])
@pytest.mark.parametrize('rule', ['libragrad','attnlrp'])
def test_rules_by_hand(rule, fused):
    "Input times gradient at the embedding of the tokens is the papers' relevance; forward, and afterwards, all is as ever"
    set_seed(0)
    w = {k: torch.randn(6, dict(up=9).get(k, 6))/2 for k in ('q','k','v','up')} | dict(down=torch.randn(9,6)/2)
    model,x = Tiny(w, fused).eval(),torch.randn(2,3,7)
    was = model(x)
    plain = cam_maps(model, x, 1, layer='embed', method='hirescam')
    got = cam_maps(model, x, 1, layer='embed', method='hirescam', rule=rule)
    for i in range(2):
        a = model.embed(x[i:i+1]).detach().requires_grad_()
        y = model.head(lrp_by_hand(a[0].T, w, rule=='attnlrp').mean(0))[1]
        assert abs(y.item()-was[i,1].item())<1e-4
        g, = torch.autograd.grad(y, a)
        near(got[i,0], (g*a)[0].sum(0).detach(), 1e-4)
    assert torch.equal(model(x), was) and (plain-got).abs().max()>1e-3
    assert torch.equal(cam_maps(model, x, 1, layer='embed', method='hirescam'), plain)

@pytest.mark.parametrize('rule', ['libragrad','attnlrp','guided'])
def test_rules_compose(rule):
    "With every method of gradients, smoothing, ig; on torch's own attention as on one written out; nothing to change is said"
    set_seed(0)
    model = nn.Sequential(nn.Conv1d(3,8,1), As(lambda t: t.transpose(1,2)), nn.TransformerEncoderLayer(8, 2, 16, activation='gelu', batch_first=True), As(lambda t: t.mean(1)), nn.Linear(8,2)).eval()
    x = torch.randn(2,3,7)
    for kw in (dict(method='gradcam'), dict(method='layercam'), dict(method='inputxgradient'), dict(method='ig', steps=3), dict(method='hirescam', smooth='noise', samples=2), dict(method='smoothgrad', samples=2)):
        kw = dict(layer='0', **kw) if kw['method'] in ('gradcam','layercam','hirescam') else kw
        m = cam_maps(model, x, [0,1], rule=rule, **kw)
        assert m.isfinite().all() and (m-cam_maps(model, x, [0,1], **kw)).abs().max()>1e-6
        near(cam_maps(model, x[1:], [0,1], rule=rule, **kw), m[1:].as_subclass(Tensor), 1e-4)
    with pytest.raises(ValueError, match='calls none'): cam_maps(nn.Sequential(nn.Conv2d(3,4,3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,2)), torch.randn(1,3,9,9), 0, rule=rule)
    with pytest.raises(ValueError, match='Close matches'): cam_maps(model, x, rule=rule[:-1])

class As(nn.Module):
    def __init__(self, f): super().__init__(); self.f = f
    def forward(self, x): return self.f(x)

def test_no_trace():
    "As for every method"
    model,x = picture_net().float(),random_input(2,3,18,14).float()
    state = torch.get_rng_state()
    for method in ('inputgrad','inputxgradient','ig','smoothgrad','occlusion','rise','lafam'):
        cam_maps(model, x, [0,2], method=method, **(dict(n=20) if method=='rise' else {}))
        assert all(p.grad is None for p in model.parameters()) and not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.equal(torch.get_rng_state(), state) and x.grad is None and not x.requires_grad
