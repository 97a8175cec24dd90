"`size=`: explained at another size, from the photo's own pixels where the transforms allow that, with positions interpolated where a model has learned some; nothing is left behind"
import pytest
from fastcore.test import expect_fail, test_close as close, test_eq as equal
from utils import *
from fastcam.engine.size import *

def big_files(n=8, size=96):
    "Drawn pictures of `size` pixels, in memory"
    rng = random.Random(3)
    return [PILImage.create(np.array(draw(kinds[i%3], rng, size)[0])) for i in range(n)]

def pic_learner(item_tfms=None, batch_tfms=Normalize.from_stats(*imagenet_stats), net=None):
    pics = big_files()
    db = DataBlock((ImageBlock,CategoryBlock(kinds)), get_y=lambda o: 'level', splitter=lambda o: (range_of(o), range_of(o)), item_tfms=item_tfms, batch_tfms=batch_tfms)
    learn = Learner(db.dataloaders(pics, bs=3, num_workers=0), small_net() if net is None else net, loss_func=CrossEntropyLossFlat())
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn

def test_own_pixels():
    "A larger `Resize` gives what a learner with that `Resize` gives"
    got,want = pic_learner(Resize(48)).cam(size=96),pic_learner(Resize(96)).cam()
    close(got.maps, want.maps, eps=1e-6)
    close(got.inputs, want.inputs, eps=1e-6)
    assert got.views[0].size==(96,96) and got.maps.grid==(24,24)

def test_interpolated():
    "A transform of one's own decides about the size: what it gives is interpolated"
    class Mine(Transform):
        def encodes(self, x:PILImage): return x.resize((40,56))
    learn = pic_learner(Mine())
    cams,plain = learn.cam(size=80),learn.cam()
    close(cams.inputs, F.interpolate(plain.inputs, (112,80), mode='bilinear'), eps=1e-5)
    assert list(learn.cam_layers(size=80).grid)==list(layers_table(learn.model, cams.inputs[:1]).grid)!=list(learn.cam_layers().grid)
    close(cams.maps, cam_maps(learn.model, plain.inputs, size=80), eps=1e-5)
    close(cams.views[0].points([[0,0],[80,112]]), plain.views[0].points([[0,0],[40,56]]), eps=.6)

@pytest.mark.parametrize('tfms', [dict(item_tfms=Resize(48, 'squish')), dict(item_tfms=Resize((40,56), 'pad', pad_mode='zeros')), dict(item_tfms=[Resize(64), CropPad(48)]),
                                  dict(item_tfms=Resize(64), batch_tfms=[RandomResizedCropGPU(48, valid_scale=.75), Normalize.from_stats(*imagenet_stats)]), dict(item_tfms=RandomResizedCrop(48)),
                                  dict(item_tfms=CropPad(48)), dict(item_tfms=Resize(64), batch_tfms=aug_transforms(size=48))])
def test_same_view(tfms):
    "Whatever the transforms, it is the same part of the picture"
    learn = pic_learner(**tfms)
    (h,w),views = learn.cam(max_n=2).inputs.shape[2:],learn.cam(max_n=2).views
    cams = learn.cam(max_n=2, size=(2*h,2*w))
    assert cams.inputs.shape[2:]==(2*h,2*w)
    for was,now in zip(views, cams.views): close(now.points([[0,0],[2*w,2*h]]), was.points([[0,0],[w,h]]), eps=3)

def test_batches():
    "Batches of tensors are interpolated, and kept as they were explained"
    learn = pic_learner(Resize(48))
    x = learn.cam().inputs
    for dl in ([(x[:5],), (x[5:],)], torch.utils.data.DataLoader(x, batch_size=3)):
        cams = learn.cam(dl=dl, size=72)
        close(cams.maps, cam_maps(learn.model, x, size=72), eps=1e-5)
        equal(cams.inputs.shape, (8,3,72,72))

def test_same_size_changes_nothing():
    learn = pic_learner(Resize(48))
    equal(learn.cam(size=48).maps, learn.cam().maps)
    equal(learn.cam(size=(48,48)).inputs, learn.cam().inputs)

def test_layers_targets_methods():
    "With layers by name, index and module, several targets and a smoother"
    learn = pic_learner(Resize(48))
    x = pic_learner(Resize(96)).cam().inputs
    for layer in (-2, '0.1', learn.model[0][1], ['0.0', '0.3']):
        close(learn.cam(size=96, layer=layer, target=[0,2]).maps, cam_maps(learn.model, x, [0,2], layer=layer), eps=1e-5)
    close(learn.cam(size=96, smooth='tta').maps, cam_maps(learn.model, x, smooth='tta'), eps=1e-5)

