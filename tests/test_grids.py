"Signals and volumes: the maps point at what was put there, and are drawn in its place"
import io, pytest
from copy import deepcopy
from utils import *

@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close('all')

def place(i, size): return np.random.default_rng(i).integers(3, [o-3 for o in size])

def bump(i, size, channels, width):
    "Noise `(channels, *size)`, in its first channel a bump at a place of its own, up where `i` is odd"
    x = np.random.default_rng(i+1000).normal(0, .2, (channels,*size))
    r2 = ((np.mgrid[tuple(map(slice, size))].T-place(i, size))**2).sum(-1).T
    x[0] += (2 if i%2 else -2)*np.exp(-r2/width**2)
    return torch.tensor(x).float()

kinds_of = dict(signal=dict(size=(96,), channels=2, width=4), volume=dict(size=(12,20,20), channels=1, width=2.5), clip=dict(size=(10,16,16), channels=3, width=2.5))

@cache
def trained(kind):
    "A small CNN in one or three dimensions that tells up from down, on DataLoaders of fastai's data block"
    o,nd = kinds_of[kind],len(kinds_of[kind]['size'])
    set_seed(0, True)
    db = DataBlock((TransformBlock(type_tfms=[partial(bump, **o)]),CategoryBlock), get_y=lambda i: 'up' if i%2 else 'down', splitter=IndexSplitter(range(60,90)))
    body = nn.Sequential(ConvLayer(o['channels'], 8, stride=2, ndim=nd), ConvLayer(8, 16, ndim=nd))
    net = nn.Sequential(body, AdaptiveAvgPool(1, nd), nn.Flatten(), nn.Linear(16,2))
    learn = Learner(db.dataloaders(range(90), bs=10, num_workers=0), net, loss_func=CrossEntropyLossFlat(), metrics=accuracy)
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    with learn.no_logging(): learn.fit_one_cycle(4, 2e-2)
    return learn

