"Pictures that are read at a glance: words on any page, slices, signals, what was not seen, scales, wrong predictions, advice, films"
import contextlib, io, pytest, re
from utils import *
from fastcam.draw import *
from fastcam.draw import wrong_color
from test_text import text_learner
from test_film import learner as film_learner, frames_of

@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close('all')

@cache
def learner():
    learn = Learner(drawn_dls(), small_net(), loss_func=CrossEntropyLossFlat(), metrics=accuracy)
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn

# ---- words
def luminance(rgb):
    "WCAG's relative luminance of a color 0..255"
    c = np.array(rgb)/255
    return (np.where(c<=.04045, c/12.92, ((c+.055)/1.055)**2.4)*[.2126,.7152,.0722]).sum()

def contrast(a, b):
    lo,hi = sorted((luminance(a), luminance(b)))
    return (hi+.05)/(lo+.05)

pages = dict(jupyter=((255,255,255),(0,0,0)), jupyter_dark=((17,17,17),(255,255,255)), github=((255,255,255),(31,35,40)), github_dark=((13,17,23),(230,237,243)),
             vscode_dark=((30,30,30),(212,212,212)), colab_dark=((56,56,56),(255,255,255)))
@pytest.mark.parametrize('page', pages)
def test_words_are_read_on_any_page(page):
    "Letters in the page's own color, on a color that the page shines through: 4.5:1 as WCAG asks of text, for any value"
    back,ink = map(np.array, pages[page])
    for v in np.linspace(-1, 1, 41):
        style = re.search(r'<span style="([^"]*)"', WordPanel([('word','word',v)]).html())[1]
        r,g,b,a = map(float, re.search(r'rgba\(([^)]*)\)', style)[1].split(','))
        color = re.search(r'(?<!-)color:', style)
        assert not color and contrast(np.array([r,g,b])*a+back*(1-a), ink)>=4.5, v

@pytest.mark.parametrize('style', ['default','dark_background'])
def test_drawn_words_follow_the_style(style):
    with plt.style.context(style):
        ax, = show_panels([WordPanel([('fine','fine',.9), ('film','film',.1)], 'good')], word_axes([WordPanel([('fine','fine',.9)])]))
        ink = np.array(mpl_rgb(plt.rcParams['text.color']))*255
        back = np.array(mpl_rgb(plt.rcParams['figure.facecolor']))*255
        for t in ax.texts:
            box = np.array(t.get_bbox_patch().get_facecolor())
            assert contrast(box[:3]*255*box[3]+back*(1-box[3]), np.array(mpl_rgb(t.get_color()))*255)>=4.5
            np.testing.assert_allclose(np.array(mpl_rgb(t.get_color()))*255, ink)

def mpl_rgb(c): return __import__('matplotlib').colors.to_rgb(c)

# ---- signals
def test_lines_have_an_edge():
    "Also lines that an item of its own kind draws; the channels are told apart, and said"
    x,m = torch.randn(3,50).cumsum(1),TensorCAM(torch.rand(9), nd=1)
    ax = as_picture(x).show(ctx=plt.subplots()[1])
    m.show(ctx=ax)
    assert len({o.get_color() for o in ax.lines})==3 and all(o.get_path_effects() for o in ax.lines)
    assert ax.get_legend().get_title().get_text()=='channel' and ax.axison and ax.get_xlabel()=='step'
    for o in ax.lines: assert luminance(np.array(mpl_rgb(o.get_color()))*255)<.2                   # dark, in a white edge: one of both is seen on any map
    ax = plt.subplots()[1]
    ax.plot(x[0])
    m.show(ctx=ax)
    assert ax.lines[0].get_path_effects()

# ---- scale, outline
def test_contour():
    "A line where the map reaches the share asked for, on the original too; a share that is none is refused"
    ax = TensorImage(torch.zeros(3,40,80)).show()
    m = torch.zeros(10,20)
    m[2:5,4:9] = 1
    TensorCAM(m).show(ctx=ax, contour=.5)
    line, = ax.collections
    p = np.concatenate([o.vertices for o in line.get_paths()])
    assert np.abs(p.min(0)-[15.5,7.5]).max()<1.5 and np.abs(p.max(0)-[35.5,19.5]).max()<1.5
    for bad in (0, 1.2, [.5,-1]):
        with pytest.raises(ValueError, match='`contour` is'): learner().cam(max_n=1).show(contour=bad)
    for kw in ({}, dict(original=True), dict(relu=False), dict(scale='shared')):
        axs = learner().cam(max_n=2, target=0).show(contour=[.3,.8], **kw)
        assert any(ax.collections for ax in axs)
    TensorCAM(torch.zeros(4,4)).show(contour=True)                                             # nothing is there to be outlined

