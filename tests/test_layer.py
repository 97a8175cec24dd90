"What is said where no layer can be shown, the table of layers, and models whose places are known from another source"
import pytest
from utils import *
from fastcam.engine.dry import DryPass
from fastcam.engine.layer import Found, reads_of
from fastcam.engine.grid import *

def convs(channels=3): return nn.Sequential(nn.Conv2d(channels,8,3,2,1), nn.ReLU(), nn.Conv2d(8,16,3,2,1), nn.ReLU())

class Body(nn.Module):
    "`read(input)`, then two convolutions and a linear head on the mean"
    def __init__(self, read=noop): super().__init__(); self.read,self.body,self.head = read,convs(),nn.Linear(16,3)
    def forward(self, *xb): return self.head(self.body(self.read(*xb)).mean((2,3)))

class Functional(nn.Module):
    "Convolutions without modules"
    def __init__(self): super().__init__(); self.w,self.head = nn.Parameter(torch.randn(8,3,3,3)),nn.Linear(8,2)
    def forward(self, x): return self.head(F.relu(F.conv2d(x, self.w, stride=2)).mean((2,3)))

class Folded(Body):
    "Patches put into the batch"
    def forward(self, x):
        patches = x.unfold(2,16,16).unfold(3,16,16).permute(0,2,3,1,4,5).flatten(0,2)
        return self.head(self.body(patches).mean((2,3)).unflatten(0, (len(x),-1)).mean(1))

class TextAndNumbers(nn.Module):
    def __init__(self): super().__init__(); self.emb,self.rnn,self.head = nn.Embedding(20,6),nn.GRU(6,6,batch_first=True),nn.Linear(9,2)
    def forward(self, ids, nums): return self.head(torch.cat([self.rnn(self.emb(ids))[0].mean(1), nums], 1))

def mlp(): return nn.Sequential(nn.Flatten(), nn.Linear(3*32*32,16), nn.ReLU(), nn.Linear(16,2))
def shuffled():
    "Patches as tokens in no order at all"
    class Shuffled(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch,self.enc,self.head = nn.Conv2d(3,8,8,8),nn.TransformerEncoderLayer(8,2,16,0.,batch_first=True),nn.Linear(8,2)
            self.order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
        def forward(self, x): return self.head(self.enc(self.patch(x).flatten(2).transpose(1,2)[:,self.order]).mean(1))
    return Shuffled()

x = torch.randn(2,3,32,32)
@pytest.mark.parametrize('make,xb,error,said', [
    (mlp,                                         (x,), ValueError, "No layer of this model keeps places.*'occlusion'"),
    (Functional,                                  (x,), ValueError, "are functions.*nn.Conv2d"),
    (Folded,                                      (torch.randn(2,3,64,64),), ValueError, "16 rows for one item"),
    (lambda: Body(lambda x: x.reshape(-1,3,16,16)), (torch.randn(2,768),), ValueError, "a row of 768 numbers"),
    (lambda: nn.Sequential(nn.Conv2d(3,4,32), nn.Flatten()), (x,), ValueError, "too small"),
    (lambda: Body(lambda d: d['pixels']),         (dict(pixels=x),), TypeError, "a dict of 'pixels'"),
    (lambda: Body(lambda xs: xs[0]),              ([x,x],), TypeError, "holds a list of 2 Tensor"),
    (lambda: Body(lambda t: t.reshape(1,1,1,1).expand(1,3,8,8)), (torch.randn(2),), ValueError, "no place to show"),
], ids=['mlp','functional','folded','flat','one cell','dict','list','numbers'])
def test_why_no_layer(make, xb, error, said):
    "Each cause in its own words, and what to do"
    with pytest.raises(error, match=said): find_layers(make().eval(), xb)

@pytest.mark.parametrize('n', [3,6,7,40])
def test_text_beside_numbers(n):
    "The words are shown, as many as there are numbers, features or otherwise; of a few words the probe cannot always tell, and says so"
    for seed in range(4):
        torch.manual_seed(seed)
        model,xb = TextAndNumbers().eval(),(torch.randint(1,20,(2,n)),torch.randn(2,3))
        lay = find_layers(model, xb, 'rnn')['rnn']
        assert (lay.grid,lay.kind,reads_of(model, xb, lay).source)==((n,),'N*C',0)
        assert lay.place=='proven' or n<7 and lay.place=='not proven'

def test_functional_and_convolutions():
    "Some of a model's convolutions are modules: these can be shown"
    class Both(Functional):
        def __init__(self): super().__init__(); self.first = nn.Conv2d(3,3,3,1,1)
        def forward(self, x): return super().forward(self.first(x))
    assert first(find_layers(Both().eval(), x))=='first'

def test_exported_program():
    program = torch.export.export(Body().eval(), (x,)).module()
    with pytest.raises(TypeError, match='torch.export.*exported from'): find_layers(program, x)

def test_scripted():
    for f in (find_layers, cam_maps):
        with pytest.raises(TypeError, match='traced or scripted'): f(torch.jit.trace(Body().eval(), x), x)

def test_shuffled_is_refused_in_words():
    "With what was seen; the layer before it is shown"
    torch.manual_seed(0)
    model = shuffled().eval()
    assert first(find_layers(model, x))=='patch'
    with pytest.raises(ValueError, match="'enc' gives .1, 16, 8., and its cells could not be placed: laid out as .* a correlation of .* where a right layout has .9"): find_layers(model, x, 'enc')

def test_table_tells_how_sure_it_is():
    tab = layers_table(Body().eval(), x)
    assert tab.place.tolist()==['proven']*len(tab) and 'share' in tab
    assert set(layers_table(Body().eval(), x, all=True).place)=={'proven','not asked'}

def test_table_of_a_clip():
    "The maps of plain convolutions over time are asked about as those of a picture"
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(3,4,3,(1,2,2),1), nn.Conv3d(4,6,3,2,1), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6,2)).eval()
    assert [(g,p) for g,p in layers_table(model, torch.randn(1,3,8,24,32))[['grid','place']].values.tolist()]==[('8x12x16','proven'),('4x6x8','proven')]