@pytest.mark.parametrize('kind', kinds_of)
def test_points_at_it(kind):
    "The maximum of at least 95 % of the maps is within two cells, four places of the input, of the bump"
    learn,size = trained(kind),kinds_of[kind]['size']
    cams = learn.cam()
    assert cams.maps.shape[2:]==tuple(-(-o//2) for o in size) and cams.maps.nd==len(size)
    tops = [np.unravel_index(m[0].argmax().item(), m.grid) for m in cams.maps]
    assert np.mean([np.abs((np.array(t)+.5)*2-place(i, size)).max()<=4 for i,t in zip(learn.dls.valid.items, tops)])>=.95

def test_signal_is_drawn():
    "As lines, one for each channel, under a map that covers them: the brightest column is at the bump"
    learn = trained('signal')
    learn.show_cam(max_n=3)
    for i,ax in zip(learn.dls.valid.items, plt.gcf().axes):
        im,(x0,x1,*_) = ax.get_images()[0],ax.get_images()[0].get_extent()
        a = im.get_array()
        assert len(ax.lines)==2 and a.shape==(1,48) and (x0,x1)==ax.get_xlim() and tuple(im.get_extent()[2:])==ax.get_ylim()
        np.testing.assert_allclose(ax.lines[0].get_ydata(), bump(i, **kinds_of['signal'])[0], atol=1e-6)
        assert abs(x0+(a[0].argmax()+.5)*(x1-x0)/48-place(i, (96,))[0])<=4
        assert ax.get_title()

@pytest.mark.parametrize('kind', ['volume','clip'])
def test_volume_is_drawn(kind):
    "As slices beside each other, a volume's about square and a clip's in a row and in its colors, under the slices of the map: the brightest lies on the slice and at the place of the bump"
    learn,(d,h,w) = trained(kind),kinds_of[kind]['size']
    learn.show_cam(max_n=3, ncols=1)
    for i,ax in zip(learn.dls.valid.items, plt.gcf().axes):
        pic,over = ax.get_images()
        m,a = pic.montage,over.get_array()
        assert (m.nrows==1 and m.ncols==6 and pic.get_array().shape==(*m.shape,4)) if kind=='clip' else (.5<m.shape[0]/m.shape[1]<2 and len(m.which)==min(12, d) and pic.get_array().shape==m.shape)
        assert pic.get_extent()==over.get_extent() and a.shape==m.shape
        assert [t.get_text() for t in ax.texts]==list(map(str, m.which))
        y,x = np.unravel_index(np.nanargmax(a), a.shape)
        n = first(n for n,(t,l) in enumerate(m.corners) if t<=y<t+h and l<=x<l+w)
        assert np.abs(np.array([m.which[n], y-m.corners[n][0], x-m.corners[n][1]])-place(i, (d,h,w))).max()<=4

def test_slices_are_chosen():
    "By number, from the end, or so many; those that are not there are named; a picture has none"
    learn = trained('volume')
    d = kinds_of['volume']['size'][0]
    cams = learn.cam(max_n=1)
    for slices,want in (([2,-1],[2,d-1]), (3,[d//6,d//2,5*d//6])): assert [t.get_text() for t in cams.show(slices=slices)[0].texts]==list(map(str, want))
    with pytest.raises(IndexError, match=f'no slice {d}'): cams.show(slices=[d])
    with pytest.raises(ValueError, match='at least one'): cams.show(slices=0)
    with pytest.raises(ValueError, match='this item is none'): trained('signal').cam(max_n=1).show(slices=2)
    plt.close('all')

@pytest.mark.parametrize('kind', ['volume','clip'])
def test_slices_are_animated(kind):
    "A frame for each slice, in which the map is largest where it is in the montage of all"
    learn,(d,h,w) = trained(kind),kinds_of[kind]['size']
    cams = learn.cam(max_n=2)
    im = Image.open(io.BytesIO(cams.animate(dpi=30).data))
    assert im.n_frames==d
    assert Image.open(io.BytesIO(cams.animate(slices=3, kind='webp', dpi=30).data)).n_frames==3
    with pytest.raises(TypeError, match='these items have none'): trained('signal').cam(max_n=1).animate()
    assert not plt.get_fignums()

@pytest.mark.parametrize('kind', kinds_of)
def test_everything_else(kind):
    "Grids of choices, top losses, and films of a training"
    learn = trained(kind)
    learn.compare_cams(max_n=2, layers=[-1,'0.0'], dl=learn.dls.valid)
    assert len([ax for ax in plt.gcf().axes if ax.get_images()])==4
    it,film = ClassificationInterpretation.from_learner(learn),CAMFilm([60,61])
    it.plot_top_losses(2, heatmap=True)
    assert [o for o in (ax.get_title().split('\n')[0] for ax in plt.gcf().axes) if o]
    learn = Learner(learn.dls, deepcopy(learn.model), loss_func=CrossEntropyLossFlat())
    with learn.no_logging(), learn.no_bar(): learn.fit(1, 1e-3, cbs=film)
    assert len(film.frames)==2 and film.frames[0].maps.nd==len(kinds_of[kind]['size'])
    film.show()
    assert Image.open(io.BytesIO(film.animate().data)).n_frames==2

@pytest.mark.parametrize('kind', kinds_of)
def test_plain_dataloaders(kind):
    "Batches of tensors, as PyTorch's own DataLoader gives them"
    learn,xs = trained(kind),torch.stack([bump(i, **kinds_of[kind]) for i in range(4)])
    tdl = torch.utils.data.DataLoader([(x,i%2) for i,x in enumerate(xs)], batch_size=2)
    other = Learner(DataLoaders(tdl, tdl), learn.model, loss_func=CrossEntropyLossFlat())
    other.remove_cbs(other.cbs.filter(lambda o: o.name=='progress'))
    torch.testing.assert_close(other.cam().maps, learn.cam([0,1,2,3]).maps, rtol=1e-4, atol=1e-5)          # batches of two, and of four: rounding
    other.show_cam([xs[1]])
    other.show_cam(max_n=2)
    assert len(plt.gcf().axes)==2 and not np.isnan(plt.gcf().axes[0].get_images()[-1].get_array()).any()
