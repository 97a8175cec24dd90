"Where the answer is in a prediction, which layers lead to it, and what a head reads of a transformer's tokens: against autograd and formulas by hand"
import pickle, pytest, timm, torchvision
from dataclasses import dataclass
from types import SimpleNamespace
from utils import *

def by_hand(model, x, module, score):
    "Grad-CAM by autograd at this module"
    kept = []
    h = module.register_forward_hook(lambda m,i,o: kept.append(o))
    s = score(model(x.clone().requires_grad_()*1)).sum()
    h.remove()
    g, = torch.autograd.grad(s, kept[-1])
    return (g.mean((2,3), keepdim=True)*kept[-1]).sum(1).detach()

def close(got, want): torch.testing.assert_close(got.as_subclass(Tensor).squeeze(1), want, rtol=1e-4, atol=1e-5*want.abs().max().item())

def conv(i, o, s=1, k=3): return nn.Sequential(nn.Conv2d(i, o, k, s, k//2), nn.ReLU())

# ---- the answer in a container
class Encoder(nn.Module):
    "`gives(classes, pooled features, maps, maps of the stage before, other classes)` is the prediction"
    def __init__(self, gives):
        super().__init__()
        self.gives,self.stem,self.mid,self.last = gives,conv(3,8,2),conv(8,12,2),conv(12,16,2)
        self.head,self.other = nn.Linear(16,5),nn.Linear(12,7)
    def forward(self, x):
        mid = self.mid(self.stem(x))
        maps = self.last(mid)
        pooled = maps.mean((2,3))
        return self.gives(self.head(pooled), pooled, maps, mid, self.other(mid.mean((2,3))))

Named = namedtuple('Named', 'classes features')
def encoder(gives):
    torch.manual_seed(0)
    return Encoder(gives).eval(),torch.randn(2,3,48,64)

@pytest.mark.parametrize('gives', [
    lambda y,p,a,m,o: {'out':y, 'aux':o}, lambda y,p,a,m,o: {'features':m, 'classes':y}, lambda y,p,a,m,o: (y,p), lambda y,p,a,m,o: (a,y), lambda y,p,a,m,o: (y,y.sum()),
    lambda y,p,a,m,o: [y], lambda y,p,a,m,o: Named(y, p), lambda y,p,a,m,o: SimpleNamespace(logits=y, hidden=p), lambda y,p,a,m,o: [{'x':y, 'all':[a,m]}]],
    ids=['out and aux','maps and classes','features behind','features before','loss','list','named','logits','nested'])
def test_one_answer(gives):
    "One tensor is what is asked about: the map is that of a model which gives it alone"
    plain,x = encoder(lambda y,*_: y)
    model,_ = encoder(gives)
    close(cam_maps(model, x, 3), by_hand(plain, x, plain.last, lambda y: y[:,3]))
    assert torch.equal(cam_maps(model, x), cam_maps(plain, x))
    assert torch.equal(cam_maps(model, x, 3, method='ablationcam'), cam_maps(plain, x, 3, method='ablationcam'))

def test_two_answers():
    "The error names what there is; a function says which, and the layer is on the way to that one"
    model,x = encoder(lambda y,p,a,m,o: {'kind':y, 'age':o})
    with pytest.raises(TypeError, match=r"a dict: give `target=` a function.*`lambda p: p\['kind'\]\[:, 0\]`.*`p\['kind'\]` \(2, 5\), `p\['age'\]` \(2, 7\)"): cam_maps(model, x)
    close(cam_maps(model, x, target=lambda p: p['age'][:,2]), by_hand(model, x, model.mid, lambda p: p['age'][:,2]))
    close(cam_maps(model, x, target=lambda p: p['kind'][:,2]), by_hand(model, x, model.last, lambda p: p['kind'][:,2]))
    close(cam_maps(model, x, target=Head(1, 4)), by_hand(model, x, model.mid, lambda p: p['age'][:,4]))

def test_boxes_are_no_answer():
    model,x = encoder(lambda y,p,a,m,o: [{'boxes':y.reshape(-1,5)[:,:4], 'sizes':y[:,0]}])
    with pytest.raises(TypeError, match=r"p\[0\]\['boxes'\]` \(2, 4\), `p\[0\]\['sizes'\]` \(2,\)"): cam_maps(model, x)

def test_every_stage_of_a_list_of_features():
    torch.manual_seed(0)
    model,x = timm.create_model('resnet18', features_only=True).eval(),torch.randn(2,3,64,64)
    names = ['act1','layer1','layer2','layer3','layer4']
    assert layers_table(model, x).name.tolist()==names
    for i,n in enumerate(names): assert list(find_layers(model, x, ask=lambda p: p[i].mean((1,2,3))))==[n]
    score = lambda p: p[2][:,5].mean((1,2))
    close(cam_maps(model, x, target=score, method='gradcam'), by_hand(model, x, model.layer2, score))

# ---- the way to the answer
class Pyramid(nn.Module):
    "A detector with a feature pyramid: classes and boxes at four sizes, as lists, or laid out one after the other"
    def __init__(self, whole=False):
        super().__init__()
        self.whole,self.c1,self.c2,self.c3,self.c4,self.c5 = whole,conv(3,8,4),conv(8,12),conv(12,16,2),conv(16,16,2),conv(16,16,2)
        self.lateral3,self.lateral4,self.lateral5 = [nn.Conv2d(16,12,1) for _ in range(3)]
        self.out3,self.out4,self.out5,self.p6 = *[conv(12,12) for _ in range(3)],conv(12,12,2)
        self.tower,self.classes,self.boxes = conv(12,12),nn.Conv2d(12,6,3,1,1),nn.Conv2d(12,4,3,1,1)
    def forward(self, x):
        c3 = self.c3(self.c2(self.c1(x)))
        c4 = self.c4(c3)
        c5 = self.c5(c4)
        p5 = self.lateral5(c5)
        p4 = self.lateral4(c4)+F.interpolate(p5, size=c4.shape[2:])
        p3 = self.lateral3(c3)+F.interpolate(p4, size=c3.shape[2:])
        ps = [self.out3(p3),self.out4(p4),self.out5(p5)]
        ts = [self.tower(p) for p in [*ps, self.p6(ps[-1])]]
        res = [f(t) for t in ts for f in (self.classes,)],[f(t) for t in ts for f in (self.boxes,)]
        rows = lambda o: torch.cat([t.flatten(2).transpose(1,2) for t in o], 1)
        return {'scores':rows(res[0]), 'boxes':rows(res[1])} if self.whole else res

@pytest.mark.parametrize('whole', [False,True])
def test_detector(whole):
    "All sizes are read: the encoder's last layer, which all of them depend on; no lateral, no head, no coarser level"
    torch.manual_seed(0)
    model,x = Pyramid(whole).eval(),torch.randn(2,3,128,192)
    score = (lambda p: p['scores'][...,2].amax(1)) if whole else (lambda p: torch.stack([t[:,2].mean((1,2)) for t in p[0]]).sum(0))
    assert list(find_layers(model, x))==['c5']
    assert layers_table(model, x).name.tolist()[-3:]==['c3','c4','c5']
    close(cam_maps(model, x, target=score, method='gradcam'), by_hand(model, x, model.c5, score))

class Ends(nn.Module):
    "Two convolutions, then what `end(self, maps)` makes of them"
    def __init__(self, end, **mods):
        super().__init__()
        self.stem,self.mid,self.end = conv(3,8,4),conv(8,12,2),end
        for k,v in mods.items(): setattr(self, k, v)
        self.head = nn.Linear(12,5)
    def forward(self, x): return self.end(self, self.mid(self.stem(x)))

def pyramid_pooling(s, y):
    parts = [F.interpolate(p(F.avg_pool2d(y, k)), size=y.shape[2:]) for k,p in zip((12,6,4), s.pools)]
    return F.interpolate(s.classes(torch.cat([y,*parts], 1)), scale_factor=8)

def states_read(s, y):
    "As EfficientViM: a stage whose states are read beside its end, and which no one module begins"
    z = s.down(y)+s.skip(y)
    h = s.block(z)
    return s.head(torch.cat([y.mean((2,3))[:,:4], h.mean((2,3)), s.last(z+h).mean((2,3))], 1))

@pytest.mark.parametrize('end,mods,name', [
    (lambda s,y: s.head((y+s.branch(y)).mean((2,3))), dict(branch=conv(12,12)), 'mid'),
    (lambda s,y: s.head(F.relu(y+s.branch(y)).mean((2,3))), dict(branch=nn.Sequential(conv(12,12), nn.Conv2d(12,12,3,1,1))), 'mid'),
    (lambda s,y: s.head(s.sum(y+s.branch(y)).mean((2,3))), dict(branch=conv(12,12), sum=nn.Identity()), 'sum'),
    (lambda s,y: s.head(torch.cat([b(y) for b in s.branches], 1).mean((2,3))), dict(branches=nn.ModuleList([conv(12,4,k=k) for k in (1,3,5)])), 'mid'),
    (lambda s,y: s.head(torch.cat([y.mean((2,3))[:,:4], (z := s.more(y)).mean((2,3)), s.most(z).mean((2,3))], 1)), dict(more=conv(12,4,2), most=conv(4,4,2)), 'most'),
    (lambda s,y: s.head(torch.cat([s.one(y), s.two(y), s.wide(s.two(y))], 1).mean((2,3))), dict(one=conv(12,4,2), two=conv(12,4,2,k=1), wide=conv(4,4)), 'mid'),
    (states_read, dict(down=conv(12,4,2), skip=conv(12,4,2,k=1), block=conv(4,4), last=conv(4,4)), 'last'),
    (lambda s,y: sum(s.classes(o).mean((2,3)) for o in (y, s.more(y))), dict(more=conv(12,12,2), classes=nn.Conv2d(12,5,1)), 'more'),
    (pyramid_pooling, dict(pools=nn.ModuleList([conv(12,4,k=1) for _ in range(3)]), classes=nn.Conv2d(24,5,1)), 'mid'),
], ids=['residual','residual, relu','sum handed on','inception','several sizes read','inception with names','states read','one head for two levels','pyramid pooling'])
def test_branches_are_no_layer(end, mods, name):
    torch.manual_seed(0)
    model,x = Ends(end, **mods).eval(),torch.randn(2,3,96,96)
    for m in model.modules(): getattr(m, 'reset_parameters', noop)()                       # those of `mods` were made when this file was read
    assert list(find_layers(model, x))==[name]
    score = lambda p: p[:,1] if p.ndim==2 else p[:,1].mean((1,2))
    close(cam_maps(model, x, target=score, method='gradcam'), by_hand(model, x, model.get_submodule(name), score))

def test_aspp_branches_are_no_stages():
    torch.manual_seed(0)
    model,x = torchvision.models.segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=4, aux_loss=True).eval(),torch.randn(1,3,64,64)
    assert not any('convs' in n for n in layers_table(model, x).name)
    score = lambda p: p['out'][:,1].mean((1,2))
    close(cam_maps(model, x, target=score, layer='backbone.layer4', method='gradcam'), by_hand(model, x, model.backbone.layer4, score))
    assert list(find_layers(model, x, ask=lambda p: p['aux'].mean()))==['aux_classifier.2']

@dataclass
class Answer: prediction: Tensor; features: Tensor

class Answers(Ends):
    def forward(self, x): return Answer(self.head((y := self.mid(self.stem(x))).mean((2,3))), y)

def test_data_class():
    "Fields of an object are the tensors of a prediction, by their names; a function may read them so"
    torch.manual_seed(0)
    model,x = Answers(noop).eval(),torch.randn(2,3,64,64)
    want = by_hand(model, x, model.mid, lambda p: p.prediction[:,1])
    for target in (1, lambda p: p.prediction[:,1], lambda p: p['prediction'][:,1]): close(cam_maps(model, x, target=target, method='gradcam'), want)

# ---- what is no trunk
@pytest.mark.parametrize('dead', [(),(0,),(1,),(0,1),(1,2),(0,2)], ids=str)
def test_dead_branches_of_a_pyramid(dead):
    "A branch whose ReLU lets nothing through is a branch all the same, and so is the only one that is left"
    torch.manual_seed(0)
    model,x = Ends(pyramid_pooling, pools=nn.ModuleList([conv(12,4,k=1) for _ in range(3)]), classes=nn.Conv2d(24,5,1)).eval(),torch.randn(2,3,96,96)
    for i in dead: nn.init.constant_(model.pools[i][0].bias, -9)
    assert list(find_layers(model, x))==['mid']

def pyramid_attention(s, y):
    "As in PAN: two pooled maps of one channel weigh the encoder's"
    a = s.down1(y)
    a = F.interpolate(a+F.interpolate(s.down2(a), size=a.shape[2:]), size=y.shape[2:])
    return F.interpolate(s.classes(s.keep(y)*a), scale_factor=8)

def test_attention_to_places_is_no_layer():
    torch.manual_seed(0)
    down = lambda i: nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(i,1,3,1,1), nn.Sigmoid())
    model,x = Ends(pyramid_attention, down1=down(12), down2=down(1), keep=conv(12,12,k=1), classes=nn.Conv2d(12,5,1)).eval(),torch.randn(2,3,96,96)
    d = first(find_layers(model, x).values())
    assert d.grid==(12,12) and d.channels==12
    score = lambda p: p[:,1].mean((1,2))
    close(cam_maps(model, x, target=score, method='gradcam'), by_hand(model, x, model.get_submodule(d.name), score))

