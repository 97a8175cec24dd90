"Localisation: against plain loops, TorchRay's rule for the pointing game, skimage's Otsu; on drawn pictures; and labels made from maps"
from fastcore.test import expect_fail
import pytest
from skimage.filters import threshold_otsu
from utils import *

files,masks = drawn_files(240)
def box_of(f):
    ys,xs = masks[f].nonzero()
    return [[int(o) for o in (xs.min(), ys.min(), xs.max()+1, ys.max()+1)]]

rng = torch.Generator().manual_seed(0)
maps = torch.randn(12, 6, 9, generator=rng)
boxes = [[[3,4,14,20]], [[0,0,36,24]], [[10,2,20,9],[22,12,35,24]]]*4
truths = [TensorBBox.create(b) for b in boxes]
size = (24,36)
def inside(bs): return np.array([[any(a<=x+.5<c and b<=y+.5<d for a,b,c,d in bs) for x in range(36)] for y in range(24)])

# ---- functions of maps
def test_pointing_game():
    "As a loop over the hottest cell and the distances to all pixels of the boxes"
    for tol in (.01, .05, .2):
        for m,t,bs,got in zip(maps, truths, boxes, pointing_game(maps, truths, size, tol=tol)):
            y,x = divmod(m.argmax().item(), 9)
            y,x = int((y+.5)*4),int((x+.5)*4)
            near = min(math.dist((y,x), p) for p in zip(*inside(bs).nonzero()))
            assert got==(near<=tol*36)

def test_pointing_game_of_ties():
    "The same value everywhere is right as often as a guess"
    m = torch.full((1,24,36), -.3)
    assert pointing_game(m, truths[0], size, tol=1e-9)==pytest.approx(inside(boxes[0]).mean())

def test_energy():
    big = F.interpolate(maps[:,None], size, mode='bilinear', align_corners=False)[:,0].relu().numpy()
    want = [m[inside(b)].sum()/m.sum() for m,b in zip(big, boxes)]
    assert np.allclose(energy_inside(maps, truths, size), want, atol=1e-5)

def iou(a, b): return (a&b).sum()/(a|b).sum()

def test_mask_iou():
    big = F.interpolate(maps[:,None], size, mode='bilinear', align_corners=False)[:,0].numpy()
    ts = [.1,.35,.8]
    want = [[iou(m>=t*m.max(), inside(b)) for t in ts] for m,b in zip(big, boxes)]
    got = mask_iou(maps, truths, size, thresh=ts)
    assert np.allclose(got, want, atol=1e-6)
    assert np.allclose(mask_iou(maps, truths, size, thresh=.35), got[:,1])

def test_box_iou():
    "As fastai's own boxes rasterised: the box of the map with the best of the truth's"
    cam = TensorCAM(maps)
    for o in ('largest','all'):
        want = [max(iou(inside([p]), inside([b])) for b in bs) for p,bs in zip(cam.bbox(.5, size, o).tolist(), boxes)]
        assert np.allclose(box_iou(maps, truths, size, thresh=.5, components=o), want, atol=1e-6)

@pytest.mark.parametrize('f', [pointing_game, energy_inside, mask_iou, box_iou])
def test_same_truth(f):
    "Boxes, labelled boxes, masks, pictures of masks and arrays say the same; nothing to find is NaN, and so is a map of NaN"
    want = f(maps[:2], truths[:2], size)
    forms = [LabeledBBox(truths[0], ['a']), TensorMask(tensor(inside(boxes[0])).long()), PILMask.create(inside(boxes[0]).astype(np.uint8)), inside(boxes[0])]
    for t in forms: assert torch.equal(f(maps[:1], [t], size), want[:1]) and torch.equal(f(maps[:1], t, size, 'a'), want[:1])
    big = TensorBBox.create(np.array(boxes[0])*2, img_size=(72,48))
    assert torch.equal(f(maps[:1], big, size), want[:1])
    assert f(maps[:1], forms[0], size, 'b').isnan().all() and f(maps[:1], np.zeros(size), size).isnan().all()
    assert f(maps[:2]*np.nan, truths[:2], size).isnan().all()

def test_codes():
    "Of a mask with codes, the class that is explained"
    m = TensorMask(tensor([[0,1,1],[0,2,2]]), codes=['sky','cat','dog'])
    assert object_mask(m, label='dog').tolist()==[[False]*3, [False,True,True]]
    assert object_mask(m).sum()==4 and object_mask(m, label='cow').sum()==0

