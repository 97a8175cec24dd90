"Convolutions without padding, and models that crop or pad: cells lie where their windows do, not spread over all of the input"
import pytest, torchvision, timm
from scipy import ndimage
from utils import *
from fastcam.engine.grid import measured_span
from fastcam.core import TensorCAM
from fastcam.learner.view import CAMView

def seq(*mods): return nn.Sequential(*mods)
relu = nn.ReLU
class Reads(nn.Module):
    "The first class is what the body gives at one cell"
    def __init__(self, body, at, nd):
        super().__init__()
        self.body,self.at,self.nd = body,at,nd
    def forward(self, x):
        a = self.body(x)
        return torch.stack([a[(slice(None),slice(None),*self.at)].sum(1), a.flatten(1).mean(1)], 1)

class Crops(nn.Module):
    def __init__(self, f): super().__init__(); self.f,self.body = f,seq(nn.Conv2d(3,8,3,2,1), relu(), nn.Conv2d(8,12,3,2,1))
    def forward(self, x): return self.body(self.f(x))

class Last(nn.Module):
    "Steps before channels, as signals often come"
    def __init__(self, body): super().__init__(); self.body = body
    def forward(self, x): return self.body(x.transpose(1, 2))

# shape of an item, body, and by hand: where the middle of cell 0 is, and how far it is from one to the next
known = {
    'LeNet': ((1,28,28), lambda: seq(nn.Conv2d(1,6,5), relu(), nn.MaxPool2d(2), nn.Conv2d(6,16,5), relu(), nn.MaxPool2d(2)), 8, 4),
    'MNIST example': ((1,28,28), lambda: seq(nn.Conv2d(1,32,3), relu(), nn.Conv2d(32,64,3), relu(), nn.MaxPool2d(2)), 3, 2),
    'two kernels of 9': ((3,64), lambda: seq(nn.Conv1d(3,16,9), relu(), nn.Conv1d(16,16,9), relu()), 8.5, 1),
    'dilated': ((3,128), lambda: seq(nn.Conv1d(3,16,9,dilation=4), relu(), nn.Conv1d(16,16,9,dilation=2), relu()), 24.5, 1),
    'audio': ((1,8000), lambda: seq(nn.Conv1d(1,32,80,16), relu(), nn.MaxPool1d(4), nn.Conv1d(32,32,3), relu(), nn.MaxPool1d(4), nn.Conv1d(32,64,3), relu(), nn.MaxPool1d(4), nn.Conv1d(64,64,3), relu()), 1888, 1024),
    'padded later': ((3,40,60), lambda: seq(nn.Conv2d(3,16,5), relu(), nn.Conv2d(16,16,5,stride=2), relu(), nn.Conv2d(16,16,3,padding=1), relu()), 4.5, 2),
    'too much padding': ((3,40,60), lambda: seq(nn.Conv2d(3,16,3,padding=4), relu(), nn.Conv2d(16,16,3,padding=4,stride=2), relu()), -5.5, 2),
    'volume': ((1,20,24,28), lambda: seq(nn.Conv3d(1,6,5), relu(), nn.Conv3d(6,8,5), relu()), 4.5, 1),
    'steps first': ((64,3), lambda: Last(seq(nn.Conv1d(3,16,9), relu(), nn.Conv1d(16,16,9), relu())), 8.5, 1),
    'cropped': ((3,64,64), lambda: Crops(lambda x: x[...,16:48,16:48]), 16.5, 4),
    'padded': ((3,64,64), lambda: Crops(lambda x: F.pad(x, (16,)*4)), -15.5, 4),
}

@pytest.mark.parametrize('name', known)
def test_cells_are_where_their_windows_are(name):
    torch.manual_seed(0)
    shape,body,first_middle,step = known[name]
    body,x = body().eval(),torch.randn(2, *shape)
    with torch.no_grad(): grid = body(x).shape[2:]
    size = shape[:1] if name=='steps first' else shape[1:]
    for share in (.3,.5,.8):
        at = tuple(int(share*n) for n in grid)
        m = cam_maps(Reads(body, at, len(grid)), x, 0, method='hirescam')[:,0]
        want = [((first_middle-step/2)/s, (first_middle+step*(n-.5))/s) for n,s in zip(grid, size)]
        assert np.allclose(m.span, want, atol=.75/min(size)), (m.span, want)
        if not (big := m.resize(size).as_subclass(Tensor).abs())[0].any(): continue                       # a cell that is 0
        top = np.unravel_index(big[0].argmax().item(), size)
        assert all(abs(t+.5-(first_middle+step*i))<=step/2+.51 for t,i in zip(top, at)), (top, at)