class ClassAttention(nn.Module):
    "As in CaiT: two blocks in which the class token alone looks at the patches"
    def __init__(self, d):
        super().__init__()
        self.patch,self.norm,self.cls,self.head = nn.Conv2d(3,d,8,8),nn.LayerNorm(d),nn.Parameter(torch.randn(1,1,d)),nn.Linear(d,3)
        self.norms,self.heads = nn.ModuleList(nn.LayerNorm(d) for _ in range(2)),nn.ModuleList(nn.Linear(d,d) for _ in range(2))
    def forward(self, x):
        x = self.norm(self.patch(x).flatten(2).transpose(1,2))
        cls = self.cls.expand(len(x),-1,-1)
        for norm,head in zip(self.norms, self.heads):
            u = norm(torch.cat([cls,x], 1))
            cls = cls+head(F.scaled_dot_product_attention(u[:,:1], u, u))
        return self.head(cls[:,0])

@pytest.mark.parametrize('d', [12,16,24,35,48])
@pytest.mark.parametrize('size', [(48,48),(64,64),(48,80)], ids=str)
def test_class_attention(size, d):
    "What a class token gives is no grid, whatever its width: the layer that both blocks read is the default at any size"
    torch.manual_seed(0)
    assert list(find_layers(ClassAttention(d).eval(), torch.randn(1,3,*size)))==['norm']

