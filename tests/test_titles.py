"Pictures with long names: titles and legends stay within the figure and apart, and say what is there"
import pytest, warnings
from utils import *
from test_text import text_learner

@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close('all')

names = {'checked':'German short-haired pointer', 'level':'soft-coated wheaten terrier', 'upright':'black_and_tan_coonhound_of_a_very_long_name'}
def long_name(f): return names[kind_of(f)]

@cache
def learner():
    dls = ImageDataLoaders.from_path_func('.', drawn_files()[0], long_name, valid_pct=.5, seed=0, bs=5, num_workers=0, batch_tfms=Normalize.from_stats(*imagenet_stats))
    learn = Learner(dls, small_net(), loss_func=CrossEntropyLossFlat(), metrics=accuracy)
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn

def interp(): return ClassificationInterpretation.from_learner(learner())
files = drawn_files()[0]
text = 'a superb film that nobody will forget said the dull man'
drawn = dict(versus=lambda: learner().show_cam(files[:4], target=Versus()), columns=lambda: learner().show_cam(files[:2], target=[Neg(), Prob(), Versus()]), actual=lambda: learner().show_cam(max_n=9),
    small=lambda: learner().show_cam(max_n=6, figsize=(5,3)), top=lambda: interp().plot_top_losses(3, heatmap=True), confused=lambda: interp().most_confused_cam(), compare=lambda: learner().compare_cams(files[:2]),
    targets=lambda: learner().compare_cams(files[:2], targets=[None,Versus()]), summary=lambda: learner().cam_summary().show(), concepts=lambda: learner().concepts(files[:4], k=5).show(),
    texts=lambda: text_learner().show_cam([text,'dull'], target=Versus('bad', rivals=1), figsize=(2.5,3)), compared_texts=lambda: text_learner().compare_cams([text,'dull'], methods=['gradcam','hirescam'], targets=['good', Versus('bad', rivals=1)]))

def words(fig):
    fig.canvas.draw()
    return [t for ax in fig.axes for t in (ax.title, ax._left_title) if t.get_text().strip()] + [t for l in fig.legends for t in l.get_texts()]

@pytest.mark.parametrize('what', drawn)
def test_apart(what):
    drawn[what]()
    fig = plt.gcf()
    ts = words(fig)
    assert ts
    boxes = [t.get_window_extent() for t in ts]
    # a pixel: letters are put on whole ones
    assert all(b.x0>=-1 and b.x1<=fig.bbox.width+1 and b.y0>=-1 and b.y1<=fig.bbox.height+1 for b in boxes), 'outside of the figure'
    assert not [(a,b) for (a,p),(b,q) in itertools.combinations(zip([t.get_text() for t in ts], boxes), 2) if min(p.x1,q.x1)-max(p.x0,q.x0)>1 and min(p.y1,q.y1)-max(p.y0,q.y0)>1]
    assert not [t.get_text() for t,b in zip(ts, boxes) for ax in fig.axes for im in ax.get_images() if min(b.x1, im.get_window_extent().x1)-max(b.x0, im.get_window_extent().x0)>1 and min(b.y1, im.get_window_extent().y1)-max(b.y0, im.get_window_extent().y0)>1]

def test_one_size():
    "The titles of a figure are in letters of one size, whatever their length"
    learner().show_cam(max_n=6, figsize=(5,3))
    assert len({ax.title.get_fontsize() for ax in plt.gcf().axes})==1

@pytest.mark.parametrize('draw', [lambda: learner().show_cam(max_n=2, colorbar=True), lambda: learner().compare_cams(files[:2], colorbar=True), lambda: learner().compare_cams(files[:2], colorbar=True, figsize=(9,4))],
                         ids=['show','compare','of a size'])
def test_apart_beside_a_bar(draw):
    "Titles stay apart beside a bar of colors, of which there is one, and its words stay in the figure"
    draw()
    fig = plt.gcf()
    fig.canvas.draw()
    bar, = [ax for ax in fig.axes if ax.get_label()=='<colorbar>']
    boxes = [t.get_window_extent() for t in words(fig)]
    assert not [0 for p,q in itertools.combinations(boxes, 2) if min(p.x1,q.x1)-max(p.x0,q.x0)>1 and min(p.y1,q.y1)-max(p.y0,q.y0)>1]
    b = bar.yaxis.label.get_window_extent()
    assert b.x1<=fig.bbox.width+1 and b.y0>=-1 and b.y1<=fig.bbox.height+1

def test_lines():
    "Where lines are broken: nothing is lost, numbers stay whole, lines that were there stay"
    from fastcam.draw import in_lines
    for s in (*names.values(), 'x'*60, 'n02_0123456789_0123456789', 'short'):
        for room in (1, 40, 90, 1000):
            res = in_lines(f'{s} -0.48\nactual: {s}', room)
            assert ''.join(res.split())==''.join(f'{s}-0.48actual:{s}'.split())
            if room==90: assert '-0.48' in res
            if room==1000: assert res==f'{s} -0.48\nactual: {s}'
    assert in_lines('soft-coated_wheaten', 60)=='soft-\ncoated_\nwheaten'

@pytest.mark.parametrize('s,room,lines', [('Rhodesian ridgeback 0.43 (red = increases)', 210, ['Rhodesian ridgeback 0.43','(red = increases)']), ('upright/level / 2.57 / 0.48', 120, ['upright/level /','2.57 / 0.48']),
                                          ('a (red = increases)', 66, ['a (red =','increases)'])], ids=['parenthesis','numbers','no room'])
def test_kept_together(s, room, lines):
    "A line breaks before a parenthesis and before numbers, in them only where they have no room"
    from fastcam.draw import in_lines
    assert in_lines(s, room, 12).split('\n')==lines

def test_same_names():
    "Concepts with one name are told apart by the number that they have in `maps`"
    c = learner().concepts(files[:4], k=5)
    c.show()
    assert [t.get_text().split(':')[0] for t in plt.gcf().legends[0].get_texts()]==list('01234')

def test_nothing_speaks():
    "A mean map that is black says so"
    interp().most_confused_cam(max_n=1, method=lambda o: -o.a.abs().sum(1) if o.j else o.a.abs().sum(1))
    pred,actual = [ax.get_title() for ax in plt.gcf().axes[:2]]
    assert 'no positive evidence' in actual and 'no positive evidence' not in pred

@pytest.mark.parametrize('gray', [0, 235, 255])
def test_unseen_is_marked(gray):
    "On the dark and on the light: what the model did not see differs from the picture, by a tenth of white in half of its pixels at least"
    ax = plt.subplots()[1]
    PILImage.create(np.full((40,80,3), gray, dtype=np.uint8)).show(ctx=ax)
    CAMView((40,40), (40,80), tensor([[1.,0,-20],[0,1,0]]), (20,0,60,40)).shade(ax)
    a = ax.get_images()[-1].get_array()
    over = a[...,0]*a[...,3]+gray/255*(1-a[...,3])
    assert (abs(over-gray/255)[:,:18]>.1).mean()>=.45 and (a[:,22:58,3]==0).all()

def test_dollars_and_glyphs():
    "Names that are no formula, and letters that the font lacks: drawn as they are, without a warning before that"
    cams = learner().cam(files[:2])
    cams.labels = L([[r'5 $\bad{ $ 猫']]*2)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        warnings.filterwarnings('ignore', '__array__')                # numpy's, of fastai's pictures
        ax = cams.show()[0]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        ax.figure.canvas.draw()
    assert ax.get_title().replace('\n', ' ').startswith(r'5 $\bad{ $ 猫')