@pytest.mark.parametrize('make,shape', [(lambda: torchvision.models.resnet18(), (3,225,225)), (lambda: torchvision.models.alexnet(), (3,224,224)), (lambda: torchvision.models.squeezenet1_1(), (3,224,224)),
    (lambda: timm.create_model('efficientnet_lite0'), (3,224,224)), (lambda: timm.create_model('vit_tiny_patch16_224', img_size=96), (3,96,96)), (lambda: torchvision.models.inception_v3(init_weights=False), (3,299,299))],
    ids=['resnet18 at 225','alexnet','squeezenet','lite0','ViT','inception'])
def test_others_cover_all(make, shape):
    "Grids that lie within half a cell of their places, and deep ones whose cells look at everything, are spread over all of the input as before"
    torch.manual_seed(0)
    assert first(find_layers(make().eval(), torch.randn(1, *shape)).values()).span is None

def test_tokens_behind_a_stem():
    "Tokens have the span of the maps that they were made of"
    torch.manual_seed(0)
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem,self.enc,self.head = seq(nn.Conv1d(3,16,9), nn.GELU(), nn.Conv1d(16,16,9)),nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.),nn.Linear(16, 2)
        def forward(self, x): return self.head(self.enc(self.stem(x).transpose(1, 2)).mean(1))
    lay = first(find_layers(Tokens().eval(), torch.randn(2,3,64)).values())
    assert lay.name=='enc' and lay.place=='proven' and np.allclose(lay.span, [(8/64,56/64)], atol=1e-6)

def test_everything_that_enlarges_maps_knows():
    "Drawing, boxes, views, metrics, Score-CAM's masks: the lit cell is where it is"
    torch.manual_seed(0)
    model,x = Reads(known['LeNet'][1]().eval(), (3,1), 2),torch.rand(2,1,28,28)
    m = cam_maps(model, x, 0, method='hirescam')[:,0]
    assert m[0].grid==(4,4) and m[0].mask(.99, 28).nonzero().float().mean(0).sub(tensor([20.,11.5])).abs().max()<2
    x1,y1,x2,y2 = m[:1].bbox(.5, 28)[0].tolist()
    assert abs((x1+x2)/2-12)<=1 and abs((y1+y2)/2-20)<=1.5
    drawn = m[0].show().get_images()[0].get_array()
    assert np.abs(np.array(np.unravel_index(drawn.argmax(), drawn.shape))/len(drawn)*28-[20,12]).max()<1.5
    plt.close('all')
    on = CAMView((28,28), (56,56), torch.tensor([[.5,0,0],[0,.5,0]])).onto(m[0])
    assert np.abs(np.array(np.unravel_index(on.nan_to_num(0).argmax().item(), (56,56)))/2-[20,12]).max()<1.5
    from fastcam.evidence.metric import Scorer
    full = Scorer(model, x, m, target=0).full
    assert np.abs(np.array(np.unravel_index(full[0].argmax().item(), (28,28)))-[20,12]).max()<1.5
    seen = []
    with torch.no_grad():
        h = model.register_forward_pre_hook(lambda mod, i: seen.append(i[0].detach().clone()))
        try: cam_maps(model, torch.ones(1,1,28,28), 0, method='scorecam', n=1)
        finally: h.remove()
    assert any((s[...,0]==0).all() for s in seen if not (s==1).all())                                # what the masks leave of a picture of ones fades at its edges

def test_at_another_size():
    "`size=` and `scales` measure again"
    torch.manual_seed(0)
    net = seq(nn.Conv2d(1,6,5), relu(), nn.MaxPool2d(2), nn.Conv2d(6,16,5), relu(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16,2)).eval()
    x = torch.rand(1,1,28,28)
    m,big = cam_maps(net, x, 0)[0,0],cam_maps(net, x, 0, size=56)[0,0]
    assert m.grid==(8,8) and np.allclose(m.span, [(6/28,22/28)]*2, atol=.01)
    assert big.grid==(22,22) and np.allclose(big.span, [(6/56,50/56)]*2, atol=.01)
    both = cam_maps(net, x, 0, smooth='scales', scales=(1,2), flips=False)[0,0]
    want = (m.resize(64)*(64/64**2) + big.resize(64)*(22**2/64**2))/2
    assert both.span is None and torch.allclose(both.as_subclass(Tensor), want.as_subclass(Tensor), atol=1e-6)

