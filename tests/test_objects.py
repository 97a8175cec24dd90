"Objects that detectors find: each explained by itself, at the layers it comes from, and found again when the model is asked again"
import pytest, torchvision
from torchvision.models import detection
from fastcam.engine.objects import *
from fastcam.engine.trace import *
from fastcam.engine.capture import giving
from fastcam.engine.dry import main_output, with_main
from fastcam.apps import cli
from utils import *

# ---- a detector whose answer is known: bright squares, at the place where they are
class Squares(nn.Module):
    "Finds bright squares at two scales, and gives the form `form`"
    def __init__(self, form='torchvision'):
        super().__init__()
        self.form = form
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU())
        self.fine = nn.Sequential(nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.ReLU())
        self.heads = nn.ModuleList(nn.ModuleDict(dict(score=nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1)), size=nn.Conv2d(4, 2, 1))) for _ in range(2))
        for m in self.modules():
            if isinstance(m, nn.Conv2d): m.weight.data.fill_(1/m.weight[0].numel()); m.bias.data.zero_()
        for h,bias in zip(self.heads, (20.,30.)):
            h['score'][2].weight.data.copy_(tensor([.25,.1])[:,None,None,None].expand(2,4,1,1)); h['score'][2].bias.data.fill_(-5. if bias<30 else -6.)
            h['size'].bias.data.fill_(bias)
    def forward(self, xs):
        f = self.fine(self.stem(torch.stack(list(xs))))
        levels = [self.level(h, x, stride) for h,x,stride in zip(self.heads, (f, self.coarse(f)), (4,8))]
        boxes,scores = (torch.cat(o, 1) for o in zip(*levels))                                     # (batch, n, 4) x, y, width, height; (batch, n, 2)
        if self.form=='columns': return torch.cat([boxes, scores], 2).transpose(1, 2)
        if self.form=='rows': return torch.cat([boxes, torch.ones_like(scores[...,:1]), scores], 2),[f]
        if self.form=='dict': return dict(where=boxes, what=scores)
        corners = torch.cat([boxes[...,:2]-boxes[...,2:]/2, boxes[...,:2]+boxes[...,2:]/2], 2)
        top,labels = scores.max(2)
        keep = [torchvision.ops.nms(b.detach(), s.detach(), .3) for b,s in zip(corners, top)]
        keep = [i[s[i]>.5] for i,s in zip(keep, top)]
        return [dict(boxes=b[i], scores=s[i], labels=l[i]+1) for b,s,l,i in zip(corners, top, labels, keep)]
    def level(self, head, x, stride):
        n,m = x.shape[2:]
        y,x0 = torch.meshgrid(torch.arange(n), torch.arange(m), indexing='ij')
        at = (torch.stack([x0,y], -1).reshape(1, -1, 2)+.5).float()*stride
        flat = lambda t: t.flatten(2).transpose(1, 2)
        return torch.cat([at.expand(len(x), -1, 2), flat(head['size'](x))], 2),flat(head['score'](x)*3).sigmoid()

def squares(*at, size=(64,64)):
    x = torch.zeros(1, *size)
    for y,x0,v in at: x[0,y:y+12,x0:x0+12] = v
    return x
pictures = [squares((8,8,6.),(40,36,5.8)), squares((32,8,6.)), squares()]
def batch(): return torch.stack(pictures)

def as_boxes(p): return [(torch.cat([b[:,:2]-b[:,2:]/2, b[:,:2]+b[:,2:]/2], 1), s.max(1).values, ['square']*len(s)) for b,s in zip(p['where'], p['what'])]

def asked(model, x, target=Detections(), **kwargs):
    "Maps of each item, and the question"
    with torch.no_grad(): pred = model(x)
    return cam_maps(model, x, target, **kwargs),target.ask(pred, range(len(x)))

def inside(m, box, size): return energy_inside(m[None], TensorBBox(box[None,:4], img_size=fastuple(size[::-1]))).item()

@pytest.mark.parametrize('form', ['torchvision','columns','rows'])
def test_forms(form):
    "What each form says is the same two objects, one, and none; each map lies in its own box"
    maps,q = asked(Squares(form), batch())
    assert [len(m) for m in maps]==[2,1,0] and q.labels()[2]==[]
    for ms,os,x in zip(maps, q.objects((64,64)), pictures):
        for m,o in zip(ms, os): assert inside(m, o, (64,64))>.9
    assert list(object_levels(Squares(form), batch(), Detections()))==['fine']+['coarse']*(form!='torchvision')          # no head; and what no object came from is not known to be a level

@pytest.mark.parametrize('form', ['columns','rows'])
def test_boxes_of_heads(form):
    "Corners and shares of the picture are told by the numbers: the objects are the same"
    class Otherwise(Squares):
        def forward(self, xs):
            p = super().forward(xs)
            t = p.transpose(1, 2) if form=='columns' else p[0]
            b = t[...,:4]
            if self.corners: b = torch.cat([b[...,:2]-b[...,2:]/2, b[...,:2]+b[...,2:]/2], 2)
            t = torch.cat([b/self.size, t[...,4:]], 2)
            return t.transpose(1, 2) if form=='columns' else (t,p[1])
    want,q = asked(Squares(form), batch())
    for corners,size in itertools.product((False,True), (1,64)):
        model = Otherwise(form)
        model.corners,model.size = corners,size
        maps,own = asked(model, batch())
        assert all(torch.allclose(a, b, atol=1e-3) for a,b in zip(q.objects((64,64)), own.objects((64,64))))
        assert all(torch.allclose(a, b, atol=1e-6) for a,b in zip(want, maps))

def test_boxes_function():
    "Any other form, by a function of the prediction: names instead of numbers"
    model,target = Squares('dict'),Detections(2, boxes=as_boxes)
    maps,q = asked(model, batch()[:1], target)
    assert q.labels()==[['square']*2] and maps.shape[:2]==(1,2)
    with pytest.raises(ValueError, match="`boxes=` is a function of the prediction"): cam_maps(model, batch(), Detections())

@pytest.mark.parametrize('method', ['hirescam','gradcam','layercam','odam','scorecam','occlusion','rise'])
def test_methods(method):
    "Each item as it is alone, also where the model is asked again"
    model,x = Squares(),batch()
    kw = dict(n=200) if method=='rise' else {}
    maps = cam_maps(model, x, Detections(), method=method, **kw)
    for i in range(3):
        alone = cam_maps(model, x[i:i+1], Detections(), method=method, **kw)[0]
        assert maps[i].shape==alone.shape and torch.allclose(maps[i], alone, atol=1e-5)

def test_occlusion_by_hand():
    "What is lost of an object when a window is gray: it is sought by overlap, and is at 0 where nothing is left of it"
    model,x = Squares(),batch()[:1]
    q = Detections().ask(model(x), range(1))
    y = q.scores(model(x))[0]
    hidden = x.clone(); hidden[0,0,4:24,4:24] = 0
    other = q.scores(model(hidden))[0]
    assert other.min()<1e-6 and torch.allclose(other.max(), y.min(), rtol=.2)
    gone = other.argmin()                                        # the first square is gone, and the second is not taken for it
    assert (q.refs[0][0][gone][:2]<16).all()

def test_gradient_by_hand():
    "HiResCAM at the levels, by autograd alone"
    model,x = Squares(),batch()[:1]
    seen = {}
    hooks = [model.fine.register_forward_hook(lambda m,i,o: seen.update(fine=o.detach().requires_grad_()) or seen['fine'])]
    p = model(x)[0]
    for h in hooks: h.remove()
    grids = cam_maps(model, x, Detections(), fuse=None)
    for j,s in enumerate(p['scores'].sort(descending=True).values):
        gs = torch.autograd.grad(s, list(seen.values()), retain_graph=True, allow_unused=True)
        for (n,a),g in zip(seen.items(), gs):
            expected = torch.zeros_like(a[0,0]) if g is None else (g*a).sum(1)[0]
            assert torch.allclose(grids[n][0,j].as_subclass(Tensor), expected, atol=1e-6)

