"Maps lie on what the model was given: whichever input that is, whatever a callback made of it, and whatever `decodes` would undo"
import pytest
from utils import *
from fastcam.apps.explore import Explorer
from scipy import ndimage
import matplotlib

colors = dict(blue=(0,0,255), green=(0,255,0), red=(255,0,0))
def color_of(f): return Path(f).stem.split('_')[1]

def patched(folder, n=6, size=(64,96), seed=0):
    "`n` dark pictures, each with one patch of one color, as files; and the (x,y) of its middle by file"
    rng,at = np.random.default_rng(seed),{}
    folder.mkdir(exist_ok=True)
    for i in range(n):
        c,(y,x) = list(colors)[i%3],(int(rng.uniform(10, o-10)) for o in size)
        a = rng.integers(40, 60, (*size,3), dtype=np.uint8)
        a[y-5:y+5,x-5:x+5] = colors[c]
        f = folder/f'{i}_{c}.png'
        Image.fromarray(a).save(f)
        at[f] = x,y
    return at

class ByColor(nn.Module):
    "Where is blue, green or red? A map for each; `order` are the channels of these, `mean` and `std` what pictures were normalized by"
    def __init__(self, order=(2,1,0), mean=0., std=1.):
        super().__init__()
        conv = nn.Conv2d(3, 3, 4, stride=4)
        conv.weight.data.fill_(-1/16)
        for o,c in enumerate(order): conv.weight.data[o,c] = 1/16
        conv.bias.data = conv.weight.data.sum((1,2,3))*mean
        conv.weight.data *= std
        self.body = nn.Sequential(conv, nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3, bias=False))
        self.head[2].weight.data = torch.eye(3)*200
    def forward(self, x): return self.head(self.body(x))

def learner(dls, model, loss=None, cbs=None):
    res = Learner(dls, model, loss_func=loss or CrossEntropyLossFlat(), cbs=cbs)
    res.remove_cbs(res.cbs.filter(lambda o: o.name=='progress'))
    return res

def middle(b): return ((b[0]+b[2])/2).item(),((b[1]+b[3])/2).item()
def close(p, q, tol=4): return all(abs(a-b)<=tol for a,b in zip(p, q))

# ---- the input that the layer reads
class Second(nn.Module):
    "What the second input shows decides, and the first hardly counts"
    def __init__(self, first):
        super().__init__()
        self.a,self.b = first,ByColor()
    def forward(self, x, y): return self.a(x)*.01+self.b(y)

def as_tensor(n): return lambda f: TensorImage(tensor(np.array(Image.open(f).convert('RGB').resize((n,n)))).permute(2,0,1))

def of_two(tmp_path, *blocks, first=None, read='f1', **kw):
    "A learner of two inputs, where the patch lies in the files of the second, and the DataFrame"
    fa,fb = patched(tmp_path/'a'),patched(tmp_path/'b', size=(128,192), seed=5)
    df = pd.DataFrame(dict(f1=[str(f) for f in fa], f2=[str(f) for f in fb], y=[color_of(f) for f in fb], v=[i>2 for i in range(6)]))
    dls = DataBlock((*blocks, CategoryBlock), n_inp=2, getters=[ColReader(read), ColReader('f2'), ColReader('y')], splitter=ColSplitter('v'), **kw).dataloaders(df, bs=2, num_workers=0)
    return learner(dls, Second(ByColor() if first is None else first)),fb

class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 3)
    def forward(self, x): return self.fc(x)

def numbers(o): return tensor([float(len(str(o))), 1.])