# ---- the same model, traced
def unflattened(model, x): return torch.export.unflatten(torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim('items')},)))

@pytest.mark.parametrize('name', ['resnet18','resnet50','mobilenet_v2'])
@pytest.mark.parametrize('how', ['fx','unflattened'])
def test_traced(name, how):
    torch.manual_seed(0)
    model,x = getattr(torchvision.models, name)(num_classes=5).eval(),torch.randn(2,3,96,96)
    traced = torch.fx.symbolic_trace(model) if how=='fx' else unflattened(model, x)
    close(cam_maps(traced, x, 3), cam_maps(model, x, 3).as_subclass(Tensor)[:,0])
    assert layers_table(traced, x).name.tolist()==layers_table(model, x).name.tolist() or how!='fx'
    for i in (-2,-3) if 'resnet' in name else (): close(cam_maps(traced, x, 3, layer=i), cam_maps(model, x, 3, layer=i).as_subclass(Tensor)[:,0])

@pytest.mark.parametrize('name', ['convnext_tiny','squeezenet1_1','efficientnet_b0','densenet121','ese_vovnet19b_dw'])
def test_traced_functions(name):
    "Sums, products and concatenations that are functions: what comes of the default layer is the map of the plain model"
    torch.manual_seed(0)
    model,x = getattr(torchvision.models, name, partial(timm.create_model, name))(num_classes=5).eval(),torch.randn(1,3,96,96)
    traced = torch.fx.symbolic_trace(model)
    close(cam_maps(traced, x, 1, method='gradcam'), cam_maps(model, x, 1, method='gradcam').as_subclass(Tensor)[:,0])