class Skipping(Squares):
    "Leaves a scale out of the prediction where it finds nothing"
    def forward(self, xs):
        f = self.fine(self.stem(torch.stack(list(xs))))
        levels = [self.level(h, x, stride) for h,x,stride in zip(self.heads, (f, self.coarse(f)), (4,8))]
        found = [[(b[s.max(1).values>.5],s[s.max(1).values>.5]) for b,s in zip(*o)] for o in levels]
        kept = [torch.cat([torch.cat(o, 1) for o in item if len(o[0])]) for item in zip(*found)]
        return [dict(boxes=torch.cat([o[:,:2]-o[:,2:4]/2, o[:,:2]+o[:,2:4]/2], 1), scores=o[:,4], labels=torch.ones(len(o))) for o in kept]

def test_level_left_out():
    "An object found at one of the known levels alone: the other counts for nothing, and that is no error"
    model,large,small = Skipping(),torch.full((1,1,64,64), 9.),batch()[:1]
    assert list(object_levels(model, large, Detections(1)))==['fine','coarse']
    grids,a = cam_maps(model, small, Detections(1), fuse=None),model.fine(model.stem(small)).detach().requires_grad_()
    with giving(model.fine, a) as given: p = model(small)[0]['scores']
    g, = torch.autograd.grad(p[p.argsort(descending=True, stable=True)[0]], given)
    assert grids['coarse'].abs().max()==0 and torch.allclose(grids['fine'][0,0].as_subclass(Tensor), (g*a).sum(1)[0], atol=1e-6)

def test_odam():
    "ODAM in loops: each channel's gradient smoothed by a Gaussian that is cut off at three sigma, times the activations"
    torch.manual_seed(0)
    a,g = torch.randn(1,2,6,7),torch.randn(1,2,6,7)
    w = [math.exp(-d*d/2) for d in range(-3, 4)]
    expected = torch.zeros(6,7)
    for c in range(2):
        for y in range(6):
            for x in range(7):
                s = sum(w[i]*w[j]*g[0,c,min(max(y+i-3,0),5),min(max(x+j-3,0),6)] for i in range(7) for j in range(7))
                expected[y,x] += s/sum(w)**2*a[0,c,y,x]
    from fastcam.engine.objects import _odam
    assert torch.allclose(_odam(a, g)[0], expected, atol=1e-5)

@pytest.mark.parametrize('smooth', ['tta','noise','windows','scales'])
def test_smoothers(smooth):
    "Of a flipped, shifted or larger input the object is where it has moved to"
    kw = dict(scales=3) if smooth=='windows' else {}
    maps,q = asked(Squares(), batch(), smooth=smooth, **kw)
    for ms,os in zip(maps, q.objects((64,64))):
        for m,o in zip(ms, os): assert m.max()>0 and inside(m, o, (64,64))>(.5 if smooth=='windows' else .9)

def test_moved():
    boxes = tensor([[10.,20,30,40]])
    q = Detections(1).ask([dict(boxes=boxes, scores=tensor([.9]), labels=tensor([1]))], range(1))
    assert q.moved([(0,1),(1,0)], (100,200), (100,200)).refs[0][0][0].tolist()==pytest.approx([170,20,190,40])
    assert q.moved([(0,1),(0,1)], (100,200), (200,400)).refs[0][0][0].tolist()==pytest.approx([20,40,60,80])
    assert q.moved([(.1,.6),(0,.5)], (100,200), (100,200)).refs[0][0][0].tolist()==pytest.approx([20,20,60,60])
    assert (q.moved([(.5,1),(0,.5)], (100,200), (100,200)).refs[0][0]<0).all()                       # out of sight

def test_region_moved():
    "A region of a segmentation is flipped and cut along with its input"
    q = as_target(Region(tensor([[1,0,0,0]]*4), 0)).ask(torch.randn(1,2,4,4), range(1))
    assert q.moved([(0,1),(1,0)], (8,8), (8,8)).mask[0,0].tolist()==[[False]*3+[True]]*4
    assert q.moved([(0,.5),(0,.5)], (8,8), (8,8)).mask[0,0].tolist()==[[True]*2+[False]*2]*4
    assert q.moved([(0,1),(0,1)], (8,8), (16,16)).mask.shape[2:]==(8,8)

@pytest.mark.parametrize('of', ['box',0,1,2,3])
def test_sides(of):
    "How large the box is, or where a side is, may answer in both signs"
    maps,q = asked(Squares(), batch()[:1], Detections(of=of))
    b = q.refs[0][0]
    assert torch.allclose(q.scores(Squares()(batch()[:1]))[0], b[:,2:].sum(1)-b[:,:2].sum(1) if of=='box' else b[:,of], atol=1e-4)
    assert Detections(of=of).signed and maps.abs().sum()>0

def test_bad():
    for kw in (dict(k=0), dict(k=[]), dict(k=True), dict(of='area'), dict(of=4), dict(thresh=2)):
        with pytest.raises(ValueError): Detections(**kw)
    with pytest.raises(IndexError, match='no object 2 in item 0'): cam_maps(Squares(), batch(), Detections([0,2], thresh=.5))
    assert [len(m) for m in cam_maps(Squares(), batch(), Detections(5, thresh=.5))]==[2,1,0]          # fewer than asked for
    assert cam_maps(Squares(), batch()[2:], Detections()).shape[:2]==(1,0)                       # nothing in the whole batch
    class Losses(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)
        def forward(self, x): return dict(loss_box=self.conv(x).mean(), loss_score=self.conv(x).sum())
    with pytest.raises(ValueError, match='losses.*training mode'): cam_maps(Losses(), batch(), Detections(), layer='conv')

def shares_of(p): return [(b/64, s, l) for b,s,l in as_boxes(p)]

def test_parts_of_a_function():
    "What `boxes=` gives may be shares of the picture, and is refused where it is no box or no chance"
    model,x = Squares('dict'),batch()
    maps,q = asked(model, x, Detections(2, .5, boxes=as_boxes))
    again,own = asked(model, x, Detections(2, .5, boxes=shares_of))
    assert all(torch.allclose(a, b) for a,b in zip(maps, again)) and all(torch.allclose(a, b) for a,b in zip(q.objects((64,64)), own.objects((64,64))))
    hidden = [cam_maps(model, x, Detections(2, .5, boxes=f), method='occlusion') for f in (as_boxes,shares_of)]
    assert all(torch.allclose(a, b, atol=1e-6) for a,b in zip(*hidden))
    for change,said in ((lambda b,s: (b,s*100), 'scores from .* to 9.*expected 0..1'), (lambda b,s: (b,s.logit()), 'sigmoid'), (lambda b,s: (torch.cat([b[:,:2]+32,b[:,2:]-b[:,:2]], 1),s), 'x, y, width, height')):
        with pytest.raises(ValueError, match=said): cam_maps(model, x, Detections(boxes=lambda p: [(*change(b, s),l) for b,s,l in as_boxes(p)]))
    with pytest.raises(ValueError, match="`thresh` is '.5'"): Detections(thresh='.5')
    with pytest.raises(ValueError, match='no items'): cam_maps(model, [], Detections())

@pytest.mark.parametrize('form', ['columns','rows','dict'])
def test_nan(form):
    "A prediction that is NaN for an item is no picture without objects"
    x = batch(); x[1] = float('nan')
    with pytest.raises(ValueError, match='NaN for item 1'): cam_maps(Squares(form), x, Detections(boxes=as_boxes if form=='dict' else None))

