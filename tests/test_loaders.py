"Loaders of every kind: the first `max_n` items and no more, each map with its own item, whatever is left out, shuffled or changed on the way"
import pytest, warnings
from utils import *
from fastcam.learner.items import Batches, Seen

files,_ = drawn_files()
data = torch.utils.data
def plain(t): return t.as_subclass(Tensor)
def same(a, b): assert a.shape==b.shape and b.abs().any() and torch.allclose(plain(a), plain(b), atol=1e-5*b.abs().max().item())

class Counted(data.Dataset):
    "Tells which items were read"
    def __init__(self, n=40): self.n,self.asked = n,[]
    def __len__(self): return self.n
    def __getitem__(self, i):
        if i>=self.n: raise IndexError(i)
        self.asked.append(i)
        return torch.rand(3,32,32, generator=torch.Generator().manual_seed(int(i))), i%3

class Stream(data.IterableDataset):
    "Endless, without a length"
    def __init__(self): self.ds = Counted(10**9)
    def __iter__(self): return (self.ds[i] for i in itertools.count())

class Lengthless:
    "Can be indexed, and has no length"
    def __init__(self): self.ds = Counted(10**9)
    def __getitem__(self, i): return self.ds[i]

class Own:
    "A loader of neither library, which can be read again"
    def __init__(self): self.ds = Counted(10**9)
    def __iter__(self): return ((x[None],tensor([y])) for x,y in (self.ds[i] for i in itertools.count()))

def read_by(o): return getattr(o.dataset, 'ds', o.dataset) if hasattr(o, 'dataset') else o.ds

loaders = dict(plain=lambda: data.DataLoader(Counted(), batch_size=5), shuffled=lambda: data.DataLoader(Counted(), batch_size=5, shuffle=True),
    dropping=lambda: data.DataLoader(Counted(13), batch_size=7, drop_last=True), stream=lambda: data.DataLoader(Stream(), batch_size=5),
    fastai_stream=lambda: DataLoader(Stream(), bs=5), fastai=lambda: DataLoader(Counted(), bs=5, shuffle=True, num_workers=0), lengthless=lambda: DataLoader(Lengthless(), bs=5, num_workers=0), own=Own)

def left_of(learn): return model_state(learn.model),modes_state(),[type(o) for o in learn.cbs],learn.lock.locked()

def learner_of(dl):
    learn = Learner(DataLoaders(dl, dl), small_net(), loss_func=CrossEntropyLossFlat())
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn

