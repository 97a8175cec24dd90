"Items of every kind, models in every state, targets and layers by every name; and what is said to bad input"
import inspect, pytest, re, warnings
from copy import deepcopy
from contextlib import nullcontext
from utils import *

files,_ = drawn_files()
f = files[0]
tfms = [*aug_transforms(max_rotate=30, p_affine=1.), Normalize.from_stats(*imagenet_stats)]

@cache
def shared(): return small_learner(item_tfms=Resize(48), tfms=tfms)          # in eval mode or not: nothing here may change it

@pytest.fixture
def learn():
    "A learner with random augmentation, shared by the tests here: each leaves it as it was"
    res = shared()
    was = snapshot(res)
    yield res
    plt.close('all')
    assert settled(was, snapshot(res))==[]

def plain(t): return t.as_subclass(Tensor)
def same(a, b, rel=1e-5):
    a,b = plain(a),plain(b)
    assert a.shape==b.shape and a.dtype==torch.float32 and b.abs().max()>0 and (a-b).abs().max()<=rel*b.abs().max()

def arr(f): return np.array(Image.open(f))
def opened(f): return Image.open(f)
def loaded(f): im = Image.open(f); im.load(); return im
def chw(f): return tensor(arr(f)).permute(2,0,1).contiguous()

items = dict(path=noop, str=str, bytes=lambda f: f.read_bytes(), opened=opened, loaded=loaded, rgba=lambda f: loaded(f).convert('RGBA'), pilimage=PILImage.create,
    array=arr, array_float=lambda f: (arr(f)/255).astype(np.float32), array_double=lambda f: arr(f)/255, hwc=lambda f: tensor(arr(f)), hwc_float=lambda f: tensor(arr(f))/255.,
    chw=chw, chw_float=lambda f: chw(f)/255., tensorimage=lambda f: TensorImage(chw(f)), tensorimage_float=lambda f: TensorImage(chw(f)/255.))
each_kind = pytest.mark.parametrize('kind', items)

def seen(o):
    "What a user would notice of an item"
    if isinstance(o, Image.Image): return type(o), o.mode, o.size, getattr(o, 'filename', None), o.copy().tobytes()
    if isinstance(o, Tensor): return type(o), bits(o), o.requires_grad
    if isinstance(o, np.ndarray): return type(o), o.dtype, o.shape, o.tobytes()
    if isinstance(o, pd.DataFrame|pd.Series): return type(o), o.to_json()
    return type(o), o

# ---- items of every kind
@each_kind
def test_one(learn, kind):
    "Alone, in a list and in an `L`, an item gives the map of its file, and stays as it is"
    want,o = learn.cam(f),items[kind](f)
    was = seen(items[kind](f))
    for its in (o, [o], L([o])):
        got = learn.cam(its)
        assert len(got)==1
        same(got.maps, want.maps)
        assert torch.allclose(got.preds, want.preds, atol=1e-5)
    assert seen(o)==was

@each_kind
def test_many(learn, kind):
    "In their order, over several batches, one of them twice"
    fs = [files[i] for i in (7,2,9,2,0,13)]
    same(learn.cam([items[kind](o) for o in fs]).maps, learn.cam(fs).maps)

def test_lazy(learn):
    "A picture that was opened and not read yet is of its own type afterwards, and can be read: fastai makes a PILImage of it"
    im,other = Image.open(f),Image.open(f)
    learn.cam([im,im])
    assert type(im) is type(other) and (im.mode,im.size,im.tobytes())==(other.mode,other.size,other.tobytes())

def test_order(learn):
    rows = [5,3,8,1,0,11,2]
    every = learn.cam(files[:12])
    got = learn.cam([files[i] for i in rows])
    same(got.maps, every.maps[rows])
    assert (plain(every.maps)[0]-plain(every.maps)[1]).abs().max()>1e-3            # else order would not show
    assert torch.equal(got.targets, every.targets[rows]) and torch.allclose(got.preds, every.preds[rows], atol=1e-6)
    for i,o in enumerate(got): same(o.maps[None], every[rows[i]].maps[None])

def test_mixed(learn):
    fs = files[:len(items)]
    for order in (list(items), list(items)[::-1]):
        same(learn.cam([items[k](o) for k,o in zip(order,fs)]).maps, learn.cam(fs).maps)

def test_4d(learn):
    fs = files[:7]
    for x in (torch.stack([chw(o) for o in fs]), torch.stack([chw(o) for o in fs])/255., np.stack([arr(o) for o in fs])):
        same(learn.cam(x).maps, learn.cam(fs).maps)

@pytest.mark.parametrize('mode', ['L','LA','RGBA','P','I;16','1','CMYK'])
def test_modes(learn, mode, tmp_path):
    "A picture opened by the user, and its bytes, are the picture in its file, whatever its mode"
    im = Image.open(f)
    if mode=='I;16': im = Image.fromarray((arr(f)[...,0].astype(np.uint16)*257))
    elif mode=='RGBA': im.putalpha(Image.fromarray(arr(f)[...,0]))
    else: im = im.convert(mode)
    g = tmp_path/('x.tif' if mode=='CMYK' else 'x.png')
    im.save(g)
    want = learn.cam(g)
    for o in (Image.open(g), loaded(g), g.read_bytes(), im):
        was = seen(o)
        same(learn.cam(o).maps, want.maps)
        assert seen(o)==was

def test_gray_arrays(learn, tmp_path):
    a = arr(f)[...,0]
    Image.fromarray(a).save(tmp_path/'g.png')
    for o in (a, tensor(a), tensor(a)[None], a[...,None]): same(learn.cam(o).maps, learn.cam(tmp_path/'g.png').maps)

def test_sizes(learn, tmp_path):
    "Pictures of different sizes, as one set"
    fs = [tmp_path/f'{i}.png' for i in range(4)]
    for g,(w,h) in zip(fs, [(30,60),(100,48),(48,48),(64,20)]): Image.open(f).resize((w,h)).save(g)
    same(learn.cam([Image.open(g) for g in fs]).maps, learn.cam(fs).maps)

def test_folder(learn, tmp_path):
    "Means its pictures, those of folders in it too, alone or in a list; one without a picture is named"
    (tmp_path/'in').mkdir()
    for o in files[:3]: (tmp_path/o.name).write_bytes(o.read_bytes())
    (tmp_path/'in/last.png').write_bytes(files[3].read_bytes())
    (tmp_path/'notes.txt').write_text('no picture')
    want = learn.cam(files[:4]).maps
    fs = [tmp_path/o.name for o in files[:3]] + [tmp_path/'in/last.png']
    for its in (tmp_path, str(tmp_path)): same(learn.cam(its).maps, learn.cam(sorted(fs)).maps)
    same(learn.cam([f, tmp_path/'in']).maps, learn.cam([f, files[3]]).maps)
    (tmp_path/'empty').mkdir()
    with pytest.raises(ValueError, match='no picture in the folder.*empty'): learn.cam(tmp_path/'empty')

def test_streams(learn):
    "What an upload or a download gives: bytes of any kind, and open files, wherever they are read up to, which stay there"
    import io
    want,data = learn.cam(f).maps,f.read_bytes()
    for o in (io.BytesIO(data), bytearray(data), memoryview(data)): same(learn.cam(o).maps, want)
    end = io.BytesIO()
    end.write(data)
    for o in (end, open(f, 'rb')):
        at = o.tell()
        same(learn.cam([o, f]).maps[:1], want)
        assert o.tell()==at
    o.close()

class Deep(PILBase): _open_args,_show_args = {},dict(cmap='gray')
class TensorDeep(TensorImageBW): pass
Deep._tensor_cls = TensorDeep
@ToTensor
def encodes(self, o:Deep): return TensorDeep(np.array(o).astype(np.float32)[None]/4096)
class PILFloat(PILImageBW): _open_args = dict(mode='F')

def one_band(cls, fs):
    block = ImageBlock(cls) if cls is not Deep else TransformBlock(type_tfms=cls.create)
    dls = DataBlock((block,CategoryBlock), splitter=IndexSplitter([0,1]), get_y=lambda o: o.stem[0]).dataloaders(fs, bs=2, num_workers=0)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Sequential(ConvLayer(1,8,stride=2), ConvLayer(8,8,stride=2)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,2))
    return Learner(dls, net, loss_func=CrossEntropyLossFlat())

@pytest.mark.parametrize('dtype', ['uint8','uint16','int32','float32'])
@pytest.mark.parametrize('cls', [Deep,PILFloat,PILImageBW], ids=lambda o: o.__name__)
def test_as_the_file(cls, dtype, tmp_path):
    "A picture of 8 or 16 bits or floats in memory is what is read of its file, by classes of pictures of one's own, too"
    fs,rng = [tmp_path/f'{"ab"[i%2]}{i}.tif' for i in range(4)],np.random.default_rng(0)
    for o in fs: Image.fromarray(rng.integers(0, 256 if dtype=='uint8' else 4096, (20,30)).astype(dtype)).save(o)
    learn = one_band(cls, fs)
    with learn.no_bar():
        want,a = learn.cam(fs[0], target=0).maps,np.array(Image.open(fs[0]))
        for o in (a, tensor(a.astype(np.float32) if dtype=='uint16' else a), Image.open(fs[0]), cls.create(fs[0]), fs[0].read_bytes(), a[...,None]):
            same(learn.cam(o, target=0).maps, want)
        same(learn.cam([a, fs[1]], target=0).maps, learn.cam(fs[:2], target=0).maps)
        learn.show_cam(fs[:2], original=True)
    plt.close('all')