def as_onnx(model):
    "The graph of two convolutions and a linear layer, written by hand"
    onnx = pytest.importorskip('onnx', reason="the extra 'peers' is not installed")
    h,weights = onnx.helper,{n.replace('.', '_'): p.detach().numpy() for n,p in model.named_parameters()}
    conv = lambda i,x,y: h.make_node('Conv', [x,f'{i}_weight',f'{i}_bias'], [y], kernel_shape=[3,3], strides=[2,2], pads=[1]*4)
    nodes = [conv(0, 'x', 'a'), h.make_node('Relu', ['a'], ['b']), conv(2, 'b', 'c'), h.make_node('Relu', ['c'], ['d']), h.make_node('GlobalAveragePool', ['d'], ['e']),
             h.make_node('Flatten', ['e'], ['f'], axis=1), h.make_node('Gemm', ['f','6_weight','6_bias'], ['y'], transB=1)]
    value = lambda n,*shape: h.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ['items',*shape])
    graph = h.make_graph(nodes, 'chain', [value('x', 3, 32, 48)], [value('y', 5)], [onnx.numpy_helper.from_array(p, n) for n,p in weights.items()])
    return h.make_model(graph, opset_imports=[h.make_opsetid('', 13)])

def test_onnx():
    "A graph of ONNX by way of onnx2torch: the layer and the map of the plain model"
    onnx2torch = pytest.importorskip('onnx2torch', reason="the extra 'peers' is not installed")
    torch.manual_seed(0)
    model,x = nn.Sequential(nn.Conv2d(3,8,3,2,1), nn.ReLU(), nn.Conv2d(8,16,3,2,1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16,5)).eval(),torch.randn(2,3,32,48)
    other = onnx2torch.convert(as_onnx(model)).eval()
    close(other(x), model(x))
    for layer in (None,-2): close(cam_maps(other, x, 3, layer=layer), cam_maps(model, x, 3, layer=layer).as_subclass(Tensor)[:,0])
    assert layers_table(other, x).grid.tolist()==layers_table(model, x).grid.tolist()