@pytest.mark.parametrize('kind', loaders)
def test_first(kind):
    "The first items in their order, given as `dl` or the learner's own, and no batch more is read than holds them"
    for n in (1, 4, 5, 8):
        dl = loaders[kind]()
        learn,ds = learner_of(dl),read_by(dl)
        want = cam_maps(learn.model, torch.stack([Counted()[i][0] for i in range(n)]), target=1)
        for kw in ({}, dict(dl=dl)):
            ds.asked.clear()
            cams = learn.cam(target=1, max_n=n, **kw)
            same(cams.maps, want)
            assert len(cams)==n and list(cams.rows)==list(range(n)) and len(set(ds.asked))<=(14 if kind=='dropping' else -(-n//5)*5+2)
            assert cams.actuals is None or list(cams.actuals)==[str(i%3) for i in range(n)]
        assert learn.cam(target=1, max_n=n)[n-1:].inputs.shape==(1,3,32,32)

@pytest.mark.parametrize('kind', loaders)
def test_all_that_take_max_n(kind):
    "Whoever takes `max_n` reads no more than it needs"
    dl = loaders[kind]()
    learn,ds = learner_of(dl),read_by(dl)
    kw = dict(methods=['gradcam'], max_n=4)
    for f in (lambda: learn.show_cam(max_n=4), lambda: learn.compare_cams(**kw), lambda: learn.cam_summary(max_n=4), lambda: learn.cam_layers(), lambda: learn.cam_metrics(metrics='complexity', **kw),
              lambda: learn.best_cam(by='complexity', **kw), lambda: learn.sanity_check(draws=1, **kw), lambda: learn.concepts(k=2, max_n=4),
              lambda: learn.cam_localize(truth=lambda o: torch.ones(32,32), **kw)):
        ds.asked.clear()
        f()
        assert 0<len(set(ds.asked))<=14                                           # a stream is asked for one item more than it gives
        plt.close('all')
    film = CAMFilm(dl=dl, max_n=4)
    ds.asked.clear()
    film.learn = learn
    film._setup()
    assert len(set(ds.asked))<=7 and len(film._cams())==4

def test_whole_plain_loaders():
    "All of a loader that shuffles and leaves out the last, in the order of its items; one with a sampler of its own as it is"
    learn = learner_of(loaders['plain']())
    want = learn.cam(target=1).maps
    for kw in (dict(shuffle=True), dict(shuffle=True, drop_last=True), dict(drop_last=True)): same(learn.cam(dl=data.DataLoader(Counted(), batch_size=7, **kw), target=1).maps, want)
    some = data.DataLoader(Counted(), batch_size=3, sampler=[7,3,11,2])
    same(learn.cam(dl=some, target=1).maps, want[[7,3,11,2]])
    same(learn.cam(dl=data.DataLoader(Counted(), batch_sampler=[[5,1],[8]]), target=1).maps, want[[5,1,8]])
    with pytest.raises(ValueError, match='2 targets for 4 items'): learn.cam(dl=some, target=PerItem([0,1]))
    bare = [torch.stack([Counted()[i][0] for i in (4,6)])]
    same(learn.cam(dl=data.DataLoader(bare[0], batch_size=2), target=1).maps, want[[4,6]])           # batches of a tensor alone
    with pytest.raises(ValueError, match='has no length: give `max_n`'): learner_of(loaders['lengthless']()).cam()

def test_stream_is_compared_once():
    "A stream that gives other items each time: every column is of the same ones"
    class Once(data.IterableDataset):
        def __init__(self): self.it = (Counted()[i] for i in range(40))
        def __iter__(self): return self.it
    learn = learner_of(data.DataLoader(Once(), batch_size=2))
    learn.compare_cams(methods=['gradcam','gradcam'], max_n=4)
    ims = [ax.get_images()[-1].get_array() for ax in plt.gcf().axes if ax.get_images()]
    assert len(ims)==8
    for a,b in zip(ims[::2], ims[1::2]): np.testing.assert_array_equal(a, b)
    plt.close('all')

@pytest.mark.parametrize('said', [4,10,25])
def test_stream_with_a_length(said):
    "A stream may say how long it is, right or wrong: all that it gives is explained"
    class Some(data.IterableDataset):
        def __iter__(self): return (Counted()[i] for i in range(10))
        def __len__(self): return said
    learn = learner_of(data.DataLoader(Some(), batch_size=4))
    want = cam_maps(learn.model, torch.stack([Counted()[i][0] for i in range(10)]), target=1)
    same(learn.cam(target=1).maps, want)
    same(learn.cam(target=1, max_n=6).maps, want[:6])

# ---- dicts
@pytest.mark.parametrize('b', [dict(pixels=torch.zeros(3,32,32), label=1), (dict(pixels=torch.zeros(3,32,32)),1)], ids=['batch','input'])
def test_dicts(b):
    "What is given, what is expected, and what to try, whoever is asked"
    for L_ in (data.DataLoader, DataLoader):
        learn = learner_of(L_([b]*4, batch_size=2))
        was = left_of(learn)
        for f in (learn.cam, learn.show_cam, learn.compare_cams, learn.cam_summary, learn.cam_metrics, learn.sanity_check, learn.cam_layers, learn.concepts):
            with pytest.raises(TypeError, match="dict of 'pixels'.*expected a tuple.*collate_fn.*batch\\['pixels'\\]"): f()
        assert was==left_of(learn)

# ---- items that are left out
class Skipping(Transform):
    "Leaves out the files `bad`, as they are opened or as pictures"
    def __init__(self, bad): self.bad = bad
    def encodes(self, o:Path):
        if o in self.bad: raise SkipItemException(o)
        return PILImage.create(o)

class Dark(ItemTransform):
    "Leaves out what is darker than `least`, in the item pipeline"
    def __init__(self, least): self.least = least
    def encodes(self, o):
        if np.array(o[0]).mean()<self.least: raise SkipItemException
        return o

def skipping(bad, bs=5, item_tfms=None):
    fs = [*files[:12], *files[12:24]]
    db = DataBlock((TransformBlock(type_tfms=[Skipping([files[i] for i in bad])]), CategoryBlock), splitter=IndexSplitter(range(12)), get_y=kind_of, item_tfms=item_tfms, batch_tfms=Normalize.from_stats(*imagenet_stats))
    learn = Learner(db.dataloaders(fs, bs=bs, num_workers=0), small_net(), loss_func=CrossEntropyLossFlat())
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn

@pytest.mark.parametrize('bad', [[0],[11],[4],[5],[0,1,2,3,4],[3,4,5,6],[10,11],[*range(0,12,2)]], ids=str)
def test_skipped(bad):
    "Wherever they are, and however many: maps, classes, pictures and files of the others are their own"
    learn = skipping(bad)
    left = [i for i in range(12) if i not in bad]
    want = learn.cam([files[i] for i in left], target=1)
    for cams in (learn.cam(target=1), learn.cam(files[:12], target=1), learn.cam(dl=learn.dls.valid.new(shuffle=True), target=1), learn.cam(target=torch.ones(12).long())):
        same(cams.maps, want.maps)
        assert list(cams.rows)==left and list(cams.files)==[files[i] for i in left]
        same(cams.inputs, want.inputs)
        assert torch.allclose(cams.preds, want.preds, atol=1e-5)
    assert list(learn.cam().actuals)==[kind_of(files[i]) for i in left]
    names = [learn.dls.vocab[i%3] for i in range(12)]
    assert [o[0] for o in learn.cam(target=PerItem(names)).labels]==[names[i] for i in left]

class Holed(Counted):
    "Gives None for two of its items"
    def __getitem__(self, i): return None if i in (2,5) else super().__getitem__(i)

def some(b): return [o for o in b if o is not None]
def collate_some(b): return data.default_collate(some(b))

def test_none_is_left_out():
    "fastai's loader leaves out items that are None: the others keep their positions. Of PyTorch's only the `collate_fn` knows which are left: what is said of each item by its position is refused"
    want,per_item,left = learner_of(loaders['plain']()).cam(target=1).maps,[i%3 for i in range(13)],[i for i in range(13) if i not in (2,5)]
    for dl in (DataLoader(Holed(13), bs=4), DataLoader(Holed(13), bs=4, before_batch=some), DataLoader(Holed(13), bs=4, create_batch=collate_some)):
        learn = learner_of(dl)
        cams = learn.cam(target=1)
        same(cams.maps, want[left])
        assert list(cams.rows)==left and [o[0] for o in learn.cam(target=PerItem(per_item)).labels]==[str(i%3) for i in left]
    learn = learner_of(data.DataLoader(Holed(13), batch_size=4, collate_fn=collate_some))
    same(learn.cam(target=1).maps, want[left])
    for target in (PerItem(per_item), Neg(PerItem(per_item)), tensor(per_item), [PerItem(per_item),1]):
        with pytest.raises(ValueError, match='left items out.*no telling which'): learn.cam(target=target)
    with pytest.raises(ValueError, match='left items out.*no telling which'): learn.cam(target=PerItem(per_item[:4]), max_n=4)
    masks = Region(torch.ones(13, 4, 4))
    assert masks.by_position and not Region().by_position and not Region((2,3)).by_position and not TopK(2).by_position
    cams = learn.cam(dl=data.DataLoader(data.Subset(Holed(13), left), batch_size=4), target=PerItem([per_item[i] for i in left]))
    assert [o[0] for o in cams.labels]==[str(i%3) for i in left]

def test_skipped_in_the_pipeline():
    "By a transform of items, in each of several processes, and of the whole set"
    bright = [np.array(Image.open(o)).mean() for o in files[:12]]
    least = sorted(bright)[4]
    left = [i for i,b in enumerate(bright) if b>=least]
    dark = Dark(0)
    learn = skipping([], item_tfms=dark)
    dark.least = least                                                              # fastai looks at the first item when it makes the loaders
    plain_ = skipping([]).cam(target=1)
    for kw in ({}, dict(num_workers=2)):
        cams = learn.cam(dl=learn.dls.valid.new(**kw), target=1)
        assert list(cams.rows)==left
        same(cams.maps, plain_.maps[left])
    dark.least = 999
    with pytest.raises(ValueError, match='nothing to explain.*SkipItemException'): learn.cam()

def test_skipped_by_others(tmp_path):
    "Those that go over a set do without, and so does an export, which says so"
    learn = skipping([1,6])
    kw = dict(methods=['gradcam'], metrics='complexity')
    assert learn.cam_metrics(max_n=None, **kw)['n',''].tolist()==[10,10]
    assert len(learn.cam_summary().cams)==10 and set(learn.sanity_check(methods=['gradcam'], draws=1).values.item)==set(range(10))
    learn.show_cam(max_n=4)
    learn.compare_cams(methods=['gradcam'], max_n=4)
    plt.close('all')
    film = CAMFilm(max_n=8)
    film.learn = learn
    film._setup()
    same(film._cams().maps, learn.cam(max_n=8).maps)
    pytest.importorskip('pyarrow')
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        learn.export_cams(tmp_path/'out', target=1)
    assert any('2 of 12 items are left out' in str(o.message) for o in said)
    saved = load_cams(tmp_path/'out')
    assert list(saved.files)==[files[i] for i in range(12) if i not in (1,6)] and sorted(saved.errors.item)==[1,6]
    want = plain(learn.cam(target=1).maps)
    assert torch.allclose(plain(saved.maps), want, atol=1e-3*want.abs().max().item())

# ---- callbacks that change the batch
class TwoViews(Callback):
    order = 9
    def before_batch(self): self.learn.xb = (torch.cat([self.x, self.x.flip(-1)]),)
class Late(TwoViews): order = 99
class Fewer(Callback):
    def before_batch(self): self.learn.xb,self.learn.yb = (self.x[1:],),(self.y[1:],)
class Brighter(Callback):
    def before_batch(self): self.learn.xb = (self.x*2+1,)
class TrainOnly(TwoViews): run_valid = False

@pytest.mark.parametrize('cb', [TwoViews,Late,Fewer])
@pytest.mark.parametrize('kind', ['plain','fastai'])
def test_rows_changed(cb, kind):
    "Named, with what to try, and nothing is left behind"
    learn = learner_of(loaders[kind]())
    learn.add_cb(cb())
    was = left_of(learn)
    for f in (learn.cam, lambda: learn.show_cam(max_n=3), lambda: learn.cam_summary(max_n=4)):
        with pytest.raises(ValueError, match=f'^{cb.__name__} makes .* rows of a batch of . items.*run_valid = False.*removed_cbs'): f()
    assert was==left_of(learn)
    with pytest.raises(ValueError, match=cb.__name__): learn.get_preds(dl=learn.dls.valid if kind=='plain' else None, cbs=CAMCallback())

def test_rows_kept():
    "What changes pictures and not their number is what the model sees; what trains only is no matter; a set that is cut short is in order"
    learn = learner_of(loaders['fastai']())
    want,x = learn.cam(target=1, max_n=7),learn.cam(max_n=7).inputs
    learn.add_cb(TrainOnly())
    same(learn.cam(target=1, max_n=7).maps, want.maps)
    learn.add_cb(Brighter())
    same(learn.cam(target=1, max_n=7).maps, cam_maps(learn.model, plain(x)*2+1, target=1))
    learn.remove_cbs([TrainOnly,Brighter])
    learn.add_cb(ShortEpochCallback(pct=.3))
    cams = learn.cam(target=1)
    assert 7<=len(cams)<40 and list(cams.rows)==list(range(len(cams)))
    same(cams.maps[:7], want.maps)

class Makes(Callback):
    "Makes something of the pictures, and counts how often"
    def __init__(self, f): self.f,self.n,self.seen,self.rng = f,0,[],np.random.default_rng(0)
    def before_batch(self):
        self.n += 1
        self.seen.append(self.n)
        self.learn.xb = (self.f(self, self.x),)
class InPlace(Callback):
    def before_batch(self): self.x.copy_(self.x.flip(-1))
class Swaps(Callback):
    def before_batch(self):
        i = torch.randperm(len(self.x))
        self.learn.xb,self.learn.yb = (self.x[i]*2-1,),(self.y[i],)

def noise(x): return torch.randn(x.shape)*.05
stays = dict(scaled=lambda cb,x: (x-.4)/.2, by_channel=lambda cb,x: (x-tensor([.1,.5,.9])[:,None,None])/tensor([.2,.3,.4])[:,None,None], gamma=lambda cb,x: x**2.2, clamped=lambda cb,x: x.clamp(.2,.8),
    each=lambda cb,x: (x-x.mean((1,2,3), keepdim=True))/x.std((1,2,3), keepdim=True), stretched=lambda cb,x: (x-x.amin((1,2,3), keepdim=True))/(x.amax((1,2,3), keepdim=True)-x.amin((1,2,3), keepdim=True)),
    noise=lambda cb,x: x+noise(x), own_noise=lambda cb,x: x+tensor(cb.rng.normal(size=x.shape)).float()*.05, bands=lambda cb,x: x.flip(1), gray=lambda cb,x: x.mean(1, keepdim=True).repeat(1,3,1,1),
    channels_last=lambda cb,x: x.contiguous(memory_format=torch.channels_last), half=lambda cb,x: x.half().float(), blur=lambda cb,x: F.avg_pool2d(x, 3, 1, 1), larger=lambda cb,x: F.interpolate(x, scale_factor=1.5, mode='bilinear'),
    cut_out=lambda cb,x: x*(torch.arange(32)<20), blank=lambda cb,x: x*0+.5, as_it_is=lambda cb,x: x, cloned=lambda cb,x: x.clone())
moves = dict(flipped=lambda cb,x: x.flip(-1), upside_down=lambda cb,x: x.flip(2), turned=lambda cb,x: x.transpose(2,3), cropped=lambda cb,x: x[...,8:,8:], middle=lambda cb,x: x[...,4:-4,4:-4], padded=lambda cb,x: F.pad(x, (8,0,8,0)),
    framed=lambda cb,x: F.pad(x, (4,4,4,4)), shifted=lambda cb,x: x.roll(1, -1), zoomed=lambda cb,x: F.interpolate(x[...,4:-4,4:-4], size=32, mode='bilinear'), flipped_and_scaled=lambda cb,x: x.flip(-1)*2-1,
    rows=lambda cb,x: x.flip(0), two_rows=lambda cb,x: x[[0,2,1,*range(3, len(x))]] if len(x)>2 else x, next_row=lambda cb,x: x.roll(1, 0)**2, every_other=lambda cb,x: x.flip(-1) if cb.n%2==0 else x,
    at_random=lambda cb,x: x.flip(-1) if random.random()<.3 else x, at_own_random=lambda cb,x: x.flip(-1) if cb.rng.random()<.3 else x, some_rows=lambda cb,x: torch.where(torch.rand(len(x),1,1,1)<.2, x.flip(-1), x))

@pytest.mark.parametrize('how', stays)
def test_places_kept(how):
    "What a callback makes of the values is what the model sees, and it is asked no more often than there are batches"
    learn = learner_of(DataLoader(Counted(13), bs=5, num_workers=0))
    x = torch.stack([Counted()[i][0] for i in range(13)])
    learn.add_cb(cb := Makes(stays[how]))
    cams = learn.cam(target=1)
    assert cb.n<=3 and len(cb.seen)<=6
    for got,read in zip(cams._decoded(0), x): assert torch.equal(plain(got), read)                # what is drawn is as the loader gave it
    if 'noise' not in how: assert torch.equal(plain(cams.inputs), plain(stays[how](cb, x)))
    if how!='blank': same(cams.maps, cam_maps(learn.model, cams.inputs, target=1))

@pytest.mark.parametrize('how', moves)
def test_places_moved(how):
    "Refused in words that name the callback, and no trace is left"
    learn = learner_of(DataLoader(Counted(30), bs=5, num_workers=0))
    learn.add_cb(cb := Makes(moves[how]))
    was = left_of(learn)
    with pytest.raises(ValueError, match='^Makes puts what is in a batch into other places.*transform of the loader.*removed_cbs'): learn.cam(target=1)
    assert was==left_of(learn)

@pytest.mark.parametrize('cb', [InPlace,Swaps,partial(Callback, before_batch=lambda self: setattr(self.learn, 'xb', (self.x.flip(-1),)))])
@pytest.mark.parametrize('kind', ['plain','fastai'])
def test_moved_by_others(cb, kind):
    "In place, with the labels, by a callback without a class of its own; from loaders of both libraries, and where they are asked for by fastai's loop"
    learn = learner_of(loaders[kind]())
    learn.add_cb(cb())
    for f in (lambda: learn.cam(target=1), lambda: learn.get_preds(dl=learn.dls.valid, cbs=CAMCallback())):
        with pytest.raises(ValueError, match='other places.*transform of the loader'): f()

class Second(Callback):
    "Changes the second of two inputs, or adds one more"
    def __init__(self, f): self.f = f
    def before_batch(self): self.learn.xb = self.f(*self.xb)

class TwoNets(nn.Module):
    def __init__(self): super().__init__(); self.a,self.b = small_net(),small_net()
    def forward(self, x, z, *more): return self.a(x)+self.b(z)

def test_moved_of_several():
    "Of several inputs each is looked at"
    dl = DataLoader([(Counted()[i][0],Counted()[i+20][0],i%3) for i in range(8)], bs=4, num_workers=0, n_inp=2)
    learn = Learner(DataLoaders(dl, dl), TwoNets(), loss_func=CrossEntropyLossFlat())
    learn.dls.n_inp = 2
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    want = learn.cam(target=1)
    learn.add_cb(cb := Second(lambda x,z: (x,z.clone()*1.,z*0)))
    same(learn.cam(target=1).maps, want.maps)
    cb.f = lambda x,z: (x,z.flip(-1))
    with pytest.raises(ValueError, match='Second puts what is in a batch into other places'): learn.cam(target=1)

def test_rows_of_the_loader():
    "A loader that makes several rows of an item in a transform of the batch"
    dl = DataLoader(Counted(8), bs=4, num_workers=0, after_batch=lambda b: (torch.cat([b[0],b[0]]), torch.cat([b[1],b[1]])))
    with pytest.raises(ValueError, match='batch of 4 items has 8 rows'): learner_of(dl).cam()

# ---- loaders that sort the items of a batch
def brightness(o): return -o[0].float().mean().item()
def by_brightness(b): return sorted(b, key=brightness)
def longest_first(b): return sorted(b, key=lambda o: -o[0].shape[-1])
def padded(b):
    n = max(o[0].shape[-1] for o in b)
    return [(F.pad(o[0], (0,n-o[0].shape[-1])), *o[1:]) for o in b]
def scaled(b): return [((o[0]-.5)/.3, *o[1:]) for o in b]
def stacked(b): return tuple(map(torch.stack, zip(*[(o[0],tensor(o[1])) for o in b])))
def halved(b): return torch.stack([o[0][...,::2].half() for o in b]),tensor([o[1] for o in b])
def none_is_whose(b): return torch.rand(len(b),3,32,32),tensor([o[1] for o in b])

class Signals(Counted):
    "Of several lengths"
    def __getitem__(self, i):
        x,y = super().__getitem__(i)
        return x[:,0,:16+i*5%13],y

def signal_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Sequential(nn.Conv1d(3,8,3,padding=1), nn.ReLU(), nn.Conv1d(8,8,3,padding=1), nn.ReLU()), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8,3)).eval()