def test_named_images():
    "What torchvision calls images is a list of these, asked about objects or not"
    model,x = planted(),bright((32,64),(64,16))
    maps,want = cam_maps(model, list(x)),cam_maps(model, x)
    assert all(torch.equal(a, b) for a,b in zip(maps, want)) and len(maps)==2

def test_function():
    "A function of a detector's prediction is shown where objects are, too"
    best = lambda p: torch.stack([o['scores'][:1].sum() for o in p])
    maps = cam_maps(Squares(), batch(), best, method='hirescam')
    assert torch.allclose(maps[1], cam_maps(Squares(), batch()[1:2], Detections(1))[0])

def test_lists():
    "A list of pictures, of one size or of several, as a batch"
    model,other = Squares(),squares((20,52,6.), size=(64,96))
    one,several = cam_maps(model, pictures, Detections()),cam_maps(model, [pictures[0],other], Detections())
    assert [len(m) for m in one]==[2,1,0] and [tuple(m.shape) for m in several]==[(2,16,16),(1,16,24)]
    assert torch.allclose(several[0], one[0])

def test_table():
    "The table of layers says at which the objects are shown, with a name where that is no stage; without a target where the prediction tells"
    model = tv('fasterrcnn_mobilenet_v3_large_320_fpn', min_size=96, max_size=128, box_score_thresh=0.)
    x = torch.rand(1,3,96,128)
    for target in (None, Detections(3)):
        table = layers_table(model, x, target=target)
        shown = table[table['']=='default']
        assert list(shown.name)==list(object_levels(model, x, ifnone(target, Detections()))) and 'not asked' not in set(shown.place)
        assert all(n in model.get_submodule('backbone.fpn').layer_blocks._modules for n in shown.name.str.split('.').str[-1]) and len(table)>len(shown)
        for l in table.index: assert cam_maps(model, x, target, layer=l).isfinite().all()
    assert layers_table(Squares('rows'), batch(), target=Detections()).query("name in ('fine','coarse')")[''].tolist()==['default']*2
    assert detector_learner().cam_layers(target=Detections(1)).query("name=='fine'")[''].item()=='default'

def test_no_trace():
    model = Squares()
    unsettle(model)
    was = snapshot(model)
    for kw in (dict(), dict(method='scorecam'), dict(smooth='tta')):
        cam_maps(model, batch(), Detections(), **kw)
        assert not settled(was, snapshot(model))

# ---- learners: lists of pictures, dicts as targets, a collate of its own, a loss of training
def dicts(x): return dict(boxes=tensor([[8.,8,20,20]]), labels=tensor([1]))
def detector_learner(bs=2, others=(), cls=torch.utils.data.DataLoader):
    its = [(x,dicts(x)) for x in [*pictures, *others]]
    pair = lambda b: tuple(zip(*b))
    dl = cls(its, batch_size=bs, collate_fn=pair) if cls is torch.utils.data.DataLoader else cls(its, bs=bs, create_batch=pair)
    learn = Learner(DataLoaders(dl, dl), Squares(), loss_func=lambda losses, y: sum(losses.values()))
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn

@pytest.mark.parametrize('cls', [torch.utils.data.DataLoader, DataLoader])
def test_learner(cls):
    "The validation set, in its order, whatever the batches are; the task is known by the prediction"
    learn = detector_learner(others=[squares((20,52,6.), size=(64,96))], cls=cls)
    cams = learn.cam()
    assert [len(c.labels) for c in cams]==[2,1,0,1]
    assert [tuple(m.shape[1:]) for m in cams._maps]==[(16,16)]*3+[(16,24)]
    assert all(p>.5 for ps in cams.probs for p in ps) and cams.boxes[1].shape==(1,4)
    assert torch.allclose(cams[0].maps, cam_maps(learn.model, batch()[:1], Detections())[0])
    assert cams[2:3]._title(0, 0)=='no object found'
    assert (cams.localize().energy_inside>.9).all()
    assert list(cams.to_df().object[0])==pytest.approx(cams.boxes[0][0].tolist(), abs=.01)
    axs = cams.show()
    assert sum(len(ax.patches) for ax in axs)==4 and [t.get_text() for t in axs[0].texts][0].startswith(cams.labels[0][0])
    plt.close('all')
    assert learn.cam(pictures[1][None], target=Detections(1)).boxes[0].shape==(1,4)

def test_targets_beside():
    "A callback that gives the true boxes to the model, as in training, changes nothing"
    class Beside(Callback):
        def before_batch(self): self.learn.xb = (*self.xb, *self.yb)
    learn = detector_learner(cls=DataLoader)
    maps = learn.cam()._maps
    with learn.added_cbs(Beside()): again = learn.cam()._maps
    assert all(torch.equal(a, b) for a,b in zip(maps, again))

def test_saved(tmp_path):
    pytest.importorskip('pyarrow')
    learn = detector_learner(cls=DataLoader)
    cams = load_cams(learn.export_cams(tmp_path/'maps', dl=learn.dls.valid))
    whole = learn.cam()
    assert cams.labels==[*whole.labels[:2]] and all(torch.allclose(a.float(), b.float()) for a,b in zip(cams.boxes, whole.boxes))

def test_metrics():
    "Items without an object count for nothing, in a batch of their own, too; where no item has one, the error says so"
    learn = detector_learner()
    ask = partial(learn.cam_metrics, methods=['hirescam'], bs=1)
    df = ask(target=Detections(1), max_n=2)
    assert df.notna().any(axis=None)
    pd.testing.assert_frame_equal(*[o.xs('mean', axis=1, level=1) for o in (ask(target=Detections(1), max_n=3), df)])
    with pytest.raises(ValueError, match='nothing in any of these items'): ask(target=Detections(thresh=.9999999), max_n=3)

def test_list_of_targets():
    "Score and box of an object side by side, or what speaks against it: at the levels that objects come from, of lists of pictures, and in a learner, whose loss is not asked, with their boxes"
    for model,boxes in ((Squares(),None),(Squares('dict'),as_boxes)):
        two = [Detections(1, .5, boxes=boxes),Detections(1, .5, of='box', boxes=boxes)]
        maps,each = cam_maps(model, pictures, two),[cam_maps(model, batch(), t) for t in two]
        assert [len(m) for m in maps]==[2,2,0] and all(torch.equal(maps[i], torch.cat([each[0][i],each[1][i]])) for i in range(3))
        assert all(torch.equal(a, b) for a,b in zip(cam_maps(model, pictures, Neg(two[0])), cam_maps(model, batch(), Neg(two[0]))))
    learn,target = detector_learner(),[Detections(1),Detections(1, of='box')]
    cams = learn.cam(target=target)
    assert [len(b) for b in cams.boxes]==[2,2,0] and sum(len(ax.patches) for ax in cams.show())==4
    plt.close('all')
    def best(p): return torch.stack([o['scores'][:1].sum() for o in p])
    assert torch.equal(learn.cam(target=best)._maps[1], learn.cam(target=Detections(1))._maps[1])

def test_size_of_lists():
    "Pictures in a list are made larger, as those of a batch are"
    assert [tuple(m.shape[1:]) for m in file_learner('dicts').cam(list(square_files()), size=96)._maps]==[(24,24)]*3

@cache
def square_files():
    "The pictures as files, red, green and blue alike"
    d = _dir.setdefault(0, TemporaryDirectory())
    for i,x in enumerate(pictures): Image.fromarray((x[0]*40).byte().numpy()).convert('RGB').save(Path(d.name)/f'{i}.png')
    return get_image_files(d.name).sorted()
_dir = {}

