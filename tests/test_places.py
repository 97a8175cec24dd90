"Drawn models whose layouts are known by construction: the place of each cell is right, or the layer is refused in words"
import sys
from pathlib import Path
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent/'benchmarks'))
from places import Drawn, Where, ask, ask_all, planted
from fastcam.engine.layer import find_layers
from utils import *

n_models = 50

@cache
def answers(seed):
    d = Drawn(seed)
    return d,ask_all(d)

def said(d, verdict):
    return [f"{', '.join(d.kinds)}: x {tuple(d.x.shape)}, {what}" for v,what in answers(d.seed)[1].values() if v==verdict]

@pytest.mark.parametrize('seed', range(n_models))
def test_never_silently_wrong(seed):
    """The default layer, the stage before it and two named modules: what they give is put on the grid number by number as the
    construction says, and the map is the one made by hand; else there is a ValueError. Under a recurrent layer each number is
    within a cell of its place, since a token more at the end of a row, which it carries on, looks the same as a place"""
    d,res = answers(seed)
    assert not said(d, 'wrong')

@pytest.mark.parametrize('seed', [839,843,1441])
def test_row_of_extra_tokens(seed):
    "Tokens without a place that look at nothing, and that would fill a whole row or column more of the grid, are no part of it"
    assert not said(Drawn(seed), 'wrong')
    assert answers(seed)[1][None][0]=='right'

@pytest.mark.parametrize('seed', [47,1091])
def test_class_token_of_flat_maps(seed):
    "One token without a place in front of flattened maps, which looks at nothing while all others do"
    assert answers(seed)[1][None][0]=='right'

@pytest.mark.parametrize('seed,name', [(215,'parts.conv_0'), (223,'parts.conv_1.act')])
def test_maps_that_are_zero_here_and_there(seed, name):
    "Steps that an activation function made zero say nothing of where their row begins and ends"
    assert ask(Drawn(seed), name, Drawn(seed).truth())[0]=='right'

def test_seldom_refused():
    "At most 5 % of the default layers, and of all layers"
    res = [(layer,v) for seed in range(n_models) for layer,(v,_) in answers(seed)[1].items()]
    whole = [v for layer,v in res if layer is None]
    assert whole.count('refused')<=.05*len(whole)
    assert [v for _,v in res].count('refused')<=.05*len(res)

def test_planted_places_are_found():
    "What is changed at a place of the input is seen strongest in the cell of that place, or a neighbor, at nearly all places"
    found = [d.planted for d,_ in map(answers, range(n_models)) if d.planted is not None]
    assert len(found)>n_models/2
    assert np.mean(found)>.93

def test_kinds_are_drawn():
    "The drawn models are of many kinds"
    kinds = {k for seed in range(n_models) for k in answers(seed)[0].kinds}
    assert len(kinds)>25

def test_construction_is_right():
    "What the parts say holds without fastcam: planted places are found where they say, and are not if the order is turned around"
    class As:
        def __init__(self, name, w): self.name,self.to_grid = name,w.cells
    right,turned = [],[]
    for seed in range(n_models):
        d = Drawn(seed)
        known = d.truth()
        name = next((f'parts.{k}' for k in d.net.parts if known[f'parts.{k}'] is not None), None)
        w = known[name]
        right.append(planted(d, As(name, w), w))
        other = As(name, w)
        other.to_grid = lambda o: w.cells(o).flip(list(range(2, 2+len(w.grid))))
        turned.append(planted(d, other, w))
    assert np.mean(right)>.97
    assert np.mean(turned)<.5

# ---- models as people write them
class Told:
    "A model with what is known of its modules by name: `Where`, or None for one that has no place; those that are not named have none"
    seed,kinds,planted = 0,(),None
    def __init__(self, net, x, axes, known):
        self.net,self.x,self.known,self.axes = net.eval(),x,known,axes
        self.nd,self.size = len(axes),[x.shape[a+1] for a in axes]
    def truth(self): return self.known

class Body(nn.Module):
    "`first`, then `f` of what it gives, then `last`, of which the mean over all but the last axis is read"
    def __init__(self, first, f, last, width, before=noop):
        super().__init__()
        self.first,self.last,self.out,self.f,self.before = first,last,nn.Linear(width, 3),f,before
    def forward(self, x):
        x = self.f(self.first(self.before(x)))
        x = self.last(x)
        x = x[0] if isinstance(x, tuple) else x
        return self.out(x.flatten(1, -2).mean(1))