orders = dict(none=dict(), before_batch=dict(before_batch=by_brightness), create_batch=dict(create_batch=lambda b: stacked(by_brightness(b))),
    values_too=dict(before_batch=lambda b: scaled(by_brightness(b))), shapes_too=dict(create_batch=lambda b: halved(by_brightness(b))), workers=dict(before_batch=by_brightness, num_workers=2))

@pytest.mark.parametrize('how', orders)
def test_sorted_in_a_batch(how, tmp_path):
    "Each map is of its own item, and so are classes, pictures, and what is drawn, one by one and in an export"
    learn = learner_of(DataLoader(Counted(13), bs=5, **dict(num_workers=0) | orders[how]))
    alone = torch.stack([orders[how].get('create_batch', stacked)([orders[how].get('before_batch', noop)([Counted()[i]])[0]])[0][0].float() for i in range(13)])
    want = cam_maps(learn.model, alone, target=1)
    if how=='shapes_too': learn.model.register_forward_pre_hook(lambda m,i: (i[0].float(),))
    cams = learn.cam(target=1)
    assert list(cams.rows)==list(range(13)) and list(cams.actuals)==[str(i%3) for i in range(13)]
    for c,w,x in ((cams,want,alone), (cams[[7,2,9]],want[[7,2,9]],alone[[7,2,9]]), (cams[[4]],want[[4]],alone[[4]]), (learn.cam(target=1, max_n=7),want[:7],alone[:7])):
        assert torch.allclose(plain(c.maps), plain(w), atol=1e-3*w.abs().max().item())
        assert torch.allclose(plain(c.inputs).float(), x, atol=1e-5)
    assert [o[0] for o in learn.cam(target=PerItem([i%3 for i in range(13)])).labels]==[str(i%3) for i in range(13)]