class FromFiles(Squares):
    "Reads pictures of 0..1 in three channels, one batch or a list"
    def forward(self, xs): return super().forward([o[:1]*255/40 for o in xs])

def own_box(f): return dicts(f)
def two_boxes(f): return [[8,8,20,20],[36,40,48,52]]
def two_labels(f): return ['square','other']
def pairs(b): return tuple(zip(*b))
def beside(b): return torch.stack([o[0] for o in b]),[o[1]['boxes'] for o in b]
def both(items): return [0,1,2],[0,1,2]
def no_loss(*args): return tensor(0.)

def file_learner(kind):
    "A learner of files: fastai's blocks for boxes, or a collate of its own that gives dicts, or boxes beside a batch"
    fs = square_files()
    if kind=='blocks':
        block = DataBlock((ImageBlock,BBoxBlock,BBoxLblBlock), get_items=noop, splitter=both, get_y=[two_boxes,two_labels], n_inp=1)
        dls = block.dataloaders(fs, bs=2, num_workers=0)
    else:
        ds = Datasets(fs, [[PILImage.create],[own_box]], splits=([0,1,2],[0,1,2]), n_inp=1)
        dls = ds.dataloaders(bs=2, after_item=[ToTensor(),IntToFloatTensor()], create_batch=pairs if kind=='dicts' else beside, num_workers=0)
    learn = Learner(dls, FromFiles(), loss_func=no_loss)
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn

@pytest.mark.parametrize('kind', ['blocks','dicts'])
def test_files(kind, tmp_path, capsys):
    "New files have no true boxes, and need none; maps, pictures, exports and the command are those of the validation set"
    learn,fs = file_learner(kind),square_files()
    cams = learn.cam()
    assert [len(o) for o in cams.labels]==[2,1,0]
    again = learn.cam(list(fs))
    assert all(torch.equal(a, b) for a,b in zip(cams._maps, again._maps)) and cams.labels==again.labels
    assert sum(len(ax.patches) for ax in learn.cam(fs[0]).show())==2
    pytest.importorskip('pyarrow')
    with pytest.warns(UserWarning, match='it has no object'): saved = load_cams(learn.export_cams(tmp_path/'maps', list(fs), target=TopK(1), overlays=True))
    assert all(torch.allclose(a.float(), b[:1].float(), atol=1e-4) for a,b in zip(saved.boxes, cams.boxes)) and len(saved)==2
    learn.export(tmp_path/'export.pkl')
    cli.explain_images(cli.load_exported(tmp_path/'export.pkl'), fs, tmp_path/'out', target=None)
    said = capsys.readouterr().out.splitlines()
    assert [o.split(' -> ')[0] for o in said]==[f"{f.name}: {', '.join(f'{l} {p:.2f}' for l,p in zip(ls, ps)) or 'no object found'}" for f,ls,ps in zip(fs, cams.labels, cams.probs)]
    plt.close('all')

def test_names_without_none():
    "fastai's blocks have a class for no object, which a head of two classes has not: names are those of its classes, and their number says how columns are read"
    learn = file_learner('blocks')
    learn.model = FromFiles('columns')
    assert list(learn.dls.vocab)==['#na#','other','square']
    cams = learn.cam(target=Detections())
    assert cams.labels==[['other','other'],['other'],[]]

def test_boxes_beside():
    "Boxes in a list beside a batch of pictures: fastai would take them apart as if they were a batch"
    learn = file_learner('beside')
    cams = learn.cam()
    pics = cams.pictures()
    assert len(pics)==3 and all(torch.allclose(p.as_subclass(Tensor), x.repeat(3,1,1)*40/255, atol=1/255) for p,x in zip(pics, pictures))

def test_classes_of_a_detector():
    "A class by itself is no question to it, and the error says what is; so many of the best are that many objects"
    with pytest.raises(TypeError, match=r'ask `target=Detections\(\)`'): cam_maps(Squares(), batch(), 1)
    assert [len(m) for m in cam_maps(Squares(), batch(), TopK(1))]==[1,1,0]

# ---- torchvision's detectors, with random weights
def tv(name, **kwargs):
    torch.manual_seed(0)
    return getattr(detection, name)(weights=None, weights_backbone=None, num_classes=4, **kwargs).eval()

def planted():
    "A RetinaNet whose scores answer to how bright a place is, and whose boxes are its anchors"
    body = nn.Sequential(*[o for c in (3,8,8,8) for o in (nn.Conv2d(c, 8, 3, stride=2, padding=1), nn.ReLU())])
    body.out_channels = 8
    anchors = detection.anchor_utils.AnchorGenerator(sizes=((32,),), aspect_ratios=((1.,),))
    model = detection.RetinaNet(body, 2, anchor_generator=anchors, min_size=128, max_size=128, image_mean=[0.]*3, image_std=[1.]*3, score_thresh=0.).eval()
    for m in model.modules():
        if isinstance(m, nn.Conv2d): m.weight.data.fill_(1/m.weight[0].numel()); m.bias.data.zero_()
    model.head.classification_head.cls_logits.weight.data[1].mul_(30); model.head.classification_head.cls_logits.bias.data.copy_(tensor([-9.,-4.]))
    model.head.regression_head.bbox_reg.weight.data.zero_()
    return model

@pytest.mark.parametrize('name,kw,levels', [
    ('retinanet_resnet50_fpn', dict(min_size=96, max_size=128, score_thresh=0.), ['layer_blocks.0','layer_blocks.1','layer_blocks.2']),
    ('fasterrcnn_mobilenet_v3_large_320_fpn', dict(min_size=96, max_size=128, box_score_thresh=0.), ['layer_blocks.0','layer_blocks.1'])])
def test_torchvision(name, kw, levels):
    "The levels of the pyramid; in a batch each item as alone, a list as a batch, and the score's gradient by autograd"
    model,x = tv(name, **kw),torch.rand(2,3,96,128)
    target = Detections(3)
    found = object_levels(model, x, target)
    assert set(levels)<={n.removeprefix('backbone.fpn.') for n in found} and not any('head' in n for n in found)
    maps = cam_maps(model, x, target, fuse=None)
    listed = cam_maps(model, list(x), target, fuse=None)
    seen = {}
    hooks = [model.get_submodule(n).register_forward_hook(lambda m,i,o,n=n: seen.update({n: o.detach().requires_grad_()}) or seen[n]) for n in found]
    s = model(x[1:])[0]['scores'].sort(descending=True, stable=True).values[:3]
    for h in hooks: h.remove()
    for j in range(3):
        gs = torch.autograd.grad(s[j], list(seen.values()), retain_graph=True, allow_unused=True)
        assert any(g is not None and g.any() for g in gs)
        for (n,a),g in zip(seen.items(), gs):
            expected = torch.zeros(a.shape[2:]) if g is None else (g*a).sum(1)[0]
            for m in (maps[n][1,j],listed[n][1,j]): assert torch.allclose(m.as_subclass(Tensor), expected, rtol=1e-3, atol=1e-3*expected.abs().max().item()+1e-9)

def test_planted():
    "A RetinaNet that answers to brightness: the map of the object lies in its box"
    x = torch.zeros(1,3,128,128); x[...,32:64,64:96] = 1
    maps,q = asked(planted(), x, Detections(1))
    assert q.objects((128,128))[0][0,:4].tolist()==pytest.approx([64,32,96,64], abs=.1)
    m,box = maps[0,0],q.objects((128,128))[0][0]
    assert pointing_game(m[None], TensorBBox(box[None,:4], img_size=(128,128)), tol=0).item()==1
    assert inside(m, box, (128,128))>5*32*32/128**2                                          # layers of this net blur over 31 pixels