def test_dicom(tmp_path):
    "Files of fastai's medical imaging, and what is read of them, are the same item, and are drawn"
    pydicom = pytest.importorskip('pydicom')
    pytest.importorskip('kornia'), pytest.importorskip('skimage')
    from fastai.medical.imaging import PILDicom, get_dicom_files
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID,meta.MediaStorageSOPClassUID,meta.MediaStorageSOPInstanceUID = pydicom.uid.ExplicitVRLittleEndian,'1.2.840.10008.5.1.4.1.1.2','1.2.3'
    rng = np.random.default_rng(0)
    for i in range(4):
        ds = pydicom.dataset.FileDataset(f'{i}', {}, file_meta=meta, preamble=b'\0'*128)
        ds.Rows,ds.Columns,ds.BitsAllocated,ds.BitsStored,ds.HighBit,ds.PixelRepresentation,ds.SamplesPerPixel,ds.PhotometricInterpretation = 20,30,16,16,15,0,1,'MONOCHROME2'
        ds.PixelData = rng.integers(0, 4096, (20,30)).astype(np.uint16).tobytes()
        ds.save_as(tmp_path/f'{"ab"[i%2]}{i}.dcm')
    fs = get_dicom_files(tmp_path).sorted()
    learn = one_band(PILDicom, fs)
    with learn.no_bar():
        want,a = learn.cam(fs[0], target=0).maps,pydicom.dcmread(fs[0]).pixel_array
        for o in (PILDicom.create(fs[0]), a, Image.fromarray(a), fs[0].read_bytes(), str(fs[0])): same(learn.cam(o, target=0).maps, want)
        same(learn.cam(tmp_path, target=0).maps, learn.cam(fs, target=0).maps)
        for original in (False,True): learn.show_cam([fs[0], PILDicom.create(fs[1])], original=original)
    plt.close('all')

def bands(n, kind, d, dtype='float32', high=1.):
    "A learner of pictures of `n` bands in files of numpy, as tensors of the type `kind`"
    rng,fs = np.random.default_rng(0),[d/f'{"ab"[i%2]}{i}.npy' for i in range(4)]
    for o in fs: np.save(o, (rng.random((n,20,30))*high).astype(dtype))
    def read(o:Path): return kind(torch.from_numpy(np.load(o)))
    dls = DataBlock((TransformBlock(type_tfms=read),CategoryBlock), splitter=IndexSplitter([0,1]), get_y=lambda o: o.stem[0]).dataloaders(fs, bs=2, num_workers=0)
    torch.manual_seed(0)
    class Float(Module):
        def forward(self, x): return x.float()
    net = nn.Sequential(Float(), nn.Sequential(ConvLayer(n,8,stride=2), ConvLayer(8,8,stride=2)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,2))
    return fs,Learner(dls, net, loss_func=CrossEntropyLossFlat())

class Bands(TensorImage): pass
class Shown(TensorImage):
    def show(self, ctx=None, **kwargs): return show_image(self[-1][None], ctx=ctx, **kwargs)

@pytest.mark.parametrize('n,kind,dtype,high', [(1,TensorImage,'float32',1), (2,Bands,'float32',1), (3,TensorImage,'float32',9000), (4,TensorImage,'float32',1), (6,Bands,'int16',9000),
                                               (12,TensorImage,'float64',1), (5,Tensor,'float32',1), (7,TensorImage,'uint8',255), (9,Shown,'float32',1)])
def test_bands(n, kind, dtype, high, tmp_path):
    "Tensors of any number of bands: files, arrays and tensors are the same item, and are drawn, on the original, too; what has a `show` of its own shows itself"
    fs,learn = bands(n, kind, tmp_path, dtype, high)
    a = np.load(fs[0])
    with learn.no_bar(), warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        want = learn.cam(fs[0], target=0).maps
        for o in (str(fs[0]), a, tensor(a), kind(tensor(a)), [fs[0]], [a, fs[1]]): same(learn.cam(o, target=0).maps[:1], want)
        same(learn.cam(tmp_path, target=0).maps, learn.cam(sorted(fs), target=0).maps)
        same(learn.cam(np.stack([a,a]), target=0).maps[1:], want)
        for original in (False,True):
            learn.show_cam(fs[:2], original=original)
            im = plt.gcf().axes[0].get_images()[0].get_array()
            assert im.shape==((20,30) if kind is Shown or n<3 else (20,30,3)) and np.asarray(im).std()>.1
            plt.close('all')

@cache
def frame():
    df = pd.DataFrame(dict(name=[o.name for o in files], kind=[kind_of(o) for o in files], note='x', is_valid=[i%2==0 for i in range_of(files)]))
    dls = ImageDataLoaders.from_df(df, files[0].parent, fn_col='name', label_col='kind', valid_col='is_valid', bs=5, num_workers=0, batch_tfms=Normalize.from_stats(*imagenet_stats))
    return df,Learner(dls, small_net(), loss_func=CrossEntropyLossFlat())

def test_dataframe():
    df,learn = frame()
    want = cam_maps(learn.model.eval(), drawn_batch(7))
    df7 = df.iloc[:7]
    was = seen(df7)
    same(learn.cam(df7).maps, want)
    same(learn.cam([df.iloc[i] for i in range(7)]).maps, want)
    same(learn.cam(L(df.iloc[i] for i in range(7))).maps, want)
    same(learn.cam(df.iloc[3]).maps, want[3:4])
    same(learn.cam(df.iloc[[4,1]]).maps, want[[4,1]])
    assert seen(df7)==was
    same(learn.cam(df7).inputs, drawn_batch(7))

# ---- a dl, or nothing
def test_validation_set(learn):
    cams = learn.cam()
    fs = list(learn.dls.valid.items)
    same(cams.maps, learn.cam(fs).maps)
    assert list(cams.actuals)==[kind_of(o) for o in fs]
    for dl in (learn.dls.valid, learn.dls.test_dl(fs), learn.dls.valid.new(shuffle=True), learn.dls.valid.new(bs=7)): same(learn.cam(dl=dl).maps, cams.maps)

def test_training_set(learn):
    "In the order of the items, without the random transforms and the shuffle of training, none left out"
    fs = list(learn.dls.train.items)
    want = learn.cam(fs)
    for cams in (learn.cam(ds_idx=0), learn.cam(dl=learn.dls.train), learn.cam(dl=learn.dls.train.new(drop_last=True, bs=7))):
        assert len(cams)==len(fs)==12
        same(cams.maps, want.maps)
        same(cams.inputs, want.inputs)
        assert list(cams.actuals)==[kind_of(o) for o in fs]

def test_callback_order():
    "Riding in `get_preds` over a shuffled dl, `CAMCallback` gives its maps in the order of the predictions: that of the items"
    learn = small_learner()
    cb,dl = CAMCallback(),learn.dls.valid.new(shuffle=True)
    with learn.added_cbs(cb): preds,_ = learn.get_preds(dl=dl)
    cams = learn.cam()
    same(torch.stack(list(cb.maps)), cams.maps)
    assert torch.allclose(preds, cams.preds, atol=1e-6)

@pytest.mark.parametrize('kw', [{}, dict(ds_idx=0), dict(items=files[:7]), dict(items=[arr(o) for o in files[:3]]), dict(max_n=3), dict(ds_idx=0, max_n=4)],
                         ids='valid train paths arrays max_n train_max_n'.split())
def test_inputs(learn, kw):
    "What `inputs` reads again is what the maps explain"
    cams = learn.cam(**kw)
    same(cam_maps(learn.model, plain(cams.inputs), cams.targets), cams.maps)
    same(cams[[2,0]].inputs, cams.inputs[[2,0]])
    same(cams[1:3].maps, cams.maps[1:3])

def test_batches(learn):
    "A list of batches as the model takes them, with or without classes"
    x = drawn_batch(7)
    want,y = cam_maps(learn.model, x),tensor([0,1,2,0,1,2,0])
    for dl in ([(x[:5],), (x[5:],)], [(x[:5],y[:5]), (x[5:],y[5:])], [(TensorImage(x),)]):
        cams = learn.cam(dl=dl)
        same(cams.maps, want)
        same(cams.inputs, x)
    assert list(learn.cam(dl=[(x,y)]).actuals)==[learn.dls.vocab[i] for i in y]

def test_max_n(learn):
    same(learn.cam(max_n=4).maps, learn.cam().maps[:4])
    same(learn.cam(files[:9], max_n=6).maps, learn.cam(files[:6]).maps)

def test_show_cam(learn):
    "Shows the first of the validation set, computes only those, and gives nothing back"
    with CountsItems(learn.dls.valid_ds) as seen:
        assert learn.show_cam(max_n=4) is None
    assert len(seen.rows)==4
    axs = [o for o in plt.gcf().axes if o.get_images()]
    assert len(axs)==4 and all(len(o.get_images())==2 for o in axs)
    cams = learn.cam(max_n=4)
    for ax,o,actual in zip(axs, cams, cams.actuals): assert ax.get_title()==f'{o.labels[0]} {o.preds[o.targets[0]]:.2f}\nactual: {actual}'

