"Models that turn, crop, pad or sample what they read, behind a first convolution that reads the picture as it is, before it, or in their tokens: a lit patch is found where it lies, or is refused"
import pytest
from utils import *

def body(ci=3, n=2):
    "Lit only where what it reads is lit"
    mods = []
    for i in range(n):
        conv = nn.Conv2d(ci if i==0 else 8, 8, 3, 2, 1)
        nn.init.uniform_(conv.weight, .05, .2)
        nn.init.zeros_(conv.bias)
        mods += [conv, nn.ReLU()]
    return nn.Sequential(*mods)

def close(a, b): assert torch.allclose(*(o.as_subclass(Tensor) for o in (a,b)), rtol=1e-4, atol=1e-7)

class Net(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.one,self.two,self.mix,self.fc,self.f = body(),body(),body(8, 1),nn.Linear(8,2),f
        self.fc.weight.data.abs_()
        self.loc = nn.Sequential(nn.Conv2d(3,4,7,4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64,6))
        self.loc[-1].weight.data.mul_(.01)
        self.loc[-1].bias.data = tensor([.5,0,.5,0,.5,-.5])
    def head(self, a): return self.fc(a.mean((2,3)))
    def forward(self, x): return self.f(self, x)

def sampled(x, theta): return F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), align_corners=False)
moves = {
    'flip test': lambda s,x: s.head(s.one(x))+s.head(s.one(x.flip(-1))),
    'second branch turned': lambda s,x: s.head(s.one(x)+0)+s.head(s.two(x.rot90(2, (2,3)))),
    'cells flipped': lambda s,x: s.head(s.mix(s.one(x).flip(-1))),
    'cells rolled': lambda s,x: s.head(s.mix(s.one(x).roll(6, -1))),
    'crop at twice the size': lambda s,x: s.head(s.one(x))+s.head(s.two(F.interpolate(x[...,:32,32:], scale_factor=2))),
    'sampled': lambda s,x: s.head(s.one(sampled(x, s.loc(x).view(-1,2,3)))),
    'padded': lambda s,x: s.head(s.one(F.pad(x, (16,)*4))),
    'cropped': lambda s,x: s.head(s.one(x[...,6:-6,6:-6])),
}

@pytest.mark.parametrize('name', moves)
def test_patch(name):
    torch.manual_seed(0)
    model,x = Net(moves[name]).eval(),torch.rand(1,3,64,64)*.02
    x[...,8:16,44:52] += 2
    m = cam_maps(model, x, target=0)[0,0].resize(64)
    at = [(i+.5)/n*64 for i,n in zip(np.unravel_index(m.argmax().item(), m.shape), m.shape)]
    assert 6<=at[0]<=18 and 42<=at[1]<=54, at                           # half a cell of 4 pixels around the patch

def test_shifts_and_small_crops_stay():
    "What moves places by little leaves the layers that there are without it, and so does a turn of channels"
    torch.manual_seed(0)
    x = torch.rand(1,3,96,80)
    for f in (lambda s,x: s.head(s.mix(s.one(x.flip(1)))), lambda s,x: s.head(s.mix(s.one(x).roll(1, -1))), lambda s,x: s.head(s.mix(s.one(x[...,1:,1:]))), lambda s,x: s.head(s.mix(s.one(sampled(x, torch.eye(2,3).expand(len(x),2,3)))))):
        lay, = find_layers(Net(f).eval(), x).values()
        assert (lay.name,lay.grid,lay.moved)==('mix',(12,10),False)

class Amid(nn.Module):
    "A class token amid the patches of a signal"
    def __init__(self):
        super().__init__()
        self.patches,self.cls,self.mix,self.fc = nn.Conv1d(2,16,4,4),nn.Parameter(torch.rand(1,1,16)*.1),nn.Linear(16,16),nn.Linear(16,3)
    def forward(self, x):
        t = self.patches(x).transpose(1,2)
        n = t.shape[1]//2
        return self.fc(self.mix(torch.cat([t[:,:n], self.cls.expand(len(t),-1,-1), t[:,n:]], 1)).relu().mean(1))

def test_refused_by_its_ends():
    torch.manual_seed(0)
    with pytest.raises(ValueError, match='where their row begins and ends could not be told'): cam_maps(Amid().eval(), torch.rand(1,2,256), target=0, layer='mix')

class Vim(nn.Module):
    "As Vision Mamba: a class token amid the patches of a picture, by whose place each patch is found"
    def __init__(self):
        super().__init__()
        self.patches,self.cls,self.mix,self.fc = nn.Conv2d(3,16,8,8),nn.Parameter(torch.rand(1,1,16)*.1),nn.Sequential(nn.Linear(16,16), nn.ReLU()),nn.Linear(16,3)
        for o in (self.patches,self.mix[0],self.fc):
            o.weight.data.abs_()
            nn.init.zeros_(o.bias)
    def forward(self, x):
        t = self.patches(x).flatten(2).transpose(1,2)
        n = t.shape[1]//2
        return self.fc(self.mix(torch.cat([t[:,:n], self.cls.expand(len(t),-1,-1), t[:,n:]], 1)).mean(1))