def two_stages(kind):
    "A detector of two stages that answers to how bright a place is: proposals are its anchors, and scores the mean of what lies in them"
    torch.manual_seed(0)
    body = nn.Sequential(*[o for c in (3,8,8) for o in (nn.Conv2d(c, 8, 3, stride=2, padding=1), nn.ReLU())])
    body.out_channels = 8
    pool = lambda n: torchvision.ops.MultiScaleRoIAlign(['0'], n, 2)
    anchors = detection.anchor_utils.AnchorGenerator(sizes=((32,),), aspect_ratios=((1.,),))
    kw = dict(rpn_anchor_generator=anchors, box_roi_pool=pool(2), box_head=detection.faster_rcnn.TwoMLPHead(8*4, 8), box_predictor=detection.faster_rcnn.FastRCNNPredictor(8, 2),
              min_size=128, max_size=128, image_mean=[0.]*3, image_std=[1.]*3, box_score_thresh=0., rpn_post_nms_top_n_test=20, box_detections_per_img=3)
    if kind=='MaskRCNN': kw.update(mask_roi_pool=pool(4), mask_head=detection.mask_rcnn.MaskRCNNHeads(8, (8,), 1), mask_predictor=detection.mask_rcnn.MaskRCNNPredictor(8, 8, 2))
    if kind=='KeypointRCNN': kw.update(keypoint_roi_pool=pool(4), keypoint_head=detection.keypoint_rcnn.KeypointRCNNHeads(8, (8,)), keypoint_predictor=detection.keypoint_rcnn.KeypointRCNNPredictor(8, 5))
    classes = {} if kind=='KeypointRCNN' else dict(num_classes=None)
    model = getattr(detection, kind)(body, **classes, **kw).eval()
    for n,m in model.named_modules():
        if isinstance(m, (nn.Conv2d,nn.Linear)) and not re.search('mask|keypoint', n): m.weight.data.fill_(1/m.weight[0].numel()); m.bias.data.zero_()
    model.rpn.head.bbox_pred.weight.data.zero_(); model.rpn.head.cls_logits.weight.data.mul_(9)
    p = model.roi_heads.box_predictor
    p.bbox_pred.weight.data.zero_(); p.cls_score.weight.data[0].zero_(); p.cls_score.weight.data[1].mul_(12); p.cls_score.bias.data.copy_(tensor([0.,-6.]))
    return model

def bright(*corners):
    xs = torch.zeros(len(corners), 3, 128, 128)
    for x,(top,left) in zip(xs, corners): x[:,top:top+32,left:left+32] = 1
    return xs

@pytest.mark.parametrize('kind', ['FasterRCNN','MaskRCNN','KeypointRCNN'])
def test_two_stages(kind):
    "Planted: the best object is where it is bright, and its map lies there; scores and gradients by autograd, an item as alone, a list as a batch, no trace, and in a learner"
    model,x = two_stages(kind),bright((32,64),(64,16))
    unsettle(model)
    was = snapshot(model)
    maps,q = asked(model, x, Detections(1))
    assert not settled(was, snapshot(model))
    name, = object_levels(model, x, Detections(1))
    a = model.backbone(x).detach().requires_grad_()
    with giving(model.get_submodule(name), a) as given: preds = model(x)
    for i,(top,left) in enumerate(((32,64),(64,16))):
        box,best = q.objects((128,128))[i][0],preds[i]['scores'].argmax()
        assert box[:4].tolist()==pytest.approx([left,top,left+32,top+32], abs=9)                # anchors stand in steps of 8 pixels
        assert torch.equal(box, torch.cat([preds[i]['boxes'][best], preds[i]['scores'][best,None]]).detach()) and q.labels()[i]==[q.title(1, 0)]
        assert inside(maps[i,0], box, (128,128))>.6
        g, = torch.autograd.grad(preds[i]['scores'][best], given, retain_graph=True)
        want = (g*a).sum(1)[i]
        assert torch.allclose(maps[i,0].as_subclass(Tensor), want.detach(), atol=1e-4*want.abs().max().item())
        for own in (cam_maps(model, x[i:i+1], Detections(1))[0], cam_maps(model, list(x), Detections(1))[i]): assert torch.allclose(own, maps[i], atol=1e-5*maps.abs().max().item())
    dl = DataLoader([(o,dict(boxes=torch.zeros(1,4), labels=torch.ones(1).long())) for o in x], bs=2, create_batch=pairs, num_workers=0)
    learn = Learner(DataLoaders(dl, dl), model, loss_func=no_loss)
    with learn.no_bar(): cams = learn.cam(target=Detections(1))
    assert all(torch.allclose(c.maps, m, atol=1e-5) for c,m in zip(cams, maps)) and [len(b) for b in cams.boxes]==[1,1]

# ---- transformers' detectors
def test_queries():
    "DETR: the encoder's tokens, not the queries; probabilities less that of no object"
    tf = pytest.importorskip('transformers', reason="the extra 'peers' is not installed")
    torch.manual_seed(0)
    body = tf.ResNetConfig(embedding_size=8, hidden_sizes=[8,16,24,32], depths=[1]*4, out_features=['stage4'])
    small = dict(d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=2, decoder_attention_heads=2)
    model = tf.DetrForObjectDetection(tf.DetrConfig(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=body, num_queries=10, num_labels=4, **small)).eval()
    x = torch.rand(2,3,128,160)
    assert list(object_levels(model, x, Detections(2)))==['model.encoder.layers.1']
    maps,q = asked(model, x, Detections(2))
    assert maps.shape==(2,2,4,5)
    pred = model(x)
    p = pred.logits.softmax(-1)[...,:-1]
    assert torch.allclose(q.refs[0][1], p[0].max(1).values.topk(2).values)
    assert torch.allclose(q.objects((128,160))[0][:,0], q.refs[0][0][:,0]*160)
    assert torch.allclose(maps[1], cam_maps(model, x[1:], Detections(2))[0], atol=1e-6)