class CountsItems:
    "The rows that are read of a dataset, each once"
    def __init__(self, ds): self.cls,self.rows = type(ds),set()
    def __enter__(self):
        self.old = self.cls.__getitem__
        def get(ds, i):
            self.rows.add(int(i))
            return self.old(ds, i)
        self.cls.__getitem__ = get
        return self
    def __exit__(self, *args): self.cls.__getitem__ = self.old

def test_pictures(learn):
    "What is drawn under a map is the picture as the model saw it, normalisation undone"
    im = tensor(plt_image(learn, files[3]))
    assert (im-tensor(arr(files[3]))/255.).abs().max()<.01

def plt_image(learn, f):
    learn.show_cam(f)
    a = np.asarray(plt.gcf().axes[0].get_images()[0].get_array(), dtype=np.float32)
    return a/255 if a.max()>1 else a

# ---- targets
def test_per_item_targets(learn):
    "Follow their items, however these are batched or shuffled"
    fs,idx = files[:12],tensor([i*5%3 for i in range(12)])
    one = learn.cam(fs, target=[0,1,2])
    want = one.maps[range(12), idx][:,None]
    names = [learn.dls.vocab[i] for i in idx]
    for t in (idx, idx.numpy(), idx.int(), idx[:,None], PerItem(idx.tolist()), PerItem(names)):
        cams = learn.cam(fs, target=t)
        same(cams.maps, want)
        assert cams.targets[:,0].tolist()==idx.tolist() and [o[0] for o in cams.labels]==names
    two = torch.stack([idx, (idx+1)%3], 1)
    same(learn.cam(fs, target=two).maps, torch.stack([plain(one.maps)[i,o] for i,o in enumerate(two)]))
    same(cam_maps(learn.model, plain(one.inputs), idx), want)

@pytest.mark.parametrize('ds_idx', [0,1])
def test_per_item_targets_of_a_dl(learn, ds_idx):
    idx = tensor([2,0,1]*4)
    want = learn.cam(list(learn.dls[ds_idx].items), target=idx)
    for kw in (dict(ds_idx=ds_idx), dict(dl=learn.dls[ds_idx]), dict(dl=learn.dls[ds_idx].new(shuffle=True))): same(learn.cam(target=idx, **kw).maps, want.maps)

def test_actual(learn):
    for ds_idx in (0,1):
        cams = learn.cam(ds_idx=ds_idx, target=Actual())
        assert [o[0] for o in cams.labels]==list(cams.actuals)
        same(cams.maps, learn.cam(ds_idx=ds_idx, target=PerItem(cams.actuals)).maps)

def test_names(learn):
    "A class by name, by index, in a list; several are a column each in the order given"
    v = learn.dls.vocab
    for j,c in enumerate(v):
        for t in (c, j, np.int64(j), tensor(j), np.str_(c), [c], (j,)): same(learn.cam(files[:3], target=t).maps, learn.cam(files[:3], target=[j]).maps)
    cams = learn.cam(files[:3], target=[v[2],0])
    assert cams.maps.shape[:2]==(3,2) and cams.targets.tolist()==[[2,0]]*3 and list(cams.labels)==[[v[2],v[0]]]*3

def test_topk(learn):
    cams = learn.cam(files[:7], target=TopK(2))
    assert torch.equal(cams.targets, cams.preds.topk(2).indices)
    same(cams.maps[:,:1], learn.cam(files[:7]).maps)

def test_callable(learn):
    cams = learn.cam(files[:7], target=lambda p: p[:,2]-p[:,0])
    two = plain(learn.cam(files[:7], target=[2,0]).maps)
    same(cams.maps, two[:,:1]-two[:,1:], 1e-4)
    assert (cams.targets==-1).all()

def with_vocab(vocab):
    "A learner whose classes are `vocab`"
    dls = ImageDataLoaders.from_path_func('.', files, lambda f: vocab[kinds.index(kind_of(f))%len(vocab)], valid_pct=.5, seed=0, bs=5, num_workers=0)
    return Learner(dls, small_net(len(vocab)), loss_func=CrossEntropyLossFlat())

def test_int_vocab():
    "An int is first a class of that value, else an index"
    learn = with_vocab([7,1,3])
    assert list(learn.dls.vocab)==[1,3,7]
    for t,i in [(1,0), (3,1), (7,2), (0,0), (2,2), (np.int64(3),1), (tensor(7),2)]: assert learn.cam(f, target=t).targets.item()==i

def test_int_vocab_indices():
    "An integer tensor holds indices, whatever the vocab: `targets` can be given back. `PerItem` goes by name first"
    learn = with_vocab([7,1,3])
    cams = learn.cam(files[:3], target=tensor([1,2,0]))
    assert cams.targets.flatten().tolist()==[1,2,0]
    same(learn.cam(files[:3], target=cams.targets).maps, cams.maps)
    assert learn.cam(files[:2], target=PerItem([1,7])).targets.flatten().tolist()==[0,2]

def test_bool_vocab():
    "True is the class True, 1 the index"
    learn = with_vocab([True,False])
    assert list(learn.dls.vocab)==[False,True]
    for t,i in [(True,1), (False,0), (1,1), (0,0)]:
        cams = learn.cam(f, target=t)
        assert cams.targets.item()==i and cams.labels[0][0]==str(bool(i))

# ---- layers and states of the model
def test_chapter_layer():
    "The chapter's `learn.model[0][-2]` is `layer=-2`, and so on down the body"
    dls = drawn_dls(item_tfms=Resize(96))
    learn = vision_learner(dls, resnet18, pretrained=False)
    for i in (-1,-2,-3): same(learn.cam(files[:2], layer=i).maps, learn.cam(files[:2], layer=learn.model[0][i]).maps)
    same(learn.cam(files[:2], layer=-2).maps, learn.cam(files[:2], layer='0.6').maps)
    assert learn.cam(f, layer=-2).maps.shape[-2:]==(6,6)

def test_layers(learn):
    "A name, a module, an index and a list; apart with `fuse=None`"
    want = learn.cam(files[:3], layer='0.1').maps
    for l in (learn.model[0][1], ['0.1'], [learn.model[0][1]]): same(learn.cam(files[:3], layer=l).maps, want)
    apart = learn.cam(files[:3], layer=['0.1',-1], fuse=None)
    assert list(apart)[0]=='0.1' and len(apart)==2
    same(apart['0.1'].maps, want)
    both = learn.cam(files[:3], layer=['0.1',-1])
    assert both.maps.shape==want.shape

x5 = drawn_batch()
def test_states():
    "Frozen, training, inside `no_grad`, `inference_mode` and both: the maps of the plain call"
    model = small_net().eval()
    want = cam_maps(model, x5)
    for m in (deepcopy(model).requires_grad_(False), deepcopy(model).train(), model):
        for ctx in (nullcontext, torch.no_grad, torch.inference_mode, torch.enable_grad):
            with ctx():
                same(cam_maps(m, x5), want)
                same(cam_maps(m, x5.clone()), want)                                        # made in there: an inference tensor
                same(cam_maps(m, TensorImage(x5)), want)
        for method in 'hirescam cam headcam'.split():
            with torch.inference_mode(): got = cam_maps(m, x5.clone(), method=method)
            same(got, cam_maps(model, x5, method=method))
    x = x5.clone().requires_grad_()
    same(cam_maps(model, x), want)
    assert x.grad is None and x.requires_grad and torch.equal(x, x5)

@pytest.mark.parametrize('how', ['set','enable','freeze'])
def test_model_that_switches_gradients(how):
    "Whether the model switches gradients on or off in a block of its own, and though this changes after the first call: the maps without such a block"
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a,self.h,self.frozen = nn.Sequential(nn.Conv2d(3,8,3,2), nn.ReLU(), nn.Conv2d(8,8,3), nn.ReLU()),nn.Linear(8,3),False
        def forward(self, x):
            with torch.set_grad_enabled(not self.frozen) if how=='set' else torch.enable_grad() if how=='enable' else torch.no_grad() if self.frozen else nullcontext():
                y = self.a(x)
            return self.h(y.mean((2,3)))
    class Plain(Net):
        def forward(self, x): return self.h(self.a(x).mean((2,3)))
    want = cam_maps(Plain().eval(), x5, layer='a')
    for after in ([False,True],[True,False]):
        model = Net().eval()
        for model.frozen in (*after, *after):
            for kw in (dict(), dict(layer='a'), dict(method='headcam')):
                same(cam_maps(model, x5, **kw), want if 'method' not in kw else cam_maps(Plain().eval(), x5, **kw))
    assert torch.is_grad_enabled() and all(p.grad is None for p in model.parameters())

def test_model_that_calls_a_layer_more_often_by_now():
    "The second call of a layer, which is no more: said, and the next call looks again"
    class Twice(nn.Module):
        def __init__(self): super().__init__(); self.a,self.h,self.tta = nn.Conv2d(3,8,3,2),nn.Linear(8,3),True
        def one(self, x): return self.h(self.a(x).relu().mean((2,3)))
        def forward(self, x): return self.one(x)+self.one(x*.5) if self.tta else self.one(x)
    model = Twice().eval()
    assert list(find_layers(model, x5))==['a@1']
    model.tta = False
    with pytest.raises(ValueError, match="Layer 'a@1' was not used in this call"): cam_maps(model, x5)
    assert len(cam_maps(model, x5))==len(x5)