@pytest.mark.parametrize('move,said', [(lambda x: x.flip(3), 'flipped'), (lambda x: x.rot90(1, (2,3)), 'transposed or turned by a quarter'), (lambda x: x[:,:,8:24,8:24], ''), (lambda x: x.flip(3).flip(3), '')],
                         ids=['flipped','turned','cropped','as it is'])
def test_says_how_the_picture_is_moved(move, said):
    torch.manual_seed(0)
    class Moves(nn.Module):
        def __init__(self):
            super().__init__()
            self.body,self.head = nn.Sequential(nn.Conv2d(3,8,3,2,1), nn.ReLU(), nn.Conv2d(8,12,3,2,1)),nn.Linear(12,2)
        def forward(self, x): return self.head(self.body(move(x)).mean((2,3)))
    model,x = Moves().eval(),torch.randn(1,3,32,32)
    if not said: assert first(find_layers(model, x).values()).place in ('plain','proven')
    else:
        with pytest.raises(ValueError, match=f'but {said}: the model itself'): find_layers(model, x)

class Overlap(nn.Module):
    "Patches that overlap along one axis, without a convolution that would tell how many there are"
    def __init__(self, stride, d=32):
        super().__init__()
        self.stride,self.patch,self.head = stride,nn.Linear(3*16*16,d),nn.Linear(d,3)
        self.enc = nn.TransformerEncoder(nn.TransformerEncoderLayer(d, 4, 64, 0., batch_first=True), 2)
    def forward(self, x): return self.head(self.enc(self.patch(F.unfold(x, 16, stride=self.stride).transpose(1, 2))).mean(1))

@pytest.mark.parametrize('stride,grid', [((8,16),(7,4)),((16,8),(4,7))], ids=str)
def test_overlapping_patches(stride, grid):
    "Rows at the ends are no tokens without a place, though what is left without them would have the picture's proportions"
    torch.manual_seed(0)
    model,x = Overlap(stride).eval(),torch.randn(1,3,64,64)
    lay = first(find_layers(model, x).values())
    assert (lay.grid,lay.front,lay.back)==(grid,0,0)
    for i,j in [(0,1),(6,2),(3,0)]:
        i,j = (i,j) if grid==(7,4) else (j,i)
        other = x.clone()
        other[0,:,i*stride[0]+4:i*stride[0]+12,j*stride[1]+4:j*stride[1]+12] += 2
        a,b = (lay.to_grid(lay.module(model.patch(F.unfold(o, 16, stride=stride).transpose(1, 2)))) for o in (x,other))
        k,l = divmod((a-b).square().sum(1)[0].flatten().argmax().item(), grid[1])
        assert abs(k-i)<=(stride[0]<16) and abs(l-j)<=(stride[1]<16)                       # two patches see it whole or by half

def test_hiera_in_the_order_of_the_picture():
    "At three stages, against the way back that the model itself has"
    import timm
    torch.manual_seed(0)
    model,x = timm.create_model('hiera_tiny_224', num_classes=10).eval(),torch.randn(1,3,224,224)
    nn.init.normal_(model.head.fc.weight)                                                       # it starts at zero
    for block,grid in ((2,28),(9,14),(11,7)):
        kept = {}
        h = model.blocks[block].register_forward_hook(lambda m,i,o: kept.update(o=o))
        pred = model(x.clone().requires_grad_()*1)
        h.remove()
        g, = torch.autograd.grad(pred[:,3].sum(), kept['o'])
        tokens = (g.mean(1, keepdim=True)*kept['o']).sum(2, keepdim=True).detach()
        want = model.reroll(tokens, block, mask=None)[...,0]
        got = cam_maps(model, x, target=3, layer=f'blocks.{block}')[:,0].as_subclass(Tensor)
        assert got.shape==(1,grid,grid)
        torch.testing.assert_close(got, want.reshape(got.shape), rtol=1e-3, atol=1e-5*want.abs().max().item())