says = dict(image=(dict(target=PerItem(['level','upright'])), (0,1), "what the title says (as a share of each map's largest value)"), one=(dict(target='level'), (0,1), 'speaks for level (as a share'),
            signed=(dict(relu=False, target='level'), (-1,1), 'red speaks for level, blue against it'), number=(dict(scale=3., target='level'), (0,3), 'speaks for level (raw values, gradcam)'),
            neg=(dict(target=Neg('level')), (0,1), 'speaks against level ('), neg_signed=(dict(target=Neg('level'), relu=False), (-1,1), 'red speaks against level, blue for it ('),
            versus=(dict(target=Versus('level', rivals=['upright'])), (0,1), 'speaks for level rather than upright ('), blind=(dict(method='eigencam'), (0,1), 'without a class ('))

@pytest.mark.parametrize('kw,ends,says', says.values(), ids=says)
def test_colorbar(kw, ends, says):
    "One for all: its colors are those of the maps, its ends theirs, and it says what they mean"
    learner().show_cam(max_n=2, colorbar=True, **kw)
    fig = plt.gcf()
    bar = fig.axes[-1]
    assert len(fig.axes)==3 and says in bar.get_ylabel().replace('\n', ' ')
    np.testing.assert_allclose(bar.get_ylim(), ends)
    im = fig.axes[0].get_images()[-1]
    assert bar._colorbar.mappable.get_cmap()==im.get_cmap() and im.get_clim()==ends

# ---- heat, images
def test_cold_stays():
    "By default the map covers what is hot, and leaves what is cold as it was; a number covers evenly"
    m = torch.zeros(8,8)
    m[:4,:4] = 1
    ims = [TensorCAM(m).show(ctx=TensorImage(torch.zeros(3,8,8)).show(ctx=plt.subplots()[1]), **kw).get_images()[-1] for kw in ({}, dict(alpha=.3), dict(relu=False, cmap='RdBu_r'))]
    rgba = [im.cmap(im.norm(np.array([-1.,0,.5,1]))) for im in ims]
    assert ims[1].get_alpha()==.3 and [im.get_cmap().name for im in ims]==['magma','magma','RdBu_r']
    assert rgba[0][1,3]==0 and 0<rgba[0][2,3]<rgba[0][3,3]<1
    assert rgba[2][1,3]<.1<rgba[2][2,3]<rgba[2][3,3] and abs(rgba[2][0,3]-rgba[2][3,3])<.01            # both signs

def test_overlay():
    "An image without a figure: the picture where the map is zero, the map's colors where it is not; sizes; what was not seen is dimmed"
    cams = learner().cam(max_n=3, target=[0,1], method=lambda o: o.a.abs().sum(1)-o.a.abs().sum(1).mean())
    item = cams[0]
    im,pic = item.overlay(1),as_rgb(cams[:1].pictures()[0])
    assert isinstance(im, Image.Image) and im.mode=='RGB' and im.size==pic.shape[1::-1]
    heat = item.maps[1].normalize().as_subclass(Tensor)
    heat = TensorCAM(heat).resize(pic.shape[:2]).as_subclass(Tensor).numpy()[...,None]
    c = plt.get_cmap('magma')(heat[...,0])[...,:3]*255
    want = pic*(1-.5)+c*.5
    assert np.abs(np.array(item.overlay(1, alpha=.5)).astype(float)-want).max()<=3
    a = np.array(im).astype(float)
    assert np.abs(a-pic)[heat[...,0]==0].max(initial=0)<=1 and np.abs(a-pic)[heat[...,0]>.8].mean()>10
    assert item.overlay(size=(30,70)).size==(70,30) and max(item.overlay(size=99).size)==99
    assert item.overlay(relu=False).size==im.size and item.overlay(scale=1e9, alpha='heat').size==im.size
    assert np.abs(np.array(item.overlay(scale=1e9))-pic.astype(float)).max()<=1                        # nothing is hot
    with pytest.raises(IndexError, match='`column` is 2'): item.overlay(2)
    assert not plt.get_fignums()
    small = Learner(drawn_dls(tfms=[Normalize.from_stats(*imagenet_stats)], item_tfms=Resize((24,48))), small_net(), loss_func=CrossEntropyLossFlat())
    with small.no_bar(): one = small.cam(max_n=1)
    a,pic = np.array(one[0].overlay(original=True)).astype(float),as_rgb(one.originals()[0])
    assert a.shape==pic.shape and np.abs(a[:8]-(.4*pic[:8]+.3*255)).max()<=1