def test_learner_states():
    learn = small_learner()
    want = learn.cam(files[:7]).maps
    learn.freeze()
    same(learn.cam(files[:7]).maps, want)
    learn.model.requires_grad_(False)
    learn.model.train()
    same(learn.cam(files[:7]).maps, want)
    with torch.inference_mode(): same(learn.cam(files[:7]).maps, want)

@pytest.mark.parametrize('method', 'gradcam hirescam headcam'.split())
def test_inplace(method):
    "An in-place ReLU after the layer, or inside the tail, changes nothing that was kept"
    class Twice(Module):
        def __init__(self, inplace): self.act = nn.ReLU(inplace)
        def forward(self, x): return self.act(x-.1)+(x*2).mul_(.3)
    make = lambda inplace: nn.Sequential(nn.Sequential(nn.Conv2d(3,8,3,2), nn.BatchNorm2d(8), nn.ReLU(inplace), Twice(inplace), nn.ReLU6(inplace)), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,3)))
    a,b = make(False).eval(),make(True).eval()
    b.load_state_dict(a.state_dict())
    for layer in ('0.0','0.1','0.3',None):
        want = cam_maps(a, x5, 1, layer, method)
        same(cam_maps(b, x5, 1, layer, method), want)
    with Capture(b, find_layers(b, x5, '0.1')) as cap: b(x5)
    with torch.no_grad(): act = b[0][:2](x5)
    assert act.min()<-.1 and torch.allclose(cap.acts['0.1'], act, atol=1e-6)

@pytest.mark.parametrize('dtype,rel', [(torch.float16,.02), (torch.bfloat16,.15), (torch.float64,1e-4)], ids=str)
@pytest.mark.parametrize('method', 'gradcam hirescam headcam cam'.split())
def test_precision(method, dtype, rel):
    "Maps are float32, and close to those of the float32 model"
    want = cam_maps(small_net().eval(), x5, [0,2], method=method)
    same(cam_maps(small_net().eval().to(dtype), x5.to(dtype), [0,2], method=method), want, rel)

# ---- bad input: an error of a fitting type that says what is wrong; learner and model are as they were
class Off(Module):
    "A model with a layer whose output nobody uses"
    def __init__(self): self.net,self.off = small_net(),nn.Conv2d(3,4,3)
    def forward(self, x): self.off(x); return self.net(x)

class Loose(Module):
    "A prediction that does not depend on the picture"
    def __init__(self): self.body,self.out = nn.Conv2d(3,4,3),nn.Parameter(torch.randn(3))
    def forward(self, x): return self.out+0*self.body(x).detach().mean((1,2,3))[:,None]

class NaNs(Module):
    "NaN for the items named"
    def __init__(self, rows): self.net,self.rows = small_net(),rows
    def forward(self, x):
        res = self.net(x)
        return torch.where(tensor([i in self.rows for i in range_of(x)])[:,None], res*float('nan'), res)

nowhere = files[0].parent/'nowhere.png'
bad = {
    'missing file':       (dict(items=nowhere), FileNotFoundError, r'nowhere\.png'),
    'missing file, str':  (dict(items=str(nowhere)), FileNotFoundError, r'nowhere\.png'),
    'missing among many': (dict(items=[*files[:7], nowhere]), FileNotFoundError, r'nowhere\.png'),
    'no picture':         (dict(items=b'no picture'), OSError, 'item 0: cannot identify image file$'),
    'no picture array':   (dict(items=np.zeros(5)), ValueError, r'\(5,\)'),
    'channels':           (dict(items=np.zeros((9,9,7))), ValueError, r'\(9, 9, 7\)'),
    'normalized':         (dict(items=x5), ValueError, 'dl='),
    'empty list':         (dict(items=[]), ValueError, 'empty'),
    'empty L':            (dict(items=L()), ValueError, 'empty'),
    'empty tensor':       (dict(items=torch.zeros(0,3,48,48)), ValueError, 'empty'),
    'empty dl':           (dict(dl=[]), ValueError, 'no items|empty'),
    'items and dl':       (dict(items=f, dl=[(x5,)]), ValueError, 'items.*dl'),
    'unknown class':      (dict(items=f, target='levle'), ValueError, "'levle'.*'level'"),
    'unknown in a list':  (dict(items=f, target=['level','uprite']), ValueError, "'uprite'.*'upright'"),
    'unknown per item':   (dict(items=f, target=PerItem(['chequed'])), ValueError, "'chequed'.*'checked'"),
    'class index':        (dict(items=f, target=3), IndexError, '3 .*3 classes'),
    'negative index':     (dict(items=f, target=-1), IndexError, '-1'),
    'class index, item':  (dict(items=files[:2], target=tensor([0,9])), IndexError, '9'),
    'too few targets':    (dict(items=files[:3], target=tensor([0,1])), ValueError, '2 targets for 3 items'),
    'too many targets':   (dict(items=files[:3], target=PerItem([0,1,2,0])), ValueError, '4 targets for 3 items'),
    'too few for dl':     (dict(target=tensor([0,1])), ValueError, '2 targets for (12|9) items'),
    'uneven targets':     (dict(items=files[:2], target=PerItem([[0,1],[2]])), ValueError, 'same number'),
    'float targets':      (dict(items=files[:2], target=tensor([0.,1.])), TypeError, 'float32'),
    'empty target':       (dict(items=f, target=[]), ValueError, 'empty'),
    'target class':       (dict(items=f, target=TopK), TypeError, r'TopK\('),
    'target type':        (dict(items=f, target=1.5), (ValueError,TypeError), '1.5'),
    'target function':    (dict(items=f, target=lambda p: p.sum()), ValueError, r'\(batch'),
    'no true class':      (dict(items=f, target=Actual()), ValueError, 'true class'),
    'unknown method':     (dict(items=f, method='gradcma'), ValueError, "'gradcma'.*'gradcam'"),
    'method type':        (dict(items=f, method=3), TypeError, '3'),
    'method result':      (dict(items=f, method=lambda o: o.a.sum()), ValueError, 'expected a map'),
    'keyword':            (dict(items=f, metod='cam'), TypeError, "'metod'.*Close matches: 'method'.*'target', 'layer', 'method'.*'gradcam' takes 'eigen'"),
    'far keyword':        (dict(items=f, zzz=1), TypeError, "'zzz'. `(show_)?cam` takes.*'target', 'layer', 'method'"),
    'number':             (dict(items=3), TypeError, 'int, 3: .*Path, str'),
    'numbers':            (dict(items=[f,3.5]), TypeError, 'float, 3.5: .*Path, str'),
    'DataLoader':         (dict(items=shared().dls.valid), TypeError, '`dl=`'),
    'address':            (dict(items=['https://a.b/c.jpg']), ValueError, r"download_url\('https://a.b/c.jpg', 'x.jpg'\)"),
    'address as a path':  (dict(items=[Path('https://a.b/c.jpg')]), ValueError, r"download_url\('https://a.b/c.jpg', 'x.jpg'\)"),
    'batch':              (dict(items=(x5, tensor([0]*5))), TypeError, r'\(5, 3, 48, 48\).*`dl=\[batch\]`'),
    'batch as a list':    (dict(items=[x5, tensor([0]*5)]), TypeError, r'`dl=\[batch\]`'),
    'batch in a list':    (dict(items=[(x5, tensor([0]*5))]), TypeError, r'`dl=\[batch\]`'),
    'a batch as dl':      (dict(dl=(x5, tensor([0]*5))), TypeError, r'`dl=\[batch\]`'),
    'item of a dataset':  (dict(items=(PILImage.create(f), TensorCategory(1))), TypeError, r'with its target.*valid_ds.items\[0\]'),
    'dataset':            (dict(items=shared().dls.valid_ds), TypeError, 'Datasets.*`ds.items`.*`dl=learn.dls.valid`'),
    'dataset as dl':      (dict(dl=shared().dls.valid_ds), TypeError, r'DataLoader\(ds'),
    'generator as dl':    (dict(dl=(b for b in [(x5,)])), TypeError, 'more than once.*list'),
    'dicts as dl':        (dict(dl=[dict(pixels=x5)]), TypeError, "dict of 'pixels'.*tuple"),
    'three of 16 bits':   (dict(items=np.full((9,9,3), 999, dtype=np.uint16)), ValueError, 'divide.*257'),
    'list of methods':    (dict(items=f, method=['gradcam','layercam']), TypeError, r"compare_cams\(img, methods=\['gradcam', 'layercam'\]\)"),
    'DataFrame':          (dict(items=pd.DataFrame(dict(file=files[:2]))), TypeError, 'DataFrame.*list'),
    'row of a DataFrame': (dict(items=pd.DataFrame(dict(file=files[:2])).iloc[0]), TypeError, 'Series.*Path, str'),
    'volume':             (dict(items=torch.rand(2,8,9,9)), ValueError, r'item 0.*\(8, 9, 9\)'),
    'method keyword':     (dict(items=f, method='headcam', bz=3), TypeError, "'bz'.*bs"),
    'fuse':               (dict(items=f, layer=[0,1], fuse='maen'), ValueError, "'maen'.*'mean'"),
    'unknown layer':      (dict(items=f, layer='0.33'), ValueError, r"'0\.33'.*'0\.3'"),
    'layer index':        (dict(items=f, layer=-99), IndexError, r'-99.*stages'),
    'layer type':         (dict(items=f, layer=1.5), TypeError, '1.5'),
    'foreign layer':      (dict(items=f, layer=nn.Conv2d(3,3,1)), ValueError, 'Conv2d'),
    'no layers':          (dict(items=f, layer=[]), ValueError, 'empty'),
    'no grid':            (dict(items=f, layer='1.4'), ValueError, "'1.4'.*grid"),
    'pooled':             (dict(items=f, layer='1.1'), ValueError, "'1.1'.*grid"),
}