@pytest.mark.parametrize('n', [1,2])
def test_gradient_of_one_item_through_batchnorm(n):
    "torch 2.14 puts it elsewhere, for a batch of one, if it comes from tokens: in the dry pass it is where it belongs"
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3,64,8,8), nn.BatchNorm2d(64), nn.Flatten(2)).eval()
    for p in (model[1].running_mean,model[1].running_var): p.uniform_(.5, 2.)
    with DryPass(model, (torch.randn(n,3,32,32),)) as dry:
        tokens = [s.out for s in dry.outs if s.name=='2'][0].transpose(1,2)
        g, = torch.autograd.grad(tokens[0,5,3], dry.leaves[0])
    rows,cols = g[0].abs().sum(0).nonzero().T.tolist()
    assert (min(rows),max(rows),min(cols),max(cols))==(8,15,8,15)                                # patch 5 is in row 1, column 1

def bump_at(i, steps=100):
    x = torch.randn(3, steps, generator=torch.Generator().manual_seed(i))*.3
    x[1,60:70] += 2.*(i%2)
    return x

@pytest.mark.parametrize('turned', [False,True], ids=['channels first','steps first'])
@pytest.mark.parametrize('features', [64,100,128])
@pytest.mark.parametrize('kind', ['gru','transformer'])
def test_deciding_steps(kind, features, turned):
    "Trained to tell signals with a bump: the map is the one made by hand, over steps, as many features as steps or not"
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            layer = lambda: nn.TransformerEncoderLayer(features, 4, features, 0., batch_first=True)
            self.emb,self.head = nn.Linear(3,features),nn.Linear(features,2)
            self.mix = nn.GRU(features, features, batch_first=True) if kind=='gru' else nn.TransformerEncoder(layer(), 1, enable_nested_tensor=False)
        def forward(self, x):
            o = self.mix(self.emb(x if turned else x.transpose(1,2)))
            return self.head((o[0] if kind=='gru' else o).mean(1))
    set_seed(0)
    model,x,y = Net(),torch.stack([bump_at(i) for i in range(64)]),torch.arange(64)%2
    if turned: x = x.transpose(1,2).contiguous()
    opt = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(20):
        opt.zero_grad()
        F.cross_entropy(model(x), y).backward()
        opt.step()
    model.eval()
    kept = {}
    h = model.mix.register_forward_hook(lambda m,i,o: kept.update(o=o[0] if kind=='gru' else o))
    torch.backends.mha.set_fastpath_enabled(False)
    pred = model(x)
    torch.backends.mha.set_fastpath_enabled(True)
    h.remove()
    assert (pred.argmax(1)==y).float().mean()>.95
    g, = torch.autograd.grad(pred[:,1].sum(), kept['o'])
    want = (g.mean(1, keepdim=True)*kept['o']).sum(2).detach()
    got = cam_maps(model, x, target=1, layer='mix')[:,0].as_subclass(Tensor)
    assert got.shape==(64,100)
    torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4*want.abs().max().item())

@pytest.mark.parametrize('read', [lambda x: x.float()/255, lambda x: x.permute(0,3,1,2).float()], ids=['plain','channels last'])
def test_bytes(read):
    "Pictures in whole numbers, which take no gradient"
    x = torch.randint(0, 256, (2,3,32,48), dtype=torch.uint8)
    lay = first(find_layers(Body(read).eval(), x if read(x).shape[1]==3 else x.movedim(1,-1).contiguous()).values())
    assert (lay.name,lay.grid)==('body',(8,12)) and lay.place in ('plain','proven')

def test_a_layout_of_ones_own():
    "Registered, the probe weighs it beside the others, and it is taken where it is right"
    class SideBySide(Layout):
        kind = 'NH(WC)'
        @classmethod
        def fits(cls, shape, places): return [cls(g) for g in places.grids if len(shape)==3 and shape[1]==g[0] and shape[2]%g[1]==0]
        def to_grid(self, o): return o.unflatten(2, (self.grid[1],-1)).permute(0,3,1,2)
        def from_grid(self, a, o, rows=slice(None)): return a.permute(0,2,3,1).flatten(2)
    class Net(Body):
        def __init__(self): super().__init__(); self.side = nn.LayerNorm(12*16)
        def forward(self, x): return self.head(self.side(self.body(x).permute(0,2,3,1).flatten(2)).unflatten(2, (12,16)).mean((1,2)))
    torch.manual_seed(0)
    model,x = Net().eval(),torch.randn(2,3,32,48)
    assert find_layers(model, x, 'side')['side'].grid==(8,1)                                     # its tokens are rows of the picture
    register_layout(SideBySide)
    try:
        forget_layers(model)
        lay = find_layers(model, x, 'side')['side']
        assert (lay.kind,lay.grid,lay.place)==('NH(WC)',(8,12),'proven')
        assert cam_maps(model, x, method='ablationcam', layer='side').shape==(2,1,8,12)
    finally: layouts.pop('NH(WC)')