def test_save(tmp_path):
    "A file for each item and target, which its name says"
    cams = learner().cam(max_n=2, target=[0,1])
    fs = cams.save(tmp_path/'a'/'maps', suffix='.png')
    assert len(fs)==4==len(set(fs)) and all(f.exists() for f in fs) and cams.files[0].stem in fs[0].name and cams.labels[0][1] in fs[1].name
    assert np.array_equal(np.array(Image.open(fs[1])), np.array(cams[0].overlay(1)))
    with pytest.raises(ValueError, match='`suffix` is'): cams.save(tmp_path, suffix='.xyz')
    with pytest.raises(TypeError, match='signal has no colors'): CAMs.save(signal_cams(), tmp_path/'s')

def signal_cams():
    dl = DataLoader([(torch.randn(2,40), tensor(0)) for _ in range(2)], bs=2, n_inp=1)
    learn = Learner(DataLoaders(dl, dl), nn.Sequential(nn.Conv1d(2,4,3,padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4,2)), loss_func=CrossEntropyLossFlat())
    with learn.no_bar(): return learn.cam(target=1)

# ---- wrong, and of little worth
def test_wrong_is_red():
    "Where the predicted class is not the true one, and only there; nothing is said where that is not known"
    cams = learner().cam()
    axs = cams.show(max_n=None)
    wrong = [p!=a for p,a in zip(cams.predicted, cams.actuals)]
    assert 0<sum(wrong)<len(wrong)
    assert [ax.title.get_color()==wrong_color for ax in axs]==wrong
    files = list(learner().dls.valid.items[:2])
    assert all(ax.title.get_color()!=wrong_color for ax in learner().cam(files).show())

def test_advice_once():
    "Several maps without anything positive: the titles say so, and what to try is said once, below the axes"
    cams = learner().cam(max_n=3, method=lambda o: -o.a.abs().sum(1))
    assert all(h[0].startswith('negative everywhere: ') for h in cams.health)
    fig = cams.show()[0].figure
    assert fig._supxlabel.get_text().replace('\n', ' ').count('relu=False')==1
    assert all('(negative everywhere)' in ax.get_title() for ax in fig.axes)
    assert cams.show(relu=False)[0].figure._supxlabel is None and learner().cam(max_n=1, target=1, method=lambda o: o.a.abs().sum(1)).show()[0].figure._supxlabel is None

# ---- what was not seen
@pytest.mark.parametrize('gray', [0, 128, 255])
def test_unseen_is_dimmed(gray):
    "Evenly, so that what was cropped away can be made out, within a frame"
    ax = plt.subplots()[1]
    PILImage.create(np.full((40,80,3), gray, dtype=np.uint8)).show(ctx=ax)
    CAMView((40,40), (40,80), tensor([[1.,0,-20],[0,1,0]]), (20,0,60,40)).shade(ax)
    a = ax.get_images()[-1].get_array()
    assert len(np.unique(a[:,:18].reshape(-1,4), axis=0))==1 and .4<=a[0,0,3]<=.7 and not a[:,22:58,3].any()
    frame, = ax.collections
    xs = np.concatenate([o.vertices for o in frame.get_paths()])[:,0]
    assert np.abs(np.unique(xs.round())-[19.5,59.5]).max()<=1