@pytest.mark.parametrize('what', bad)
def test_bad(learn, what):
    kw,error,said = bad[what]
    was = snapshot(learn)
    with pytest.raises(error, match=f'(?s){said}') as e: learn.cam(**kw)
    assert changed(was, snapshot(learn))==[]
    assert 'Exception occured in' not in str(e.value)
    if kw.get('dl') is None:
        with pytest.raises(error, match=f'(?s){said}'): learn.show_cam(**kw)

maps_bad = 'unknown method,method type,method result,method keyword,fuse,unknown layer,layer index,layer type,foreign layer,no layers,no grid,pooled,float targets,target function,negative index'.split(',')
@pytest.mark.parametrize('what', maps_bad)
def test_bad_cam_maps(what):
    kw,error,said = bad[what]
    model = small_net()
    unsettle(model)
    was = snapshot(model)
    with pytest.raises(error, match=f'(?s){said}'):
        cam_maps(model, x5[:len(kw.get('target', 'x')) if isinstance(kw.get('target'), Tensor) else 1], **{k:v for k,v in kw.items() if k!='items'})
    assert changed(was, snapshot(model))==[]

def test_bad_targets_of_cam_maps():
    model = small_net()
    with pytest.raises(ValueError, match='2 targets for 5 items'): cam_maps(model, x5, tensor([0,1]))
    with pytest.raises(IndexError, match='3'): cam_maps(model, x5, 3)
    with pytest.raises(ValueError, match="'level'.*vocab"): cam_maps(model, x5, 'level')

def test_unreadable(learn, tmp_path):
    "An image file cut short, one that is none, an empty one and one that is not there: the same words, alone, in the midst of others, and opened at once because others are in memory"
    for name,data,kind,said in [('short', f.read_bytes()[:900], OSError, '.*truncated'), ('none', b'no picture', OSError, 'cannot identify image file'), ('empty', b'', OSError, 'it is empty'), ('nowhere', None, FileNotFoundError, 'No such file')]:
        bad = tmp_path/f'{name}.png'
        if data is not None: bad.write_bytes(data)
        for its in (bad, str(bad), [*files[:7], bad, files[8]], [PILImage.create(f), bad]):
            with pytest.raises(kind, match=f'^Cannot read {re.escape(str(bad))}: {said}') as e: learn.cam(its)
            assert type(e.value) is kind and str(e.value).count(str(bad))==1

@pytest.mark.parametrize('model,kw,error,said', [
    (Off,             dict(layer='off'), ValueError, "'off'.*depend"),
    (Loose,           dict(layer='body'), ValueError, 'No gradient leads'),
    (Loose,           {}, ValueError, 'No gradient leads'),
    (lambda: NaNs([2]), {}, ValueError, 'NaN.* 2[^0-9]'),
    (lambda: nn.Sequential(nn.Flatten(), nn.Linear(48*48*3, 3)), dict(method='gradcam'), ValueError, 'grid'),
    (lambda: nn.Sequential(nn.Conv2d(3,3,48), nn.Flatten()), dict(method='gradcam'), ValueError, 'grid'),
    (lambda: nn.Conv2d(3,2,3,padding=1), dict(layer=''), ValueError, 'layer'),
], ids=['off','loose','loose default','nan','flat','one cell','model'])
def test_bad_models(model, kw, error, said):
    "By plain PyTorch and by a learner: the same error, and nothing changed"
    model = model()
    learn = small_learner(model)
    unsettle(model)
    was = snapshot(learn)
    with pytest.raises(error, match=f'(?s){said}'): cam_maps(model, x5, **kw)
    assert changed(was, snapshot(learn))==[]
    with pytest.raises(error, match=f'(?s){said}') as e: learn.cam(files[:5], **kw)
    assert changed(was, snapshot(learn))==[]

def test_nan_item():
    "NaN in one item of the second batch: named by its place among the items"
    learn = small_learner(NaNs([1]), bs=4)
    with pytest.raises(ValueError, match='NaN.* 1[^0-9]'): learn.cam(files[:7])

def test_language_model():
    from fastai.text.all import TextDataLoaders, language_model_learner, AWD_LSTM, BaseTokenizer
    df = pd.DataFrame(dict(text=['a good film','a bad one']*40))
    dls = TextDataLoaders.from_df(df, text_col='text', is_lm=True, valid_pct=.5, seed=0, bs=2, seq_len=8, num_workers=0, tok_tfm=BaseTokenizer())
    learn = language_model_learner(dls, AWD_LSTM, pretrained=False, config=dict(emb_sz=8, n_hid=8, n_layers=1, pad_token=1, bidir=False, output_p=.1, hidden_p=.1, input_p=.1, embed_p=.1, weight_p=.1, tie_weights=True, out_bias=True))
    was = snapshot(learn)
    for kw in ({}, dict(items='a good film')):
        for g in (learn.cam, learn.show_cam):
            with pytest.raises(TypeError, match='language model'): g(**kw)
    assert changed(was, snapshot(learn))==[]

def test_tabular():
    from fastai.tabular.all import TabularDataLoaders, tabular_learner
    df = pd.DataFrame(dict(a=np.arange(16.), y=[0,1]*8))
    learn = tabular_learner(TabularDataLoaders.from_df(df, cont_names=['a'], y_names='y', y_block=CategoryBlock(), valid_idx=list(range(8)), bs=4, num_workers=0), layers=[4])
    was = snapshot(learn)
    for kw in ({}, dict(items=df), dict(items=df.iloc[0])):
        for g in (learn.cam, learn.show_cam):
            with pytest.raises(TypeError, match='(?i)tabular'): g(**kw)
    assert changed(was, snapshot(learn))==[]

def test_first_of_batches():
    "Only the first `max_n` of batches, and of tensors where nothing is read, are explained: the model sees no more"
    learn,seen = small_learner(),[]
    plain_learn = Learner(DataLoaders(*[DataLoader(list(zip(x5, range(5))), bs=2)]*2), learn.model, loss_func=CrossEntropyLossFlat())
    h = learn.model.register_forward_pre_hook(lambda m,i: seen.append(len(i[0])))
    for l,kw in ((learn, dict(dl=[(x5,tensor([0,1,2,0,1]))]*2)), (plain_learn, dict(items=x5))):
        for n in (1, 3, 5, 7, 99):
            want = l.cam(**kw)
            seen.clear()
            got = l.cam(**kw, max_n=n)
            same(got.maps, want.maps[:n])
            assert len(got)==sum(seen)==min(n, len(want)) and (got.targs is None or list(got.targs)==list(want.targs[:n]))
    h.remove()

def test_batches_are_drawn():
    "Batches, with targets or without, of a learner whose DataLoaders read pictures: decoded as these are"
    learn = small_learner()
    b = learn.dls.valid.one_batch()
    learn.show_cam(learn.dls.valid.items[:5])
    want = [ax.get_images()[0].get_array() for ax in plt.gcf().axes if ax.get_images()]
    for o in (b, b[:1]):
        learn.show_cam(dl=[o])
        got = [ax.get_images()[0].get_array() for ax in plt.gcf().axes if ax.get_images()]
        for g,w in zip(got, want, strict=True): np.testing.assert_allclose(g, w, atol=1)       # of 255: normalized and back
    plt.close('all')

def test_volume_alone():
    "Four dimensions are many: a single volume is said to go into a list, and then is explained"
    learn = Learner(DataLoaders(*[DataLoader([(torch.randn(1,6,8,8),0)]*2, bs=2)]*2), nn.Sequential(nn.Conv3d(1,4,3), nn.ReLU(), AdaptiveAvgPool(1, 3), nn.Flatten(), nn.Linear(4,2)), loss_func=CrossEntropyLossFlat())
    x = torch.randn(1,6,8,8)
    with pytest.raises(ValueError, match=r'\[x\]'): learn.cam(x)
    assert learn.cam([x]).maps.shape[:2]==(1,1)

# ---- keywords and names in errors
def test_keywords_are_shown():
    "The signature of `show_cam` holds what explains and what draws, in this order; their comments are found"
    from fastcore.docments import docments
    ps = list(inspect.signature(Learner.show_cam).parameters)
    own = ['self','items','max_n']
    assert ps==own + [p for p in inspect.signature(Learner.cam).parameters if p not in own+['kwargs']] + [p for p in inspect.signature(CAMs.show).parameters if p not in own] + ['kwargs']
    for f in (Learner.show_cam, Learner.compare_cams, Interpretation.show_cam):
        docs = docments(f)
        for p in ('target','layer','method','scale','relu','original'): assert docs[p], (f, p)