@pytest.mark.parametrize('n', [8,14,24])
def test_class_token_amid(n):
    torch.manual_seed(0)
    model = Vim().eval()
    for i,j in ((1,3),(n-2,4)):
        x = torch.rand(1,3,8*n,8*n)*.02
        x[...,8*i:8*i+8,8*j:8*j+8] += 2
        m = cam_maps(model, x, 0, layer='mix').as_subclass(Tensor)[0,0]
        assert m.shape==(n,n) and divmod(m.argmax().item(), n)==(i,j)

class Words(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.emb,self.c,self.fc,self.f = nn.Embedding(50,16,padding_idx=0),nn.Sequential(nn.Linear(16,16), nn.ReLU()),nn.Linear(16,2),f
    def forward(self, x): return self.fc(self.c(self.emb(self.f(x))).mean(1))

@pytest.mark.parametrize('f', [lambda x: x.flip(1), lambda x: x.roll(3, 1)], ids=['from behind','rolled'])
def test_words(f):
    "Tokens that are turned before they are looked up: their layers are refused, at the embeddings each word has its own number"
    torch.manual_seed(0)
    x = torch.randint(1, 50, (2,12))
    model,plain = Words(f).eval(),Words(noop).eval()
    plain.load_state_dict(model.state_dict())
    with pytest.raises(ValueError, match='another order'): cam_maps(model, x, 1, layer='c')
    assert cam_maps(plain, x, 1, layer='c').shape==(2,1,12)
    close(cam_maps(model, x, 1), cam_maps(plain, x, 1))

class Loop(nn.Module):
    "One frame after another, or all in the batch; or one channel after another"
    def __init__(self, how):
        super().__init__()
        self.body,self.fc,self.how = body(1 if how=='channels' else 3),nn.Linear(8,2),how
    def forward(self, x):
        if self.how=='folded': return self.fc(self.body(x.flatten(0,1)).mean((2,3)).unflatten(0, x.shape[:2]).mean(1))
        return self.fc(torch.stack([self.body(o).mean((2,3)) for o in (x.split(1, 1) if self.how=='channels' else x.unbind(1))]).mean(0))

def test_parts_in_a_loop():
    "The last call sees the last part only, and is no default layer: all parts are asked at the input. A call by its name is the part of the map that the folded model gives"
    torch.manual_seed(0)
    x,loop,folded = torch.rand(2,5,3,32,32)*.02,Loop('frames').eval(),Loop('folded').eval()
    x[:,1,:,8:16,20:28] += 2
    folded.load_state_dict(loop.state_dict())
    with pytest.warns(UserWarning, match="called 5 times.*layer='body@4'"): m = cam_maps(loop, x, 0)
    t,i,j = np.unravel_index(m[0,0].argmax().item(), m.shape[2:])
    assert m.shape==(2,1,*x.shape[1:2],*x.shape[3:]) and t==1 and 6<=i<=18 and 18<=j<=30
    close(cam_maps(folded, x, 0, method='occlusion'), m)
    whole = cam_maps(folded, x, 0)
    for i in range(5): close(cam_maps(loop, x, 0, layer=f'body@{i}'), whole[:,:,i])
    with pytest.raises(ValueError, match='called 5 times'): cam_maps(loop, x, 0, method='gradcam')
    with pytest.warns(UserWarning, match='called 3 times'): assert cam_maps(Loop('channels').eval(), x[:,0], 0).shape==(2,1,32,32)

def clear(model):
    "Weights that let a patch through to its token, where random ones of little variance would drown it"
    torch.manual_seed(1)
    for n,p in model.named_parameters():
        if p.ndim>1 and 'position' not in n and 'token' not in n: nn.init.kaiming_uniform_(p, nonlinearity='linear')
    return model.eval()

def hirescam_by_hand(model, name, x, grid, front):
    kept = []
    h = model.get_submodule(name).register_forward_hook(lambda m, i, o: kept.append(o[0] if isinstance(o, tuple) else o))
    pred = model(x).logits[:,1].sum()
    h.remove()
    g, = torch.autograd.grad(pred, kept[0])
    return (kept[0]*g).sum(2)[:,front:].unflatten(1, grid).detach()

sizes = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64, num_labels=3)

def test_spectrogram_that_is_turned():
    "AST takes (batch, time, bins) and counts its patches column by column: the map has the axes of what it is given"
    hf = pytest.importorskip('transformers')
    model = clear(hf.ASTForAudioClassification(hf.ASTConfig(**sizes, patch_size=16, max_length=128, num_mel_bins=64, frequency_stride=10, time_stride=10)))
    x = torch.randn(2,128,64)
    (name,lay), = find_layers(model, x).items()
    assert lay.grid==(12,5) and lay.place=='proven'
    close(cam_maps(model, x, 1, method='hirescam')[:,0], hirescam_by_hand(model, name, x, (5,12), 2).transpose(1, 2))

@pytest.mark.parametrize('frames', [4,8])
def test_short_clips(frames):
    "Clips (batch, frames, channels, height, width) with as few frames as there may be channels"
    hf = pytest.importorskip('transformers')
    model = clear(hf.VideoMAEForVideoClassification(hf.VideoMAEConfig(**sizes, image_size=32, patch_size=8, num_frames=frames, tubelet_size=2)))
    x = torch.randn(2,frames,3,32,32)
    (name,lay), = find_layers(model, x).items()
    assert lay.grid==(frames//2,4,4) and lay.place=='proven'
    close(cam_maps(model, x, 1, method='hirescam')[:,0], hirescam_by_hand(model, name, x, lay.grid, 0))