# ---- files
def of_files(fs, **kwargs):
    dls = DataBlock((ImageBlock,CategoryBlock), get_y=lambda f: f.name[0], item_tfms=Resize(64), batch_tfms=Normalize.from_stats(*imagenet_stats),
                    get_items=lambda o: fs, splitter=lambda o: (range_of(o),range_of(o)), **kwargs).dataloaders('', bs=2, num_workers=0)
    learn = Learner(dls, small_net(2), loss_func=CrossEntropyLossFlat())
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn

def note(axs): return ' '.join(axs[0].figure._supxlabel.get_text().split()) if axs[0].figure._supxlabel else ''

def test_more_than_8_bits(tmp_path):
    "What fastai's opening cuts off to white is drawn stretched, as the model saw it and as it is in the file, and that is said; where nothing is cut off, not"
    y,x = np.mgrid[:80,:120]
    deep = (np.hypot(x-60, y-40)<20)*2000+1000+8*x
    for i in range(2):
        Image.fromarray(deep.astype(np.uint16)).save(tmp_path/f'{"ab"[i]}_deep.png')
        Image.fromarray((deep//16).astype(np.uint16)).save(tmp_path/f'{"ab"[i]}_low.png')
    fs = sorted(tmp_path.glob('*_deep.png'))
    learn = of_files(fs)
    for original,want in ((False,(64,64)), (True,(80,120))):
        axs = learn.cam(fs, target=0).show(original=original)
        a = np.asarray(axs[0].get_images()[0].get_array(), dtype=float)
        assert a.shape[:2]==want and .02<a.std() and np.median(a)<.9*a.max() and note(axs).count('drawn stretched')==1
        assert a[want[0]//2,want[1]//2].mean()>2*a[2,want[1]//2].mean()
    assert np.asarray(learn.cam(fs[0], target=0)[0].overlay(alpha=0.)).std()>5
    low = sorted(tmp_path.glob('*_low.png'))
    assert 'stretched' not in note(learn.cam(low, target=0).show())

def test_lying_photos(tmp_path):
    "A photo with a tag that nobody heeds is said to lie; upright ones are not, nor one that is turned for the model"
    from PIL import ImageOps
    exif,im = Image.Exif(),Image.fromarray(np.random.default_rng(0).integers(0, 255, (60,90,3), dtype=np.uint8))
    im.save(tmp_path/'a.jpg')
    exif[0x0112] = 6
    im.save(tmp_path/'b.jpg', exif=exif)
    learn = of_files([tmp_path/'a.jpg',tmp_path/'b.jpg'])
    assert 'lies as the camera held it' in note(learn.cam(tmp_path/'b.jpg', target=0).show())
    assert 'lies' not in note(learn.cam(tmp_path/'a.jpg', target=0).show())
    class Turned(Transform):
        order = -1
        def encodes(self, x:PILImage): return PILImage.create(ImageOps.exif_transpose(x))
    dls = DataBlock((ImageBlock,CategoryBlock), get_y=lambda f: f.name[0], item_tfms=[Turned(),Resize(64)], get_items=lambda o: [tmp_path/'a.jpg',tmp_path/'b.jpg'], splitter=lambda o: ([0,1],[0,1])).dataloaders('', bs=2, num_workers=0)
    with Learner(dls, small_net(2), loss_func=CrossEntropyLossFlat()).no_bar() as learn: assert 'lies' not in note(learn.cam(tmp_path/'b.jpg', target=0).show())

def test_large_photos(tmp_path):
    "A large photo is not drawn with all of its pixels, nor are its ramps as large; it lies where it did, and a crop of so many pixels is found as such"
    from fastcam.learner.view import find_view
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30,40,3), dtype=np.uint8)).resize((2000,1500), Image.Resampling.BICUBIC).save(tmp_path/'a.jpg')
    f,seen = tmp_path/'a.jpg',[]
    class Sizes(Transform):
        order = -2
        def encodes(self, x:PILImage):
            seen.append(x.size)
            return x
    def learn_of(*tfms):
        dls = DataBlock((ImageBlock,CategoryBlock), get_y=lambda o: 'a', item_tfms=[Sizes(),*tfms], get_items=lambda o: [f,f], splitter=lambda o: ([0,1],[0,1])).dataloaders('', bs=1, num_workers=0)
        learn = Learner(dls, small_net(2), loss_func=CrossEntropyLossFlat())
        learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
        return learn
    learn = learn_of(Resize(100))
    cams = learn.cam(f, target=0)
    seen.clear()
    ax, = cams.show(original=True)
    pic,heat = ax.get_images()[0],ax.get_images()[-1]
    assert max(max(o) for o in seen)<=700 and max(pic.get_array().shape)==640
    assert list(pic.get_extent())==list(heat.get_extent())==[-.5,1999.5,1499.5,-.5] and ax.get_xlim()==(-.5,1999.5)
    view = cams.views[0]
    assert view.orig==(1500,2000) and torch.allclose(view.points([[0,0],[100,100]]), tensor([[250.,0],[1750,1500]]), atol=10)   # half a pixel of what the model saw
    view = learn_of(CropPad(400)).cam(f, target=0).views[0]
    assert torch.allclose(view.points([[0,0],[400,400]]), tensor([[800.,550],[1200,950]]), atol=1)

