"The layer found by itself in many architectures: the one that one would pick by hand, and the gradient there is the model's own"
import sys
from collections import OrderedDict
import pytest
from conftest import root
from utils import *
sys.path.append(str(root/'tools'))
from archs import archs, cell, page, table
from fastcore.nbio import read_nb

norms = nn.BatchNorm1d,nn.BatchNorm2d

def settle(learn):
    "As if trained a little: no weight is zero throughout, and batchnorm has seen the data, without which random weights explode or die out"
    model,rng = learn.model,torch.Generator().manual_seed(0)
    for p in model.parameters():
        if not p.any(): p.data = torch.randn(p.shape, generator=rng)*.1
    bns = [m for m in model.modules() if isinstance(m, norms) and m.track_running_stats]
    if not bns: return
    was = [m.momentum for m in bns]
    for m in bns: m.momentum = None                                  # a plain mean
    with torch.no_grad(): model.train()(learn.dls.one_batch()[0])
    for m,o in zip(bns, was): m.momentum = o

def by_hand(model, xb, arch, pred_idx):
    "Activations and gradients (batch, channels, *grid) at the layer that was picked: the textbook's way, with a hook and `torch.autograd.grad`"
    kept = {}
    def hook(m, i, o):
        kept['a'] = o
        return o*1                                                   # what follows may work in place
    h = model.get_submodule(arch.layer).register_forward_hook(hook)
    with evaluating(model): pred = model(xb.clone().requires_grad_()*1)
    h.remove()
    g, = torch.autograd.grad(pred[range(len(xb)),pred_idx].sum(), kept['a'])
    n = arch.grid[0]*arch.grid[1]
    def to_grid(t):
        if arch.layout=='NCHW': return t
        if arch.layout=='NHWC': return t.permute(0,3,1,2)
        assert t.shape[1]==arch.layout+n
        return t[:,-n:].permute(0,2,1).reshape(len(t), t.shape[2], *arch.grid)
    return to_grid(kept['a'].detach()),to_grid(g)

def close(got, want, tol): assert (got.as_subclass(Tensor)-want).abs().max()<=tol*want.abs().max()

@pytest.mark.parametrize('arch', archs, ids=lambda o: o.name)
def test_arch(arch):
    learn = arch.learner()
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    settle(learn)
    assert arch.found(learn)==arch.picked() and math.prod(arch.grid)>1
    unsettle(learn.model)
    was = snapshot(learn)
    cams = learn.cam([0,1,2])
    assert not changed(was, snapshot(learn))
    maps = cams.maps.as_subclass(Tensor)
    assert maps.shape==(3,1,*arch.grid) and maps.isfinite().all()
    flat = maps.flatten(1)
    assert (flat.std(1)>1e-3*flat.abs().max(1).values).all() and all(not h[0] or h[0].startswith('negative everywhere') for h in cams.health)
    # float32, and matrix products of another size: the last digits differ
    close(torch.cat([learn.cam(i).maps for i in (2,0)]), maps[[2,0]], 1e-4)
    a,g = by_hand(learn.model, cams.inputs.as_subclass(Tensor), arch, cams.targets[:,0])
    close(maps[:,0], (g.mean((2,3), keepdim=True)*a).sum(1), 1e-4)
    close(learn.cam([0,1,2], method='hirescam').maps[:,0], (g*a).sum(1), 1e-4)

def bodies():
    "Models without a last linear layer, whose embedding is the mean of the last layer"
    import timm, torchvision.models as tv
    resnet = tv.resnet18()
    resnet.fc = nn.Identity()
    return dict(torchvision=(resnet,'layer4'), fastai=(nn.Sequential(create_body(tv.resnet18(), pretrained=False), nn.AdaptiveAvgPool2d(1), nn.Flatten()),'0'),
        bottleneck=(timm.create_model('resnet26', num_classes=0),'layer4'), convnext=(timm.create_model('convnext_atto', num_classes=0),'stages'),
        classes=(nn.Sequential(OrderedDict(body=nn.Sequential(ConvLayer(3,8,stride=32), ConvLayer(8,16)), head=nn.Conv2d(16,5,1), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten())),'body'))

def test_embedding():
    "Each output has a channel of its own, as in a map of classes; but there is nothing else to choose, unless it is made of features with the same grid"
    for name,(model,layer) in bodies().items():
        o = default_layer(grid_layers(model.eval(), torch.randn(1,3,96,96)))
        assert (o.name,o.grid)==(layer,(3,3)), name

def test_cam_layers():
    "The table is the same whatever the first item is taken from, and nothing changes"
    learn = small_learner()
    was,x = snapshot(learn),drawn_batch()
    want = learn.cam_layers()
    assert list(want.index)==[-3,-2,-1] and want.iloc[-1]['name']=='0' and want.iloc[-1]['']=='default'
    for kw in (dict(items=drawn_files()[0][0]), dict(items=drawn_files()[0][:3]), dict(ds_idx=0), dict(dl=learn.dls.train), dict(dl=[(x,)]), dict(dl=[(x,tensor([0]*5))])):
        assert learn.cam_layers(**kw).equals(want)
    assert not changed(was, snapshot(learn))
    plain = torch.utils.data.DataLoader([(o,0) for o in x], batch_size=2)
    assert Learner(DataLoaders(plain,plain), learn.model, loss_func=CrossEntropyLossFlat()).cam_layers(x[0]).equals(want)
    for name in learn.cam_layers(all=True).name: assert learn.cam(drawn_files()[0][0], layer=name).maps.isfinite().all()

def test_cam_layers_without_places():
    "The input itself is what is left"
    tab = small_learner(flat_net()).cam_layers()
    assert list(tab.index)==['input'] and tab.loc['input'][['grid','']].tolist()==['48x48','default']
    rows = nn.Sequential(nn.Linear(4,8), nn.ReLU(), nn.Linear(8,2))
    plain = torch.utils.data.DataLoader([(torch.randn(4),0)]*4, batch_size=2)
    with pytest.raises(ValueError, match='No layer of this model keeps places'): Learner(DataLoaders(plain,plain), rows, loss_func=CrossEntropyLossFlat()).cam_layers()

def test_number(): assert len(archs)>=40 and len({(o.name,o.plain) for o in archs})==len(archs)

def test_page():
    "`python tools/archs.py --write` brings it up to date"
    assert cell(read_nb(page)).source==table(a.row(*a.picked()) for a in archs)