def queries_of(name):
    "A small detector of transformers with random weights, and what its authors make boxes and scores of"
    tf = pytest.importorskip('transformers', reason="the extra 'peers' is not installed")
    torch.manual_seed(0)
    stages = ['stage2','stage3','stage4']
    res = lambda out: tf.ResNetConfig(embedding_size=8, hidden_sizes=[8,16,24,32], depths=[1]*4, out_features=out)
    small = dict(encoder_layers=2, decoder_layers=2, encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=2, decoder_attention_heads=2, num_queries=10)
    own = dict(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, num_labels=4, **small)
    real = dict(encoder_hidden_dim=32, encoder_in_channels=[16,24,32], encoder_ffn_dim=32, encoder_attention_heads=2, d_model=32, num_queries=10, decoder_in_channels=[32]*3, decoder_ffn_dim=32,
                decoder_layers=2, decoder_attention_heads=2, num_labels=4, num_denoising=0)
    vit = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    words = dict(vocab_size=60, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, bos_token_id=0, eos_token_id=1)
    if name in ('Detr','ConditionalDetr','TableTransformer'): config = dict(backbone_config=res(['stage4']), d_model=32, **own)
    elif name=='DabDetr': config = dict(backbone_config=res(['stage4']), hidden_size=32, **own)
    elif name=='DeformableDetr': config = dict(backbone_config=res(stages), num_feature_levels=3, d_model=32, **own)
    elif name=='Yolos': config = dict(image_size=[64,96], patch_size=16, num_detection_tokens=10, num_labels=4, **vit)
    elif name in ('OwlViT','Owlv2'): config = dict(text_config=words, vision_config=dict(image_size=96, patch_size=16, **vit), projection_dim=32)
    elif name in ('RTDetr','RTDetrV2'):
        config = dict(backbone_config=tf.RTDetrResNetConfig(embedding_size=8, hidden_sizes=[8,16,24,32], depths=[1]*4, out_features=stages, layer_type='basic'), **real)
    elif name=='DFine':
        config = dict(backbone_config=tf.HGNetV2Config(stem_channels=[3,8,8], hidden_sizes=[8,16,24,32], stage_in_channels=[8,8,16,24], stage_mid_channels=[8]*4, stage_out_channels=[8,16,24,32],
                      stage_num_blocks=[1]*4, stage_numb_of_layers=[1]*4, out_features=stages), **real)
    elif name=='GroundingDino':
        config = dict(backbone_config=tf.SwinConfig(image_size=64, embed_dim=8, depths=[1]*4, num_heads=[1,1,2,2], window_size=4, out_features=stages), d_model=32, num_feature_levels=4, max_text_len=16,
                      text_config=tf.BertConfig(vocab_size=120, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32), **small)
    elif name=='LwDetr':
        body = tf.LwDetrViTConfig(image_size=64, pretrain_image_size=64, patch_size=16, num_windows=4, window_block_indices=[0], hidden_size=32, num_hidden_layers=2, num_attention_heads=2, out_indices=[1,2])
        config = dict(backbone_config=body, projector_scale_factors=[1.], d_model=32, decoder_layers=2, decoder_ffn_dim=32, decoder_self_attention_heads=2, decoder_cross_attention_heads=2, decoder_n_points=2,
                      num_queries=10, group_detr=1, num_labels=4)
    elif name=='OmDetTurbo':
        config = dict(backbone_config=res(stages), apply_layernorm_after_vision_backbone=False, encoder_in_channels=[16,24,32], vision_features_channels=[16]*3, encoder_hidden_dim=16, encoder_attention_heads=2,
                      encoder_dim_feedforward=16, decoder_hidden_dim=16, decoder_num_heads=2, decoder_num_layers=2, decoder_dim_feedforward=16, decoder_num_points=2, class_embed_dim=32, text_projection_in_dim=32,
                      text_projection_out_dim=32, task_encoder_hidden_dim=16, num_queries=10, image_size=64, text_config=tf.CLIPTextConfig(**words))
    model = getattr(tf, f'{name}ForObjectDetection')(getattr(tf, f'{name}Config')(**config)).eval()
    if name=='OmDetTurbo':
        for p in model.language_backbone.parameters(): p.data.normal_(0, .3)
        return model,tf.OmDetTurboProcessor.post_process_grounded_object_detection
    if name=='Yolos':
        for p in model.parameters(): p.data.normal_(0, .3)                     # else all queries are alike
    processor = dict(TableTransformer='Detr', DabDetr='ConditionalDetr', RTDetrV2='RTDetr', DFine='RTDetr', LwDetr='DeformableDetr').get(name, name)
    return model,getattr(tf, f'{processor}ImageProcessor')().post_process_object_detection

class WithTexts(nn.Module):
    "A detector of what texts say, which are given once"
    def __init__(self, model, **texts): super().__init__(); self.model,self.texts = model,texts
    def forward(self, x): return self.model(pixel_values=x, **{n: torch.cat([t]*len(x)) for n,t in self.texts.items()})

def omdet_texts():
    "Three classes and a task, as numbers of tokens"
    classes,task = tensor([[0,7,1],[0,8,1],[0,9,1]]),tensor([[0,5,6,1]])
    return dict(classes_input_ids=classes, classes_attention_mask=torch.ones_like(classes), tasks_input_ids=task, tasks_attention_mask=torch.ones_like(task), classes_structure=tensor([3]))

@pytest.mark.parametrize('name', ['Detr','ConditionalDetr','TableTransformer','DabDetr','DeformableDetr','Yolos','RTDetr','RTDetrV2','DFine','OwlViT','Owlv2','GroundingDino','LwDetr','OmDetTurbo'])
def test_transformers(name):
    "Scores and boxes are those of the authors' own post-processing; layers are maps or tokens of the picture; the map is the score's gradient by hand, and an item's is that of a batch"
    model,processed = queries_of(name)
    x = torch.rand(2, 3, *((96,96) if name.startswith('Owl') else (64,96)))
    if name.startswith('Owl'): model = WithTexts(model, input_ids=torch.randint(2, 50, (2,6)), attention_mask=torch.ones(2, 6).long())
    if name=='GroundingDino': model = WithTexts(model, input_ids=tensor([[101,7,8,9,10,11,102]]))
    if name=='OmDetTurbo': model,processed = WithTexts(model, **omdet_texts()),partial(processed, None)
    with torch.no_grad(): pred = model(x)
    q = Detections(1).ask(pred, range(2))
    for r,o,(boxes,scores,labels) in zip(processed(pred, threshold=0., target_sizes=[tuple(x.shape[2:])]*2), q.objects(x.shape[2:]), q.refs):
        best = r['scores'].argmax()
        assert scores.item()==pytest.approx(r['scores'][best].item(), rel=1e-4)
        same = torch.isclose(r['scores'], r['scores'][best], rtol=1e-4)                          # of objects of one score any
        assert any(torch.allclose(o[0,:4], b, atol=.05) for b in r['boxes'][same])
    found = object_levels(model, x, Detections(1))
    assert not any('decoder.layers' in n or 'text' in n for n in found)
    maps,seen = cam_maps(model, x, Detections(1), fuse=None),{}
    hooks = [model.get_submodule(n).register_forward_hook(lambda m,i,o,n=n: seen.update({n: main_output(o).detach().requires_grad_()}) or with_main(o, seen[n])) for n in found]
    chances = Detections(1).found(model(x))[1].all
    for h in hooks: h.remove()
    gs = torch.autograd.grad(chances.max(), list(seen.values()), allow_unused=True)
    for (n,a),g in zip(seen.items(), gs):
        want = found[n].to_grid(g*a)[1].sum(0)
        assert torch.allclose(maps[n][1,0].as_subclass(Tensor), want, atol=1e-4*want.abs().max().item())
        alone = cam_maps(model, x[1:], Detections(1), fuse=None)[n][0]
        if name!='GroundingDino': assert torch.allclose(maps[n][1], alone, atol=1e-4*want.abs().max().item())         # whose gradients with random weights hang on the last digit
    if name=='OmDetTurbo':                                                   # whose authors suppress what overlaps
        pred.decoder_coord_logits[:,1:6] = pred.decoder_coord_logits[:,:1]+.001
        for r,(_,scores,labels) in zip(processed(pred, threshold=0., target_sizes=[tuple(x.shape[2:])]*2), Detections(10).ask(pred, range(2)).refs):
            best = r['scores'][r['labels']==labels[0]].sort(descending=True).values
            assert len(best)==5 and torch.allclose(scores, best) and labels.unique().numel()==1
    if name in ('DeformableDetr','GroundingDino'): assert len(found)>2 and all(o.kind=='NC*' for o in found.values())           # each level, not the first of a row of tokens

class Bare(nn.Module):
    "Queries in a plain dict, as in the authors' own code: the picture's cells, whose brightness speaks for one class"
    def __init__(self, bias):
        super().__init__()
        self.conv,self.bias = nn.Conv2d(1, 4, 8, stride=8),nn.Parameter(tensor(bias))
        self.conv.weight.data.fill_(1/64); self.conv.bias.data.zero_()
    def forward(self, x):
        f = self.conv(x).relu()
        at = torch.stack(torch.meshgrid((torch.arange(8)+.5)/8, (torch.arange(8)+.5)/8, indexing='ij')[::-1], -1).reshape(1, 64, 2)
        logits = f.flatten(2).mean(1)[...,None]*tensor([0.,3,0])+self.bias
        return dict(pred_logits=logits, pred_boxes=torch.cat([at, torch.full_like(at, .125)], -1).expand(len(x), -1, -1))

