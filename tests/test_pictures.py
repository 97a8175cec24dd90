"Pictures that are read at a glance: words on any page, slices, signals, what was not seen, scales, wrong predictions, advice, films"
import contextlib, io, pytest, re
from utils import *
from fastcam.draw import *
from fastcam.draw import wrong_color
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

@pytest.mark.parametrize('kw,ends,says', [({}, (0,1), 'share'), (dict(relu=False), (-1,1), 'blue against'), (dict(scale=3.), (0,3), 'speaks for it')], ids=['image','signed','number'])
def test_colorbar(kw, ends, says):
    "One for all: its colors are those of the maps, its ends theirs"
    learner().show_cam(max_n=2, colorbar=True, **kw)
    fig = plt.gcf()
    bar = fig.axes[-1]
    assert len(fig.axes)==3 and says in bar.get_ylabel()
    np.testing.assert_allclose(bar.get_ylim(), ends)
    im = fig.axes[0].get_images()[-1]
    assert bar._colorbar.mappable.get_cmap()==im.get_cmap() and im.get_clim()==ends

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