def test_any_grid():
    "Signals and volumes, with masks"
    for shape in ((8,), (4,5,6)):
        m = torch.rand(2, *shape, generator=rng)
        t = torch.stack([o>=.5*o.max() for o in m]).long()
        assert (mask_iou(m, t, thresh=.5)==1).all() and (pointing_game(m, t)==1).all()
        big = tuple(2*s for s in shape)
        assert energy_inside(m, t, big).shape==(2,)

def test_wrong():
    with expect_fail(ValueError, 'n, *grid'): pointing_game(TensorCAM(torch.rand(2,3,4,5)), truths[0])
    with expect_fail(ValueError, '3 truths for 2 maps'): pointing_game(maps[:2], truths[:3], size)
    with expect_fail(TypeError, 'LabeledBBox(TensorBBox.create(boxes), labels)'): pointing_game(maps[:1], [([[1,2,3,4]], ['a'])], size)

# ---- what is hot
def test_otsu():
    "As skimage's, but for values in the bin of its threshold"
    for m in TensorCAM(maps):
        x = m.normalize().as_subclass(Tensor).numpy()
        t = threshold_otsu(x, nbins=4096)
        assert np.array_equal(m.mask('otsu').numpy()>0, x>t+1/4096) or np.array_equal(m.mask('otsu').numpy()>0, x>t)
    assert torch.equal(TensorCAM(maps).mask('otsu'), TensorMask(torch.stack([m.mask('otsu') for m in TensorCAM(maps)])))

def test_percentile():
    cam = TensorCAM(torch.arange(100.).reshape(1,10,10)-20)
    assert [cam.mask(f'p{q}').sum().item() for q in (0,50,90,100)]==[79,50,11,1]                  # what is not above zero speaks for nothing
    for bad in ('p101','p','90','Otsu',0,1.5,None,'-p5'):
        with expect_fail(ValueError, "'p90'"): cam.mask(bad)

def test_components():
    m = torch.zeros(2,6,8)
    m[:,1:3,1:4],m[0,4:,6:] = 1,1
    cam = TensorCAM(m)
    assert cam.mask(.5).sum((1,2)).tolist()==[10,6] and cam.mask(.5, components='largest').sum((1,2)).tolist()==[6,6]
    assert cam.bbox(.5).tolist()==[[1,1,4,3]]*2 and cam.bbox(.5, components='all').tolist()==[[1,1,8,6],[1,1,4,3]]
    assert TensorCAM(m*np.nan).mask().sum()==0
    with expect_fail(ValueError, "'largest'"): cam.bbox(components='small')

# ---- a learner
def test_drawn():
    "The maps of a trained model lie on the shape; a random map and the middle do not"
    t = trained_learner().cam_localize(truth=masks.get, methods=['cam','gradcam'])
    hit = t['pointing_game ↑','mean']
    assert hit['cam']>=.95 and hit['gradcam']>=.95 and hit['random']<.8 and hit['middle']<.5
    assert (t['n','']==60).all()

def rect_learner(size=48):
    "A learner that sees the middle of pictures of 40x64, resized; the pictures, masks and boxes"
    rng,d = np.random.default_rng(0),TemporaryDirectory()
    fs,ms = [],{}
    for i in range(6):
        f,a = Path(d.name)/f"{'ab'[i%2]}_{i}.png",rng.integers(0, 60, (40,64,3), dtype=np.uint8)
        m = np.zeros((40,64), bool)
        y,x = rng.integers(2, 20),rng.integers(14, 34)
        m[y:y+14,x:x+10] = True
        a[m] = 220
        Image.fromarray(a).save(f)
        fs.append(f); ms[f] = m
    dls = ImageDataLoaders.from_name_func('.', fs, lambda f: f[0], valid_pct=.5, seed=0, bs=2, num_workers=0, item_tfms=Resize(size), batch_tfms=Normalize.from_stats(*imagenet_stats))
    learn = Learner(dls, small_net(2), loss_func=CrossEntropyLossFlat())
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn,ms,d

def bright(o):
    "A map of the picture itself, coarser: it lies on the bright shape"
    return F.avg_pool2d(o.xb[0].mean(1, keepdim=True), 2)[:,0].sub(1).relu()