def test_export(tmp_path):
    pytest.importorskip('pyarrow')
    files = drawn_files()[0][:6]
    dls = drawn_dls(item_tfms=Resize(24))
    learn = Learner(dls, small_net(), loss_func=CrossEntropyLossFlat())
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    learn.export_cams(tmp_path/'a', files, size=48, dtype='float32')
    saved,want = load_cams(tmp_path/'a', learn),learn.cam(files, size=48)
    close(saved.maps, want.maps, eps=1e-6)
    close(saved.inputs, want.inputs, eps=1e-6)
    equal([v.size for v in load_cams(tmp_path/'a').views], [(48,48)]*6)
    with expect_fail(ValueError, '- size: 48, now 36'): learn.export_cams(tmp_path/'a', files, size=36, dtype='float32')

# ---- positions
class Patches(nn.Module):
    "A small transformer with learned positions, as people write them; some keep them with a class token, some as a picture"
    def __init__(self, as_picture=False, token=True):
        super().__init__()
        torch.manual_seed(0)
        self.patch,self.token = nn.Conv2d(3,16,8,8),nn.Parameter(torch.randn(1,1,16)) if token else None
        self.pos_embed = nn.Parameter(torch.randn(1,16,6,6) if as_picture else torch.randn(1,36+token,16))
        self.block,self.head = nn.TransformerEncoderLayer(16,2,32,batch_first=True),nn.Linear(16,3)
    def forward(self, x):
        x = self.patch(x)
        if self.pos_embed.ndim==4: x = x+self.pos_embed
        x = x.flatten(2).transpose(1,2)
        if self.token is not None: x = torch.cat([self.token.expand(len(x),-1,-1), x], 1)
        return self.head(self.block(x if self.pos_embed.ndim==4 else x+self.pos_embed).mean(1))

@pytest.mark.parametrize('as_picture,token', [(True,False), (False,False), (False,True)])
def test_positions(as_picture, token):
    "The map is that of a model whose positions were interpolated by hand"
    model,x = Patches(as_picture, token),torch.randn(2,3,48,48)
    hand = Patches(as_picture, token)
    p = model.pos_embed.data if as_picture else model.pos_embed.data[:,int(token):].transpose(1,2).unflatten(2, (6,6))
    p = F.interpolate(p, (12,12), mode='bilinear')
    hand.pos_embed.data = p if as_picture else torch.cat([model.pos_embed.data[:,:int(token)], p.flatten(2).transpose(1,2)], 1)
    unsettle(model)
    was = snapshot(model)
    got = cam_maps(model, x, 1, size=96)
    assert not changed(was, snapshot(model))
    close(got, cam_maps(hand, F.interpolate(x, (96,96), mode='bilinear'), 1), eps=1e-5)

def test_learner_of_positions():
    "A learner is as it was, and a module given as `layer` is found in the copy"
    learn = pic_learner(Resize(48), net=Patches())
    was = snapshot(learn)
    cams = learn.cam(size=96, layer=learn.model.block)
    assert not changed(was, snapshot(learn))
    equal(cams.maps.grid, (12,12))
    other = model_at(learn.model, (torch.randn(1,3,48,48),), (cams.inputs,))
    close(cams.maps, cam_maps(other, cams.inputs, layer='block'), eps=1e-5)

def test_timm_transformer():
    timm = pytest.importorskip('timm')
    model = timm.create_model('vit_tiny_patch16_224', depth=2, img_size=64).eval()
    x = torch.randn(1,3,64,64)
    was = snapshot(model)
    got = cam_maps(model, x, 5, size=96)
    assert not changed(was, snapshot(model))
    model.set_input_size(img_size=96)
    close(got, cam_maps(model, F.interpolate(x, (96,96), mode='bilinear'), 5), eps=1e-6)

def test_torchvision_transformer():
    from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings
    model = VisionTransformer(64, 16, 1, 2, 32, 64, num_classes=4)
    nn.init.normal_(model.heads.head.weight)
    x,other = torch.randn(1,3,64,64),VisionTransformer(96, 16, 1, 2, 32, 64, num_classes=4)
    other.load_state_dict(interpolate_embeddings(96, 16, model.state_dict(), interpolation_mode='bilinear', reset_heads=False))
    got,want = cam_maps(model, x, 1, size=96),cam_maps(other, F.interpolate(x, (96,96), mode='bilinear'), 1)
    assert got.grid==(6,6) and torch.nn.functional.cosine_similarity(got.flatten(), want.flatten(), 0)>.98           # torchvision aligns the corners

def test_threads():
    "Another thread predicts with the model as it is, while it is explained at another size"
    model,x = Patches(),torch.randn(2,3,48,48)
    with torch.no_grad(): want,stop = model.eval()(x),threading.Event()
    bad = []
    def predict():
        with torch.no_grad():
            while not stop.is_set():
                if not torch.allclose(model(x), want, atol=1e-5): bad.append(1)
    t = threading.Thread(target=predict)
    t.start()
    try:
        for s in (96,64): cam_maps(model, x, 1, size=s)
    finally: stop.set(); t.join()
    assert not bad