def test_sorted_and_padded():
    "Signals of several lengths, the longest first, as packing asks for: padded with zeros, which this model does not see beside its convolutions' border"
    learn = Learner(DataLoaders(*[DataLoader(Signals(13), bs=5, num_workers=0, before_batch=compose(longest_first, padded))]*2), signal_net(), loss_func=CrossEntropyLossFlat())
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    cams,xs = learn.cam(target=1),[Signals()[i][0] for i in range(13)]
    for k,(m,x) in enumerate(zip(cams._maps, xs)):
        want = cam_maps(learn.model, F.pad(x, (0,m.shape[-1]-x.shape[-1]))[None], target=1)[0]
        same(plain(m), plain(want))
    assert list(cams.actuals)==[str(i%3) for i in range(13)] and all(torch.equal(plain(o)[...,:x.shape[-1]], x) for o,x in zip(cams._batches()[0][0], xs))

def test_no_telling_whose():
    "A batch whose rows hold nothing of its items"
    with pytest.raises(ValueError, match='no telling which row is of which item.*item_tfms'): learner_of(DataLoader(Counted(8), bs=4, num_workers=0, create_batch=none_is_whose)).cam()

def test_sorted_export(tmp_path):
    "Of files, with the views of the model's pictures on them"
    pytest.importorskip('pyarrow')
    def learner(**kw):
        learn = small_learner(n=24, bs=5)
        learn.dls = DataLoaders(*[dl.new(**kw) for dl in learn.dls.loaders])
        return learn
    a,b = learner(),learner(before_batch=by_brightness)
    for l,d in ((a,'a'),(b,'b')): l.export_cams(tmp_path/d, target=1)
    a_,b_ = load_cams(tmp_path/'a'),load_cams(tmp_path/'b')
    same(a_.maps, b_.maps)
    assert list(a_.files)==list(b_.files) and list(a_.actuals)==list(b_.actuals)
    pd.testing.assert_frame_equal(a.cam(target=1).to_df(), b.cam(target=1).to_df())