@pytest.mark.parametrize('first', ['picture','numbers'])
def test_a_later_input(tmp_path, first):
    "Files, boxes, masks, scores and what is saved are of the input that the maps lie on"
    block,model,read = (ImageBlock,None,'f1') if first=='picture' else (TransformBlock(type_tfms=numbers),Counted(),'y')
    learn,at = of_two(tmp_path, block, ImageBlock, first=model, read=read, item_tfms=Resize(64, method='squish'))
    valid = list(at)[3:]
    cams = learn.cam(layer='b.body')
    assert cams.reads.source==1 and cams.files==valid
    df = cams.to_df(.5)
    assert df.file.tolist()==[str(f) for f in valid] and (df.score>.5).all()
    for f,r,b,m in zip(valid, df.itertuples(), cams.bbox(.5, original=True), cams.mask(.5, original=True)):
        assert close(((r.x1+r.x2)/2, (r.y1+r.y2)/2), at[f], 6) and close(middle(b[0]), at[f], 6)
        assert m.shape==(1,128,192) and close(ndimage.center_of_mass(m[0].as_subclass(Tensor).numpy())[::-1], at[f], 6)
    def truth(row):
        x,y = at[Path(row.f2)]
        return TensorBBox([[x-9., y-9., x+9., y+9.]])               # a cell is 12 pixels wide
    assert learn.cam_localize(truth=truth, layer='b.body', methods=['gradcam']).loc['gradcam',('pointing_game ↑','mean')]==1
    assert learn.cam_summary(truth=truth, layer='b.body').items.outside.max()<.5

@pytest.mark.parametrize('first', ['picture','numbers'])
def test_a_later_input_saved(tmp_path, first):
    "What is saved is drawn on the file that the maps lie on, with the learner, too"
    block,model,read = (ImageBlock,None,'f1') if first=='picture' else (TransformBlock(type_tfms=numbers),Counted(),'y')
    learn,at = of_two(tmp_path, block, ImageBlock, first=model, read=read, item_tfms=Resize(64, method='squish'))
    learn.export_cams(tmp_path/'maps', layer='b.body')
    for cams in load_cams(tmp_path/'maps'),load_cams(tmp_path/'maps', learn):
        assert cams.files==list(at)[3:]
        for f,pic,o,b in zip(cams.files, cams.pictures(), cams.originals(), cams.bbox(.5)):
            x,y = np.array(at[f])*64/(192,128)
            shown = np.array(pic)[int(y),int(x)]
            assert shown.argmax()==np.argmax(colors[color_of(f)]) and shown.max()>200 and o.size==(192,128)
            assert close(middle(b[0]), (x,y))
        cams.show(max_n=2)
        plt.close('all')
    with pytest.raises(ValueError, match='several inputs'): load_cams(tmp_path/'maps', learn).inputs

def test_a_later_input_of_another_size(tmp_path):
    "Boxes and masks are in pixels of the second picture, which is twice as large as the first"
    block = lambda n: TransformBlock(type_tfms=as_tensor(n), batch_tfms=IntToFloatTensor)
    learn,at = of_two(tmp_path, block(64), block(128))
    learn.model.b.body[0].bias.data += .5                            # in plain gray all cells would be dead
    cams = learn.cam(layer='b.body')
    for f,b,m,r in zip(list(at)[3:], cams.bbox(.5), cams.mask(.5), cams.to_df(.5, original=False).itertuples()):
        x,y = np.array(at[f])*128/(192,128)
        assert m.shape==(1,128,128) and close(middle(b[0]), (x,y), 6) and close(((r.x1+r.x2)/2,(r.y1+r.y2)/2), (x,y), 6)

def test_the_path_that_is_opened(tmp_path):
    "The file is the one at the end of what a getter makes of an item, be that a row or a tuple"
    at = patched(tmp_path/'a')
    df = pd.DataFrame(dict(name=[f.name for f in at], v=[i>2 for i in range(6)]))
    kw = dict(splitter=IndexSplitter([3,4,5]), item_tfms=Resize(64, method='squish'))
    named = DataBlock((ImageBlock,CategoryBlock), get_x=Pipeline([ColReader('name'), lambda o: tmp_path/'a'/o]), get_y=Pipeline([ColReader('name'), color_of]), **kw)
    tuples = DataBlock((ImageBlock,CategoryBlock), get_x=ItemGetter(0), get_y=ItemGetter(1), **kw)
    for block,items in (named,df),(tuples,[(f, color_of(f)) for f in at]):
        learn = learner(block.dataloaders(items, bs=3, num_workers=0), ByColor())
        assert learn.cam().files==list(at)[3:]

