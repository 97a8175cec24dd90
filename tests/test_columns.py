"Many columns at the pooled features: the same maps as the long way, or the long way"
import pytest
from fastcore.test import test_close as close, test_eq as eq
from utils import *
from fastcam.engine.tail import shortcuts
from fastcam.engine.method import Pass

def head(kind, n=40):
    return dict(linear=lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12,n)),
                bias=lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12,n,bias=False)),
                fastai=lambda: create_head(12, n, concat_pool=True),
                norm=lambda: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.LayerNorm(12), nn.Linear(12,n)),
                end=lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12,n), nn.LogSoftmax(1)),
                flat=lambda: nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(12*9,n)),
                conv=lambda: nn.Sequential(nn.Conv2d(12,n,1), nn.AdaptiveAvgPool2d(1), nn.Flatten()))[kind]()

def net_of(kind):
    torch.manual_seed(0)
    m = nn.Sequential(nn.Conv2d(3,8,3), nn.ReLU(), nn.Conv2d(8,12,3), nn.ReLU(inplace=True), head(kind))
    for o in m.modules():
        if isinstance(o, nn.BatchNorm1d): o.running_mean.normal_(); o.running_var.uniform_(.5, 2)
    return m.eval()

@pytest.mark.parametrize('kind', ['linear','bias','fastai','norm','end','flat','conv'])
@pytest.mark.parametrize('n', [1,3])
def test_as_the_long_way(kind, n):
    model,x = net_of(kind),torch.randn(n,3,20,18, generator=torch.Generator().manual_seed(1))
    ours = cam_maps(model, x, target=list(range(40)), layer='3')
    with shortcuts(False): want = cam_maps(model, x, target=list(range(40)), layer='3')
    assert ours.shape[:2]==(n,40)
    close(ours, want, 1e-5*want.abs().max().item())
    by_item = cam_maps(model, x, target=torch.arange(5*n).reshape(n,5), layer='3')
    for i in range(n): close(by_item[i], want[i,5*i:5*i+5], 1e-5*want.abs().max().item())

@pytest.mark.parametrize('kind,taken', [('linear',True),('bias',True),('fastai',True),('norm',True),('end',True),('flat',False)])
def test_taken_where_it_pools(monkeypatch, kind, taken):
    "Seen at what is asked of the pass"
    asked,was = [],Pass.mean_columns
    monkeypatch.setattr(Pass, 'mean_columns', lambda *args: asked.append(1) or was(*args))
    cam_maps(net_of(kind), torch.randn(1,3,20,18), target=list(range(40)), layer='3')
    eq(bool(asked), taken)

def test_not_past_a_skip():
    "Channels that are mixed, or a way around the pooling: the long way, and the same maps"
    class Net(nn.Module):
        def __init__(self, rest): super().__init__(); self.a,self.b,self.rest = nn.Conv2d(3,8,3),nn.Linear(8,6),rest
        def forward(self, x): return self.b(self.rest(self.a(x)))
    for rest in (lambda a: (a+a.flip(1)).mean((2,3)), lambda a: a.amax((2,3))*a.flatten(1).mean(1, keepdim=True), lambda a: a.mean((2,3)).cumsum(1), lambda a: (a**2).mean((2,3))):
        torch.manual_seed(0)
        model,x = Net(rest).eval(),torch.randn(2,3,9,9)
        ours = cam_maps(model, x, target=list(range(6)), layer='a')
        with shortcuts(False): want = cam_maps(model, x, target=list(range(6)), layer='a')
        close(ours, want, 1e-5*want.abs().max().item())

def test_says_why_it_is_blank():
    "As where gradients went all the way"
    learn = small_learner(nn.Sequential(nn.Conv2d(3,8,3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,3)))
    with torch.no_grad(): learn.model[4].weight.zero_()
    health = learn.cam(drawn_files()[0][:1], target=[0,1,2,0])[0].health
    assert len(health)==4 and all('zero gradient' in o for o in health)