# ---- transforms of items that are random, in validation, too
class Flips(Transform):
    "Random, by a generator of its own, as albumentations' are, and no `RandTransform`"
    def __init__(self): self.rng = np.random.default_rng(0)
    def encodes(self, o:PILImage): return o.transpose(Image.FLIP_LEFT_RIGHT) if self.rng.random()<.5 else o

def flipping(net=None, **kwargs):
    learn = small_learner(net, item_tfms=Flips(), **kwargs)
    learn.saw = []
    learn.model[0].register_forward_pre_hook(lambda m,i: learn.saw.append(plain(i[0]).detach().clone()))
    return learn

def seen_by(learn, cams):
    "What the model was given in the last pass over the items of `cams`"
    n,res = len(cams),[]
    while sum(map(len, res))<n: res.insert(0, learn.saw.pop())
    return torch.cat(res)

def test_random_items_as_seen():
    "Pictures, inputs and maps are of one draw, whole and one by one, and decoded they are the files or their mirror images"
    learn = flipping()
    cams = learn.cam(target=1)
    x = seen_by(learn, cams)
    for k in (slice(None),slice(3,9),[7,2,8],[11,0,0]): assert torch.equal(plain(cams[k].inputs), x[k])
    same(cams.maps, cam_maps(learn.model, x, target=1))
    mean,std = (tensor(o)[:,None,None] for o in imagenet_stats)
    files = [tensor(np.array(Image.open(f))).permute(2,0,1)/255 for f in learn.dls.valid.items]
    assert len({torch.allclose(a*std+mean, f, atol=1e-4) for a,f in zip(x, files)})==2                      # some flipped, some not
    for p,a in zip(cams.pictures(), x): torch.testing.assert_close(plain(p)/255, a*std+mean, rtol=0, atol=1/250)
    cams.show(max_n=3)
    plt.close('all')