# ---- what callbacks make of it
class Normed(Callback):
    "As some do on the GPU: the model knows only what this makes"
    def __init__(self, dtype=None): self.dtype,self.n = dtype,0
    def before_batch(self):
        self.n += 1
        x = (self.x[:,[1,2,0]]-.5)/.25
        self.learn.xb = (x if self.dtype is None else x.to(self.dtype),)

class NormedBefore(Transform):
    "The same in the loader"
    order = 99
    def encodes(self, x:TensorImage): return (x[:,[1,2,0]]-.5)/.25

def normed(tmp_path, cbs=None, n=9, bs=2, **kw):
    "A learner whose model takes what `Normed` makes"
    files = list(patched(tmp_path/'a', n))
    dls = ImageDataLoaders.from_path_func(tmp_path, files, color_of, valid_pct=.6, seed=0, item_tfms=Resize(64, method='squish'), bs=bs, num_workers=0, **kw)
    return learner(dls, ByColor((1,0,2), .5, .25), cbs=cbs)

def test_inputs_after_callbacks(tmp_path):
    "`inputs` are what the model was given, as by the same in a transform of the loader; what is drawn is the photo"
    a,b = normed(tmp_path, Normed()),normed(tmp_path, batch_tfms=NormedBefore())
    one,two = a.cam(),b.cam()
    for k in slice(None),slice(1,4),[4,0,3]:
        torch.testing.assert_close(one[k].inputs.as_subclass(Tensor), two[k].inputs.as_subclass(Tensor))
        torch.testing.assert_close(a.model(one[k].inputs).softmax(1).as_subclass(Tensor), one[k].preds.as_subclass(Tensor))
    torch.testing.assert_close(cam_maps(a.model, one.inputs), one.maps)
    files = [Image.open(f).convert('RGB').resize((64,64)) for f in one.files]
    for pic,f in zip(one.pictures(), files): assert (pic.as_subclass(Tensor).permute(1,2,0).float()-tensor(np.array(f))).abs().mean()<2
    kw = dict(max_n=3, methods=['gradcam'])
    pd.testing.assert_frame_equal(a.cam_metrics(**kw).drop(columns=['cost'], level=0, errors='ignore').filter(regex='auc|drop|road'), b.cam_metrics(**kw).filter(regex='auc|drop|road'))

def test_inputs_of_batches_after_callbacks(tmp_path):
    "Of batches that cannot be read again, too"
    learn = normed(tmp_path, Normed())
    x = torch.rand(5, 3, 64, 64)
    for order in -5,5:                                              # before and after fastai gathers the inputs
        learn.normed.order = order
        cams = learn.cam(dl=[(TensorImage(o),) for o in x.split(2)])
        torch.testing.assert_close(cams.inputs.as_subclass(Tensor), (x[:,[1,2,0]]-.5)/.25)
        assert torch.equal(torch.stack([o.as_subclass(Tensor) for o in cams.xb[0]]), x)
        torch.testing.assert_close(cam_maps(learn.model, cams[1:3].inputs), cams[1:3].maps)

class Autocast(Callback):
    "As fastai's `MixedPrecision` does it on a GPU"
    order = 10
    def before_batch(self):
        self.autocast = torch.autocast('cpu', torch.bfloat16)
        self.autocast.__enter__()
    def after_pred(self): self.learn.pred = self.pred.float()
    def after_loss(self): self.autocast.__exit__(None, None, None)

@pytest.mark.parametrize('half', [False,True], ids=['under autocast','half model'])
def test_inputs_in_half(tmp_path, half):
    "What a callback gives in bfloat16 has the precision of the model, which may run under fastai's autocast in the loop only"
    learn = normed(tmp_path, Normed(torch.bfloat16))
    if half: learn.model.bfloat16()
    else: learn.add_cb(Autocast())
    cams = learn.cam()
    assert cams.inputs.dtype==(torch.bfloat16 if half else torch.float32)
    want = (torch.cat([b[0] for b in learn.dls.valid]).as_subclass(Tensor)[:,[1,2,0]]-.5)/.25
    assert torch.equal(cams.inputs.as_subclass(Tensor).float(), want.bfloat16().float())
    assert learn.model(cams.inputs).argmax(1).tolist()==cams.preds.argmax(1).tolist()
    film = CAMFilm(max_n=3)
    learn.remove_cb(Recorder)
    learn.fit(1, 0., cbs=film)
    assert film.frames[0].predicted==cams.predicted[:3]