def test_original():
    "Truth on the originals, in any form, and boxes and masks in their pixels"
    learn,ms,d = rect_learner()
    bb = lambda f: TensorBBox.create([[*map(int, (x.min(), y.min(), x.max()+1, y.max()+1))] for y,x in [ms[f].nonzero()]])
    cams = learn.cam(method=bright)
    for truth in (lambda f: ms[f], lambda f: TensorMask(tensor(ms[f]).long()), bb, lambda f: LabeledBBox(bb(f), [f.name[0]])):
        df = cams.localize(truth, thresh=.5)
        ok = df.box_iou.notna()                                                                 # labels: only where the class is predicted right
        assert (df.box_iou[ok]>.8).all() and (df.mask_iou[ok]>.8).all() and (df.energy_inside[ok]>.85).all() and (df.pointing_game[ok]==1).all()
    middle = lambda f: TensorPoint.create([[float(o.mean()) for o in ms[f].nonzero()[::-1]]])
    assert (cams.localize(middle, tol=.25).pointing_game==1).all() and (cams.localize(lambda f: middle(f)+10, tol=.05).pointing_game==0).all()
    for f,m,b in zip(learn.dls.valid.items, cams.mask(.5, original=True), cams.bbox(.5, original=True)):
        assert m.shape==(1,40,64) and iou(m[0].numpy()>0, ms[f])>.8 and type(m) is TensorMask
        assert (b-bb(f)).abs().max()<=2 and type(b) is TensorBBox and tuple(b.img_size)==(64,40)
    for m,b in zip(cams.mask(.5), cams.bbox(.5)): assert m.shape==(1,48,48) and b.shape==(1,4)
    assert cams.localize(lambda f: None).pointing_game.isna().all()
    assert (cams.localize(cams.bbox(.5), original=False, thresh=.5).box_iou==1).all()

def test_list_of_truths():
    "A list goes with the items of the dataset, whatever is drawn of them"
    learn,ms,d = rect_learner()
    one,two = (learn.cam_localize(ds_idx=0, truth=t, methods=bright, max_n=2) for t in (ms.get, [ms[f] for f in learn.dls.train.items]))
    assert one.equals(two) and one.loc['bright',('pointing_game ↑','mean')]==1
    with expect_fail(ValueError, '2 truths for 3 items'): learn.cam_localize(truth=[1,2], methods='gradcam')
    with expect_fail(ValueError, 'no boxes, masks or points'): learn.cam_localize()

@pytest.mark.parametrize('kind', ['box','mask','point'])
def test_own_targets(kind):
    "Boxes, masks and points of the DataLoaders themselves"
    fs = files[:8]
    blocks,get_y = dict(box=((BBoxBlock,BBoxLblBlock), [box_of, lambda f: [kind_of(f)]]), mask=((MaskBlock(['bg','shape']),), lambda f: masks[f].astype(np.uint8)),
                        point=((PointBlock,), lambda f: [np.array(box_of(f)[0]).reshape(2,2).mean(0).tolist()]))[kind]
    db = DataBlock((ImageBlock,*blocks), n_inp=1, get_items=lambda _: fs, get_y=get_y, item_tfms=Resize(32), batch_tfms=Normalize.from_stats(*imagenet_stats), splitter=RandomSplitter(.5, seed=0))
    learn = Learner(db.dataloaders('.', bs=3, num_workers=0), small_net(), loss_func=lambda p,*y: p.mean())
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    truth = dict(box=lambda f: TensorBBox.create(box_of(f)), mask=lambda f: masks[f], point=lambda f: TensorPoint.create(get_y(f)))[kind]
    with_labels = learn.cam(target=lambda p: p[:,0])
    got = with_labels.localize()
    want = with_labels.localize(truth)
    assert len(got)==4 and np.allclose(got.pointing_game, want.pointing_game, atol=.01)
    if kind!='point': assert np.allclose(got.energy_inside, want.energy_inside, atol=.03)            # masks were resized by fastai: an edge pixel more or less
    else: assert got.energy_inside.isna().all()