@pytest.mark.parametrize('kept', [0,3*3*48*48*4*5//2])
def test_random_items_of_many(kept, monkeypatch):
    "Of more than is kept no picture is, and what is read again is refused where it is another; where it is not, it is read as ever, in any order"
    import fastcam.learner.items as its
    monkeypatch.setattr(its, '_kept', kept)
    learn = flipping()
    cams = learn.cam(target=1)
    for f in (lambda: cams.inputs, lambda: cams.show(), lambda: cams[[3,8,5,1,9,2]].pictures()):
        with pytest.raises(ValueError, match='is not what the model saw.*random in validation.*split_idx=0'): f()
    assert all(isinstance(o, Tensor) and o.shape[1:]==(1,7) for o in cams._seen.held) and sum(map(len, cams._seen.held))==12
    learn = small_learner()
    cams,want = learn.cam(target=1),torch.cat([plain(b[0]) for b in learn.dls.valid])
    for k in (slice(None),[7,2,8],[11,0,0]): torch.testing.assert_close(plain(cams[k].inputs), want[k])
    cams.show(max_n=2)
    plt.close('all')

class _Drops:
    "A batch sampler of the user's own, which leaves items out"
    def __iter__(self): return iter([[0,2,4],[9,5],[7]])
    def __len__(self): return 3

def test_own_batch_sampler():
    "Its items are those of the loader, in its order; classes item by item are one for each of these, or are refused"
    learn = small_learner()
    x = torch.randn(10,3,32,32)
    dl = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.arange(10)%2), batch_sampler=_Drops())
    cams,order = learn.cam(dl=dl, target=PerItem([0,1,0,1,0,1])),[0,2,4,9,5,7]
    for m,i,c in zip(cams.maps, order, itertools.cycle([0,1])): assert torch.allclose(m.as_subclass(Tensor), cam_maps(learn.model, x[i:i+1], c)[0].as_subclass(Tensor), atol=1e-6)
    with pytest.raises(ValueError, match='10 targets for 6 items'): learn.cam(dl=dl, target=PerItem([0,1]*5))