def encoder(c): return nn.TransformerEncoder(nn.TransformerEncoderLayer(c, 2, 2*c, batch_first=True), 2, enable_nested_tensor=False)
def rows(o): return o.flatten(2).transpose(1, 2)
def convs(ci, nd=2):
    conv = (None,nn.Conv1d,nn.Conv2d)[nd]
    return nn.Sequential(conv(ci, 8, 3, 2, 1), nn.ReLU(), conv(8, 16, 3, 2, 1), nn.ReLU())

class Latents(nn.Module):
    "Perceiver's: each latent reads all tokens"
    def __init__(self, n, c):
        super().__init__()
        self.latents,self.attn = nn.Parameter(torch.randn(1, n, c)),nn.MultiheadAttention(c, 2, batch_first=True)
    def forward(self, x):
        l = self.latents.expand(len(x), -1, -1)
        return l+self.attn(l, x, x, need_weights=False)[0]

def is_refused_or_before(d, layer=None):
    "What fastcam shows has its place as is known; else it is refused"
    verdict,what = ask(d, layer, d.truth())
    assert verdict in ('right','refused'), what
    return verdict

@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('grid', [(2,2),(4,4),(4,6)])
def test_shuffled_tokens(grid, seed):
    "Tokens in an order that nobody knows are not shown: by default the layer before them is, or none"
    torch.manual_seed(seed)
    perm = torch.randperm(math.prod(grid))
    if perm.tolist()==sorted(perm.tolist()): perm = perm.roll(1)
    net = Body(nn.Conv2d(3, 32, 8, 8), lambda o: rows(o)[:,perm], encoder(32), 32)
    # a layout that happens to hold is no error: the order is what is asked
    known = {'first':Where('maps', grid), **{n: Where('tokens', grid, order=perm) for n in tokens_of(net)}}
    d = Told(net, torch.randn(2, 3, *[8*g for g in grid]), (1,2), known)
    is_refused_or_before(d)
    is_refused_or_before(d, 'last')

def tokens_of(net, of='last'): return [n for n,_ in net.named_modules() if n==of or n.startswith(of+'.')]

@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('n', [6,12,24])
def test_shuffled_steps(n, seed):
    torch.manual_seed(seed)
    perm = torch.randperm(n)
    net = Body(nn.Conv1d(3, 32, 4, 4), lambda o: rows(o)[:,perm], encoder(32), 32)
    known = {'first':Where('maps', (n,)), **{m: Where('tokens', (n,), order=perm) for m in tokens_of(net)}}
    d = Told(net, torch.randn(2, 3, 4*n), (1,), known)
    is_refused_or_before(d)
    is_refused_or_before(d, 'last')