def test_traced_concatenations():
    "What a function gives to a pooling, or to branches and functions, is the layer that was a module"
    torch.manual_seed(0)
    model,x = torchvision.models.googlenet(num_classes=5, init_weights=False, aux_logits=False).eval(),torch.randn(1,3,64,96)
    traced = torch.fx.symbolic_trace(model)
    assert layers_table(traced, x).name.tolist()==layers_table(model, x).name.tolist()
    for layer in (None,'inception4e'): assert torch.equal(cam_maps(traced, x, 1, layer=layer), cam_maps(model, x, 1, layer=layer))

class Join(nn.Module):
    "Branches of several kernels, which a function joins"
    def __init__(self):
        super().__init__()
        self.one,self.two = conv(8,4),conv(8,6,k=1)
    def forward(self, x): return torch.cat([self.one(x), self.two(x)], 1)-.01

class Joins(nn.Module):
    "What is joined is read by a function, too, behind a module that changes it in place"
    def __init__(self):
        super().__init__()
        self.stem,self.join,self.act,self.pool,self.head = conv(3,8,4),Join(),nn.ReLU(inplace=True),nn.AdaptiveAvgPool2d(1),nn.Linear(10,3)
    def forward(self, x):
        y = self.join(self.stem(x))
        return self.head((self.pool(self.act(y))+y.amax((2,3), keepdim=True)).flatten(1))

@pytest.mark.parametrize('name,wrap', [
    ('join', noop), ('body.join', lambda m: nn.Sequential(OrderedDict(body=m, scale=nn.Linear(3,3)))), ('sub', lambda m: pickle.loads(pickle.dumps(m))), ('sub', lambda m: [n.meta.clear() for n in m.graph.nodes] and m),
], ids=['plain','a part of another','pickled','without notes'])
def test_traced_layer_by_hand(name, wrap):
    torch.manual_seed(0)
    plain,x = Joins().eval(),torch.randn(2,3,32,32)
    model = wrap(torch.fx.symbolic_trace(plain))
    was = model(x)
    a = plain.join(plain.stem(x)).detach().requires_grad_()
    acted = F.relu(a)
    pred = plain.head((plain.pool(acted)+acted.amax((2,3), keepdim=True)).flatten(1))
    g, = torch.autograd.grad((model.scale(pred) if 'body' in name else pred)[:,1].sum(), a)
    close(cam_maps(model, x, 1, layer=name, method='hirescam'), (a*g).sum(1).detach())
    assert torch.equal(model(x), was) and not any('forward' in vars(m) or m._forward_hooks or m._forward_pre_hooks for m in model.modules())

def test_traced_film():
    "In a fit, layers of a traced model are observed as well"
    learn = small_learner(torch.fx.symbolic_trace(small_net()))
    cb = CAMCallback(layer='0')
    with learn.no_bar(): learn.fit(1, 1e-3, cbs=cb)
    assert list(cb.acts)==['0'] and cb.acts['0'].ndim==4 and cb.acts['0'].shape==cb.grads['0'].shape and 'forward' not in vars(learn.model)

# ---- attention
class Bias(nn.Module):
    "Blocks of attention with a bias or mask that is added to the scores; `read(tokens)` is the head's"
    def __init__(self, read, n_extra=1, bias=None, blocks=2):
        super().__init__()
        self.read,self.bias,self.patch,self.extra = read,bias,nn.Conv2d(3,8,8,8),nn.Parameter(torch.randn(1,n_extra,8))
        self.blocks,self.head = nn.ModuleList(nn.Sequential(nn.LayerNorm(8), nn.Linear(8,24)) for _ in range(blocks)),nn.Linear(8,4)
        self.after = nn.ModuleList(nn.LayerNorm(8) for _ in range(blocks))
        self.query,self.seen = nn.Parameter(torch.randn(1,1,1,8)),[]
    def attend(self, q, k, v, bias=None): return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    def forward(self, x):
        t = torch.cat([self.extra.expand(len(x),-1,-1), self.patch(x).flatten(2).transpose(1,2)], 1)
        for qkv,after in zip(self.blocks, self.after):
            q,k,v = [o.unflatten(2, (2,4)).transpose(1,2) for o in qkv(t).chunk(3, 2)]
            t = after(t+self.attend(q, k, v, self.bias).transpose(1,2).flatten(2))
        return self.head(self.read(self, t))