def test_few_are_kept(monkeypatch):
    "What is kept does not grow with the set: known before, where its length is, or found on the way"
    import fastcam.learner.items as its
    dl = DataLoader(Counted(40), bs=5, num_workers=0)
    learn = learner_of(dl)
    one = Counted()[0][0].nbytes
    for kept,whole in ((41*one,True), (39*one,False), (6*one,False)):
        monkeypatch.setattr(its, '_kept', kept)
        cams = learn.cam(target=1)
        assert cams._seen.whole==whole and sum(o.nbytes for b in cams._seen.held for o in (b if whole else [b]))<=(41*one if whole else 40*7*4)
        assert torch.equal(plain(cams.inputs), torch.stack([Counted()[i][0] for i in range(40)]))
    seen,monkey = Seen(),monkeypatch.setattr(its, '_kept', 12*one)
    for i in range(4): seen.add(range(5*i, 5*i+5), (torch.stack([Counted()[k][0] for k in range(5*i, 5*i+5)]),), (tensor([0]*5),))
    assert not seen.whole and len(seen.held)==4 and torch.equal(plain(torch.cat([b[0] for b in seen.batches(dl, list(range(20)))])), torch.stack([Counted()[i][0] for i in range(20)]))

class WholeBatches(TfmdDL):
    "Slices batches out of an array, as tsai's loaders do: no item is made by itself"
    do_item = noops
    def create_batch(self, b):
        b = [i or 0 for i in b]                                      # fastai asks for None to see what there is
        return TensorImage(self.dataset.X[b]),TensorCategory(torch.tensor([i%3 for i in b]))
    def new_dl(self, X): return self.new(Arrays(X, 1))

class Arrays(Datasets):
    def __init__(self, X, split_idx): self.X,self.tls = X,[SimpleNamespace(split_idx=split_idx, types=None)]
    def __len__(self): return len(self.X)

def test_whole_batches():
    "Loaders that make whole batches are read, the training set in order; items are refused with what to give"
    x = drawn_batch(5)
    learn = small_learner()
    want = learn.cam(dl=[(x,)]).maps
    dls = DataLoaders(*[WholeBatches(Arrays(x, i), bs=2, shuffle=i==0, drop_last=i==0) for i in (0,1)])
    other = Learner(dls, learn.model, loss_func=CrossEntropyLossFlat())
    other.remove_cbs(other.cbs.filter(lambda o: o.name=='progress'))
    for kw in (dict(), dict(ds_idx=0), dict(dl=dls.valid), dict(dl=dls.train)): torch.testing.assert_close(other.cam(**kw).maps, want, rtol=1e-4, atol=1e-5)
    with pytest.raises(TypeError, match=r'make whole batches at once.*new_dl'): other.cam(x[0])

# ---- how many parts of an item are inputs, and whose names are whose

class PictureAnd(nn.Module):
    "Pixels decide: which color has the most, on the second picture if there is one"
    def __init__(self):
        super().__init__()
        self.body,self.head = nn.Sequential(nn.Conv2d(3, 3, 4, 4, bias=False), nn.ReLU()),nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        with torch.no_grad(): self.body[0].weight.copy_((torch.eye(3)*1.5-.5)[:,:,None,None].expand(3,3,4,4))
    def forward(self, x, other): return self.head(self.body(other if other.ndim==4 else x))

def _patched(color, seed):
    "A gray picture (PIL) with a patch of a color, 0 to 2, somewhere"
    rng = random.Random(seed)
    a = np.full((32,32,3), 60, dtype=np.uint8)
    y,x = (4*rng.randrange(8) for _ in range(2))
    a[y:y+4,x:x+4] = np.eye(3)[color]*255
    return PILImage.create(a)