@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('n', [8,12,16,24,32])
def test_latents(n, seed):
    "Latents have no place, however many there are"
    torch.manual_seed(seed)
    for conv,size in ((nn.Conv2d(3, 32, 8, 8), (32,48)),(nn.Conv1d(3, 32, 4, 4), (96,))):
        net = Body(conv, rows, nn.Sequential(Latents(n, 32), encoder(32)), 32)
        known = {'first':Where('maps', [o//k for o,k in zip(size, conv.kernel_size)])}
        is_refused_or_before(Told(net, torch.randn(2, 3, *size), range(1, len(size)+1), known))

moves = dict(flipped=lambda x: x.flip(3), transposed=lambda x: x.transpose(2, 3))
@pytest.mark.parametrize('move', moves)
def test_picture_is_moved(move):
    "A model turns its picture around: its maps are not shown as if they were of it as it is"
    torch.manual_seed(0)
    before = moves[move]
    d = Told(Body(convs(3), lambda o: o.movedim(1, -1), nn.LayerNorm(16), 16, before), torch.randn(2, 3, 32, 32), (1,2), {})
    for layer in (None, 'first', 'first.1'): is_refused_or_before(d, layer)

@pytest.mark.parametrize('cut,span', [(slice(8,24), (.25,.75)), (slice(0,16), (0,.5))], ids=['center','corner'])
def test_picture_is_cut(cut, span):
    "A model that looks at a part of its picture: its maps lie there"
    torch.manual_seed(0)
    net = Body(convs(3), lambda o: o.movedim(1, -1), nn.LayerNorm(16), 16, lambda x: x[:,:,cut,cut]).eval()
    lay = first(find_layers(net, torch.randn(2, 3, 32, 32)).values())
    assert lay.place=='proven' and np.allclose(lay.span, [span]*2, atol=.07)             # half a cell of 4 pixels

def test_latent_picture():
    "A vector that is made a picture has no places"
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(16, 256), nn.Unflatten(1, (16,4,4)), nn.Conv2d(16, 16, 3, 1, 1))
    first = nn.Sequential(convs(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    known = {n: Where('maps', (8,8)) for n in ('first.0','first.0.2','first.0.3')}
    known |= {n: Where('maps', (16,16)) for n in ('first.0.0','first.0.1')}
    d = Told(Body(first, noop, nn.Sequential(made, nn.ReLU(), nn.Flatten(2)), 16), torch.randn(2, 3, 32, 32), (1,2), known)
    is_refused_or_before(d)
    is_refused_or_before(d, 'last.0.2')

@pytest.mark.parametrize('p', [4,7])
def test_picture_without_channels(p):
    "Patches of (batch, height, width) by a linear layer are no row of steps"
    n = 28//p
    def cut(x): return x.reshape(len(x), n, p, n, p).transpose(2, 3).reshape(len(x), n*n, p*p)
    torch.manual_seed(0)
    net = Body(nn.Linear(p*p, 32), noop, encoder(32), 32, cut)
    d = Told(net, torch.randn(2, 28, 28), (0,1), {m: Where('tokens', (n,n)) for m in ('first', *tokens_of(net))})
    is_refused_or_before(d)

class Gate(nn.Module):
    "gMLP's: a convolution that takes the tokens for its channels"
    def __init__(self, c, n):
        super().__init__()
        self.norm,self.up,self.conv,self.down = nn.LayerNorm(c),nn.Linear(c, 2*c),nn.Conv1d(n, n, 1),nn.Linear(c, c)
        nn.init.constant_(self.conv.bias, 1.)
    def forward(self, x):
        u,v = F.gelu(self.up(self.norm(x))).chunk(2, -1)
        return x+self.down(u*self.conv(v))

@pytest.mark.parametrize('layer', [None,-2])
@pytest.mark.parametrize('n,c', [(24,64),(24,24),(64,32)])
def test_tokens_as_channels(n, c, layer):
    torch.manual_seed(0)
    net = Body(nn.Conv1d(3, c, 4, 4), rows, nn.Sequential(Gate(c, n), Gate(c, n), Gate(c, n)), c)
    w = Where('tokens', (n,))
    known = {'first':Where('maps', (n,)), **{m: w.but(firm='conv' not in m) for m in tokens_of(net)}}
    d = Told(net, torch.randn(2, 3, 4*n), (1,), known)
    is_refused_or_before(d, layer)

@pytest.mark.parametrize('bi', [False,True])
def test_columns_as_steps(bi):
    "CRNN, steps first: the columns of the maps are the steps of an LSTM"
    torch.manual_seed(0)
    first = nn.Sequential(convs(1), nn.MaxPool2d((2,1)))
    net = Body(first, lambda o: o.flatten(1, 2).permute(2, 0, 1), nn.LSTM(64, 16, bidirectional=bi), 16*(1+bi))
    net.forward = lambda x: net.out(net.last(net.f(net.first(x)))[0].mean(0))                # the items lie along the second axis
    known = {'last':Where('first', (1,24)), **{m: Where('maps', (4,24)) for m in ('first','first.1')}}
    known |= {m: Where('maps', (8,24)) for m in ('first.0','first.0.2','first.0.3')}
    known |= {m: Where('maps', (16,48)) for m in ('first.0.0','first.0.1')}
    d = Told(net, torch.randn(2, 1, 32, 96), (1,2), known)
    for layer in (None, 'last'): is_refused_or_before(d, layer)

class Beside(nn.Module):
    "A row of numbers, or a picture, beside a signal"
    def __init__(self, one, n):
        super().__init__()
        self.one,self.two,self.out = one,convs(3, 1),nn.Linear(n+16, 3)
    def forward(self, a, x):
        a = self.one(a)
        return self.out(torch.cat([a.flatten(2).mean(2) if a.ndim>2 else a, self.two(x).mean(2)], 1))

@pytest.mark.parametrize('one,n,a', [(nn.Linear(6, 16),16,(6,)), (convs(3),16,(3,32,32))], ids=['numbers','picture'])
def test_signal_beside(one, n, a):
    "Which input a layer is of does not confuse: each layer is right, or refused"
    torch.manual_seed(0)
    net,x = Beside(one, n).eval(),(torch.randn(2, *a),torch.randn(2, 3, 64))
    for layer in (None, -2, 'two', 'two.1'):
        try: lay = first(find_layers(net, x, layer).values())
        except (ValueError,IndexError) as e:
            assert isinstance(e, ValueError) or layer==-2
            continue
        assert lay.name.startswith('one' if len(lay.grid)==2 else 'two') and lay.kind=='NC*', lay

@pytest.mark.parametrize('n', [8,12,16])
def test_every_other_row(n):
    "Tokens laid out like a snake, every second row from right to left: rows that are right alone do not prove a layout"
    class Snake(nn.Module):
        def __init__(self): super().__init__(); self.patch,self.mix = nn.Conv2d(3,16,8,8),nn.Sequential(nn.LayerNorm(16), nn.Linear(16,16), nn.GELU())
        def forward(self, x):
            maps = self.patch(x)
            maps = torch.where((torch.arange(n)%2==0)[:,None], maps, maps.flip(-1))
            return self.mix(maps.flatten(2).transpose(1,2)).mean(1)
    torch.manual_seed(0)
    with pytest.raises(ValueError, match='could not be placed'): find_layers(Snake().eval(), torch.randn(1,3,8*n,8*n), 'mix')

class Conformer(nn.Module):
    "A block of a conformer: half a feed-forward, attention, a convolution along the steps, half a feed-forward, each added to what comes in"
    def __init__(self, d):
        super().__init__()
        def feed(): return nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 2*d), nn.SiLU(), nn.Linear(2*d, d))
        self.begin,self.end,self.norm,self.att = feed(),feed(),nn.LayerNorm(d),nn.MultiheadAttention(d, 2, batch_first=True)
        self.conv = nn.Sequential(nn.Conv1d(d, 2*d, 1), nn.GLU(1), nn.Conv1d(d, d, 7, padding=3, groups=d), nn.BatchNorm1d(d), nn.SiLU(), nn.Conv1d(d, d, 1))
        self.before,self.out = nn.LayerNorm(d),nn.LayerNorm(d)
    def forward(self, x):
        x = x+self.begin(x)/2
        q = self.norm(x)
        x = x+self.att(q, q, q)[0]
        x = x+self.conv(self.before(x).transpose(1, 2)).transpose(1, 2)
        return self.out(x+self.end(x)/2)

class Residual(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.f = nn.Sequential(nn.BatchNorm1d(d), nn.ReLU(), nn.Conv1d(d, d, 3, padding=1))
    def forward(self, x): return x+self.f(x)

@pytest.mark.parametrize('steps,features', [(50,32), (32,50), (40,40), (64,16)])
@pytest.mark.parametrize('block,first', [(Conformer,False), (Residual,True)], ids=['conformer','residual'])
def test_residuals_of_the_input(block, first, steps, features):
    "Blocks that hand their input on, as many features as it has: both its axes are followed to the end, and the one whose numbers are not mixed throughout is the one of the steps. A step that is changed changes its cell most"
    torch.manual_seed(3)
    dim = 2 if first else 1
    model = nn.Sequential(block(features), block(features), nn.BatchNorm1d(features) if first else nn.Identity(), Mean(dim), nn.Linear(features, 4)).eval()
    x = torch.randn(2, features, steps) if first else torch.randn(2, steps, features)
    lay = default_layer(grid_layers(model, x))
    assert lay.grid==(steps,) and lay.place=='proven'
    y = x.clone()
    y.select(dim, steps//3).add_(10*torch.randn(2, features))
    was,now = (cam_maps(model, o, 1, method='hirescam')[0,0].as_subclass(Tensor) for o in (x,y))
    assert abs((now-was).abs().argmax().item()-steps//3)<=2                    # two convolutions reach as far

class Mean(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim
    def forward(self, x): return x.mean(self.dim)
