"A map that says little carries its reason, in its health and in its title, with what to try"
import pytest
from utils import *

def flat_head(w, bias=0.): 
    "A linear head on mean pooled channels, with these weights (classes, channels)"
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(len(w[0]), len(w)))
    head[2].weight.data,head[2].bias.data = tensor(w).float(),torch.full((len(w),), bias)
    return head

def learner(body, head): return small_learner(nn.Sequential(body, head))
def body(): return nn.Sequential(ConvLayer(3,4,stride=2), ConvLayer(4,4,stride=2))
def one(learn, **kw): return learn.cam(drawn_files()[0][0], **kw)[0]
def title(item):
    res = item.show()[0].get_title()
    plt.close('all')
    return res

def test_well():
    "A map that is well says nothing"
    learn = small_learner()
    assert set(learn.cam(target=Outputs(), method='hirescam').health.concat())=={''}

def test_negative():
    "The layer's activations are positive, and all weights of class 1 negative"
    learn = learner(body(), flat_head([[1.]*4,[-1.]*4,[0.]*4]))
    item = one(learn, target=[0,1])
    assert item.health[0]=='' and item.health[1].startswith('negative everywhere: ') and 'Neg' in item.health[1]
    assert '(negative everywhere)' in title(one(learn, target=1))
    assert 'negative' not in item.show(relu=False)[1].get_title()                      # nothing is wrong with it where both signs are shown
    assert one(learn, target=Neg(1)).health==['']
    plt.close('all')

def test_zero_gradient():
    "Class 2 has no weights, so nothing moves it"
    learn = learner(body(), flat_head([[1.]*4,[-1.]*4,[0.]*4]))
    item = one(learn, target=2)
    assert item.health[0].startswith("zero gradient: nothing at '0' moves") and not item.maps.any()
    assert '(zero gradient)' in title(item)

def test_dead_layer():
    "A bias so low that no ReLU fires"
    net = body()
    net[1][1].bias.data.fill_(-1e3)
    item = one(learner(net, flat_head([[1.]*4]*3)))
    assert item.health[0].startswith('dead layer: ') and '(dead layer)' in title(item)

def test_saturated():
    "A probability of one has no gradient left to speak of; the output itself has"
    learn = learner(body(), flat_head([[1e4]*4,[-1e4]*4,[0.]*4]))
    item = one(learn, target=Prob(0))
    assert item.health[0].startswith('saturated probability: ') and '(saturated probability)' in title(item)
    assert one(learn, target=0).health==['']

def test_class_token_only():
    "After the last block only the class token is read"
    timm = pytest.importorskip('timm')
    torch.manual_seed(0)
    vit = timm.create_model('vit_tiny_patch16_224', img_size=48, depth=2, num_classes=3)
    learn = small_learner(vit)
    assert one(learn, method='hirescam').health==['']
    item = one(learn, layer='blocks.1')
    assert item.health[0].startswith("class token only: the cells of 'blocks.1' no longer reach") and '(class token only)' in title(item)

def test_off_the_path():
    "A layer that another output has for itself: an error where no way leads to it, a reason where the way counts for nothing"
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a,self.b = nn.Conv2d(3,4,3,2),nn.Conv2d(3,4,3,2)
        def forward(self, x): return self.a(x).mean((1,2,3)),self.b(x).mean((1,2,3)),self.b(x).sum((1,2,3))
    class Stacked(Two):
        def forward(self, x): return torch.stack(super().forward(x), 1)
    with pytest.raises(ValueError, match="does not depend on layer 'a'"): cam_maps(Two(), drawn_batch(), target=lambda p: p[1], layer='a')
    assert one(small_learner(Stacked()), target=1, layer='a').health[0].startswith("zero gradient: nothing at 'a' moves")

@pytest.mark.parametrize('method,reason', [(lambda o: o.a.sum(1)*0+1, 'flat'), (lambda o: o.a.sum(1)/0, 'NaN'), (lambda o: o.a.sum(1)*0, 'blank')])
def test_methods_own(method, reason):
    "Maps that a method spoils"
    item = one(small_learner(), method=method)
    assert item.health[0].startswith(f'{reason}: ') and f'({reason})' in title(item)

def test_each_its_own():
    "Reasons go with their item and column, through batches, order, indexing and layers kept apart"
    learn = learner(body(), flat_head([[1.]*4,[-1.]*4,[0.]*4]))
    cams = learn.cam(target=[1,0,2])
    words = ['negative everywhere','','zero gradient']
    for o in (cams.health, cams[[3,1]].health, cams[-2:].health, learn.cam(target=[1,0,2], fuse=None, layer=[-1,-2])['0'].health):
        assert len(o) and all([h.split(':')[0] for h in hs]==words for hs in o)

def test_nan_prediction():
    "Nothing can be said: the item is named, and the weights if it is they"
    learn = small_learner()
    x = drawn_batch(5).clone()
    x[3,0,0,0] = float('nan')
    with pytest.raises(ValueError, match=r'NaN for item 3: .*input finite'): learn.cam(dl=[(x,)])
    learn.model[0][0][0].weight.data[0] = float('nan')
    with pytest.raises(ValueError, match="weights hold NaN, '0.0.0.weight'"): learn.cam(dl=[(drawn_batch(),)])

class _OnePlace(nn.Module):
    "A last layer of which one cell counts, as behind a class token"
    def __init__(self):
        super().__init__()
        self.a,self.b,self.c = nn.Conv2d(3,4,3,padding=1),nn.Conv2d(4,4,3,padding=1),nn.Conv2d(4,4,1)
    def forward(self, x): return self.c(self.b(self.a(x)).sigmoid())[...,0,0]

def test_nan_input_and_layers():
    "Layers are those of the model, also where the first item is NaN"
    found = []
    for poison in (False,True):
        torch.manual_seed(0)
        net,x = _OnePlace(),torch.rand(1,3,16,16)
        if poison: x[:] = math.nan
        layers = grid_layers(net, x)
        found.append((default_layer(layers).name, [(o.name,o.share) for o in layers]))
    assert found[0]==found[1]