def test_too_many_inputs_after_callbacks(tmp_path, monkeypatch):
    "Of more than can be kept the error says what to do; all else is as ever"
    import fastcam.learner.callback as its
    monkeypatch.setattr(its, '_most_changed', 3*64*64*4*3)
    learn = normed(tmp_path, Normed())
    cams = learn.cam()
    with pytest.raises(ValueError, match='explain fewer items'): cams[:1].inputs
    assert len(cams.pictures())==len(cams) and not any(cams._changes.given.values())
    assert learn.cam(max_n=2).inputs.shape==(2,3,64,64)

def test_film_after_callbacks(tmp_path):
    "A film is made of what the callbacks give the model, and neither these nor the fit know of it"
    files = list(patched(tmp_path/'a', 3))
    def trained(cbs):
        set_seed(1)
        learn = normed(tmp_path, Normed())
        learn.fit(2, 1e-3, cbs=cbs)
        return learn.normed.n,[bits(p) for p in learn.model.parameters()],learn
    n,weights,learn = trained(None)
    film = CAMFilm(files, every=1)
    n2,weights2,learn2 = trained(film)
    assert (n,weights)==(n2,weights2)
    assert film.frames[0].predicted==L(map(color_of, files))
    last,cams = film.frames[-1],learn2.cam(files)
    torch.testing.assert_close(last.maps, cams.maps)
    torch.testing.assert_close(last.inputs.as_subclass(Tensor), cams.inputs.as_subclass(Tensor))
    assert all(o._changes is film.changes for o in film.frames)
    film.show()
    plt.close('all')

class Fewer(Callback):
    def before_batch(self): self.learn.xb = (self.x[:1],)
class Mirrors(Callback):
    def before_batch(self): self.learn.xb = (self.x.flip(-1),)

@pytest.mark.parametrize('cb,says', [(Fewer,'Fewer makes 1 rows of a batch'), (Mirrors,'Mirrors puts what is in a batch into other places')])
def test_film_refused(tmp_path, cb, says):
    learn = normed(tmp_path, [Normed()])
    with pytest.raises(ValueError, match=says): learn.fit(1, 0., cbs=[cb(),CAMFilm(max_n=3)])

class Colored(Callback):
    "Makes colors of gray"
    def before_batch(self): self.learn.xb = (self.x.repeat(1,3,1,1),)

def test_channels_that_a_callback_makes():
    "A model that takes three channels of what the loader gives with one: what looks at the first item before a long run asks the callback, too"
    learn = learner(drawn_dls(tfms=None), small_net(), cbs=Colored())
    for dl in learn.dls.loaders: dl.after_batch.add(_Gray())
    assert len(learn.cam_layers())
    assert learn.cam_metrics(max_n=2, methods=['gradcam']) is not None
    film = CAMFilm(max_n=2)
    learn.fit(1, 0., cbs=film)
    torch.testing.assert_close(film.frames[-1].maps, learn.cam(max_n=2).maps)

class _Gray(Transform):
    order = 99
    def encodes(self, x:TensorImage): return x[:,:1]

# ---- what is wrong
class WithValue(nn.Module):
    "A class, and a number beside it"
    def __init__(self):
        super().__init__()
        self.net,self.fc = ByColor(),nn.Linear(3, 1)
    def forward(self, x):
        z = self.net(x)
        return z,self.fc(z)

