"Interpretation with maps: fastai's own where it has one, the same order and titles where it has not; grids of choices show what `learn.cam` gives"
import inspect, pytest
from copy import copy
from utils import *

@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close('all')

@cache
def interp():
    "Of a network that is often wrong; the random maps of its head make every loss another one"
    return ClassificationInterpretation.from_learner(small_learner(n=24))

def axes(): return [ax for ax in plt.gcf().axes if ax.get_images()]
def titles(): return [ax.get_title() for ax in axes()]
def drawn(ax): return ax.get_images()[-1].get_array()
def first_lines(): return [t.split('\n')[0] for t in titles()]

def block(y, getters, splits=range(12,24), **kwargs):
    "A Learner whose items have targets of the block `y`; the model gives what `kwargs` say"
    db = DataBlock((ImageBlock,y), get_y=getters, splitter=IndexSplitter(list(splits)))
    return Learner(db.dataloaders(drawn_files()[0], bs=5, num_workers=0, batch_tfms=Normalize.from_stats(*imagenet_stats)), **kwargs)

# ---- plot_top_losses

def test_signature():
    "fastai's own arguments come first, in its order and with its defaults"
    ours,theirs = (list(inspect.signature(o).parameters.values()) for o in (Interpretation.plot_top_losses, Interpretation._orig_plot_top_losses))
    assert [(o.name,o.default) for o in ours[:3]]==[(o.name,o.default) for o in theirs[:3]]
    assert Interpretation._orig_plot_top_losses.__module__=='fastai.interpret'

@pytest.mark.parametrize('args', [dict(k=4), dict(k=4, largest=False), dict(k=4, nrows=1, figsize=(9,3))], ids=str)
def test_without_heatmap_is_fastais(args):
    "Not one pixel differs"
    pics = []
    for f in (Interpretation.plot_top_losses, Interpretation._orig_plot_top_losses):
        f(interp(), **args)
        plt.gcf().canvas.draw()
        pics.append(np.array(plt.gcf().canvas.buffer_rgba()))
    assert (pics[0]==pics[1]).all()

@pytest.mark.parametrize('largest', [True,False])
@pytest.mark.parametrize('k', [5, range(2,6), [0,3]], ids=str)
def test_order_and_titles(k, largest):
    "The items, their order and their titles are fastai's"
    f = interp()._orig_plot_top_losses
    f(k if isinstance(k, int) else list(k), largest)
    want,pics = titles(),[drawn(ax) for ax in axes()]
    plt.close('all')
    interp().plot_top_losses(k, largest, heatmap=True)
    assert [o for o in first_lines() if o]==want
    assert plt.gcf()._suptitle.get_text()=='Prediction/Actual/Loss/Probability'
    firsts = [ax for ax in axes() if ax.get_title().split('\n')[0]]
    assert len(firsts)==len(pics) and all(np.array_equal(ax.get_images()[0].get_array(), p) for ax,p in zip(firsts, pics))

@pytest.mark.parametrize('largest', [True,False])
def test_both_classes(largest):
    "The maps are those of the predicted and the actual class; where these are one, of the runner-up, so that the grid has no holes"
    it,(losses,idxs) = interp(),interp().top_losses(8, largest)
    it.plot_top_losses(8, largest, heatmap=True)
    files = L(it.dl.items)[idxs.tolist()]
    pred,actual = it.learn.cam(files).maps[:,0],it.learn.cam(files, target=PerItem([kind_of(f) for f in files])).maps[:,0]
    two = it.learn.cam(files, target=TopK(2))
    labels,axs = two.labels,axes()
    assert len(axs)==16 and any(l[0]==kind_of(f) for l,f in zip(labels, files))==(not largest)
    for f,l,p,a,runner in zip(files, labels, pred, actual, two.maps[:,1]):
        ax = axs.pop(0)
        assert ax.get_title().split('\n')[1].startswith(l[0]+' ')
        np.testing.assert_allclose(drawn(ax), p.normalize(), atol=1e-5)                      # another batch: rounding
        ax,right = axs.pop(0),l[0]==kind_of(f)
        assert ax.get_title().split('\n')[1].startswith((l[1] if right else kind_of(f))+' ')
        np.testing.assert_allclose(drawn(ax), (runner if right else a).normalize(), atol=1e-5)

def test_titles_fit():
    "In a small figure numbers stay together, and the rows of pictures are not apart"
    interp().plot_top_losses(4, heatmap=True, figsize=(6,6), nrows=2)
    plt.gcf().canvas.draw()
    assert all(re.search(r'\d\.\d\d / \d\.\d\d$', t, re.M) for t in titles()[::2])
    top,below = (axes()[i].get_tightbbox() for i in (0,4))
    assert 0<=top.y0-below.y1<.05*plt.gcf().bbox.height