def test_bare_queries():
    "Chances of a plain dict are told by its numbers: where the last class, no object, leads classes compete; where nearly all speak against all classes each has its own. Where neither, the error says what to give"
    x = squares((8,8,6.))[None]
    for bias,said,p in (([-2.,-4,5],'softmax',lambda o: o.softmax(-1)[...,:-1]), ([-6.,-7,-5.],'sigmoid',torch.sigmoid)):
        model = Bare(bias)
        s = p(model(x)['pred_logits'])[0]
        q = Detections(1).ask(model(x), range(1))
        assert q.refs[0][1].item()==s.max().item()
        maps = cam_maps(model, x, Detections(1))
        assert torch.equal(maps, cam_maps(model, x, Detections(1, boxes=said))) and (maps[0,0]!=0).nonzero().tolist()==[[1,1]]
    model = Bare([1.,0,-1])
    with pytest.raises(ValueError, match="boxes='softmax'.*boxes='sigmoid'"): cam_maps(model, x, Detections(1))
    with pytest.raises(ValueError, match="boxes='softmax'"): cam_maps(model, x)
    assert cam_maps(model, x, Detections(1, boxes='sigmoid')).shape==(1,1,8,8)
    assert cam_maps(model, x, lambda p: p['pred_logits'][:,9,1]).shape==(1,1,8,8)                  # a function need not know
    with pytest.raises(ValueError, match="no boxes 'softmaxx'.*'softmax'"): Detections(boxes='softmaxx')

def test_rows_without_objectness():
    "Rows of boxes and classes: where the fifth number cannot be the chance of any object this is an error, and it is read as one says"
    b = tensor([[20.,20,10,10],[50,50,10,10],[90,90,10,10],[130,130,10,10]]).repeat(3, 1)+torch.arange(12)[:,None]*tensor([40.,0,0,0])
    s = torch.full((12,3), .01)
    s[0,0],s[1,1] = .9,.8
    rows = torch.cat([b, s], 1)[None]
    with pytest.raises(ValueError, match="boxes='classes'.*boxes='objectness'"): objects_in(rows)
    for t in (rows,rows.transpose(1, 2)):                                                          # as columns it is known
        o, = objects_in(t, 'classes')
        i = o.best(.5)
        assert o.scores[i].tolist()==pytest.approx([.9,.8]) and o.labels[i].tolist()==[0,1]
    o, = objects_in(rows, 'objectness')
    assert o.scores.max()<.02 and len(objects_in(rows.transpose(1, 2))[0].best(.5))==2

def cells(objectness, found=True):
    "Rows of twelve cells and three classes: an object of the second class at the first, one of the third at the next, and what a cell without an object says of classes, where nobody asks it"
    b = tensor([[20.,20,10,10],[50,50,10,10],[90,90,10,10],[130,130,10,10]]).repeat(3, 1)+torch.arange(12)[:,None]*tensor([40.,0,0,0])
    s = torch.full((12,3), .01)
    if found: s[0,0],s[1,1],s[1,0] = .9,.8,.1
    if not objectness: return torch.cat([b, s], 1)[None]
    there = torch.full((12,1), .02)
    if found: there[:2] = .95
    s[2:,0] = .7
    return torch.cat([b, there, s], 1)[None]

def test_objectness_by_numbers():
    "Where objects are, an objectness is high together with a class; chances of classes alone are not. Where nothing is found either way it does not matter, and where it does, the error names both readings"
    o, = objects_in(cells(True))
    assert o.all.shape[1]==3 and o.scores[o.best(.5)].tolist()==pytest.approx([.95*.9,.95*.8])
    assert len(Detections().ask(cells(False, found=False), range(1)).refs[0][0])==0                      # all of them low
    both = r"two ways, x, y, width, height and 4 classes, or x, y, width, height, the chance that there is any object, and 3 classes.*'classes'.*'objectness'"
    for t in (cells(True, found=False), cells(True)[:,2:]):
        with pytest.raises(ValueError, match=both): Detections().ask(t, range(1))
        assert Detections(boxes='objectness').ask(t, range(1)).labels()==[[]] and len(Detections(boxes='classes').ask(t, range(1)).labels()[0])>0
    with pytest.raises(ValueError, match='fifth number is high'): Detections(1).ask(cells(False), range(1))
    assert len(Detections().ask(torch.cat([cells(True), cells(True, found=False)]), range(2)).refs[1][0])==0   # one item tells of the model

def test_objectness_by_classes():
    "As many columns as there are classes decide: in rows or columns, whatever the numbers are. Where fastai's class for no object makes both fit, the numbers do"
    ask = lambda t,vocab: as_target(Detections(), vocab).ask(t, range(len(t)))
    abc,none = list('abc'),['#na#','a','b','c']
    for found in (True,False):
        for vocab,n in ((abc,3),(list('abcd'),4)):
            for t in (cells(True, found), cells(True, found).transpose(1, 2)):
                assert ask(t, vocab).boxes==('objectness' if n==3 else 'classes')
    q = ask(cells(False), abc)
    assert q.boxes=='classes' and q.labels(abc)==[['a','b']]
    assert ask(cells(True), none).labels(none)==[['a','b']] and ask(cells(False), none).labels(none)==[['a','b']]    # not those that '#na#' shifts
    with pytest.raises(ValueError, match='two ways'): ask(cells(True, found=False), none)

def test_read_once():
    "When a model is asked again about a part of the picture, its prediction is read as that of the whole was"
    q = Detections().ask(cells(True), range(1))
    hidden = cells(True).clone(); hidden[:,:2,4] = .02
    assert q.scores(hidden)[0].tolist()==pytest.approx([.02*.9,.02*.8])
    logits = tensor([[[-1.,-2,5],[4,-3,1]]])
    pred = dict(pred_logits=logits, pred_boxes=tensor([[[.2,.2,.1,.1],[.7,.7,.1,.1]]]))
    q = Detections(1).ask(pred, range(1))
    assert q.boxes=='softmax' and q.scores(dict(pred, pred_logits=logits-9)).item()==pytest.approx(q.refs[0][1].item())

class Rows(Squares):
    "What is left after suppression, as rows x1, y1, x2, y2, score, class, and rows of zeros up to ten: as effdet gives it, and YOLO where suppression is part of the model; or as many as there are, in a list"
    def forward(self, xs):
        items = [torch.cat([p['boxes'], p['scores'][:,None], p['labels'][:,None].float()], 1) for p in super().forward(xs)]
        return torch.stack([torch.cat([o, o.new_zeros(10-len(o), 6)]) for o in items]) if self.filled else items

@pytest.mark.parametrize('filled', [True,False])
def test_rows_of_objects(filled):
    "The same maps as those of torchvision's form, by autograd; what fills up is no object, however many are asked for; nobody needs to say what it is"
    model,plain = Rows(),Squares()
    model.filled = filled
    want,q = asked(plain, batch(), Detections(5))
    for target in (None, Detections(5)):
        maps = cam_maps(model, batch(), target)
        assert [len(m) for m in maps]==[2,1,0] and all(torch.allclose(a, b, atol=1e-6) for a,b in zip(want, maps))
    own = Detections(5).ask(model(batch()), range(3))
    assert own.labels()==q.labels() and all(torch.allclose(a, b) for a,b in zip(own.objects((64,64)), q.objects((64,64))))
    a = model.fine(model.stem(batch()[:1])).detach().requires_grad_()
    with giving(model.fine, a) as given: p = model(batch()[:1])[0]
    for j,i in enumerate(p[:2,4].argsort(descending=True)):
        g, = torch.autograd.grad(p[i,4], given, retain_graph=True)
        assert torch.allclose(maps[0][j].as_subclass(Tensor), (g*a).sum(1)[0], atol=1e-6)
    with pytest.raises(IndexError, match='no object 2 in item 0: it has 2'): cam_maps(model, batch(), Detections([2]))