@pytest.mark.parametrize('act', [nn.ReLU(), nn.ReLU(inplace=True), nn.Hardswish(), nn.LeakyReLU()])
def test_activation_of_plain_maps(act):
    "Each number that an activation function gives is made of the one in its place: of few cells, many of them zero, the probe alone could not tell"
    for seed in range(25):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Conv1d(2,4,3,padding=1), act, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4,2)).eval()
        x = torch.randn(2,2,6)
        lay = default_layer(grid_layers(model, x))
        assert (lay.module, lay.kind, lay.grid)==(act, 'NC*', (6,)), seed
        assert cam_maps(model, x, method='cam').shape==(2,1,6)

class Prepared(Body):
    "Makes of the picture what it reads, as detectors do"
    def forward(self, x): return super().forward(self.prepare(x))

@pytest.mark.parametrize('how', ['resized','stretched','padded a bit','cropped','flipped','padded a lot'])
def test_resized_by_the_model(how):
    "A picture that the model itself resizes, with a few zeros beside it, is read as it is: no gradient need be asked. One that is cropped, turned over or has a wide border is not"
    ways = dict(resized=lambda x: F.interpolate(2*x-1, (64,96), mode='bilinear'), stretched=lambda x: F.interpolate(x, (80,80), mode='bilinear'),
                cropped=lambda x: F.interpolate(x[...,:40], (64,96), mode='bilinear'), flipped=lambda x: F.interpolate(x, (64,96), mode='bilinear').flip(3))
    ways.update({f'padded a {n}': lambda x, k=k: F.pad(F.interpolate(x, (64,96), mode='bilinear'), (0,k,0,0)) for n,k in (('bit',3),('lot',32))})
    torch.manual_seed(0)
    model,x = Prepared().eval(),torch.rand(2,3,36,50)
    model.prepare = ways[how]
    places = {o.place for o in grid_layers(model, x, settled=False)}
    assert ('plain' in places)==(how in ('resized','stretched','padded a bit'))
    if how=='flipped':
        with pytest.raises(ValueError, match='flipped'): find_layers(model, x)

@pytest.mark.parametrize('kind', ['one layer','whole'])
def test_int8_says_so(kind):
    "A quantized model has no gradients: the error says that it is, and what needs none"
    import torch.ao.quantization as quant
    torch.manual_seed(0)
    model,x = Body().eval(),torch.randn(2,3,32,48)
    if kind=='one layer': model = quant.quantize_dynamic(nn.Sequential(model.body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)).eval(), {nn.Linear}, dtype=torch.qint8)
    else:
        model = nn.Sequential(quant.QuantStub(), model.body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4), quant.DeQuantStub()).eval()
        model.qconfig = quant.get_default_qconfig(torch.backends.quantized.engine)
        model = quant.prepare(model)
        model(x)
        model = quant.convert(model)
    with pytest.raises(ValueError, match="quantized: .* int8.*'eigencam'"): cam_maps(model, x)
    assert cam_maps(model, x, method='eigencam').abs().sum()>0

def test_wide_border():
    "A model that resizes its picture to 64x96 and puts a border of 32 at its far ends: the cells cover 96/64 and 128/96 of it, and look where that says"
    torch.manual_seed(0)
    model = Prepared().eval()
    model.prepare = lambda x: F.pad(F.interpolate(x, (64,96), mode='bilinear'), (0,32,0,32))
    lay = first(find_layers(model, torch.rand(2,3,36,50)).values())
    assert lay.place=='proven' and np.allclose(lay.span, ((0,1.5),(0,4/3)), atol=.05)

def test_inputs_that_are_missing():
    "Where a model fails, and takes masks or shapes beside what it was given, the error says which"
    class Patches(nn.Module):
        def __init__(self): super().__init__(); self.body = nn.Linear(48, 8)
        def forward(self, pixel_values, pixel_attention_mask=None, spatial_shapes=None): return self.body(pixel_values).mean(1)
    with pytest.raises(RuntimeError) as e: cam_maps(Patches(), torch.rand(2,3,24,24))
    assert 'pixel_attention_mask, spatial_shapes' in e.value.__notes__[-1]