class BiasByHand(Bias):
    "The same, its attention written out and kept"
    def attend(self, q, k, v, bias=None):
        s = q@k.transpose(-2,-1)/q.shape[-1]**.5
        if bias is not None: s = s.masked_fill(~bias, -torch.inf) if bias.dtype==torch.bool else s+bias
        self.seen.append(s.softmax(-1))
        return self.seen[-1]@v

n = 1+12
_heads = dict(cls=lambda s,t: t[:,0], patches=lambda s,t: t[:,1:].mean(1), tokens=lambda s,t: t.mean(1), both=lambda s,t: (t[:,0]+t[:,5])/2,
              map=lambda s,t: s.attend(s.query, t[:,None], t[:,None])[:,0,0])
_rows = dict(cls=[0], patches=[*range(1,n)], tokens=[*range(n)], both=[0,5])
_biases = dict(none=lambda: None, bias=lambda: torch.randn(1,2,n,n)*2, flat=lambda: torch.randn(n,n)*2, mask=lambda: torch.rand(n,n)>.3)

def pair(head, bias):
    torch.manual_seed(0)
    b = _biases[bias]()
    if bias=='mask': b |= torch.eye(n)>0
    models = [c(_heads[head], bias=b).eval() for c in (Bias,BiasByHand)]
    models[1].load_state_dict(models[0].state_dict())
    return *models,torch.randn(2,3,24,32)

@pytest.mark.parametrize('bias', list(_biases))
@pytest.mark.parametrize('head', list(_heads))
def test_rollout_of_biased_attention(head, bias):
    model,hand,x = pair(head, bias)
    hand(x)
    r = torch.eye(n).expand(2,-1,-1)
    for a in hand.seen[:2]: r = (a.mean(1)+torch.eye(n))/2@r
    want = (hand.seen[2].mean(1)@r)[:,0] if head=='map' else r[:,_rows[head]].mean(1)
    close(cam_maps(model, x, 1, 'after.0', 'rollout'), want[:,1:].detach().unflatten(1, (3,4)))


@pytest.mark.parametrize('method', ['rollout','legrad'])
@pytest.mark.parametrize('name', ['beit_base_patch16_224','vit_relpos_base_patch16_clsgap_224'])
def test_position_biases_of_timm(name, method):
    "Fused, as a bias that torch's attention is given, and written out: the same map"
    maps = []
    for fused in (True,False):
        torch.manual_seed(0)
        model = timm.create_model(name, img_size=64, embed_dim=24, num_heads=2, depth=2, num_classes=4).eval()
        for m in model.modules():
            if hasattr(m, 'fused_attn'): m.fused_attn = fused
        for p in model.parameters(): nn.init.normal_(p, std=.3)
        maps.append(cam_maps(model, torch.randn(2,3,64,64, generator=torch.Generator().manual_seed(1)), 1, method=method))
    assert maps[0].grid==(4,4) and maps[0].std()>0
    close(maps[0], maps[1].as_subclass(Tensor)[:,0])

# ---- `forward` that ends in `squeeze()`, which takes the axis of a single item away, too
class Squeezed(nn.Module):
    def __init__(self, classes, squeeze=True, most=None):
        super().__init__()
        torch.manual_seed(0)
        self.body,self.squeeze,self.most = nn.Sequential(conv(3,8,2), conv(8,12,2)),squeeze,most
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12,classes))
    def forward(self, x):
        if self.most and len(x)>self.most: raise RuntimeError('too many items')
        y = self.head(self.body(x))
        return y.squeeze() if self.squeeze else y

@pytest.mark.parametrize('classes', [1,4])
@pytest.mark.parametrize('n', [1,2])
def test_squeezed(classes, n):
    "The maps are those of the same model without `squeeze()`, of a single item as well; some methods ask the model again with one row, others the rest of it"
    model,plain,x = Squeezed(classes).eval(),Squeezed(classes, squeeze=False).eval(),torch.randn(n,3,32,40)
    close(cam_maps(model, x, 0), by_hand(plain, x, plain.body, lambda y: y[:,0]))
    close(cam_maps(model, x, lambda y: y.reshape(n,classes)[:,-1]), by_hand(plain, x, plain.body, lambda y: y[:,-1]))
    for method in ('scorecam','ablationcam','occlusion','ig','fullgrad'): assert torch.equal(cam_maps(model, x, method=method), cam_maps(plain, x, method=method))