# ---- films
def test_film_in_place(tmp_path):
    "A film that nobody holds is kept as `learn.cam_film`, the last of several; not exported, and gone with the learner"
    learn = film_learner()
    assert not hasattr(learn, 'cam_film')
    files = drawn_files()[0]
    with learn.no_logging(): learn.fit(1, 1e-3, cbs=CAMFilm(files[:2]))
    film = learn.cam_film
    assert len(film.frames)==2 and not L(learn.cbs).filter(risinstance(CAMFilm)) and film.learn is None
    with learn.no_logging(): learn.fit(1, 1e-3, cbs=[CAMFilm(files[:1]), CAMFilm(files[:3])])
    assert len(learn.cam_film.frames[0])==3
    learn.export(tmp_path/'m.pkl')
    assert not hasattr(load_learner(tmp_path/'m.pkl'), 'cam_film')

def test_films_without_rings(tmp_path):
    "Along a ramp of the map's colors a GIF of a few colors has no steps wider than a few pixels; a WebP is there too"
    def ramp():
        fig = plt.figure(figsize=(3,1), dpi=100)
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        canvas = FigureCanvasAgg(fig)
        for k in range(2):
            fig.clf()
            fig.add_axes((0,0,1,1)).imshow(np.linspace(0, 1-k*.1, 300)[None].repeat(100, 0), cmap='magma', aspect='auto', vmin=0, vmax=1)
            canvas.draw()
            yield fig
        plt.close(fig)
    gif,webp = frames_of(Animation(ramp()).data),frames_of(Animation(ramp(), kind='webp').data)
    true = frames_of(Animation(ramp(), kind='webp').data)
    for a,b in zip(gif, true):
        near = lambda o: np.stack([o[y:y+10] for y in range(0,100,10)]).mean(1)                     # what the eye sees of mixed colors
        assert np.abs(near(a)-near(b)).mean()<6
    assert len(gif)==len(webp)==2

# ---- bands, gray, many channels
def bands_learner(x):
    dl = TfmdDL([(TensorImage(o), TensorCategory(0)) for o in x], bs=len(x))
    learn = Learner(DataLoaders(dl, dl), nn.Sequential(nn.Conv2d(x.shape[1],4,3,padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,2)), loss_func=CrossEntropyLossFlat())
    learn.remove_cb(ProgressCallback)
    return learn

def test_bands():
    "The bands that are drawn are those asked for, each stretched whatever its units; one is gray"
    y,x = np.mgrid[:40,:40]/39
    bands = torch.tensor(np.stack([x, 1e4*y, .02*(1-x), 1-y, abs(2*x-1)])).float()
    bands[0,0,0] = 50.                                                             # one bright pixel does not leave the rest dark
    cams = bands_learner(bands[None]).cam(max_n=1)
    def drawn(**kw): return np.array(cams.show(**kw)[0].get_images()[0].get_array())
    want = np.stack([x, y, 1-x], -1)
    assert np.abs(drawn()-want)[1:].max()<.06
    assert np.abs(drawn(bands=(1,2,3))-np.stack([y, 1-x, 1-y], -1)).max()<.06
    assert np.abs(drawn(bands=4)-abs(2*x-1)).max()<.06
    assert np.abs(np.array(cams[0].overlay(alpha=0., bands=(3,3,3)))/255-(1-y)[...,None]).max()<.06
    for bad,e in ((9,IndexError), ((0,1),ValueError), ('red',ValueError)):
        with pytest.raises(e, match='band'): cams.show(bands=bad)
    with pytest.raises(TypeError, match='is for pictures'): text_learner().cam(['dull']).show(bands=0)