@pytest.mark.parametrize('call,close,takes', [
    (lambda l: l.show_cam(f, alhpa=.3), 'alpha', "'layer', 'method', .*'scale', 'relu', 'clip', 'cmap', 'alpha'"), (lambda l: l.show_cam(f, ctx=None), 'ctxs', 'show_cam'),
    (lambda l: l.compare_cams(f, metods=['cam']), 'methods', '`compare_cams` takes'), (lambda l: l.cam_metrics(files[:2], methods='gradcam', metric='road'), 'metrics', '`cam_metrics` takes'),
    (lambda l: l.best_cam(files[:2], metods='gradcam'), 'methods', '`best_cam` takes'), (lambda l: l.sanity_check(files[:2], drawz=2), 'draws', '`sanity_check` takes'),
    (lambda l: l.cam_summary(files[:2], boder=.2), 'border', '`cam_summary` takes .*\'target\''), (lambda l: l.cam_localize(files[:2], metods=['cam']), 'methods', '`cam_localize` takes'),
    (lambda l: cam_maps(l.model, x5, targt=1), 'target', '`cam_maps` takes'), (lambda l: l.cam(f, method='headcam', bss=3), 'bs', "'headcam' takes 'bs'")], ids=range(10))
def test_keyword(learn, call, close, takes):
    "An unknown keyword, by what the function called takes: close ones, then all, in the same order each time"
    with pytest.raises(TypeError, match=f'(?s)Unknown keyword.*Close matches: .*{close}.*{takes}'): call(learn)

in_other_words = [('cam','layers','layer'), ('cam','methods','method'), ('cam','targets','target'), ('show_cam','layers','layer'), ('show_cam','class_idx','target'), ('show_cam','ax','ctxs'),
    ('cam_metrics','layer','layers'), ('cam_metrics','method','methods'), ('cam_metrics','targets','target'), ('best_cam','layer','layers'), ('best_cam','method','methods'),
    ('sanity_check','layers','layer'), ('sanity_check','method','methods'), ('cam_summary','layers','layer'), ('cam_summary','methods','method'), ('cam_localize','layers','layer'), ('cam_localize','method','methods'), ('concepts','layers','layer')]
@pytest.mark.parametrize('name,given,right', in_other_words, ids=lambda o: o)
def test_singular_and_plural(learn, name, given, right):
    "The right keyword is named, before anything is explained"
    calls = []
    h = learn.model.register_forward_hook(lambda *a: calls.append(1))
    kw = dict(truth=lambda o: torch.ones(48,48)) if name=='cam_localize' else {}
    for v in (-2, ['gradcam'], 'gradcam'):
        with pytest.raises(TypeError, match=f'Unknown keyword {given!r}.*`{name}` takes.*{right!r}'): getattr(learn, name)(files[:2], **{given:v}, **kw)
    h.remove()
    assert not calls

def test_words_of_keywords(learn):
    with pytest.raises(TypeError, match=r"`layers=\[-2\]`"): learn.cam_metrics(layer=-2)
    with pytest.raises(TypeError, match=r'compare_cams\(img, layers=\[...\]\)'): learn.cam(layers=[-1,-2])
    with pytest.raises(TypeError, match=r'plt.suptitle'): learn.show_cam(f, title='cats')
    with pytest.raises(TypeError, match=r'plt.savefig'): learn.show_cam(f, save='cats.png')
    with pytest.raises(TypeError, match=r'`CAMFilm` takes .*`layer=`|`layer=`.*`CAMFilm` takes'): CAMFilm(files[:2], layers=[-1])
    for call in (lambda: learn.show_cam(f, figsize=4), lambda: learn.cam(f).show(figsize=(4,)), lambda: learn.compare_cams(f, figsize=4.5)):
        with pytest.raises(TypeError, match=r'`figsize` is .*\(width, height\)'): call()

@pytest.mark.parametrize('given,right', [('target_layers','layer'), ('targets','target'), ('target_category','target'), ('label','target'), ('ax','ctxs'), ('n','max_n'), ('image','items'), ('colormap','cmap'),
                                         ('threshold','contour'), ('cbar','colorbar'), ('cols','ncols'), ('aug_smooth','smooth'), ('dpi','savefig'), ('filename','savefig')])
def test_words_of_other_packages(learn, given, right):
    with pytest.raises(TypeError, match=f'Unknown keyword {given!r}: .*{right}'): learn.show_cam(f, **{given:1})

def test_a_methods_own_words(learn):
    "What the method takes is given to it, whatever it is called; a slip is compared with words that look like it"
    got = {}
    def method(o, title, ax=1, size=2, n=3):
        got.update(title=title, ax=ax, size=size, n=n)
        return o.a.sum(1)
    learn.show_cam(f, method=method, title='a', ax=5, n=6)
    assert got==dict(title='a', ax=5, size=2, n=6)
    def any_word(o, **kwargs): return o.a.sum(1) if kwargs=={'axes':1} else None
    learn.show_cam(f, method=any_word, axes=1)
    with pytest.raises(TypeError, match='figure.*inches.*input'): learn.show_cam(f, size=(8,6))
    for far in ('titel','sav','axis'):
        with pytest.raises(TypeError) as e: learn.show_cam(f, **{far:1})
        assert not re.search(r"'items'|'scale'|'max_n'", str(e.value).split('`show_cam` takes')[0])

# ---- what takes long is checked before it begins
late = dict(methods=(dict(methods=['gradcam','gradcma']), "'gradcam'", 'metrics best sanity localize'), layers=(dict(layers=[-1,'0.99']), "no layer '0.99'", 'metrics best'), layer=(dict(layer='0.99'), "no layer '0.99'", 'sanity summary concepts localize'),
    target=(dict(target='levle'), "'level'", 'metrics best sanity summary localize'), keyword=(dict(eigne=1), 'eigne', 'metrics best sanity summary localize'), k=(dict(k=999), '999', 'concepts'), half=(dict(k=1.5), '1.5', 'concepts'),
    border=(dict(border=.6), 'border', 'summary'), truth=(dict(truth=[1]), '1 truths for 12 items', 'summary localize'), kind=(dict(truth=3), 'an int', 'summary localize'), none=(dict(truth=None), 'no boxes', 'localize'), max_n=(dict(max_n=1), 'One item', 'best'))
@pytest.mark.parametrize('what,name', [(k,n) for k,(_,_,ns) in late.items() for n in ns.split()])
def test_nothing_dear_before_the_refusal(learn, what, name):
    kw,said,_ = late[what]
    f = dict(metrics=learn.cam_metrics, best=learn.best_cam, sanity=learn.sanity_check, summary=learn.cam_summary, localize=learn.cam_localize, concepts=learn.concepts)[name]
    if name=='localize': kw = {'truth':lambda o: torch.ones(48,48), **kw}
    seen,was = [],snapshot(learn)
    h = learn.model.register_forward_pre_hook(lambda m,i: seen.append(len(i[0])))
    with pytest.raises((ValueError,TypeError,IndexError), match=re.escape(said)): f(**kw)
    h.remove()
    assert sum(seen)<=3 or what=='k' and sum(seen)<=20                               # a dry pass of one item, or the first batch, whose channels are counted
    assert settled(was, snapshot(learn))==[]

def test_close_matches():
    "What holds the name comes first, as a word, whatever the case; then what is spelled alike; unrelated names are not offered"
    names = ['catamaran','tiger cat','beaver','Egyptian_cat','gazelle','tabby','Cattle dog']
    assert close_matches('cat', names)=="Close matches: 'tiger cat', 'Egyptian_cat', 'catamaran', 'Cattle dog'"
    assert close_matches('TABY', names)=="Close matches: 'tabby'" and close_matches('Gazele', names)=="Close matches: 'gazelle'"
    assert close_matches('submarine', names)==f"There are: {', '.join(map(repr, names))}"
    assert close_matches('', range(30)).startswith("There are: '0', '1'") and close_matches('zzz', range(30)).endswith("'19' and 10 more")

def test_words_of_cams(learn):
    "Items by what is no number, probabilities that are no range; `predicted`; one map has one box, and takes one axes"
    cams = learn.cam(files[:6])
    for i in ('level', 1.5, None, [0,'level'], files[0]):
        with pytest.raises(TypeError, match='number of an item'): cams[i]
    for i in (6, -7, [0,6]):
        with pytest.raises(IndexError, match='of 6'): cams[i]
    for i in (np.int64(2), tensor(2)): same(cams[i].maps[None], cams.maps[2:3])
    for p in (.9, (.9,), 'high'):
        with pytest.raises(ValueError, match=r'`prob`.*lowest'): cams.where(prob=p)
    k = cams.predicted[0]
    assert list(cams.where(predicted=k).rows)==[r for r,p in zip(cams.rows, cams.predicted) if p==k]
    with pytest.raises(ValueError, match="predicted class 'levle'.*'level'"): cams.where(predicted='levle')
    with pytest.raises(ValueError, match='predictions were kept'): learn.cam(files[:2], with_preds=False).where(predicted='level')
    assert torch.equal(plain(cams[3].bbox(thresh=.5)), plain(cams.bbox(thresh=.5)[3])) and torch.equal(plain(cams[3].mask()), plain(cams.mask()[3]))
    ax = plt.subplots()[1]
    assert cams[0].show(ctxs=ax)==[ax] and ax.get_title()
    axs = plt.subplots(2, 3)[1]
    assert cams.show(ctxs=axs)==list(axs.flat)

def test_model_of_a_learner(learn):
    with pytest.raises(TypeError, match='Learner.*`.model`'): cam_maps(learn, x5)