def test_squeezed_in_dict():
    model,x = encoder(lambda y,p,a,m,o: {'out':y.squeeze(), 'maps':a})
    plain,_ = encoder(lambda y,*_: y)
    close(cam_maps(model, x[:1], 3), by_hand(plain, x[:1], plain.last, lambda y: y[:,3]))

def test_squeezed_learner():
    "One file alone, a last batch of one item, and what is measured one row at a time"
    files = drawn_files(9)[0]
    dls = ImageDataLoaders.from_path_func('.', files, lambda f: kind_of(f)=='level', valid_pct=.5, seed=0, bs=4, num_workers=0)
    squeezed,plain = (Learner(dls, Squeezed(1, o).eval(), loss_func=BCEWithLogitsLossFlat()) for o in (True,False))
    for n in (1,9):
        got,want = (learn.cam(files[:n]) for learn in (squeezed,plain))
        assert got.labels==want.labels
        for a,b in zip(got.maps, want.maps): torch.testing.assert_close(a, b)
        torch.testing.assert_close(torch.stack(list(got.preds)), torch.stack(list(want.preds)))
    got,want = (learn.cam_metrics(files[:1], methods=['gradcam'], bs=1).drop(columns='seconds', level=0) for learn in (squeezed,plain))
    pd.testing.assert_frame_equal(got, want)

def test_squeeze_is_named():
    "Where nobody can tell, the error names the likely cause"
    with pytest.raises(ValueError, match=r"one item has shape \(4,\), expected \(1, 4\): if `forward` ends in `squeeze\(\)`.*`squeeze\(-1\)`"): cam_maps(Squeezed(4, most=1).eval(), torch.randn(1,3,32,40))
    with pytest.raises(ValueError, match=r"one number, of shape \(\).*mean or sum"): cam_maps(nn.Sequential(Squeezed(4, squeeze=False), Lambda(lambda y: y.mean())).eval(), torch.randn(2,3,32,40))
    close(cam_maps(Squeezed(1, most=1).eval(), x := torch.randn(1,3,32,40), 0), by_hand(plain := Squeezed(1, squeeze=False).eval(), x, plain.body, lambda y: y[:,0]))

# ---- a number for every place, without an axis of classes: depth, masks whose axis of one class was squeezed away
class Depth(nn.Module):
    def __init__(self, gives):
        super().__init__()
        torch.manual_seed(0)
        self.body,self.out,self.gives = nn.Sequential(conv(3,8,2), conv(8,8,2)),nn.Sequential(nn.Conv2d(8,1,1), nn.Upsample(scale_factor=4)),gives
    def forward(self, x): return self.gives(self.out(self.body(x)))

@pytest.mark.parametrize('n,gives', [(2,lambda y: y[:,0]), (1,lambda y: y.squeeze()), (2,lambda y: {'depth':y[:,0], 'loss':None})], ids=['plain','squeezed','dict'])
def test_places_without_classes(n, gives):
    model,plain,x = Depth(gives).eval(),Depth(noop).eval(),torch.randn(n,3,48,64)
    close(cam_maps(model, x, Region((10,12)), 'body', 'gradcam'), by_hand(plain, x, plain.body, lambda y: y[:,0,10,12]))
    close(cam_maps(model, x, Region(np.ones((48,64)), 0), 'body', 'gradcam'), by_hand(plain, x, plain.body, lambda y: y.mean((1,2,3))))
    for target in (None,0,Outputs(),Neg(0),[0,Region((3,4))]): assert torch.equal(cam_maps(model, x, target), cam_maps(plain, x, target))
    assert torch.equal(cam_maps(model, x, 0, method='scorecam'), cam_maps(plain, x, 0, method='scorecam'))

def test_function_of_places():
    "A function is given what the model gives"
    model,x = Depth(lambda y: y[:,0]).eval(),torch.randn(2,3,48,64)
    close(cam_maps(model, x, lambda p: p[:,10,12], 'body', 'gradcam'), by_hand(model, x, model.body, lambda p: p[:,10,12]))

@pytest.mark.parametrize('answers', [(5,11),(12,16),(48,64)])
def test_answers_are_no_places(answers):
    "As many axes, and perhaps the input's proportions, but each answer looks at all of the input"
    torch.manual_seed(0)
    body = nn.Sequential(conv(3,8,2), conv(8,8,2))
    model,x = nn.Sequential(body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32,math.prod(answers)), nn.Unflatten(1, answers)).eval(),torch.randn(2,3,48,64)
    with pytest.raises(ValueError, match=f"if these are {answers[0]} answers of {answers[1]} classes each"): cam_maps(model, x)
    close(cam_maps(model, x, Head(2, 3)), by_hand(model, x, body, lambda p: p[:,2,3]))