def test_measured_span_of_what_is_cut_off():
    "Cells whose windows are cut off at an edge do not count; of those that look at all, nothing is said"
    g = torch.zeros(6, 1, 24)
    for i,o in enumerate(g): o[0,max(0, 4*i-4):4*i+8] = 1.                                           # windows of 12 around cells of 4
    assert np.allclose(measured_span(g, torch.arange(6), 6, 1), (0,1))
    assert measured_span(torch.ones(6, 1, 24), torch.arange(6), 6, 1) is None
    assert measured_span(g.flip(0), torch.arange(6), 6, 1) is None                                    # the other way round

class Both(nn.Module):
    "One body for the whole picture and for a corner of it"
    def __init__(self, f):
        super().__init__()
        self.body,self.f,self.one,self.two = seq(nn.Conv2d(3,8,3,2,1), relu(), nn.Conv2d(8,8,3,2,1), relu()),f,nn.Linear(8,2),nn.Linear(8,2)
    def forward(self, x): return self.one(self.body(x).mean((2,3)))+self.two(self.body(self.f(x)).mean((2,3)))

@pytest.mark.parametrize('f', [lambda x: x[...,:32,:32], lambda x: F.interpolate(x[...,:32,:32], scale_factor=2)], ids=['corner','enlarged'])
def test_second_call_on_a_corner(f):
    "The last call is of the corner, and its map lies there"
    torch.manual_seed(0)
    model,x = Both(f).eval(),torch.rand(1,3,64,64)*.01
    for p in model.parameters(): p.data.abs_() if p.ndim>1 else p.data.zero_()
    x[...,12:20,12:20] = 1.
    m = cam_maps(model, x, 0)[0,0].resize(64).as_subclass(Tensor)
    assert all(abs(o-16)<3 for o in ndimage.center_of_mass(((m>.5*m.max())*m).numpy()))

def test_frames_that_a_model_pads():
    torch.manual_seed(0)
    class Pads(nn.Module):
        def __init__(self): super().__init__(); self.body,self.head = seq(nn.Conv3d(1,8,3,(1,2,2),1), relu(), nn.Conv3d(8,8,3,(1,2,2),1), relu()),nn.Linear(8,2)
        def forward(self, x): return self.head(self.body(F.pad(x, (0,0,0,0,0,8))).mean((2,3,4)))
    model,x = Pads().eval(),torch.rand(1,1,16,32,32)*.01
    for p in model.parameters(): p.data.abs_() if p.ndim>1 else p.data.zero_()
    x[:,:,10:14,16:24,4:12] = 1.
    m = cam_maps(model, x, 0)[0,0]
    assert m.grid==(24,8,8) and np.allclose(m.span[0], (0,1.5), atol=.01)
    big = m.resize((16,32,32)).as_subclass(Tensor)
    assert all(abs(o-at)<2 for o,at in zip(ndimage.center_of_mass(((big>.5*big.max())*big).numpy()), (11.5,19.5,7.5)))

@pytest.mark.parametrize('first_seen', [torch.zeros(1,3,64,64), torch.ones(1,3,64,64), torch.eye(64).expand(1,3,64,64)], ids=['black','white','symmetric'])
def test_what_a_plain_first_picture_hides(first_seen):
    "A model that transposes its picture is refused, also if the first one it sees looks the same transposed"
    torch.manual_seed(0)
    class Transposes(nn.Module):
        def __init__(self): super().__init__(); self.body,self.head = seq(nn.Conv2d(3,8,3,2,1), relu(), nn.Conv2d(8,8,3,2,1)),nn.Linear(8,2)
        def forward(self, x): return self.head(self.body(x.transpose(2, 3)).mean((2,3)))
    model = Transposes().eval()
    with pytest.raises(ValueError, match='transposed or turned'): find_layers(model, first_seen)
    with pytest.raises(ValueError): find_layers(model, torch.rand(1,3,64,64))

class Steps(nn.Module):
    "Reads (batch, steps, features) by recurrent layers whose outputs are no grid"
    def __init__(self, how):
        super().__init__()
        self.how,self.rnn,self.cell,self.head = how,nn.LSTM(6, 16, batch_first=True),nn.GRUCell(6, 16),nn.Linear(16, 3)
    def forward(self, x, lengths=None):
        if self.how=='loop':
            h = x.new_zeros(len(x), 16)
            for t in range(x.shape[1]): h = self.cell(x[:,t], h)
            return self.head(h)
        if self.how=='turned': return self.head(self.rnn(x.flip(1))[0][:,-1])
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.rnn(packed)[1][0][-1])