def test_gray(tmp_path):
    "A gray picture is drawn as the file has it, dark where it is dark, in a figure as in an overlay; fastai would invert it"
    a = (np.mgrid[:48,:48][1]*2).astype(np.uint8)                                  # an X-ray that is dark throughout
    Image.fromarray(a).save(f := tmp_path/'a.png')
    dls = DataBlock((ImageBlock(PILImageBW), CategoryBlock), get_y=lambda f: 'a').dataloaders([f]*4, bs=2, num_workers=0)
    learn = Learner(dls, nn.Sequential(nn.Conv2d(1,4,3,padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,1)), loss_func=CrossEntropyLossFlat())
    learn.remove_cb(ProgressCallback)
    cams = learn.cam([f])
    for original in (False,True):
        im = cams.show(original=original)[0].get_images()[0]
        assert np.abs(im.to_rgba(im.get_array())[...,:3]-(a/a.max())[...,None]).max()<.02
    assert np.abs(np.array(cams[0].overlay(alpha=0.))/255-(a/a.max())[...,None]).max()<.02

@pytest.mark.parametrize('save', ['png','jpg'])
def test_gray_in_three_bands(tmp_path, save):
    "A dark X-ray that is opened in colors is drawn as the one band that it has; a picture with any color, and one without any contrast, as they are"
    a = (np.mgrid[:48,:48][1]*2).astype(np.uint8)
    Image.fromarray(a).convert('RGB').save(f := tmp_path/f'gray.{save}', quality=95)
    tinted = np.stack([a, a, a//2], -1)
    Image.fromarray(tinted).save(g := tmp_path/'tinted.png')
    Image.new('RGB', (48,48), (90,90,90)).save(h := tmp_path/'flat.png')
    dls = DataBlock((ImageBlock, CategoryBlock), get_y=lambda f: 'a').dataloaders([f]*4, bs=2, num_workers=0, batch_tfms=Normalize.from_stats(*imagenet_stats))
    learn = Learner(dls, nn.Sequential(nn.Conv2d(3,4,3,padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,1)), loss_func=CrossEntropyLossFlat())
    learn.remove_cb(ProgressCallback)
    for file,want in ((f,(a/a.max())[...,None]), (g,tinted/255), (h,np.full((48,48,3), 90/255))):
        cams = learn.cam([file])
        for original in (False,True):
            im = cams.show(original=original)[0].get_images()[0]
            assert np.abs(im.to_rgba(im.get_array())[...,:3]-want).max()<.04
            assert np.abs(np.array(cams[0].overlay(alpha=0., original=original))/255-want).max()<.04
        assert isinstance(cams.originals()[0], PILImage)
    plt.close('all')

def test_many_channels():
    "More channels than can be told apart by color lie in lanes, one above the other"
    ax = as_picture(torch.randn(12,50)).show(ctx=plt.subplots()[1])
    assert ax.get_ylabel()=='channel' and len(ax.lines)==12 and ax.get_legend() is None
    tops,lows = zip(*[(o.get_ydata().max(),o.get_ydata().min()) for o in ax.lines])
    assert all(hi<lo for hi,lo in zip(tops[1:], lows))

def test_numbered_class():
    "A class without a name is not taken for a number"
    assert re.match(r'class [01]: 0\.\d\d\nactual: 0', bands_learner(torch.rand(1,3,8,8)).cam(max_n=1).show()[0].get_title())

def test_texts_say_what_to_do():
    "What is for pictures is refused, with what there is for texts"
    cams = text_learner().cam(['superb','dull'])
    for f in (lambda: cams[0].overlay(), lambda: cams.save('x'), cams.animate, cams.originals, lambda: cams.to_html('x.html')):
        with pytest.raises(TypeError, match=r'`words\(\)`'): f()
    assert not Path('x').exists() and not Path('x.html').exists()