def test_places_without_classes_learner():
    "Masks of one class, predicted without its axis, are explained as with it"
    dls = DataBlock((ImageBlock,MaskBlock), get_items=lambda _: drawn_files(6)[0], get_y=lambda f: PILMask.create(drawn_files(6)[1][f].astype(np.uint8))).dataloaders('', bs=3, num_workers=0)
    loss = lambda p,y: F.binary_cross_entropy_with_logits(p.reshape(y.shape), y.float())
    got,want = (Learner(dls, Depth(o).eval(), loss_func=loss).cam(ds_idx=0) for o in (lambda y: y[:,0],noop))
    assert got.labels==want.labels
    for a,b in zip(got.maps, want.maps): torch.testing.assert_close(a, b)

# ---- a frozen body that runs under `torch.inference_mode()` or `no_grad()`
def half_frozen(context):
    "A model whose body runs in this context"
    torch.manual_seed(0)
    body,head = nn.Sequential(conv(3,8,2), conv(8,8,2)),nn.Sequential(conv(8,12), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12,4))
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.body,self.head = body,head
        def forward(self, x):
            with context(): x = self.body(x)
            return self.head(x.clone())
    return Model().eval(),nn.Sequential(body, head).eval()

@pytest.mark.parametrize('context', [torch.no_grad, torch.inference_mode])
def test_frozen_body(context):
    "Maps of the body and of the head, as those of the model without the block; the modes of the caller stay"
    (model,plain),x = half_frozen(context),torch.randn(2,3,48,64)
    for outer in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with outer():
            modes = torch.is_grad_enabled(),torch.is_inference_mode_enabled()
            body,head = cam_maps(model, x, 3, 'body', 'gradcam'),cam_maps(model, x, 3)
            score = cam_maps(model, x, 3, 'body', 'scorecam')
            assert (torch.is_grad_enabled(),torch.is_inference_mode_enabled())==modes
            assert not body.is_inference() and not head.is_inference()
        close(body, by_hand(plain, x, plain[0], lambda y: y[:,3]))
        close(head, by_hand(plain, x, plain[1][0], lambda y: y[:,3]))
        torch.testing.assert_close(score, cam_maps(plain, x, 3, plain[0], 'scorecam'))
    assert not any(p.is_inference() for p in model.parameters())

def test_frozen_body_learner():
    model,plain = half_frozen(torch.inference_mode)
    got,want = (Learner(drawn_dls(6), m, loss_func=CrossEntropyLossFlat()).cam(drawn_files(6)[0], layer=l) for m,l in ((model,'body'),(plain,'0')))
    for a,b in zip(got.maps, want.maps): torch.testing.assert_close(a, b)

def test_frozen_body_input():
    "No gradient leads back to the input: the error says why"
    model,_ = half_frozen(torch.inference_mode)
    with pytest.raises(ValueError, match='cuts the way by `torch.no_grad'): cam_maps(model, torch.randn(2,3,48,64), method='ig')

# ---- `forward` takes a gradient itself
class OwnGradient(nn.Module):
    "The prediction for the input after a step that raises the highest output, as in ODIN and adaptation at test time: the body is called twice"
    def __init__(self, step):
        super().__init__()
        torch.manual_seed(0)
        self.body,self.head,self.step = nn.Sequential(conv(3,8,2), conv(8,12,2)),nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12,4)),step
    def classes(self, x): return self.head(self.body(x))
    def forward(self, x): return self.classes(self.step(self.classes, x))

def step_beside(f, x):
    with torch.enable_grad():
        d = torch.zeros_like(x, requires_grad=True)
        g, = torch.autograd.grad(f(x+d).amax(1).sum(), d)
    return x+.1*g.detach()

def step_of_leaf(f, x):
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        g, = torch.autograd.grad(f(x).amax(1).sum(), x)
    return x.detach()+.1*g.sign()

@pytest.mark.parametrize('step', [step_beside, step_of_leaf])
def test_own_gradient(step):
    model,x = OwnGradient(step).eval(),torch.randn(2,3,48,64)
    close(cam_maps(model, x, 3), by_hand(model, x, model.body, lambda y: y[:,3]))
    with torch.no_grad(): assert cam_maps(model, x, 3, method='scorecam').isfinite().all()
    assert all(p.grad is None for p in model.parameters())