class Xcm(nn.Module):
    "The architecture of XCM: features of each channel by itself (2-D) and of all together (1-D), each made one map of steps, side by side in a last convolution"
    def __init__(self, c=3, nf=16, k=9):
        super().__init__()
        block = lambda conv,norm,i,o,*args,**kw: nn.Sequential(conv(i, o, *args, **kw), norm(o), nn.ReLU())
        self.two,self.one = block(nn.Conv2d, nn.BatchNorm2d, 1, nf, (1,k), padding=(0,k//2)),block(nn.Conv1d, nn.BatchNorm1d, c, nf, k, padding=k//2)
        self.two_to_one,self.one_to_one = block(nn.Conv2d, nn.BatchNorm2d, nf, 1, 1),block(nn.Conv1d, nn.BatchNorm1d, nf, 1, 1)
        self.last,self.head = block(nn.Conv1d, nn.BatchNorm1d, c+1, nf, k, padding=k//2),nn.Linear(nf, 2)
    def forward(self, x):
        two,one = self.two_to_one(self.two(x[:,None]))[:,0],self.one_to_one(self.one(x))
        return self.head(self.last(torch.cat([two,one], 1)).mean(2))

@pytest.mark.parametrize('at', [8,20,33])
def test_two_branches_of_signals(at):
    "XCM: the last layer of steps, proven; and where a step is planted, the map is changed there"
    torch.manual_seed(0)
    model,x = Xcm().eval(),torch.randn(1,3,40)
    (name,lay), = find_layers(model, x).items()
    assert (name,lay.grid,lay.place)==('last',(40,),'proven')
    other = x.clone(); other[...,at] += 20
    changed = (cam_maps(model, other, 0, method='hirescam')-cam_maps(model, x, 0, method='hirescam'))[0,0].abs().as_subclass(Tensor)
    assert changed.argmax() in range(at-8, at+9) and changed[(torch.arange(40)-at).abs()>8].max()==0           # two convolutions of 9 steps reach 8 steps far

class SignalViT(nn.Module):
    "Patches of a signal, and a class token that alone is read"
    def __init__(self, blocks=3, norm=False, behind=False):
        super().__init__()
        self.patches,self.cls,self.pos = nn.Conv1d(2, 24, 16, 16),nn.Parameter(torch.randn(1,1,24)),nn.Parameter(torch.randn(1,33,24)*.1)
        self.blocks = nn.TransformerEncoder(nn.TransformerEncoderLayer(24, 2, 48, batch_first=True), blocks)
        self.norm,self.head,self.behind = nn.LayerNorm(24) if norm else nn.Identity(),nn.Linear(24, 3),behind
    def forward(self, x):
        t,cls = self.patches(x).transpose(1, 2),self.cls.expand(len(x), -1, -1)
        t = torch.cat([t,cls] if self.behind else [cls,t], 1)
        return self.head(self.norm(self.blocks(t+self.pos))[:,-1 if self.behind else 0])

@pytest.mark.parametrize('blocks,norm,behind', [(3,False,False), (2,False,False), (2,True,False), (3,True,True), (1,True,False)])
def test_class_token_of_a_signal(blocks, norm, behind):
    "The last layer at which steps count is the default: of the last block nothing but the class token is read. The map is that of plain autograd"
    torch.manual_seed(0)
    m,x = SignalViT(blocks, norm, behind).eval(),torch.randn(2,2,512)
    (name,lay), = find_layers(m, x).items()
    assert name==(f'blocks.layers.{blocks-2}' if blocks>1 else 'patches') and lay.share==1 and lay.grid==(32,)
    acts = []
    h = m.get_submodule(name).register_forward_hook(lambda m, i, o: acts.append(o))
    top = m(x).max(1).values.sum()
    h.remove()
    a,g = acts[0],torch.autograd.grad(top, acts[0])[0]
    by_hand = (a*g).sum(2)[:,:-1] if behind else (a*g).sum(2)[:,1:]
    if blocks==1: by_hand = (a*g).sum(1)
    assert torch.allclose(cam_maps(m, x, method='hirescam')[:,0].as_subclass(Tensor), by_hand, atol=1e-5*by_hand.abs().max().item())

@pytest.mark.parametrize('arch,size,name', [('resnetblur18',(64,64),'layer4'), ('resnetblur18',(96,128),'layer4'), ('efficientnet_blur_b0',(96,96),'bn2')])
def test_blur_pooling(arch, size, name):
    "Maps behind a pooling with a fixed kernel are a convolution's own, as those behind other poolings"
    timm = pytest.importorskip('timm')
    torch.manual_seed(3)
    lay = first(find_layers(timm.create_model(arch, num_classes=3).eval(), torch.randn(1,3,*size)).values())
    assert (lay.name,lay.place)==(name,'plain')

class Recurrent(nn.Module):
    "A convolutional LSTM, without the cell's own state: frame by frame, (batch, frames, channels, height, width)"
    def __init__(self, channels=6): super().__init__(); self.conv,self.channels = nn.Conv2d(3+channels, 2*channels, 3, padding=1),channels
    def forward(self, x):
        h,res = x.new_zeros(len(x), self.channels, *x.shape[3:]),[]
        for frame in x.unbind(1):
            gate,new = self.conv(torch.cat([frame,h], 1)).chunk(2, 1)
            h = gate.sigmoid()*h+(1-gate.sigmoid())*new.tanh()
            res.append(h)
        return torch.stack(res, 1)

class Turned(nn.Module):
    "A convolution by one filter in four directions: (batch, channels, 4, height, width)"
    def __init__(self, n_in, n_out): super().__init__(); self.weight = nn.Parameter(torch.randn(n_out, n_in, 3, 3)*.3)
    def forward(self, x):
        x = x if x.ndim<5 else x.mean(2)
        return torch.stack([F.conv2d(x, self.weight.rot90(k, (2,3)), stride=2, padding=1) for k in range(4)], 2).relu()

class Capsules(nn.Module):
    "Squashed vectors: (batch, kinds, 8, height, width)"
    def __init__(self): super().__init__(); self.conv = nn.Conv2d(3, 32, 5, 4, 2)
    def forward(self, x):
        v = self.conv(x).unflatten(1, (4,8))
        n = (v*v).sum(2, keepdim=True)
        return v*n.sqrt()/(1+n)

class Spectrogram(nn.Module):
    "Convolutions over the spectrogram of a sound, (batch, channels, frequencies, steps), or turned"
    def __init__(self, turned):
        super().__init__()
        self.turned,self.body = turned,nn.Sequential(nn.Conv2d(1,8,3,2,1), nn.ReLU(), nn.Conv2d(8,16,3,2,1), nn.ReLU())
        self.register_buffer('window', torch.hann_window(256))
    def forward(self, x):
        s = (torch.stft(x.flatten(1), 256, 128, window=self.window, return_complex=True).abs()+1e-3).log()
        return self.body((s.transpose(1, 2) if self.turned else s)[:,None])

class MeanOf(nn.Module):
    def __init__(self, body, channels, dim): super().__init__(); self.body,self.head,self.dim = body,nn.Linear(channels, 3),dim
    def forward(self, x):
        o = self.body(x)
        return self.head(o.mean([i for i in range(1, o.ndim) if i!=self.dim]))

@pytest.mark.parametrize('make,size,channels,at,axes', [
    (Recurrent,                                          (5,3,16,24), 6, 2, (1,3,4)),
    (lambda: nn.Sequential(Turned(3,8), Turned(8,16)),   (3,32,48),  16, 1, (3,4)),
    (Capsules,                                           (3,32,48),   8, 2, (3,4)),
    (lambda: Spectrogram(False),                         (1,8000),   16, 1, (3,)),
    (lambda: Spectrogram(True),                          (1,8000),   16, 1, (2,)),
    (lambda: Spectrogram(False),                         (8000,),    16, 1, (3,)),
], ids=['frames','rotations','capsules','spectrogram','turned','row'])
def test_more_axes_than_places(make, size, channels, at, axes):
    "Frequencies, rotations and poses count as channels. Where the cells are, plain autograd tells; the map is that of a plain hook, summed over all other axes"
    torch.manual_seed(0)
    m,x = MeanOf(make(), channels, at).eval(),torch.randn(2, *size)
    lay = first(find_layers(m, x).values())
    assert (lay.name,lay.place)==('body','proven')
    acts = []
    h = lay.module.register_forward_hook(lambda m, i, o: acts.append(o))
    top = m(x.requires_grad_()).max(1).values.sum()
    h.remove()
    a,g = acts[0],torch.autograd.grad(top, acts[0], retain_graph=True)[0]
    others = [i for i in range(1, a.ndim) if i not in axes]
    cams = cam_maps(m, x.detach(), method='hirescam')[:,0].as_subclass(Tensor)
    assert torch.allclose(cams, (a*g).sum(others), atol=1e-5*cams.abs().max().item())
    for cell in ([0]*len(axes), [a.shape[i]//2 for i in axes], [a.shape[i]-1 for i in axes]):           # a cell of the map, and where it looks
        one = a[0]
        for i,c in reversed([*zip(axes, cell)]): one = one.select(i-1, c)
        seen = torch.autograd.grad(one.square().sum(), x, retain_graph=True)[0][:1].square()
        along = [i for i in range(seen.ndim) if seen.shape[i]>3][-len(axes):]
        for i,c,dim in zip(along, cell, axes):
            share = seen.sum([d for d in range(seen.ndim) if d!=i])
            center = (share/share.sum()*(torch.arange(len(share))+.5)).sum()/len(share)
            assert abs(center*a.shape[dim]-c-.5)<1.2                   # in cells: half of one besides at the border, where a cell sees one side
    assert lay.grid==tuple(a.shape[i] for i in axes) and lay.channels==math.prod(a.shape[i] for i in others)

def test_attention_is_no_layout():
    "(batch, heads, steps, steps) of attention is not read as steps, (batch, channels, frequencies, steps) is, even if there are as many"
    class Heads(nn.Module):
        def forward(self, t): return torch.softmax(torch.stack([t@t.transpose(1, 2)]*2, 1), -1)
    class Net(nn.Module):
        def __init__(self): super().__init__(); self.conv,self.heads,self.out = nn.Conv1d(3,8,9,4,4),Heads(),nn.Linear(8,2)
        def forward(self, x):
            t = self.conv(x).transpose(1, 2)
            return self.out((self.heads(t).mean(1)@t).mean(1))
    torch.manual_seed(0)
    assert [*find_layers(Net().eval(), torch.randn(1,3,160))]==['conv']
    with pytest.raises(ValueError, match='has no grid'): find_layers(Net().eval(), torch.randn(1,3,160), 'heads')
    layer, = find_layers(MeanOf(Spectrogram(False), 16, 1).eval(), torch.randn(1,1,16384)).values()
    assert (layer.name,layer.grid,layer.channels)==('body',(33,),16*33)

def side_by_side(n=3, side=3, scale=.001):
    "Two bodies on one picture: the first reads red, the second, called last, blue; the second counts `scale` times as much"
    def body(n): return nn.Sequential(*[nn.Sequential(nn.Conv2d(8 if i else 3, 8, 3, 2, 1, bias=False), nn.ReLU()) for i in range(n)])
    class Net(nn.Module):
        def __init__(self): super().__init__(); self.main,self.side,self.head = body(n),body(side),nn.Linear(16, 3, bias=False)
        def forward(self, x): return self.head(torch.cat([self.main(x).mean((2,3)), scale*self.side(x).mean((2,3))], 1))
    torch.manual_seed(0)
    net = Net().eval()
    with torch.no_grad():
        for p in net.parameters(): p.abs_()
        net.main[0][0].weight[:,1:] = 0
        net.side[0][0].weight[:,:2] = 0
    return net

@pytest.mark.parametrize('side,scale,at', [(3,.001,(12,44)), (2,.001,(12,44)), (3,1000.,(32,32)), (3,1.,(32,32))])
def test_bodies_side_by_side(side, scale, at):
    "The default is the end of the body that decides, or the last where both do: what is taken away there changes the score"
    net,x = side_by_side(side=side, scale=scale),torch.zeros(1,3,64,64)
    x[0,0,8:16,40:48] = 1
    x[0,2,28:36,28:36] = 1
    i = cam_maps(net, x, 1)[0,0].resize(64).flatten().argmax().item()
    assert max(abs(a-b) for a,b in zip(divmod(i, 64), at))<=12                # a cell is 8 pixels wide, and looks at 15
    gone = x.clone()
    gone[:,:,at[0]-8:at[0]+12,at[1]-8:at[1]+12] = 0
    if scale!=1: assert net(gone)[0,1]<.1*net(x)[0,1]

@pytest.mark.parametrize('channels,size', [(8,8), (16,16), (12,8), (32,19)])
@pytest.mark.parametrize('layer', [None,'body'])
def test_grids_of_whole_numbers(channels, size, layer):
    "A board of codes that are looked up, (batch, height, width): as many channels as rows are not taken for rows"
    class Board(nn.Module):
        def __init__(self): super().__init__(); self.look,self.body,self.head = nn.Embedding(13, channels),nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1), nn.ReLU()),nn.Linear(channels, 3)
        def forward(self, x): return self.head(self.body(self.look(x).permute(0,3,1,2)).mean((2,3)))
    torch.manual_seed(0)
    net,x = Board().eval(),torch.randint(0, 13, (2,size,size))
    a = net.body(net.look(x).permute(0,3,1,2)).detach().requires_grad_()
    by_hand = (a*torch.autograd.grad(net.head(a.mean((2,3)))[:,1].sum(), a)[0]).sum(1).detach()
    got = cam_maps(net, x, 1, layer=layer, method='hirescam')[:,0].as_subclass(Tensor)
    assert torch.allclose(got, by_hand, atol=1e-5*by_hand.abs().max().item())

@pytest.mark.parametrize('bias', [0.,-.02])
@pytest.mark.parametrize('dark', ['half','spot'])
@pytest.mark.parametrize('layer', [None,'main'])
def test_black_pictures(bias, dark, layer):
    "Where a picture is black, a net without normalization is dead: which layer is shown, and where its cells are, does not depend on which picture came first"
    def net():
        torch.manual_seed(0)
        convs = [nn.Conv2d(8 if i else 3, 8, 3, 2, 1) for i in range(3)]
        for c in convs: nn.init.constant_(c.bias, bias)
        m = Body()
        m.body = nn.Sequential(*[nn.Sequential(c, nn.ReLU()) for c in convs])
        m.main,m.head = nn.Sequential(m.body),nn.Linear(8, 3)
        m.forward = lambda x: m.head(m.main(x).mean((2,3)))
        return m.eval()
    full,black = torch.rand(1,3,64,64, generator=torch.Generator().manual_seed(1)),torch.zeros(1,3,64,64)
    if dark=='half': black[...,:32] = full[...,:32]
    else: black[...,40:48,16:24] = 1
    one,other = net(),net()
    cam_maps(other, black, 1, layer=layer)
    assert torch.equal(cam_maps(other, full, 1, layer=layer), cam_maps(one, full, 1, layer=layer))

@pytest.mark.parametrize('kind', [nn.GRU,nn.LSTM,nn.RNN])
@pytest.mark.parametrize('layers,both,batch_first', [(1,False,True), (2,True,False)])
@pytest.mark.parametrize('method', ['gradcam','hirescam','ablationcam'])
def test_last_state_and_last_step(kind, layers, both, batch_first, method):
    "A net that reads the last state of its recurrent layer is explained as the same net that reads its last step, which is equal"
    class Net(nn.Module):
        def __init__(self, by_state): super().__init__(); self.rnn,self.head,self.by_state = kind(4, 8, layers, batch_first=batch_first, bidirectional=both),nn.Linear(8+8*both, 3),by_state
        def forward(self, x):
            o,h = self.rnn(x if batch_first else x.transpose(0, 1))
            o,h = o if batch_first else o.transpose(0, 1),h[0] if kind is nn.LSTM else h
            if self.by_state: return self.head(torch.cat([h[-2],h[-1]], 1) if both else h[-1])
            return self.head(torch.cat([o[:,-1,:8],o[:,0,8:]], 1) if both else o[:,-1])
    torch.manual_seed(0)
    one,other,x = Net(True).eval(),Net(False).eval(),torch.randn(2,24,4)
    other.load_state_dict(one.state_dict())
    assert torch.allclose(one(x), other(x))
    for layer in (None,'rnn'):
        got,want = cam_maps(one, x, 1, layer=layer, method=method),cam_maps(other, x, 1, layer=layer, method=method)
        assert got.shape==want.shape and torch.allclose(got, want, atol=1e-6)

def test_moved_item_by_item():
    "A spatial transformer looks at each item elsewhere: no grid is the same for all, in whichever order they come; one that looks at all alike has a layer"
    class Looks(Body):
        def __init__(self, where): super().__init__(); self.where = where
        def forward(self, x):
            theta = torch.zeros(len(x), 2, 3)
            theta[:,0,0],theta[:,1,1],theta[:,0,2] = .5,1,self.where(x)
            return super().forward(F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), align_corners=False))
    x = torch.rand(2,3,64,64)*.1
    x[0,:,10:14,44:48],x[1,:,10:14,4:8] = 1,1
    torch.manual_seed(0)
    brightest = lambda x: x.sum((1,2)).argmax(-1)/32-1
    for xb in (x,x.flip(0),torch.rand(2,3,64,64)*.1):
        with pytest.raises(ValueError, match='the model itself does that'): find_layers(Looks(brightest).eval(), xb, 'body')
        with pytest.warns(UserWarning, match='could not be proven'): assert cam_maps(Looks(brightest).eval(), xb).shape[2:]==(64,64)
    assert find_layers(Looks(lambda x: .25).eval(), x, 'body')['body'].place=='proven'

def test_moved_some_items():
    "An item that is left as it is says nothing of others, which are shifted: whichever comes first, the layer is refused"
    class Shifts(Body):
        def forward(self, x):
            theta = torch.eye(2, 3).repeat(len(x), 1, 1)
            theta[:,0,2] = .5*(x.sum((1,2)).argmax(-1)>40)
            return super().forward(F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), align_corners=False))
    torch.manual_seed(0)
    x = torch.rand(2,3,64,64)*.1
    x[0,:,10:14,4:8],x[1,:,10:14,56:60] = 1,1
    for xb in (x,x.flip(0)):
        with pytest.raises(ValueError, match='could not be placed'): find_layers(Shifts().eval(), xb, 'body')

def test_second_name():
    "A module that has two names is known by both"
    net = Body()
    net.features = net.body
    assert torch.equal(cam_maps(net, x, 0, layer='features'), cam_maps(net, x, 0, layer='body'))