def test_compare_says_why():
    "What a title doubts is explained below the columns"
    interp().learn.compare_cams(interp().dl.items[:2], methods=[as_method('ig', steps=1)])
    assert any('(inexact)' in t for t in titles()) and 'try more `steps`' in plt.gcf()._supxlabel.get_text().replace('\n', ' ')

def test_choices_go_to_cam():
    it = interp()
    it.plot_top_losses(2, heatmap=True, method='hirescam', layer=-2, target=['level','upright'], alpha=.3)
    cams = it.learn.cam(L(it.dl.items)[it.top_losses(2)[1].tolist()], method='hirescam', layer=-2, target=['level','upright'])
    assert axes()[0].get_images()[-1].get_alpha()==.3
    for ax,m in zip(axes(), cams.maps.flatten(0,1)): np.testing.assert_allclose(drawn(ax), m.normalize(), atol=1e-5)
    with pytest.raises(TypeError, match='Unknown keyword'): it.plot_top_losses(2, heatmap=True, metod='hirescam')

def test_training_set():
    "Losses of the training set belong to its items, which are read as in validation"
    learn = small_learner(n=24)
    it = Interpretation.from_learner(learn, ds_idx=0)
    it.plot_top_losses(3, heatmap=True)
    files = L(it.dl.items)[it.top_losses(3)[1].tolist()]
    assert [t.split('/')[1].split(' ')[0] for t in first_lines() if t]==[kind_of(f) for f in files]
    np.testing.assert_allclose(drawn(axes()[0]), learn.cam(files[0]).maps[0,0].normalize(), atol=1e-5)

@cache
def tasks():
    pooled = lambda n: nn.Sequential(ConvLayer(3,8,stride=2), ConvLayer(8,8,stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,n))
    torch.manual_seed(0)
    return dict(
        several = lambda: block(MultiCategoryBlock, lambda f: [kind_of(f),'striped'], model=pooled(4), loss_func=BCEWithLogitsLossFlat()),
        regression = lambda: block(RegressionBlock, lambda f: float(len(kind_of(f))), model=pooled(1), loss_func=MSELossFlat()),
        segmentation = lambda: block(MaskBlock(codes=['ground','shape']), lambda f: PILMask.create(drawn_files()[1][f].astype(np.uint8)),
                                     model=nn.Sequential(ConvLayer(3,8), ConvLayer(8,8), nn.Conv2d(8,2,1)), loss_func=CrossEntropyLossFlat(axis=1)))

@pytest.mark.parametrize('task', ['several','regression','segmentation'])
def test_other_tasks(task):
    "What the task asks for is drawn, with each item's loss"
    learn = tasks()[task]()
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    it = Interpretation.from_learner(learn)
    it.plot_top_losses(3, heatmap=True)
    losses,idxs = it.top_losses(3)
    said = [o.replace('\n', ' ') for o in titles()]                  # long ones have more lines
    assert [o.split('loss ')[1].split()[0] for o in said if 'loss ' in o]==[f'{l:.2f}' for l in losses.tolist()]
    cams = learn.cam(L(it.dl.items)[idxs.tolist()])
    assert len(axes())==sum(map(len, cams.labels))
    assert cams.labels[0][0] in said[0].split('loss ')[1]

# ---- show_cam, most_confused_cam

@pytest.mark.parametrize('idxs', [2, [3,1], tensor([3,1]), np.array([3,1])], ids=str)
def test_show_cam(idxs):
    interp().show_cam(idxs, layer=-2)
    files = L(interp().dl.items)[L(idxs.tolist() if hasattr(idxs, 'tolist') else idxs)]
    assert [t.split('actual: ')[1].split('\n')[0] for t in titles()]==[kind_of(f) for f in files]
    for ax,m in zip(axes(), interp().learn.cam(files, layer=-2).maps[:,0]): np.testing.assert_allclose(drawn(ax), m.normalize(), atol=1e-5)

def test_show_cam_of_the_worst():
    "Without positions, the largest losses first"
    it = interp()
    it.show_cam()
    idxs = it.losses.argsort(descending=True)[:9].tolist()
    want = [kind_of(it.dl.items[i]) for i in idxs]
    assert [ax.get_title().split('actual: ')[1].split('\n')[0] for ax in plt.gcf().axes if ax.get_title()]==want

def test_most_confused():
    "The pairs are those of `most_confused`, the mean is the mean, the worst are the worst"
    it = interp()
    pairs = it.most_confused()
    assert len(pairs)>1 and pairs[0][2]>1
    it.most_confused_cam(max_n=2, n_worst=2)
    fig = plt.gcf()
    heads = [ax.get_title().split('\n')[0] for ax in fig.axes]
    assert heads[::4]==[f'{a} taken for {p}, {n}x' for a,p,n in pairs[:2]]
    a,p,n = pairs[0]
    files = [f for f,l in zip(it.dl.items, it.learn.cam(it.dl.items).labels) if kind_of(f)==a and l[0]==p]
    assert len(files)==n
    maps = it.learn.cam(files, target=[p,a]).maps.mean(0)
    for ax,m in zip(fig.axes, maps): np.testing.assert_allclose(ax.get_images()[-1].get_array(), m.normalize(), atol=1e-5)
    mean = np.mean([np.array(Image.open(f).convert('RGB')) for f in files], 0)                     # below the mean map
    assert np.abs(fig.axes[0].get_images()[0].get_array()-mean).max()<=2                                            # whole numbers, twice
    worst = max(it.losses[list(it.dl.items).index(f)].item() for f in files)
    assert fig.axes[2].get_title().split('\n')[-1]==f'loss {worst:.2f}'