def test_positions():
    "Of losses and items, where there are fewer"
    interp = ClassificationInterpretation.from_learner(small_learner())
    n = len(interp.losses)
    for k in (n+1, 0, [0,n], range(n+1)):
        for heatmap in (True, False):
            with pytest.raises(ValueError, match=f'`k` is .*{n} losses'): interp.plot_top_losses(k, heatmap=heatmap)
    with pytest.raises(IndexError, match=f'no item {n}.*{n}'): interp.show_cam(n)

# ---- parts of models

class Encoder(nn.Module):
    "torch's own transformer, which takes a shortcut with padded texts where no gradient is asked for"
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.e,self.enc,self.head = nn.Embedding(30,16,padding_idx=0),nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2),nn.Linear(16,3)
    def forward(self, ids):
        mask = ids==0
        h = self.enc(self.e(ids), src_key_padding_mask=mask)
        return self.head(h.masked_fill(mask[...,None], 0).sum(1)/(~mask).sum(1, keepdim=True))

@pytest.mark.parametrize('layer', ['e','enc.layers.0','enc.layers.1.norm1','enc'])
def test_transformer_encoder(layer):
    "Every layer of it; the map of a text is that of the same text without padding, and the shortcut is on again afterwards"
    model,ids = Encoder().eval(),tensor([[3,4,5,6,0,0],[7,8,9,1,2,3]])
    maps = cam_maps(model, ids, 0, layer)
    assert torch.allclose(maps[0], cam_maps(model, ids[:1,:4], 0, layer)[0], atol=1e-5) and maps[0].shape==(1,4) and maps[1].any()
    assert torch.backends.mha.get_fastpath_enabled()

def test_scripted_part():
    "A part that is scripted has no layers, and does not matter to those of the rest"
    body,head = nn.Conv2d(3,8,3),nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,4))
    x = torch.randn(2,3,9,9)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        scripted = torch.jit.script(head)
    assert torch.allclose(cam_maps(nn.Sequential(body, scripted).eval(), x, 1), cam_maps(nn.Sequential(body, head).eval(), x, 1), atol=1e-6)

class Warm(nn.Module):
    "A model with a temperature for all items"
    def __init__(self): super().__init__(); self.net = small_net()
    def forward(self, x, t): return self.net(x)/t

@pytest.mark.parametrize('t', [tensor(2.), tensor([2.])], ids=['scalar','one'])
@pytest.mark.parametrize('method', ['gradcam','ablationcam','scorecam','headcam'])
def test_input_for_all(method, t):
    "An input that is not one for each item is handed on as it is"
    warm = Warm().eval()
    x = drawn_batch(3)
    assert torch.allclose(cam_maps(warm, (x,t), 1, method=method), cam_maps(warm, (x,t.expand(3,1)), 1, method=method), rtol=1e-4, atol=1e-6)

def test_double_by_default():
    model,x = small_net().double().eval(),drawn_batch(2).double()
    torch.set_default_dtype(torch.float64)
    try:
        for m in ('ablationcam','scorecam'): assert cam_maps(model, x, method=m).any()
    finally: torch.set_default_dtype(torch.float32)

def test_forgotten_batch_dimension():
    with pytest.raises(Exception) as e: cam_maps(small_net().eval(), drawn_batch(2)[0])
    assert any('expected a batch' in o for o in e.value.__notes__)
    with pytest.raises(ValueError, match='no items'): cam_maps(small_net().eval(), drawn_batch(2)[:0])

def test_how_many():
    "A number of items, or all"
    learn = shared()
    for n,error in ((0,ValueError), ('cat',TypeError), (1.5,TypeError)):
        for call in (learn.cam, learn.show_cam, learn.cam_metrics, learn.sanity_check, learn.cam_summary, learn.cam().show):
            with pytest.raises(error, match='expected at least one item'): call(max_n=n)
    with pytest.raises(TypeError, match='`target=`'): learn.show_cam(f, 'level')
    learn.show_cam(files[:11], max_n=None)
    assert len([ax for ax in plt.gcf().axes if ax.get_images()])==11
    plt.close('all')

@pytest.mark.parametrize('kw', [dict(cmap='jett'), dict(nrows=1, ncols=1), dict(alpha=60), dict(scale='all')], ids=str)
def test_no_half_drawn_figure(kw):
    "A figure that cannot be finished is not left open; one that was given is"
    with pytest.raises(Exception): shared().show_cam(files[:3], **kw)
    assert not plt.get_fignums()
    axs = plt.subplots(1,2)[1]
    with pytest.raises(ValueError): shared().show_cam(files[:3], ctxs=axs)
    assert len(plt.get_fignums())==1
    plt.close('all')

@pytest.mark.parametrize('call,error,said', [
    (lambda l: l.cam(f, target=True), TypeError, 'True'),
    (lambda l: l.cam(f, target=[[0],[1]]), ValueError, 'PerItem'),
    (lambda l: Versus('level',.5), TypeError, 'how many'),
    (lambda l: l.cam_metrics(metrics=[]), ValueError, 'metrics'),
    (lambda l: l.sanity_check(methods=[]), ValueError, 'methods'),
    (lambda l: l.cam(files[:2]).localize([[10,10,20,20]]*2), TypeError, 'TensorBBox.create'),
    (lambda l: l.cam(files[:2]).localize({files[0]:1, files[1]:2}), TypeError, 'a dict'),
    (lambda l: l.cam_summary(truth=3), TypeError, 'an int'),
    (lambda l: l.cam(f, smooth='tta', samples=8), TypeError, "with smooth 'tta' takes"),
    (lambda l: l.cam(torch.rand(3,48,48)*3), ValueError, '0..1 or 0..255'),
    (lambda l: l.concepts(files[:2], n=0), TypeError, 'how many concepts is `k=`'),
    (lambda l: l.cam_metrics(files[:2], methods=[]), ValueError, '`methods` is empty'),
    (lambda l: CAMFilm([]), ValueError, '`items` is empty'),
    (lambda l: Interpretation.from_learner(l).show_cam('a'), TypeError, "`idxs` holds 'a'"),
    (lambda l: l.explore_cams(files[:2], layer=55), IndexError, '`layer` is 55'),
    (lambda l: l.explore_cams('nope.png'), ValueError, 'The only item cannot be read'),
    (lambda l: l.cam().where(error='yes'), TypeError, "'yes'"),
    (lambda l: l.cam().where(health='nonsense'), ValueError, "'nonsense'"),
    (lambda l: l.cam().where(prob=(.9,.1)), ValueError, 'the lowest and the highest'),
    (lambda l: l.cam().where(prob=(2,3)), ValueError, 'the lowest and the highest'),
    *[(lambda l, kw=kw: l.show_cam(files[:2], **kw), error, said) for kw,error,said in [
        (dict(alpha='a'), ValueError, "`alpha` is 'a'"), (dict(cmap=3), TypeError, '`cmap` is 3'), (dict(contour='x'), ValueError, "`contour` is 'x'"), (dict(ctxs=3), TypeError, '`ctxs` holds 3'),
        (dict(eigen='x'), TypeError, "`eigen` is 'x'"), (dict(eigen_smooth=True), TypeError, "Close matches: 'smooth', 'eigen'"),
        *[(dict(method=m), ValueError, f'The nearest here is {near!r}') for m,near in dict(IntegratedGradients='ig', GradientShap='ig', DeepLift='ig', Saliency='inputgrad', LayerGradCam='gradcam').items()],
        (dict(clip=500), ValueError, '`clip` is 500'), (dict(clip=-3), ValueError, '`clip` is -3'), (dict(clip='a'), ValueError, "`clip` is 'a'"),
        (dict(figsize=(0,1)), ValueError, 'both above 0'), (dict(figsize=(-3,3)), ValueError, 'both above 0'), (dict(figsize='ab'), TypeError, "`figsize` is 'ab'"),
        (dict(ncols=0), ValueError, '`ncols` is 0'), (dict(nrows=-2), ValueError, '`nrows` is -2'), (dict(nrows='a'), TypeError, "`nrows` is 'a'"), (dict(ncols=2.5), TypeError, '`ncols` is 2.5')]],
], ids=lambda o: o if isinstance(o, str) else '')
def test_said_in_words(call, error, said):
    with pytest.raises(error, match=re.escape(said)): call(shared())

@pytest.mark.parametrize('x,said', [(torch.rand(3,48,48), r'(3, 48, 48): expected a batch'), (torch.rand(1,1,48,48), 'of 1 channels: the model\'s first convolution takes 3'),
    (torch.zeros(1,3,48,48, dtype=torch.uint8), 'torch.uint8, and the model\'s weights are torch.float32'), (torch.rand(1,3,48,48).double(), 'try `xb.to(torch.float32)`')], ids=['batch','channels','uint8','double'])
def test_notes_about_the_input(x, said):
    "The error stays what it was, and says in one note what may be wrong with the input"
    with pytest.raises(RuntimeError) as e: cam_maps(small_net(), x)
    assert len(e.value.__notes__)==1 and said in e.value.__notes__[0]

@pytest.mark.parametrize('xb,said', [({'image':torch.rand(1,3,48,48)}, "a dict of 'image': expected tensors.*Put a module around the model that takes these tensors and makes the dict"),
    (([torch.rand(1,3,48,48)]*2,), 'holds a list of 2 Tensor.*makes the list of it')], ids=['dict','list'])