def test_what_are_no_rows():
    "Six classes of two heads, or of many places, are no boxes"
    torch.manual_seed(0)
    for pred in ([torch.randn(1,6)-9, torch.randn(1,6)-9], torch.randn(2,100,6).softmax(-1), torch.randn(2,100,6)):
        assert form_target(pred) is None

@pytest.mark.parametrize('size', [128,160])
def test_square_pyramid(size):
    "A level of 16 by 16 after one of 16 cells is no attention"
    x = torch.rand(1,3,128,size)
    found = object_levels(tv('retinanet_resnet50_fpn', min_size=128, max_size=size, score_thresh=0.), x, Detections(3))
    assert list(found)==[f'backbone.fpn.layer_blocks.{i}' for i in (2,1,0)]

def test_ties():
    "Objects of one score, and of one box: each is explained by itself, in one order"
    class Tied(nn.Module):
        def __init__(self): super().__init__(); self.conv = nn.Conv2d(1, 1, 8, stride=8); self.conv.weight.data.fill_(1/64); self.conv.bias.data.zero_()
        def forward(self, x):
            f = self.conv(x).relu()[:,0]
            return [dict(boxes=tensor([[8.,8,16,16],[40,40,48,48],[8,8,16,16],[16,48,24,56]])+(o.mean()-.5),
                         scores=torch.stack([o[1,1],o[5,5],.5*o[1,1],o[6,2]]), labels=tensor([1,1,2,1])) for o in f]
    x = torch.full((1,1,64,64), .5)
    maps = cam_maps(Tied(), x, Detections(4), method='hirescam')
    assert [tuple(int(i) for i in np.unravel_index(m.argmax(), (8,8))) for m in maps[0]]==[(1,1),(5,5),(6,2),(1,1)]
    assert maps[0,3].max().item()==pytest.approx(.25) and ((maps[0]!=0).sum((1,2))==1).all()

# ---- a real detector
def faces(pred):
    "Boxes, scores and names of what CenterFace gives: peaks of the heat map, with sizes and offsets in fours of pixels"
    def of(heat, size, off):
        y,x = ((heat==F.max_pool2d(heat[None], 3, 1, 1)[0]) & (heat>.05)).nonzero(as_tuple=True)
        (h,w),mid = size[:,y,x].exp()*4,torch.stack([x,y], 1)
        mid = (mid+off[:,y,x].flip(0).T+.5)*4
        boxes,scores = torch.cat([mid-torch.stack([w,h], 1)/2, mid+torch.stack([w,h], 1)/2], 1),heat[y,x]
        keep = torchvision.ops.nms(boxes.detach(), scores.detach(), .3)
        return boxes[keep],scores[keep],['face']*len(keep)
    return [of(h[0], s, o) for h,s,o in zip(*pred[:3])]

def side_by_side(*photos): return np.concatenate([np.asarray(Image.fromarray(p).resize((320,320), Image.BICUBIC)) for p in photos], 1)

@cache
def faces_seen():
    "Photos (height, width, 3) by name, and how many faces they have"
    a,h,c = [p() for p in face_photos.values()]
    near = a[:320,96:352]
    return {'astronaut':(a,1), 'hopper':(h,1), 'camera':(c,1), 'mirrored':(np.concatenate([near, near[:,::-1]], 1),2),
            'two':(side_by_side(near, h[:320,96:416]),2), 'two in gray':(side_by_side(c[32:352,128:448], near),2), 'three':(side_by_side(h[:320,96:416], near, c[32:352,128:448]),3)}

@pytest.mark.parametrize('name', ['astronaut','hopper','camera','mirrored','two','two in gray','three'])
def test_faces(name):
    "CenterFace: each face's map lies in its own box, and in no other's"
    model,(photo,n) = centerface(),faces_seen()[name]
    x = face_picture(photo)
    maps,q = asked(model, x, Detections(boxes=faces))
    assert q.labels()==[['face']*n]
    boxes = q.objects(x.shape[2:])[0]
    own = [[inside(m, b, x.shape[2:]) for b in boxes] for m in maps[0]]
    assert all(own[j][j]>=.9 for j in range(n)) and all(own[i][j]<.1 for i in range(n) for j in range(n) if i!=j)
    assert not any(o.channels<=2 for o in object_levels(model, x, Detections(boxes=faces)).values())          # what scores and sizes come of, not these themselves

strange = Path(__file__).resolve().parents[2]/'shared/data/imagenet_val'

@pytest.mark.skipif(not strange.exists(), reason='no photos in ../shared/data/imagenet_val')
def test_faces_of_strangers():
    "In photos of anything in which it finds faces, several and small ones too"
    model,target,seen = centerface(),Detections(thresh=.6, boxes=faces),[]
    for f in get_image_files(strange).sorted()[:130]:
        x = face_picture(np.asarray(Image.open(f).convert('RGB').resize((448,448), Image.BICUBIC)))
        with torch.no_grad(): found = target.ask(model(x), range(1))
        if len(found.refs[0][0]): seen += [inside(m, o, (448,448)) for m,o in zip(cam_maps(model, x, target)[0], found.objects((448,448))[0])]
    assert len(seen)>=15 and min(seen)>=.9

class FromShares(nn.Module):
    "CenterFace for pictures of 0..1; gives what it gives, or a dict of boxes, scores and names for each picture"
    def __init__(self, named): super().__init__(); self.net,self.named = centerface(),named
    def forward(self, x):
        p = self.net(x*255)
        return [dict(boxes=b, scores=s, labels=l) for b,s,l in faces(p)] if self.named else p

def face_learner(path, named):
    for n,(photo,_) in faces_seen().items():
        if n in ('astronaut','hopper','two'): Image.fromarray(photo).resize((640,320) if n=='two' else (320,320), Image.BICUBIC).save(path/f'{n}.png')
    fs = get_image_files(path).sorted()
    dls = Datasets(fs, [[PILImage.create],[own_box]], splits=([0],[0]), n_inp=1).dataloaders(bs=1, after_item=[ToTensor(),IntToFloatTensor()], create_batch=pairs_of_batch, num_workers=0)
    learn = Learner(dls, FromShares(named), loss_func=no_loss)
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn,fs

def pairs_of_batch(b): return torch.stack([o[0] for o in b]),[o[1] for o in b if len(o)>1]

def test_faces_in_a_learner(tmp_path, capsys):
    "With `boxes=`, or, as the command takes no function, in a module that gives dicts: the same faces and maps, in pictures and from the command line"
    learn,fs = face_learner(tmp_path, named=False)
    cams = learn.cam(fs, target=Detections(boxes=faces))
    assert cams.labels==[['face'],['face'],['face','face']] and (cams.localize().energy_inside>=.9).all()
    learn.show_cam(fs, target=Detections(boxes=faces))
    assert sum(len(ax.patches) for ax in plt.gcf().axes)==4
    with pytest.raises(ValueError, match='`boxes=` is a function of the prediction'): learn.cam(fs, target=Detections())
    named,_ = face_learner(tmp_path, named=True)
    again = named.cam(fs)
    assert again.labels==cams.labels and all(torch.allclose(a, b, atol=1e-6) for a,b in zip(cams._maps, again._maps))
    named.export(tmp_path/'export.pkl')
    cli.explain_images(cli.load_exported(tmp_path/'export.pkl'), fs, tmp_path/'out', target=None)
    said = [o.split(' -> ')[0] for o in capsys.readouterr().out.splitlines()]
    assert said==[f"{f.name}: {', '.join(f'face {p:.2f}' for p in ps)}" for f,ps in zip(fs, cams.probs)]
    plt.close('all')