# ---- errors
@pytest.mark.parametrize('size', [0, -3, 3.5, '48', True, (4,5,6), (48,), []])
def test_wrong_sizes(size):
    x = torch.randn(1,3,32,32)
    if size==(48,): equal(cam_maps(small_net(), x, size=size).grid, cam_maps(small_net(), F.interpolate(x, (32,48))).grid)
    else:
        with expect_fail(ValueError, f"`size` is {size!r}".replace('(', r'(')): cam_maps(small_net(), x, size=size)

def test_fixed_size():
    net = nn.Sequential(nn.Conv2d(3,4,3,2,1), nn.ReLU(), nn.Flatten(), nn.Linear(4*24*24,3))
    x = torch.randn(1,3,48,48)
    was = snapshot(net)
    with expect_fail(ValueError, "does not take an input of 96x96"): cam_maps(net, x, size=96)
    assert not changed(was, snapshot(net))
    learn = pic_learner(Resize(48), net=net)
    was = snapshot(learn)
    with expect_fail(ValueError, "does not take an input of 96x96"): learn.cam(size=96)
    assert not changed(was, snapshot(learn))

def test_signals_and_volumes():
    net = nn.Sequential(nn.Conv1d(2,4,3,2,1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4,2))
    equal(cam_maps(net, torch.randn(2,2,40), size=60).grid, (30,))
    net = nn.Sequential(nn.Conv3d(1,4,3,2,1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4,2))
    equal(cam_maps(net, torch.randn(1,1,8,16,16), size=(24,24)).grid, (4,12,12))

def test_two_pictures():
    "Inputs as large as the one that is read come along; numbers stay"
    class Two(nn.Module):
        def __init__(self): super().__init__(); self.net = small_net()
        def forward(self, a, b, t): return self.net(a)-self.net(b)+t.sum(1, keepdim=True)
    a,b,t = torch.randn(2,3,32,32),torch.randn(2,3,32,32),torch.randn(2,4)
    big = [F.interpolate(o, (48,48), mode='bilinear') for o in (a,b)]
    model = Two()
    close(cam_maps(model, (a,b,t), 1, size=48), cam_maps(model, (*big,t), 1), eps=1e-5)

# ---- several sizes fused
def test_scales_of_one_size_are_plain():
    x = torch.randn(2,3,48,48)
    for model in (small_net(), Patches()):
        close(cam_maps(model, x, [0,2], smooth='scales', scales=(1,), flips=False), cam_maps(model, x, [0,2]), eps=1e-6)
        want = cam_maps(model, x, [0,2], size=96)
        close(cam_maps(model, x, [0,2], smooth='scales', scales=(2,), flips=False), want, eps=1e-5)

def test_scales_by_hand():
    "The mean over sizes and flips, each map as a density on the finest grid; the model is as it was"
    model,x = Patches(),torch.randn(2,3,48,48)
    was = snapshot(model)
    got = cam_maps(model, x, 1, method='hirescam', smooth='scales', scales=(1,2))
    assert not changed(was, snapshot(model))
    def plain(x, **kw): return cam_maps(model, x, 1, method='hirescam', **kw)
    fine = plain(x, size=96)+plain(x.flip(-1), size=96).flip(-1)
    coarse = plain(x)+plain(x.flip(-1)).flip(-1)
    close(got, (fine+coarse.resize(12)/4)/4, eps=1e-5)

def test_scales_in_a_learner():
    "A batch is its items, whatever the layer, and the maps lie on what the model saw"
    learn = pic_learner(Resize(48))
    cams = learn.cam(smooth='scales', scales=(1,1.5), layer=['0.1','0.3'], target=[0,1])
    equal(cams.inputs.shape, (8,3,48,48))
    close(learn.cam(dl=learn.dls.valid.new(bs=1), smooth='scales', scales=(1,1.5), layer=['0.1','0.3'], target=[0,1]).maps, cams.maps, eps=1e-5)

def test_scales_need_a_size():
    with expect_fail(ValueError, "does not take an input of 96x96"):
        cam_maps(nn.Sequential(nn.Conv2d(3,4,3,2,1), nn.ReLU(), nn.Flatten(), nn.Linear(4*24*24,3)), torch.randn(1,3,48,48), smooth='scales', scales=(1,2))

@pytest.mark.parametrize('net', [None, nn.Sequential(nn.Conv2d(3,8,3,2,1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,3))], ids=['own pixels','any'])
def test_only_so_many(net):
    "`max_n` holds at another size, too: no other item goes through the model"
    learn,seen = pic_learner(Resize(48), net=net),[]
    learn.cam(max_n=1)
    h = learn.model.register_forward_hook(lambda m, i, o: seen.append(len(o)))
    for kwargs in (dict(), dict(ds_idx=0), dict(dl=learn.dls.valid), dict(items=big_files()[:6])):
        assert len(learn.cam(max_n=2, size=80, **kwargs))==2 and max(seen)<=2
    h.remove()