colors = 'red','green','blue'
table = pd.DataFrame(dict(at=range(9), site=['north','south','west']*3, size=np.linspace(0, 1, 9), color=[colors[i%3] for i in range(9)]))

def _learner_of(blocks, getters, n_inp=2, loss=None):
    block = DataBlock(blocks, n_inp=n_inp, getters=getters, splitter=lambda o: (list(range(3,9)), list(range(3))))
    learn = Learner(block.dataloaders(table, bs=2, num_workers=0), PictureAnd(), loss_func=loss or CrossEntropyLossFlat())
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn

def of_row(off): return lambda r: _patched(int(r['at']+off)%3, int(r['at']+10*off))
def value(r): return tensor([r['size'],1.])

@pytest.mark.parametrize('second', [(ImageBlock,of_row(1)), (TransformBlock,value)], ids=['picture','numbers'])
def test_items_of_several_inputs(second):
    "fastai's test set counts one input of two, since no target is among them: what items are explained by, and with, is as in the validation set"
    learn = _learner_of((ImageBlock,second[0],CategoryBlock(list(colors))), [of_row(0),second[1],ColReader('color')])
    own,given = learn.cam(),learn.cam(table[:3])
    assert learn.dls.test_dl(table[:3]).n_inp==1 and len(given.inputs)==2
    assert given.labels==own.labels and torch.equal(given.maps, own.maps) and torch.equal(given.preds, own.preds)
    assert torch.equal(cam_maps(learn.model, given.inputs), cam_maps(learn.model, own.inputs))
    for cams in (given,learn.cam(dl=learn.dls.test_dl(table[:3]))): assert [tuple(o.shape) for o in cams.pictures()]==[(3,32,32)]*3
    learn.fit(1, lr=0., cbs=(film := CAMFilm(table[:3])))
    assert film.frames[0].labels==own.labels and torch.allclose(film.frames[0].maps, own.maps)
    assert learn.cam_metrics(table[:3], methods=['gradcam']).loc['gradcam'].notna().any()

def test_two_targets_of_a_training_set():
    "A training set, read again with its targets, has one input as well"
    block = DataBlock((ImageBlock,CategoryBlock,CategoryBlock), n_inp=1, getters=[of_row(0),ColReader('color'),ColReader('site')], splitter=lambda o: (list(range(3,9)), list(range(3))))
    net = nn.Sequential(nn.Conv2d(3,4,4,4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,6))
    learn = Learner(block.dataloaders(table, bs=2, num_workers=0), net, loss_func=lambda p,*ys: p.sum())
    assert isinstance(learn.cam(ds_idx=0).inputs, Tensor)

@pytest.mark.parametrize('target,want', [
    ((CategoryBlock,ColReader('color')), [[o] for o in colors]),
    ((TransformBlock(type_tfms=lambda o: torch.tensor(colors.index(o))),ColReader('color')), [['0'],['1'],['2']]),
], ids=['category','number'])
def test_names_of_inputs_are_none_of_the_answer(target, want):
    "An input that is a category has names of its own: those of the answer are those of the target, or numbers"
    learn = _learner_of((ImageBlock,CategoryBlock,target[0]), [of_row(0),ColReader('site'),target[1]])
    cams = learn.cam(target=Actual())
    model_says = learn.get_preds()[0].argmax(1).tolist()
    names = sorted(colors) if want[0]==['red'] else ['0','1','2']
    assert learn.cam().labels==[[names[i]] for i in model_says]
    assert list(cams.actuals)==[o for o, in want]
    assert not {'north','south','west'} & {o for l in cams.labels for o in l}

@pytest.mark.parametrize('dls', [None, DataLoaders()], ids=['none','empty'])
def test_learner_without_data(dls):
    "What to do is said"
    with pytest.raises(ValueError, match='cam_maps'): Learner(dls, small_net(), loss_func=CrossEntropyLossFlat()).cam(dl=[(torch.randn(2,3,32,32),)])

def test_tuples_as_items():
    "Items that are tuples themselves, of which transforms take parts, are items"
    its = [(drawn,'level') for drawn in files[:6]]
    block = DataBlock((ImageBlock,CategoryBlock(kinds)), getters=[ItemGetter(0),ItemGetter(1)], splitter=lambda o: (list(range(3)), list(range(3,6))), item_tfms=Resize(32))
    learn = Learner(block.dataloaders(its, bs=2, num_workers=0), small_net(), loss_func=CrossEntropyLossFlat())
    want = learn.cam().maps
    same(learn.cam(its[3:]).maps, want)
    same(learn.cam(its[4]).maps, want[1:2])

def test_layers_of_two_inputs_are_not_fused():
    "Their maps lie on different pictures"
    class Two(PictureAnd):
        def __init__(self): super().__init__(); self.other = copy(self.body)
        def forward(self, x, y): return self.head(self.body(x))+self.head(self.other(y))
    net,xb = Two(),(torch.rand(2,3,32,32),torch.rand(2,3,32,32))
    with pytest.raises(ValueError, match="'body' number 0, 'other' number 1"): cam_maps(net, xb, 0, layer=['body','other'])
    assert len(cam_maps(net, xb, 0, layer=['body','other'], fuse=None))==2