def test_wrong_beside_values(tmp_path):
    "Titles are red where the class is wrong, as `where(error=True)` has it, whatever the numbers beside it: here, saved, and in the page's numbers"
    at = patched(tmp_path/'a', 9)
    label = lambda f: 'red' if f.name.startswith('4') else color_of(f)                       # one is labeled wrongly
    block = DataBlock((ImageBlock,CategoryBlock,RegressionBlock), get_y=[label, lambda f: float(at[f][0])], n_inp=1, splitter=IndexSplitter(range(3, 9)), item_tfms=Resize(64, method='squish'))
    loss = lambda p,a,b: F.cross_entropy(p[0], a)+F.mse_loss(p[1][:,0], b)
    learn = learner(block.dataloaders(list(at), bs=3, num_workers=0), WithValue(), loss)
    learn.export_cams(tmp_path/'maps', target='blue')
    cams,saved = learn.cam(target='blue'),load_cams(tmp_path/'maps')
    want = [label(f)!=color_of(f) for f in cams.files]
    assert want==[False,True,False,False,False,False]
    for c in cams,saved:
        assert all(', ' in o for o in c.actuals)
        red = [matplotlib.colors.to_hex(a.title.get_color())!='#000000' for a in c.show(max_n=None)[:6]]
        assert red==want and c.where(error=True).files==cams.files[1:2] and len(c.where(error=False))==5
        plt.close('all')
    assert [o['wrong'] for o in Explorer(learn).film()]==want

# ---- what `decodes` would undo
class PadsLeft(Transform):
    order = 6                                                        # of an item after it is a tensor
    def encodes(self, x:TensorImage): return F.pad(x, (16,0,0,0))
    def decodes(self, x:TensorImage): return x[...,16:]
class Flips(Transform):
    order = 6
    def encodes(self, x:TensorImage): return x.flip(-1)
    def decodes(self, x:TensorImage): return x.flip(-1)
class Turns(Transform):
    order = 6
    def encodes(self, x:TensorImage): return x.transpose(-1, -2)
    def decodes(self, x:TensorImage): return x.transpose(-1, -2)
class FlipsWhole(ItemTransform):
    order = 6
    def encodes(self, o): return (o[0].flip(-1), *o[1:])
    def decodes(self, o): return (o[0].flip(-1), *o[1:])
class Rows(Flips):
    "Its own `decode`, in place of `decodes`"
    decodes = None
    def decode(self, x, **kwargs): return tuple(o.flip(-1) if isinstance(o, TensorImage) else o for o in x) if isinstance(x, tuple) else x.flip(-1) if isinstance(x, TensorImage) else x
class Scales(Transform):
    "What does not move is decoded: colors are those of the file"
    order = 99
    def encodes(self, x:TensorImage): return (x-.5)*2
    def decodes(self, x:TensorImage): return x/2+.5