@pytest.mark.parametrize('how', ['loop','turned','packed'])
def test_steps_of_what_has_no_grid(how):
    "Maps lie along the steps, not the features, and input times gradient is that by hand"
    torch.manual_seed(0)
    model,x = Steps(how).eval(),torch.randn(2,20,6)
    xb = (x,tensor([20,20])) if how=='packed' else x
    m = cam_maps(model, xb, 0, method='inputxgradient')
    x.requires_grad_()
    g, = torch.autograd.grad(model(*(xb if how=='packed' else (x,)))[:,0].sum(), x)
    assert m.shape==(2,1,20) and torch.allclose(m[:,0].as_subclass(Tensor), (g*x).sum(2).detach(), atol=1e-6)

class LeftHalf(nn.Module):
    "Reads the left half of its picture, and of that what one cell gives"
    def __init__(self): super().__init__(); self.body = seq(nn.Conv2d(1,6,3,2,1), relu(), nn.Conv2d(6,6,3,2,1), relu())
    def forward(self, x):
        a = self.body(x[...,:x.shape[-1]//2])
        return torch.stack([a[...,4,3].sum(1), a.mean((1,2,3))], 1)

def right_half(m): return (m.resize(64)[...,32:].sum()/m.resize(64).sum()).item()

@pytest.mark.parametrize('smooth', [dict(smooth='tta'), dict(smooth='scales', scales=(1.,)), dict(smooth='scales')], ids=['tta','one scale','scales'])
def test_mirrored_passes_look_elsewhere(smooth):
    "Of a model that reads the left half, the mirrored pictures show the right half: maps are added where they look"
    torch.manual_seed(0)
    model = LeftHalf().eval()
    for p in model.parameters(): p.data.abs_() if p.ndim>1 else p.data.zero_()
    m = cam_maps(model, torch.full((1,1,64,64), .5), 0, method='hirescam')[0,0]
    assert np.allclose(m.span[1], (0,.5), atol=.05) and right_half(m)<.05
    assert abs(right_half(cam_maps(model, torch.full((1,1,64,64), .5), 0, method='hirescam', **smooth)[0,0])-.5)<.06

def test_fullgrad_of_unpadded():
    "The biases of each layer lie where its cells do: at the pixels that a cell reads, and the hottest near their middle"
    torch.manual_seed(0)
    model,x = Reads(known['LeNet'][1]().eval(), (0,0), 2),torch.rand(1,1,28,28)
    m = cam_maps(model, x, 0, method='fullgrad')[0,0].as_subclass(Tensor)
    y,x = ndimage.center_of_mass(m.numpy())
    assert abs(y+.5-8)<1 and abs(x+.5-8)<1 and m[20:].abs().max()<1e-6*m.max()

def test_copies_know():
    m = TensorCAM(torch.rand(2,1,6), nd=1, span=((.2,.8),))
    for o in (m.clone(), m.detach(), copy(m), m[0], m*2, torch.stack([m,m]), torch.cat([m,m])): assert (o.nd,o.span)==(1,((.2,.8),))

def test_pointing_at_the_cell():
    "The hottest cell of LeNet's first one is at pixel 8"
    m = TensorCAM(torch.zeros(2,4,4), span=((6/28,22/28),)*2)
    m[:,0,0] = 1.
    near,far = (torch.zeros(28,28) for _ in range(2))
    near[5:11,5:11] = far[:5,:5] = 1
    assert pointing_game(m, [near,far]).tolist()==[1.,0.]

def test_odd_sizes_of_resnets_cost_nothing_more():
    "Strides that round up leave cells within half a cell: nothing is measured"
    from fastcam.engine.layer import _look_up
    model,x = torchvision.models.resnet18().eval(),torch.randn(1,3,193,301)
    find_layers(model, x)
    assert not _look_up(model, (x,)).known_spans

def test_every_layer_of_a_valid_unet():
    "Maps that a transposed convolution gave, and those behind a cut connection, lie where the arithmetic of their windows says: so many pixels are left out at each side. A pooling takes one of two pixels, so within 1.5"
    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            def twice(a, b): return seq(nn.Conv2d(a, b, 3), relu(), nn.Conv2d(b, b, 3), relu())
            self.down1,self.down2,self.down3,self.pool = twice(3, 16),twice(16, 32),twice(32, 64),nn.MaxPool2d(2)
            self.grow2,self.grow1,self.up2,self.up1 = nn.ConvTranspose2d(64, 32, 2, 2),nn.ConvTranspose2d(32, 16, 2, 2),twice(64, 32),twice(32, 16)
            self.head = nn.Conv2d(16, 2, 1)
        def forward(self, x):
            def beside(a, b):
                i = (b.shape[2]-a.shape[2])//2
                return torch.cat([a, b[:,:,i:i+a.shape[2],i:i+a.shape[2]]], 1)
            a = self.down1(x)
            b = self.down2(self.pool(a))
            c = self.up2(beside(self.grow2(self.down3(self.pool(b))), b))
            return self.head(self.up1(beside(self.grow1(c), a)))
    torch.manual_seed(0)
    m,x,n = UNet().eval(),torch.randn(1,3,140,140),140
    assert m(x).shape==(1,2,100,100)
    assert first(find_layers(m, x))=='down3'
    left_out = {'down1':2, 'down2':6, 'down3':14, 'grow2':14, 'up2.0':16, 'up2':18, 'grow1':18, 'up1':20, 'head':20}
    for name,k in left_out.items():
        span = first(find_layers(m, x, name).values()).span
        assert np.allclose(ifnone(span, [(0,1)]*2), [(k/n,1-k/n)]*2, atol=1.5/n), (name, span, k/n)

@pytest.mark.parametrize('size', [(224,224), (230,230), (224,230), (225,239)])
def test_padded_at_one_side(size):
    "A ViT that pads its picture to whole patches, at the right and below only: the last patches lie partly beside the picture. The last patch is seen as far as the picture goes, so within half a pixel"
    torch.manual_seed(0)
    m = timm.create_model('vit_tiny_patch16_224', depth=2, dynamic_img_pad=True, dynamic_img_size=True).eval()
    lay = first(find_layers(m, torch.randn(1, 3, *size)).values())
    want = [(0,math.ceil(s/16)*16/s) for s in size]
    if max(end for _,end in want)<1.04: assert lay.span is None
    else: assert np.allclose(lay.span, want, atol=.5/min(size)), (lay.span, want)

class Causal(nn.Module):
    "Convolutions that look back only: padded in front, or at both ends and cut behind"
    def __init__(self, dilations, nd=1, k=3, cut=False):
        super().__init__()
        conv,self.fronts,self.cut,self.nd = nn.Conv1d if nd==1 else nn.Conv2d,[(k-1)*d for d in dilations],cut,nd
        self.convs = nn.ModuleList([conv(3 if i==0 else 8, 8, k, dilation=d, padding=(k-1)*d if cut else 0) for i,d in enumerate(dilations)])
        self.head = nn.Linear(8, 3)
    def forward(self, x):
        for conv,n in zip(self.convs, self.fronts): x = F.leaky_relu(conv(x)[...,:-n] if self.cut else conv(F.pad(x, (n,0)*self.nd)))
        return self.head(x.flatten(2).mean(2))

@pytest.mark.parametrize('dilations,nd,k,cut,size', [((1,2,4),1,3,False,256), ((1,2,4,8),1,3,False,512), ((1,)*4,1,9,False,256), ((1,2,4),1,3,True,256), ((1,2,4,8),1,3,True,512), ((1,)*8,2,2,False,32)])
def test_causal_convolutions(dilations, nd, k, cut, size):
    "A cell lies at the middle of what it looks at, which autograd by hand says, at whatever depth and however the model pads"
    torch.manual_seed(0)
    m,x = Causal(dilations, nd, k, cut).eval(),torch.randn(1, 3, *(size,)*nd, requires_grad=True)
    for i in range(len(dilations)):
        acts = []
        h = m.convs[i].register_forward_hook(lambda m, i, o: acts.append(o))
        m(x)
        h.remove()
        n = acts[0].shape[2]
        at = n*3//4
        g, = torch.autograd.grad(acts[0][(0,slice(None),*(at,)*nd)].sum(), x)
        looks = g[0].abs().sum(0).nonzero()[:,0]
        middle = (looks.min()+looks.max()+1).item()/2
        begin,end = ifnone(first(find_layers(m, x.detach(), f'convs.{i}').values()).span, [(0,1)])[0]
        assert abs((begin+(at+.5)/n*(end-begin))*size-middle)<=.61, (i, begin*size, (end-1)*size)

def test_padding_for_a_coarser_grid_moves_nothing(monkeypatch):
    "TensorFlow's padding is one pixel more behind at each stride: half a cell at the end, and nothing is measured at any stage, which would take seconds"
    torch.manual_seed(0)
    asked = []
    monkeypatch.setattr(Found, '_span', lambda *args: asked.append(args))
    assert len(stages(proven_layers(timm.create_model('tf_efficientnet_lite0').eval(), torch.randn(1,3,224,224))))==5 and not asked