def test_train_on_labels():
    "fastai reads the table as it would read boxes that people drew"
    learn = trained_learner()
    cams = learn.cam(learn.dls.valid.items[:12])
    df = cams.to_df(.4)
    assert df.columns.tolist()==['file','class','probability','x1','y1','x2','y2','score','actual','health'] and len(df)==12
    assert df.file.tolist()==[str(o) for o in learn.dls.valid.items[:12]] and np.allclose(df.probability, cams.preds.max(1).values)
    assert df.score.between(.3, 1).all()
    hit = box_iou(cams.maps[:,0], [TensorBBox.create(box_of(Path(f))) for f in df.file], (48,48), thresh=.4)
    assert hit.mean()>.5
    with TemporaryDirectory() as d:
        df.to_csv(Path(d)/'labels.csv', index=False)
        df = pd.read_csv(Path(d)/'labels.csv')
    db = DataBlock((ImageBlock, BBoxBlock, BBoxLblBlock), n_inp=1, get_x=ColReader('file'), get_y=[lambda r: [[r.x1,r.y1,r.x2,r.y2]], lambda r: [r['class']]], splitter=RandomSplitter(.5, seed=0))
    dls = db.dataloaders(df, bs=3, num_workers=0)
    x,b,y = dls.one_batch()
    assert x.shape==(3,3,48,48) and b.shape==(3,1,4) and b.abs().max()<=1 and set(dls.vocab)>set(df['class'])
    class Boxes(Module):
        def __init__(self): self.net = nn.Sequential(small_net()[0], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16,4))
        def forward(self, x): return self.net(x)
    det = Learner(dls, Boxes(), loss_func=lambda p,b,y: F.mse_loss(p, b.as_subclass(Tensor)[:,0]))
    with det.no_bar(), det.no_logging(): det.fit(1)

def test_saved(tmp_path):
    "Labels from maps in a folder"
    pytest.importorskip('pyarrow')
    learn,_,d = rect_learner()
    with learn.no_bar(): learn.export_cams(tmp_path/'cams', dtype='float32')
    pd.testing.assert_frame_equal(load_cams(tmp_path/'cams', learn).to_df(), learn.cam().to_df(), rtol=1e-5)

def test_blank_has_no_box():
    "Where nothing speaks for the class there is no box, and the health says why"
    learn,_,d = rect_learner()
    df = learn.cam(method=lambda o: -o.a.abs().sum(1)).to_df()
    assert df[['x1','y1','x2','y2','score']].isna().all(axis=None) and df.health.str.startswith('negative').all()

def test_frame():
    "Items of a DataFrame: the file is in the column that the DataLoaders read, the truth is a function of the row"
    learn,ms,d = rect_learner()
    df = pd.DataFrame([dict(name=f.name, kind=f.name[0], x1=x.min(), y1=y.min(), x2=x.max()+1, y2=y.max()+1) for f,m in ms.items() for y,x in [m.nonzero()]])
    dls = ImageDataLoaders.from_df(df, path=first(ms).parent, valid_pct=.5, seed=0, bs=2, num_workers=0, item_tfms=Resize(48), batch_tfms=Normalize.from_stats(*imagenet_stats))
    learn = Learner(dls, small_net(2), loss_func=CrossEntropyLossFlat())
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    cams = learn.cam(method=bright)
    assert cams.files==[first(ms).parent/o for o in dls.valid.items.name] and cams.to_df().file.tolist()==list(map(str, cams.files))
    assert (cams.localize(lambda r: TensorBBox.create([[r.x1,r.y1,r.x2,r.y2]]), thresh=.5).box_iou>.8).all()

def test_plain_batches():
    "Items that are known only as tensors: no file, their own originals"
    learn,_,d = rect_learner()
    x = learn.dls.valid.one_batch()[0]
    cams = learn.cam(dl=[(x,)], method=bright)
    assert cams.to_df().file.isna().all() and cams.mask(original=True)[0].shape==(1,48,48)

def test_no_trace():
    learn,ms,d = rect_learner()
    unsettle(learn.model)
    was = snapshot(learn)
    learn.cam_localize(truth=ms.get, methods='gradcam')
    assert changed(was, snapshot(learn))==[]
    def bad(f): raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): learn.cam_localize(truth=bad)
    assert changed(was, snapshot(learn))==[]

@pytest.mark.parametrize('kw', [dict(net=small_net, layer='input'), dict(net=flat_net)])
def test_of_the_input(kw):
    "At the input itself, asked for or where no layer keeps places: as the maps of each method"
    learn,fs = small_learner(kw.pop('net')()),files[:4]
    truth = lambda f: TensorMask(torch.as_tensor(masks[f]).long())
    tab = learn.cam_localize(fs, truth=truth, methods=['ig','occlusion'], **kw)
    assert list(tab.index)==['ig','occlusion','random','middle']
    for m in ('ig','occlusion'):
        assert tab['energy_inside ↑','mean'][m]==pytest.approx(learn.cam(fs, method=m).localize(truth).energy_inside.mean(), abs=1e-6)