def test_nothing_confused():
    with pytest.raises(ValueError, match='99 times or more: most often it was'): interp().most_confused_cam(99)

def test_confused_refuses():
    "What has no single class, and texts, whose words have no places in common"
    from types import SimpleNamespace
    with pytest.raises(TypeError, match='one class'): ClassificationInterpretation.most_confused_cam(Interpretation.from_learner(tasks()['regression']()))
    texts = copy(interp())
    texts.dl = SimpleNamespace(_types=interp().dl._types, sort_func=len)
    with pytest.raises(TypeError, match='texts have no places in common'): texts.most_confused_cam()

@pytest.mark.parametrize('call', [lambda it, **kw: it.plot_top_losses(2, heatmap=True, **kw), lambda it, **kw: it.most_confused_cam(**kw)], ids=['top','confused'])
def test_choices_for_one_map(call):
    "Maps of layers kept apart are refused; that predictions are not asked for does not matter, since they are in the titles"
    with pytest.raises(ValueError, match='fuse'): call(interp(), fuse=None)
    call(interp(), with_preds=False)
    assert re.search(r'\d\.\d\d', titles()[0]) or 'taken for' in titles()[0]

# ---- compare_cams

def test_compare():
    "Rows are items, columns choices, and each map is the one that `learn.cam` gives"
    learn,files = interp().learn,interp().dl.items[:3]
    learn.compare_cams(files, methods=['gradcam','hirescam'], layers=[-1,[-1,-2]])
    choices = [dict(method=m, layer=l) for m in ('gradcam','hirescam') for l in (-1,[-1,-2])]
    assert first_lines()[:4]==['gradcam, layer -1', 'gradcam, layer [-1, -2]', 'hirescam, layer -1', 'hirescam, layer [-1, -2]']
    for j,c in enumerate(choices):
        for ax,m in zip(axes()[j::4], learn.cam(files, **c).maps[:,0]): np.testing.assert_allclose(drawn(ax), m.normalize(), atol=1e-5)

def test_compare_names():
    "What is no name is called by what it does"
    interp().learn.compare_cams(interp().dl.items[0], layers=[None,-2], methods=[as_method('gradcam')])
    assert first_lines()==['gradcam, layer default', 'gradcam, layer -2']

def test_compare_targets():
    "A target that is several makes several columns; true classes are said once in a row"
    learn = interp().learn
    learn.compare_cams(dl=learn.dls.valid, targets=['level', TopK(2)], max_n=2)
    assert len(axes())==6 and [i for i,t in enumerate(titles()) if 'actual: ' in t]==[0,3]

def test_compare_shared_scale():
    "'shared' is over all columns: only the largest value of all is at the end of the colors"
    learn,f = interp().learn,interp().dl.items[0]
    learn.compare_cams(f, layers=[-1,-2], scale='shared')
    tops = [learn.cam(f, layer=l).maps.max().item() for l in (-1,-2)]
    assert [ax.get_images()[-1].get_clim() for ax in axes()]==[(0, pytest.approx(max(tops), rel=1e-5))]*2

@pytest.mark.parametrize('kw,error,words', [
    (dict(method='gradcam', methods=['hirescam']), TypeError, 'put all methods'), (dict(layers=[]), ValueError, 'empty'),
    (dict(fuse=None), ValueError, 'layers='), (dict(methods=['gradcamm']), ValueError, 'gradcam')], ids=str)
def test_compare_refuses(kw, error, words):
    with pytest.raises(error, match=words): interp().learn.compare_cams(interp().dl.items[0], **kw)

# ---- no trace

@pytest.mark.parametrize('call', [lambda it: it.plot_top_losses(3, heatmap=True), lambda it: it.show_cam([0,1]), lambda it: it.most_confused_cam(),
                                  lambda it: it.learn.compare_cams(it.dl.items[:2], layers=[-1,-2]),
                                  lambda it: it.plot_top_losses(3, heatmap=True, layer='nothing')], ids=['top','show','confused','compare','error'])
def test_no_trace(call):
    learn = small_learner(n=24)
    it = ClassificationInterpretation.from_learner(learn)
    unsettle(learn.model)
    was = snapshot(learn)
    try: call(it)
    except ValueError: pass
    assert not changed(was, snapshot(learn))
