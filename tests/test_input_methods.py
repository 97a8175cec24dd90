"Methods of the input itself, and rules for the backward pass: against captum in double precision, plain loops, formulas in plain tensors; dimensions, layouts, batches, no trace"
import pytest, warnings
from utils import *
from fastcam.engine.method import grad_times
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

@pytest.mark.parametrize('prob', [False, True])
def test_rise_is_a_plain_loop(prob):
    "One mask after the other, as the paper has it: random cells enlarged bilinearly and shifted, weighed by the score, or the class's probability, less its mean"
    model,x = picture_net(),random_input(2,3,18,14)
    model[-1].weight.data *= 20
    n,p,cells = 60,.4,5
    gen = torch.Generator().manual_seed(3)
    coarse,size = (torch.rand(n, cells+1, cells+1, generator=gen)<p).float(),(18,14)
    shifts = torch.stack([torch.randint(-(-s//cells), (n,), generator=gen) for s in size], 1)
    kept,scores = [],[]
    for c,(i,j) in zip(coarse, shifts.tolist()):
        big = [(cells+1)*-(-s//cells) for s in size]
        m = F.interpolate(c[None,None], big, mode='bilinear', align_corners=False)[0,0,i:i+18,j:j+14]
        kept.append(m)
        with torch.no_grad(): y = model((x*m).double())
        scores.append((y.softmax(1) if prob else y)[:,2])
    mean = sum(scores)/n
    want = sum((s-mean).reshape(2,1,1)*m for s,m in zip(scores, kept))
    near(cam_maps(model, x, Prob(2) if prob else 2, method='rise', n=n, p=p, cells=cells, seed=3, bs=9)[:,0], want/(n*p))

def test_rise_answers_what_is_asked():
    "Against a class is the opposite of for it; a regression's number has a map of its own"
    model,x = picture_net(),random_input(2,3,18,14)
    model[-1].weight.data *= 20
    m = lambda t,net=model: cam_maps(net, x, t, method='rise', n=40).double()
    near(m(Neg(1)), -m(1).as_subclass(Tensor))
    near(m(Versus(1,[2])), (m(1)-m(2)).as_subclass(Tensor), 1e-4)                   # scores are single precision
    one = nn.Sequential(*model[:-1], nn.Linear(8,1).double()).eval()
    two = nn.Sequential(*model[:-1], nn.Linear(8,1).double()).eval()
    assert (m(0, one)-m(0, two)).abs().max()>.1*m(0, one).abs().max()

def test_completeness():
    "Integrated gradients add up to what the score gained, and say by how much they do not"
    model,x = picture_net(),random_input(3,3,18,14)*4
    with torch.no_grad(): gained = model(x)-model(x*0)
    near(cam_maps(model, x, [0,1,2,3], method='ig', steps=200, check=False).sum((2,3)), gained, 1e-3)
    dls = DataLoaders.from_dsets(*[[(o.float(),0) for o in x*20]]*2, bs=3, device='cpu', num_workers=0)
    learn = Learner(dls, model.float(), loss_func=CrossEntropyLossFlat())
    with learn.no_bar():
        few,many = learn.cam(method='ig', steps=1),learn.cam(method='ig', steps=100)
    assert any('inexact' in h for o in few.health for h in o) and not any(h for o in many.health for h in o)
    assert len(few.where(health='inexact')) and not len(many.where(health='inexact'))                    # asked by its first word, also where no map has it

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

@pytest.mark.parametrize('kw,said', [(dict(method='occlusion', window=0), 'window'), (dict(method='occlusion', window=1000), 'the same everywhere'), (dict(method='occlusion', window=(2,2,2)), '2 of them'), (dict(method='occlusion', stride=1.5), 'stride'),
                                     (dict(method='ig', steps=0), 'steps'), (dict(method='rise', cells=(1,)), 'cells')])
def test_wrong_choices(kw, said):
    with pytest.raises(ValueError, match=said): cam_maps(picture_net(), random_input(1,3,18,14), 1, **kw)

def test_no_places():
    "Without a layer that keeps places: occlusion by default, one warning for each model; a layer or another method that is asked for is refused as ever"
    import warnings
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(3*8*8,16), nn.ReLU(), nn.Linear(16,4)).eval()
    x = random_input(2,3,8,8).float()
    with pytest.warns(UserWarning, match="No layer.*Shown is 'occlusion'") as said: got = cam_maps(mlp, x)
    assert [w.filename for w in said if w.category is UserWarning]==[__file__]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        near(cam_maps(mlp, x), got.as_subclass(Tensor))
        near(cam_maps(mlp, x, method='occlusion'), got.as_subclass(Tensor))
        for kw in (dict(method='gradcam'), dict(layer=-1), dict(smooth='noise')):
            with pytest.raises(ValueError, match='No layer'): cam_maps(mlp, x, **kw)
        with pytest.raises(ValueError, match='No layer|nobody knows'): cam_maps(nn.Linear(8,2), torch.randn(2,8))

# ---- models that change their input, or are given odd numbers
class InPlace(nn.Module):
    def __init__(self, net): super().__init__(); self.net = net
    def forward(self, x): return self.net(x.sub_(.5).div_(.3))
class Afresh(InPlace):
    def forward(self, x): return self.net((x-.5)/.3)

@pytest.mark.parametrize('kw', [dict(method='inputxgradient'), dict(method='occlusion'), dict(method='rise', n=30), dict(method='smoothgrad', samples=3), dict(method='ig', steps=3), dict(method='guidedbackprop'),
                                dict(method='fullgrad'), dict(method='scorecam'), dict(method='ablationcam'), dict(smooth='tta'), dict(smooth='noise', samples=2)], ids=lambda kw: '-'.join(map(str, kw.values())))
def test_input_changed_in_place(kw):
    "The same maps as of the model that does not; the caller's tensor is as it was"
    net,x = picture_net().float(),random_input(2,3,18,14).float()
    net[2] = nn.ReLU()
    mine = x.clone()
    near(cam_maps(InPlace(net).eval(), mine, [0,1], **kw), cam_maps(Afresh(net).eval(), x, [0,1], **kw).as_subclass(Tensor), 1e-4)
    assert torch.equal(mine, x)

@pytest.mark.parametrize('kw,said', [(dict(method='occlusion', window=2, stride=4), 'never be asked'), (dict(method='rise', p=0), '`p`'), (dict(method='rise', n=2.5), '`n`'), (dict(method='smoothgrad', samples=0), '`samples`'),
                                     (dict(method='ig', bs=0), '`bs`'), (dict(method='ig', steps=1.5), '`steps`'), (dict(method='occlusion', fill=torch.ones(5)), 'broadcast')])
def test_odd_numbers(kw, said):
    with pytest.raises(ValueError, match=said): cam_maps(picture_net(), random_input(1,3,18,14), 1, **kw)
def test_fill_by_channel():
    model,x = picture_net(),random_input(2,3,18,14)
    near(cam_maps(model, x, 1, method='occlusion', fill=[.1,.2,.3]), cam_maps(model, x, 1, method='occlusion', fill=tensor(.1,.2,.3).reshape(3,1,1)).as_subclass(Tensor))
    with pytest.raises(TypeError, match='3 numbers'): cam_maps(model, x, 1, method='occlusion', fill='mean')

def test_line_of_the_warning():
    "It is the user's, whatever lies between"
    with pytest.warns(UserWarning, match="Shown is 'occlusion'") as said: small_learner(flat_net()).cam(max_n=2)
    assert [w.filename for w in said if w.category is UserWarning]==[__file__]

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

# ---- rules: how a model is written
rules = pytest.mark.parametrize('rule', ['libragrad','attnlrp'])
def tokens_net(*mods):
    "Tokens (batch, 7, 8) of a signal, what is tested, and a head"
    return nn.Sequential(nn.Conv1d(3,8,1), As(lambda t: t.transpose(1,2)), *mods, nn.Linear(8,8), nn.GELU(), As(lambda t: t.mean(1)), nn.Linear(8,3)).double().eval()

def same(a, b, tol=1e-6): near(a, b.as_subclass(Tensor), tol)

class Spelled(nn.Module):
    "One function, by any of its `spellings`"
    spellings,n = {},8
    def __init__(self, how): super().__init__(); self.how,self.lin,self.w = self.spellings[how],nn.Linear(8,self.n),nn.Parameter(torch.rand(8)+.5)
    def forward(self, x): return self.how(self, x)

def heads(m, x): return m.lin(x).unflatten(2, (3,2,4)).permute(2,0,3,1,4)
def attention(f):
    def _attend(m, x):
        q,k,v = heads(m, x)
        bias = torch.linspace(-1, 1, 49, dtype=x.dtype).reshape(7,7)
        return f(q, k, v, bias).transpose(1,2).flatten(2)
    return _attend

def as_one(f): return lambda q,k,v,bias: f(*(t.flatten(0,1) for t in (q,k,v)), bias).unflatten(0, (-1,2))

class Attention(Spelled):
    n = 24
    spellings = {k:attention(f) for k,f in dict(
        fused = lambda q,k,v,bias: F.scaled_dot_product_attention(q, k, v, attn_mask=bias),
        keywords = lambda q,k,v,bias: F.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=bias),
        plain = lambda q,k,v,bias: (q@k.mT*.5+bias).softmax(-1)@v,
        inputs = lambda q,k,v,bias: torch.matmul(input=torch.softmax(input=q@k.mT*.5+bias, dim=-1), other=v),
        einsum = lambda q,k,v,bias: torch.einsum('bhqk,bhkd->bhqd', (torch.einsum('bhqd,bhkd->bhqk', q, k)*.5+bias).softmax(-1), v),
        lists = lambda q,k,v,bias: torch.einsum((torch.einsum('bhqd,bhkd->bhqk', [q, k])*.5+bias).softmax(-1), [0,1,2,3], v, [0,1,3,4], [0,1,2,4]),
        baddbmm = as_one(lambda q,k,v,bias: torch.baddbmm(bias, q, k.mT, alpha=.5).softmax(-1)@v),
        method = as_one(lambda q,k,v,bias: bias.expand(len(q),7,7).baddbmm(q, k.mT, alpha=.5).softmax(-1).bmm(v))).items()}

def centered(x): return x-x.mean(-1, keepdim=True)
def mean_square(x): return x.pow(2).mean(-1, keepdim=True)+1e-6
class RMS(Spelled):
    spellings = dict(torch=lambda m,x: F.rms_norm(x, (8,), m.w, 1e-6), llama=lambda m,x: m.w*(x*torch.rsqrt(mean_square(x))), root=lambda m,x: x/mean_square(x).sqrt()*m.w.reshape(1,1,-1),
                     power=lambda m,x: x*mean_square(x)**-.5*m.w, half=lambda m,x: m.w*x/torch.pow(mean_square(x), .5))
class LayerNorm(Spelled):
    spellings = dict(torch=lambda m,x: F.layer_norm(x, (8,), m.w, None, 1e-6), aten=lambda m,x: torch.layer_norm(x, (8,), m.w, None, 1e-6, False), keywords=lambda m,x: F.layer_norm(input=x, normalized_shape=(8,), weight=m.w, eps=1e-6),
                     root=lambda m,x: m.w*(centered(x)/torch.sqrt(mean_square(centered(x)))), moments=lambda m,x: centered(x)*(x.var(-1, keepdim=True, correction=0)+1e-6).rsqrt()*m.w,
                     both=lambda m,x: (lambda v,u: (x-u)*(v+1e-6).rsqrt()*m.w)(*torch.var_mean(x, -1, keepdim=True, correction=0)))
class Deviation(Spelled):
    spellings = dict(root=lambda m,x: centered(x)/(x.var(-1, keepdim=True).sqrt()+1e-6), std=lambda m,x: centered(x)/(x.std(-1, keepdim=True)+1e-6), function=lambda m,x: centered(x)/(torch.std(x, -1, keepdim=True)+1e-6))
def gate(f): return lambda m,x: f(*m.lin(x).chunk(2,-1))
def in_place(a, b): a = a.clone(); a *= b; return a
class Product(Spelled):
    n = 16
    spellings = {k:gate(f) for k,f in dict(plain=lambda a,b: a*b, into=in_place, mul_=lambda a,b: a.clone().mul_(b), keywords=lambda a,b: torch.mul(input=a, other=b),
                                           multiply=torch.multiply, added=lambda a,b: torch.addcmul(torch.zeros(8, dtype=a.dtype), a, b)).items()}
class Gate(Spelled):
    n = 16
    spellings = dict(plain=gate(lambda a,b: a*b.sigmoid()), glu=lambda m,x: F.glu(m.lin(x)), dim=lambda m,x: F.glu(m.lin(x).mT, 1).mT)
def tanh_gate(y): return 1+torch.tanh(.7978845608028654*(y+.044715*y.pow(3)))
def of_linear(f): return lambda m,x: f(m.lin(x))
class TanhGELU(Spelled):
    spellings = dict(torch=of_linear(partial(F.gelu, approximate='tanh')), left=of_linear(lambda y: .5*y*tanh_gate(y)), right=of_linear(lambda y: y*(.5*tanh_gate(y))), turned=of_linear(lambda y: tanh_gate(y)*(y/2)),
                     cube=of_linear(lambda y: .5*y*(1+torch.tanh(y*.7978845608028654*(1+.044715*y*y)))))
class GELU(Spelled): spellings = dict(torch=of_linear(F.gelu), erf=of_linear(lambda y: y*.5*(1+torch.erf(y/math.sqrt(2)))), parts=of_linear(lambda y: .5*y*(2-(1-torch.erf(y*.5**.5)))))
class Mish(Spelled): spellings = dict(torch=of_linear(F.mish), written=of_linear(lambda y: y*F.softplus(y).tanh()), log=of_linear(lambda y: torch.log1p(y.exp()).tanh()*y))
class Bent(Spelled):
    "Of two features, one of them bent: no activation, a product"
    n = 16
    spellings = {k:gate(f) for k,f in dict(added=lambda a,b: torch.addcmul(torch.zeros(8, dtype=a.dtype), a.tanh(), b), plain=lambda a,b: a.tanh()*b, other=lambda a,b: b*torch.tanh(a), summed=lambda a,b: (a+0).tanh()*(b*1)).items()}
class Hardswish(Spelled): spellings = dict(torch=lambda m,x: F.hardswish(m.lin(x)), gate=lambda m,x: (lambda y: y*F.hardsigmoid(y))(m.lin(x)))

def spelled(C, how):
    set_seed(1)
    return tokens_net(C(how))

@rules
@pytest.mark.parametrize('C', [Attention, RMS, LayerNorm, Deviation, Product, Gate, Hardswish, TanhGELU, GELU, Mish, Bent])
def test_rules_know_spellings(C, rule):
    "What is written in several ways is one function, and has one map; another than without the rule"
    x,(first,*others) = random_input(2,3,7),C.spellings
    explain = lambda how, **kw: cam_maps(spelled(C, how), x, [0,1], layer='1', method='hirescam', **kw)
    want = explain(first, rule=rule)
    assert (want-cam_maps(spelled(C, first), x, [0,1], layer='1', method='hirescam')).abs().max()>1e-3
    for how in others:
        assert (spelled(C, how)(x)-spelled(C, first)(x)).abs().max()<1e-9
        same(explain(how, rule=rule), want)

@rules
def test_rules_keep_features(rule):
    "A root that is a feature itself, of every channel, keeps its gradient, as a deviation over time does that is a feature"
    for f in (lambda t: (t.square()+1).sqrt(), lambda t: t.std(1)[:,None]+t, lambda t: (t.square()+1)**.5):
        set_seed(1)
        model,x = nn.Sequential(nn.Conv1d(3,8,1), As(lambda t: t.transpose(1,2)), nn.LayerNorm(8), As(f), As(lambda t: t.mean(1)), nn.Linear(8,3)).double().eval(),random_input(2,3,7)
        same(cam_maps(model, x, 1, layer='2', method='hirescam', rule=rule), cam_maps(model, x, 1, layer='2', method='hirescam'))

class Scaled(nn.Module):
    "A block that multiplies by parameters, as they are or reshaped"
    def __init__(self, views): super().__init__(); self.views,self.norm,self.lin,self.gamma,self.w = views,nn.LayerNorm(8),nn.Linear(8,8),nn.Parameter(torch.rand(8)+.5),nn.Parameter(torch.randn(8,8))
    def forward(self, x):
        y = F.gelu(self.lin(self.norm(x)))
        return x+(y*self.gamma.reshape(1,1,-1)@self.w.t()*torch.cat([self.gamma, self.gamma])[8:]*self.gamma.exp() if self.views else F.linear(y*self.gamma, self.w)*self.gamma*self.gamma.detach().exp())

@rules
@pytest.mark.parametrize('method', ['inputxgradient','ig','smoothgrad','fullgrad','hirescam'])
def test_rules_take_parameters_as_constants(rule, method):
    "Reshaped or not, frozen or not, alone or in a batch"
    def net(views):
        set_seed(1)
        return tokens_net(Scaled(views), Scaled(views))
    x = random_input(2,3,7)
    explain = lambda m, x: cam_maps(m, x, 1, method=method, rule=rule, layer='1' if method=='hirescam' else None)
    want = explain(net(False).requires_grad_(False), x)
    for m in (net(True), net(False), net(True).requires_grad_(False)):
        same(explain(m, x), want)
        for i in range(2): same(explain(m, x[i:i+1]), want[i:i+1])
    assert all(p.requires_grad and p.grad is None for p in net(True).parameters())

@rules
def test_rules_of_a_parameter(rule):
    "A picture that is a parameter, as where it is being optimized, is explained like any other"
    set_seed(0)
    model,x = tokens_net(nn.LayerNorm(8)),random_input(1,3,7)
    for kw in (dict(method='inputxgradient'), dict(method='hirescam', layer='input')):
        want = cam_maps(model, x, 1, rule=rule, **kw)
        for leaf in (nn.Parameter(x), x.clone().requires_grad_()): same(cam_maps(model, leaf, 1, rule=rule, **kw), want)

class Checkpointed(nn.Module):
    def __init__(self, mod, on): super().__init__(); self.mod,self.on = mod,on
    def forward(self, x): return x+(torch.utils.checkpoint.checkpoint(self.mod, x, use_reentrant=False) if self.on else self.mod(x))

@pytest.mark.parametrize('rule', ['libragrad','attnlrp','guided'])
def test_rules_under_checkpointing(rule):
    "What is computed anew on the way back is computed under the rule, too, for one column or several"
    def net(on):
        set_seed(1)
        return tokens_net(*[Checkpointed(nn.Sequential(nn.LayerNorm(8), Attention('fused'), nn.Linear(8,8), nn.GELU()), on) for _ in range(2)])
    x = random_input(2,3,7)
    for kw in (dict(method='hirescam', layer='1'), dict(method='inputxgradient'), dict(method='ig', steps=3), dict(method='smoothgrad', samples=2), dict(method='fullgrad'), dict(method='guidedbackprop')):
        for target in (1, [0,2]):
            same(cam_maps(net(True), x, target, rule=rule, **kw), cam_maps(net(False), x, target, rule=rule, **kw))
            same(cam_maps(net(True), x[:1], target, rule=rule, **kw), cam_maps(net(False), x[:1], target, rule=rule, **kw))

@pytest.mark.parametrize('method', ['occlusion','rise','lafam','eigencam','ablationcam','scorecam','headcam'])
def test_rule_without_gradients(method):
    "A rule that could change nothing is refused; one whose method, or smoother, is the user's own is not"
    model,x = picture_net().float(),torch.randn(1,3,18,14)
    for smooth in (None,'tta','noise'):
        with pytest.raises(ValueError, match=f"'{method}' asks for no gradients.*rule='guided'"): cam_maps(model, x, 1, method=method, smooth=smooth, rule='guided')
    cam_maps(model, x, 1, method=method, smooth=lambda f,o: f(o), rule='guided')

def test_rule_of_default():
    "What becomes a method without gradients because no layer keeps places"
    model = nn.Sequential(nn.Flatten(), nn.Linear(108,8), nn.ReLU(), nn.Linear(8,2))
    with pytest.raises(ValueError, match="'occlusion' asks for no gradients.*rule='guided'"): cam_maps(model, torch.randn(2,3,6,6), 1, rule='guided')
    assert cam_maps(model, torch.randn(2,3,6,6), 1, method='inputgrad', rule='guided').any()
    assert cam_maps(picture_net().float(), torch.randn(1,3,18,14), 1, method=lambda o: o.g.sum(1), rule='guided').any()

def test_rules_of_the_room():
    "Who imports just the last room of the engine knows all methods and rules"
    import subprocess, sys
    code = "from fastcam.engine.explain import *; Explainer(rule='attnlrp'); Explainer(method='legrad')"
    subprocess.run([sys.executable, '-c', code], check=True)

# ---- what cannot be, and what a method makes of keywords

class Cut(nn.Module):
    "The body, or all of it, runs without gradients"
    def __init__(self, all): super().__init__(); self.body,self.head,self.all = nn.Sequential(nn.Conv2d(3,4,3), nn.ReLU()),nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,2)),all
    def forward(self, x):
        with torch.no_grad(): a = self.body(x)
        with torch.set_grad_enabled(not self.all): return self.head(a)

@pytest.mark.parametrize('method', ['guidedbackprop','fullgrad','inputgrad','inputxgradient','ig','smoothgrad'])
@pytest.mark.parametrize('all', [True,False])
def test_no_way_back(method, all):
    "Where `forward` switches gradients off, it is said in words what cuts the way"
    with pytest.raises(ValueError, match='No gradient leads.*no_grad'): cam_maps(Cut(all).eval(), torch.randn(2,3,16,16), 0, method=method)
    if not all: assert cam_maps(Cut(all).eval(), torch.randn(2,3,16,16), 0).any()

@pytest.mark.parametrize('method', ['inputgrad','inputxgradient','ig'])
def test_windows_by_channel(method):
    "Maps by channel under windows of the input: of a picture whose other channels the model ignores, its one channel has all, and what the sum has"
    class Red(nn.Module):
        def __init__(self): super().__init__(); self.net = picture_net().float()
        def forward(self, x): return self.net(torch.cat([x[:,:1],0*x[:,1:]], 1))
    set_seed(0)
    model,x = Red().eval(),torch.randn(2,3,18,14)
    kw = dict(method=method, smooth='windows', scales=2)
    each,total = cam_maps(model, x, 1, by_channel=True, **kw).as_subclass(Tensor),cam_maps(model, x, 1, **kw).as_subclass(Tensor)
    assert each.shape==(2,1,3,18,14) and not each[:,:,1:].any() and each[:,:,0].any()
    same(each[:,:,0], total)

class Steps(nn.Module):
    def __init__(self): super().__init__(); self.emb,self.rnn,self.out = nn.Embedding(30,8),nn.GRU(8,8,batch_first=True),nn.Linear(8,2)
    def forward(self, x): return self.out(self.rnn(self.emb(x))[0][:,-1])

def test_keywords_of_the_default():
    "Keywords are those of the method that is the default for what the model is given; what that does not take is said of it"
    ids,text,signal = torch.randint(0, 30, (2,9), generator=torch.Generator().manual_seed(0)),Steps().eval(),nn.Sequential(nn.Flatten(), nn.Linear(96,2))
    same(cam_maps(text, ids, 1, steps=20), cam_maps(text, ids, 1, method='ig', steps=20), 1e-4)
    with pytest.raises(UnknownKeyword, match="'window'.*method 'ig' takes 'steps'"): cam_maps(text, ids, window=3)
    with pytest.raises(UnknownKeyword, match="'eigen'.*method 'ig' takes 'steps'"): cam_maps(text, ids, eigen=True)
    x = torch.randn(2,3,32)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        same(cam_maps(signal, x, 1, window=4), cam_maps(signal, x, 1, method='occlusion', window=4))
    with pytest.raises(UnknownKeyword, match="'steps'.*method 'gradcam' takes 'eigen'"): cam_maps(picture_net().float(), torch.randn(1,3,18,14), 1, steps=5)
    with pytest.raises(UnknownKeyword, match="'stps'.*Close matches: 'steps'|'stps'"): cam_maps(text, ids, stps=3)

def test_path_near_the_baseline():
    "Steps at the squares: the same integral, of what two steps know"
    set_seed(0)
    lin = nn.Linear(12, 2)
    class Square(nn.Module):
        def forward(self, x): return lin(x.flatten(1)**2)
    x = torch.randn(2,3,4)
    for power in (1,2,3): same(cam_maps(Square(), x, 1, method='ig', steps=3, power=power), (x**2*lin.weight[1].detach().view(3,4)).sum(1)[:,None].detach(), 1e-5)
    with pytest.raises(ValueError, match='power'): cam_maps(Square(), x, 1, method='ig', power=0)

# ---- padding with NaN, which the model masks itself
class NanMasked(nn.Module):
    "Leaves out the steps that are NaN; of finite steps, those that `kept` says"
    def __init__(self, kept=None):
        super().__init__()
        torch.manual_seed(0)
        self.kept,self.c,self.fc = kept,nn.Sequential(nn.Conv1d(2,8,3,padding=1), nn.Tanh()),nn.Linear(8,2)
        self.double().eval()
    def forward(self, x):
        kept = ~x.isnan().any(1, keepdim=True) if self.kept is None else self.kept.repeat(len(x)//len(self.kept), 1, 1)
        return self.fc((self.c(torch.nan_to_num(x))*kept).sum(2)/kept.sum(2))

@pytest.mark.parametrize('method,kw', [('inputxgradient',{}), ('inputxgradient',dict(by_channel=True)), ('ig',dict(steps=6)), ('fullgrad',{})])
def test_padding_with_nan(method, kw):
    "The same as where padding is finite, and a mask beside it: 0 at what is left out"
    x = random_input(3, 2, 20)
    x[0,:,15:],x[2,:,:5] = math.nan,math.nan
    finite = NanMasked(~x.isnan().any(1, keepdim=True))
    clean = x.nan_to_num()
    got = cam_maps(NanMasked(), x, 1, method=method, **kw).as_subclass(Tensor)
    assert got.isfinite().all()
    if method!='fullgrad': assert (got[0,...,15:]==0).all() and (got[2,...,:5]==0).all() and (got[1]!=0).any()
    near(got, torch.cat([cam_maps(NanMasked(finite.kept[i:i+1]), clean[i:i+1], 1, method=method, **kw).as_subclass(Tensor) for i in range(3)]))
    leaf = clean.clone().requires_grad_()
    g, = torch.autograd.grad(finite(leaf)[:,1].sum(), leaf)
    if method=='inputxgradient': near(got.squeeze(1), g*clean if kw else (g*clean).sum(1))
    if method=='ig':
        with torch.no_grad(): near(got.sum((1,2)), finite(clean)[:,1]-finite(clean*0)[:,1])

def test_nan_that_counts_stays():
    "Where a gradient leads to a value that is NaN, nobody knows what it counted"
    g,a = tensor([0.,1.,2.]),tensor([math.nan,math.nan,3.])
    assert grad_times(g, a).isnan().tolist()==[False,True,False] and grad_times(g, a)[[0,2]].tolist()==[0.,6.]

# ---- complex numbers
class OfComplex(nn.Module):
    "Takes complex pictures; with `apart`, their two parts as channels"
    def __init__(self, apart=False):
        super().__init__()
        set_seed(0)
        self.apart,self.b,self.fc = apart,nn.Sequential(nn.Conv2d(2,8,3,2,1), nn.SiLU(), nn.Conv2d(8,8,3,2,1), nn.SiLU()),nn.Linear(8,2)
    def forward(self, x): return self.fc(self.b(x if self.apart else torch.cat([x.real,x.imag], 1)).mean((2,3)))

def complex_input():
    g = torch.Generator().manual_seed(0)
    return torch.complex(torch.randn(2,1,32,32, generator=g), 2*torch.randn(2,1,32,32, generator=g))

@contextmanager
def no_casts():
    was = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings('error', message='Casting complex')
            yield
    finally: torch.set_warn_always(was)

complex_ones = [dict(method='gradcam'), dict(method='layercam', layer='b.1'), dict(method='occlusion'), dict(method='occlusion', fill=.5+0j, window=6), dict(method='rise', n=40), dict(method='scorecam'), dict(method='gradcam', smooth='tta'),
                dict(method='gradcam', size=48), dict(method='gradcam', smooth='scales')]
@pytest.mark.parametrize('kw', complex_ones, ids=[' '.join(str(v) for v in kw.values()) for kw in complex_ones])
def test_complex_pictures(kw):
    "As of a model that takes both parts as channels; no part is lost on the way, and the layer is proven"
    z = complex_input()
    twin = {**kw, **({'fill': tensor([.5,0.])} if 'fill' in kw else {})}
    with no_casts(): got = cam_maps(OfComplex().eval(), z, 0, **kw)
    near(got, cam_maps(OfComplex(True).eval(), torch.cat([z.real,z.imag], 1), 0, **twin).as_subclass(Tensor))

def test_complex_occlusion_by_hand():
    z,model = complex_input(),OfComplex().eval()
    got = cam_maps(model, z, 0, method='occlusion', window=8, stride=8).as_subclass(Tensor)[:,0]
    with torch.no_grad():
        for i,j in itertools.product(range(0,32,8), repeat=2):
            gone = z.clone()
            gone[...,i:i+8,j:j+8] = 0
            lost = model(z)[:,0]-model(gone)[:,0]
            assert torch.allclose(got[:,i:i+8,j:j+8], lost[:,None,None].expand(-1, 8, 8), atol=1e-6)

@pytest.mark.parametrize('kw', [dict(method='ig'), dict(method='inputxgradient'), dict(method='inputgrad'), dict(method='smoothgrad'), dict(method='fullgrad'), dict(method='guidedgradcam'), dict(method='gradcam', layer='input'), dict(method='lafam', layer='input')])
def test_complex_gradients_are_refused(kw):
    with no_casts(), pytest.raises(ValueError, match="complex.*'occlusion'.*view_as_real"): cam_maps(OfComplex().eval(), complex_input(), 0, **kw)