def test_inputs_in_a_container(xb, said):
    with pytest.raises(TypeError, match=said): cam_maps(small_net(), xb)

class Remembers(nn.Module):
    "A model that keeps its hidden state, for as many items as its last call had"
    def __init__(self):
        super().__init__()
        self.rnn,self.head,self.hidden = nn.GRU(4, 8, batch_first=True),nn.Linear(8,3),None
    def forward(self, x):
        y,h = self.rnn(x, self.hidden)
        self.hidden = h.detach()
        return self.head(y.mean(1))

def test_note_about_a_state():
    "One item is asked before the batch, which a state of two does not fit: the note says so, and nothing of pictures; once it is reset all is well"
    model,x = Remembers().eval(),torch.randn(2,16,4)
    model(x)
    with pytest.raises(RuntimeError) as e: cam_maps(model, x)
    assert len(e.value.__notes__)==1 and 'This model takes the batch of 2, but not one item of it: does it keep a state' in e.value.__notes__[0]
    model.hidden = None
    assert cam_maps(model, x).shape==(2,1,16) and model.hidden is None

class TextAndPicture(nn.Module):
    def __init__(self, gives):
        super().__init__()
        self.conv,self.words,self.gives = nn.Conv2d(3, 8, 3, 2),nn.Embedding(20, 8),gives
    def forward(self, ids, pixels, attention_mask=None): return self.gives(self.words(ids).mean(1), self.conv(pixels).mean((2,3)))

def test_no_note_where_the_model_takes_its_input():
    "Token numbers beside a picture are right as they are, and no mask is missing, where the model gave its answer"
    model,xb = TextAndPicture(lambda a,b: {'text':a*b, 'image':b*a.flip(1)}).eval(),(torch.randint(20, (2,5)),torch.rand(2,3,24,24))
    with pytest.raises(TypeError, match='give `target=` a function') as e: cam_maps(model, xb)
    assert not getattr(e.value, '__notes__', [])
    with pytest.raises(RuntimeError) as e: cam_maps(model, (xb[0],xb[1].double()))
    assert 'torch.float64' in e.value.__notes__[0] and 'int64' not in ''.join(e.value.__notes__)

@pytest.mark.filterwarnings('ignore:The places')
def test_steps_first():
    "Steps along the first axis, items along the second: the error says so"
    rnn = nn.GRU(4, 8)
    class StepsFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = rnn
        def forward(self, x): return self.rnn(x)[0].mean(0)
    with pytest.raises(ValueError, match=r'holds 64 items along its first axis, but 2 along its second.*`batch_first`') as e: cam_maps(StepsFirst().eval(), torch.randn(64,2,4))
    assert not getattr(e.value, '__notes__', [])

def test_truth_of_any_list():
    "One for each item: a list, a column of a DataFrame, or what has a length and gives them by number"
    learn,n = shared(),len(shared().dls.valid_ds)
    masks = [torch.ones(48,48)]*n
    class Masks:
        def __len__(self): return n
        def __getitem__(self, i): return masks[i]
    want = learn.cam().localize(masks)
    for o in (pd.Series(masks, index=range(5, n+5)), Masks()): assert learn.cam().localize(o).equals(want)
    assert len(learn.cam_localize(truth=Masks(), methods='gradcam', max_n=3))

def test_columns_of_a_function():
    assert shared().cam(f, target=lambda p: p)[0].labels==[f'<lambda> {j}' for j in range(3)]

# ---- what cannot be explained is refused in words of its own
class Taken(nn.Module):
    "`take(model, *inputs)` makes a prediction of the parts of this model"
    def __init__(self, take, n=16):
        super().__init__()
        torch.manual_seed(0)
        self.take,self.body,self.fc = take,nn.Sequential(ConvLayer(3,8,stride=2), ConvLayer(8,16,stride=2)),nn.Linear(n,2)
        self.eval()
    def net(self, x): return self.fc(self.body(x).mean((2,3)))
    def forward(self, *xb): return self.take(self, *xb)

def four(): return torch.randn(4,3,32,32, generator=torch.Generator().manual_seed(0))

refused = {
    'None':     (lambda m,x,o: m.net(x), lambda x: (x,None), TypeError, r'xb\[1\].*None.*expected a tensor.*self.model\(x, None\)'),
    'a bool':   (lambda m,x,o: m.net(x), lambda x: (x,True), TypeError, r'xb\[1\].*True.*expected a tensor.*self.model\(x, True\)'),
    'a number': (lambda m,x,o: m.net(x), lambda x: (x,2), TypeError, r'xb\[1\].*2.*expected a tensor.*self.model\(x, 2\)'),
    'sparse':   (lambda m,x: m.net(x.to_dense()), lambda x: x.to_sparse(), TypeError, r'sparse.*to_dense'),
    'item by item': (lambda m,x: torch.cat([m.net(o[None]) for o in x]), noop, ValueError, "Layer 'body' gave 1 rows.*4 items.*one item at a time"),
    'in parts': (lambda m,x: torch.cat([m.net(o) for o in x.split(2)]), lambda x: x[:3], ValueError, "Layer 'body' gave 2 rows.*3 items.*one item at a time"),
    'two rows for an item': (lambda m,x: m.net(torch.cat([x,x])), noop, ValueError, '8 rows for 4 items.*function'),
    'vmap':     (lambda m,x: torch.func.vmap(lambda o: m.net(o[None])[0])(x), noop, ValueError, 'vmap.*whole batch'),
    'complex prediction': (lambda m,x: torch.complex(m.net(x), m.net(x)), noop, ValueError, r'prediction is complex.*abs\(\)')}
@pytest.mark.parametrize('kind', refused)
def test_refused_in_its_own_words(kind):
    take,given,error,says = refused[kind]
    with pytest.raises(error, match=says): cam_maps(Taken(take), given(four()), target=1)

@pytest.mark.parametrize('kind', ['item by item','in parts'])
def test_one_item_of_a_batch_that_is_taken_apart(kind):
    "What the error says to do works, and is the map of the model that takes the batch as a whole"
    x,whole = four(),Taken(lambda m,x: m.net(x))
    want = cam_maps(whole, x, target=1)
    for i in range(4): assert torch.allclose(cam_maps(Taken(refused[kind][0]), x[i:i+1], target=1)[0], want[i], atol=1e-6)

def test_experts_that_are_not_used():
    "A layer that this input does not go through, though another did"
    class Experts(nn.Module):
        def __init__(self): super().__init__(); torch.manual_seed(0); self.stem,self.ex,self.fc = ConvLayer(3,8,stride=2),nn.ModuleList(ConvLayer(8,16,stride=2) for _ in range(2)),nn.Linear(16,2)
        def forward(self, x): return self.fc(self.ex[int(x.mean()>0)](self.stem(x)).mean((2,3)))
    m,x = Experts().eval(),four()[:1]
    x = x-x.mean()
    assert cam_maps(m, x+.5, target=1).shape==(1,1,8,8)
    with pytest.raises(ValueError, match="'ex.1' was not used in this call.*experts.*each input goes through"): cam_maps(m, x-.5, target=1)
    assert cam_maps(m, x+.5, target=1, layer='stem').shape==cam_maps(m, x-.5, target=1, layer='stem').shape==(1,1,16,16)

def test_model_made_in_inference_mode():
    with torch.inference_mode(): model = Taken(lambda m,x: m.net(x))
    with pytest.raises(ValueError, match='inference tensors.*outside'): cam_maps(model, four(), target=1)

def test_input_by_keyword():
    "The model's own error, with what to do"
    class Keyword(Taken):
        def forward(self, *, pixel_values): return self.net(pixel_values)
    with pytest.raises(TypeError) as e: cam_maps(Keyword(None), four(), target=1)
    assert 'self.model(pixel_values=x)' in ' '.join(e.value.__notes__)

def test_model_of_one_tuple():
    x = four()
    class Two(fastuple):
        @classmethod
        def create(cls, i): return cls(tuple(TensorImage(x[j]) for j in i))
    block = DataBlock((TransformBlock(type_tfms=Two.create), CategoryBlock(vocab=['no','yes'])), get_y=lambda i:'yes', splitter=lambda o:([0],[0,1,2]))
    learn = Learner(block.dataloaders([[0,1],[1,2],[2,3]], bs=3, num_workers=0), Taken(lambda m,ab: m.fc(torch.cat([m.body(o).mean((2,3)) for o in ab], 1)), 32), loss_func=CrossEntropyLossFlat())
    with learn.no_bar(),learn.no_logging():
        assert learn.get_preds()[0].shape==(3,2)
        with pytest.raises(TypeError, match='one tuple, a Two of 2 tensors.*n_inp=2'): learn.cam()

def test_callback_that_cancels_validation():
    class Stop(Callback):
        def before_validate(self): raise CancelValidException
    dl = DataLoader([(o,0) for o in four()], bs=2)
    learn = Learner(DataLoaders(dl, dl), Taken(lambda m,x: m.net(x)), loss_func=CrossEntropyLossFlat(), cbs=Stop())
    with learn.no_bar(),learn.no_logging():
        with pytest.raises(ValueError, match='cancels validation.*removed_cbs'): learn.cam()
        with learn.removed_cbs(learn.cbs.filter(lambda o: isinstance(o, Stop))): assert learn.cam().maps.shape==(4,1,8,8)