def halves(files, **kw):
    "The second half of the files as validation set"
    n = len(files)
    return DataBlock((ImageBlock,CategoryBlock), get_y=color_of, splitter=IndexSplitter(range(n//2, n)), **kw).dataloaders(files, bs=2, num_workers=0)

def shown_at(pic, c):
    "The middle (x,y) of what has the color `c` in the picture"
    a = np.array(pic.convert('RGB')) if isinstance(pic, Image.Image) else pic.as_subclass(Tensor).permute(1,2,0).numpy()
    a = a*255 if a.max()<=1 else a
    y,x = np.nonzero(np.abs(a-np.array(colors[c])).max(-1)<60)
    assert len(x)
    return x.mean()+.5,y.mean()+.5

@pytest.mark.parametrize('T', [PadsLeft,Flips,Turns,FlipsWhole,Rows])
@pytest.mark.parametrize('kind', ['batch_tfms','item_tfms'])
def test_picture_under_the_map(tmp_path, T, kind):
    "The picture that is drawn is the one on which the map lies, in the colors of the file, whatever a transform undoes in `decodes`"
    files = list(patched(tmp_path/'a', size=(64,64)))
    if T is Rows: T.decodes = Flips.decodes
    kw = dict(batch_tfms=Scales()) if kind=='item_tfms' else {}
    kw[kind] = [T()] if kind=='item_tfms' else [T(),Scales()]
    dls = halves(files, **kw)
    learn = learner(dls, ByColor(mean=.5, std=.5))
    for cams in learn.cam(),learn.cam(dl=[(b[0],) for b in dls.valid] if kind=='batch_tfms' else dls.valid):
        for pic,b,c,x in zip(cams.pictures(), cams.bbox(.5), cams.predicted, cams.inputs):
            assert tuple(pic.shape[-2:])==tuple(x.shape[-2:]) and close(middle(b[0]), shown_at(pic, c), 3)
    for f,o in zip(learn.cam().files, learn.cam().bbox(.5, original=True)): assert close(middle(o[0]), shown_at(Image.open(f), color_of(f)), 3)

def test_what_does_not_move_is_decoded(tmp_path):
    "As fastai decodes it, and only what a user's transform decodes is asked"
    files = list(patched(tmp_path/'a', size=(64,64)))
    asked = []
    class Asked(Scales):
        def decodes(self, x:TensorImage):
            asked.append(x.shape)
            return x/2+.5
    for tfms in [Asked()],[Normalize.from_stats(*imagenet_stats)]:
        asked.clear()
        dls = halves(files, batch_tfms=tfms)
        learn = learner(dls, ByColor())
        cams,want = learn.cam(),[o[0] for b in dls.valid for o in dls.valid.decode_batch(b, full=False)]
        n = len(asked)
        for a,b in zip(cams.pictures(), want): assert torch.equal(a.as_subclass(Tensor), b.as_subclass(Tensor))
        if n: assert len(asked)>n+2
        m = len(asked)
        cams.pictures()
        assert len(asked)-m in (0,2)                                # a batch each: what moves is asked once

def test_truth_of_what_is_shown(tmp_path):
    "Masks that are the items' own targets lie on the picture that is shown"
    at = patched(tmp_path/'a', size=(64,64))
    class FlipsBoth(Flips):
        def encodes(self, x:TensorMask): return x.flip(-1)
        def decodes(self, x:TensorMask): return x.flip(-1)
    def mask(f):
        a = np.zeros((64,64), dtype=np.uint8)
        a[at[f][1]-5:at[f][1]+5,at[f][0]-5:at[f][0]+5] = 1
        return a
    block = DataBlock((ImageBlock,MaskBlock(codes=['back','patch'])), get_y=mask, splitter=IndexSplitter(range(3, 6)), batch_tfms=FlipsBoth())
    learn = learner(block.dataloaders(list(at), bs=3, num_workers=0), ByColor(), lambda p,y: p.sum())
    df = learn.cam(target=Fn(lambda p: p.max(1).values)).localize()
    assert df.pointing_game.tolist()==[1,1,1] and (df.mask_iou>.6).all()

# ---- what is said of it
class Points(nn.Module):
    def __init__(self, n=1):
        super().__init__()
        self.net,self.fc = ByColor(),nn.Linear(3, 2*n)
    def forward(self, x): return self.fc(self.net(x))

@pytest.mark.parametrize('n', [1,5])
def test_true_points(tmp_path, n):
    "Points are known as true values, as fastai gives them; of many the title says the first"
    at = patched(tmp_path/'a', size=(64,64))
    block = DataBlock((ImageBlock,PointBlock), get_y=lambda f: TensorPoint.create([list(at[f])]*n), splitter=IndexSplitter(range(3, 6)))
    learn = learner(block.dataloaders(list(at), bs=2, num_workers=0), Points(n), MSELossFlat())
    cams = learn.cam()
    want = learn.get_preds()[1].as_subclass(Tensor)
    assert torch.equal(cams.targs.as_subclass(Tensor), want)
    assert cams.actuals==L(', '.join(f'{o:.2f}' for o in t.flatten().tolist()) for t in want)
    x,y = at[cams.files[1]]
    assert cams[1].actual.startswith(f'{x/32-1:.2f}, {y/32-1:.2f}') and not any(map(cams._is_wrong, range_of(cams)))
    title = cams.show(max_n=1)[0].get_title()
    assert (cams.actuals[0] if n==1 else ', '.join(cams.actuals[0].split(', ')[:6])+', ...')==title.replace('\n', ' ').split('actual: ')[1]
    film = CAMFilm(max_n=2)
    learn.fit(1, 0., cbs=film)
    assert film.frames[0].actuals==cams.actuals[:2]
    plt.close('all')

class Paints(nn.Module):
    "A class for each place: nothing, blue, green or red"
    def __init__(self):
        super().__init__()
        self.body,self.up = ByColor().body,nn.Upsample(scale_factor=4)
    def forward(self, x):
        x = self.up(self.body(x))
        return torch.cat([x[:,:1]*0+.1, x], 1)*9

def test_concepts_of_a_segmentation(tmp_path):
    "A concept is called what the head makes of it at most places"
    at = patched(tmp_path/'a', 9, size=(64,64))
    def mask(f):
        a = np.zeros((64,64), dtype=np.uint8)
        a[at[f][1]-5:at[f][1]+5,at[f][0]-5:at[f][0]+5] = 1+list(colors).index(color_of(f))
        return a
    block = DataBlock((ImageBlock,MaskBlock(codes=['nothing',*colors])), get_y=mask, splitter=IndexSplitter(range(6)))
    learn = learner(block.dataloaders(list(at), bs=3, num_workers=0), Paints(), CrossEntropyLossFlat(axis=1))
    found = learn.concepts(k=3)
    assert set(found.labels)==set(colors) and found.probs.min()>.5
    found.show(max_n=2)
    plt.close('all')

def test_saved_of_files_that_only_the_learner_opens(tmp_path):
    "Drawn with the learner; without it the error says what to give"
    class OfArray(PILImage):
        @classmethod
        def create(cls, f, **kwargs): return cls(Image.fromarray(np.load(f))) if str(f).endswith('.npy') else super().create(f, **kwargs)
    files = []
    for f in patched(tmp_path/'a', size=(64,64)):
        files.append(f.with_suffix('.npy'))
        np.save(files[-1], np.array(Image.open(f)))
    block = DataBlock((ImageBlock(OfArray),CategoryBlock), get_y=color_of, splitter=IndexSplitter(range(3, 6)))
    learn = learner(block.dataloaders(files, bs=2, num_workers=0), ByColor())
    learn.export_cams(tmp_path/'maps')
    cams,again = load_cams(tmp_path/'maps'),load_cams(tmp_path/'maps', learn)
    for f in cams.show,partial(cams.show, original=True),cams.originals:
        with pytest.raises(ValueError, match=r'\.npy.*PIL.*load_cams\(path, learn\)'): f()
    for o in False,True: again.show(original=o)
    for pic,f,b in zip(again.pictures(), files[3:], again.bbox(.5)): assert close(middle(b[0]), shown_at(pic, color_of(f)), 3)
    plt.close('all')

def test_tables_without_boxes():
    "Signals and volumes have their rows, without boxes"
    for x,nd in (torch.rand(4,3,40),1),(torch.rand(4,3,8,12,12),3):
        conv = (nn.Conv1d if nd==1 else nn.Conv3d)(3, 4, 3, padding=1)
        pool = (nn.AdaptiveAvgPool1d if nd==1 else nn.AdaptiveAvgPool3d)(1)
        data = list(zip(x, tensor([0,1,0,1])))
        learn = learner(DataLoaders.from_dsets(data, data, bs=2, num_workers=0), nn.Sequential(nn.Sequential(conv, nn.ReLU()), nn.Sequential(pool, nn.Flatten(), nn.Linear(4, 2))))
        cams = learn.cam(target=[0,1])
        df = cams.to_df()
        assert list(df)==['file','class','probability','actual','health'] and len(df)==8 and df.actual.tolist()==[o for o in '0101' for _ in range(2)]
        np.testing.assert_allclose(df.probability, cams.preds.flatten(), rtol=1e-6)

def test_tables_of_texts():
    "Texts have their words, no file"
    from fastai.text.all import TextDataLoaders
    df = pd.DataFrame(dict(text=['good film really great','bad film really awful']*8, label=['pos','neg']*8))
    dls = TextDataLoaders.from_df(df, text_col='text', label_col='label', valid_pct=.25, bs=4, num_workers=0, seed=0)
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(len(dls.vocab[0]), 2)
        def forward(self, x): return self.emb(x).sum(1)
    learn = learner(dls, Words())
    cams = learn.cam(['good film','bad film'])
    out = cams.to_df()
    assert list(out)==['text','class','probability','actual','health'] and [o.split()[-2:] for o in out.text]==[['good','film'],['bad','film']]
    assert out['class'].tolist()==cams.labels.concat() and cams.files==[None,None]
