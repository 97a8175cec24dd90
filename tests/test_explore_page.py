"The explorer's page in a browser: what each action shows, and that the numbers behind it are those of the explorer"
import io, shutil
from base64 import b64decode
from PIL import ImageFilter
import pytest
from utils import *
from fastcam.apps.explore import *
from contrast import unread

api = pytest.importorskip('playwright.sync_api', reason='Playwright is not installed')
chromium = next(filter(None, map(shutil.which, 'chromium chromium-browser google-chrome chrome'.split())), None)
pytestmark = pytest.mark.skipif(not chromium, reason='no chromium or chrome on the PATH')

@pytest.fixture(scope='module')
def browser():
    with api.sync_playwright() as p:
        b = p.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        yield b
        b.close()

@pytest.fixture(scope='module')
def learn(): return trained_learner()

@pytest.fixture(scope='module')
def served(learn):
    s = ServedExplorer(Explorer(learn))
    yield s
    s.stop()

@pytest.fixture
def opened(browser):
    "Opens pages; at the end none has complained, or asked another host"
    contexts,errors,asked = [],[],[]
    def _open(url, wait=True, **kw):
        c = browser.new_context(**{'viewport':dict(width=1280, height=860), 'permissions':['clipboard-read','clipboard-write'], **kw})
        contexts.append(c)
        pg = c.new_page()
        pg.on('console', lambda m: errors.append(m.text) if m.type in ('error','warning') else None)
        pg.on('pageerror', lambda e: errors.append(str(e)))
        pg.on('request', lambda r: asked.append(r.url))
        pg.errors = errors
        pg.goto(url)
        if wait: ready(pg)
        return pg
    yield _open
    for c in contexts: c.close()
    assert not errors
    assert not [u for u in asked if not re.match(r'http://(127\.0\.0\.1|localhost):|file:|data:|blob:', u)]

def ready(pg):
    pg.wait_for_selector('#bars li')
    pg.wait_for_selector('#layers button')
    idle(pg)
def idle(pg):
    pg.wait_for_selector('body:not(.busy)')
    while not pg.evaluate('!!view.pic'): pg.wait_for_timeout(10)
    return pg.evaluate('({...S, preds:view.preds, map:view.maps[0].map, label:view.maps[0].label, code:view.code})')

def same(pg, ex):
    "What the page shows is what the explorer answers to the question of its address"
    s = idle(pg)
    want = ex.answer({k:s[k] for k in ('item','class','versus','layer','method','edits')})
    assert s['preds']==want['preds'] and s['map']==want['maps'][0]['map'] and s['code']==want['code']
    head = pg.inner_text('#head')
    assert want['maps'][0]['label'] in head
    for c,p in pg.evaluate("$$('#bars li').map(o => [+o.dataset.class, $('.num', o).textContent])"): assert p==f"{want['preds'][c]:.3f}"
    return s

def on(pg, x, y):
    "A place of the picture, given as parts of its width and height, on the screen"
    b = pg.locator('#canvas').bounding_box()
    return b['x']+b['width']*x, b['y']+b['height']*y

def pixels(pg): return pg.evaluate("document.querySelector('#canvas').toDataURL()")

def test_classes(opened, served):
    "A click on a class shows its map; dragged onto another, why it rather than that; the same by the button beside a class, and by name"
    pg,ex = opened(served.url),served.explorer
    assert same(pg, ex)['item']==0
    for c in range(3):
        pg.click(f'#bars li[data-class="{c}"] .class')
        assert same(pg, ex)['class']==c and pg.get_attribute(f'#bars li[data-class="{c}"] .class', 'aria-pressed')=='true'
    pg.drag_and_drop('#bars li[data-class="0"] .class', '#bars li[data-class="1"]')
    s = same(pg, ex)
    assert (s['class'],s['versus'],s['label'])==(0,1,'checked rather than level')
    pg.hover('#bars li[data-class="2"]')
    pg.click('#bars li[data-class="2"] .vs')
    assert same(pg, ex)['label']=='checked rather than upright'
    pg.fill('#find', 'Level')
    pg.press('#find', 'Enter')
    assert same(pg, ex)['label']=='level'
    pg.fill('#find', 'leve')
    pg.press('#find', 'Enter')
    assert 'Close matches: level' in pg.inner_text('#said')

def test_layers_and_methods(opened, served):
    pg,ex = opened(served.url),served.explorer
    for l in ex.layers():
        pg.click(f'#layers button[value="{l["layer"]}"]')
        assert same(pg, ex)['layer']==l['layer']
    pg.click('#layers button[value=""]')
    pg.click('#methods button[value="hirescam"]')
    assert same(pg, ex)['method']=='hirescam'
    pg.select_option('#slow', 'fullgrad')
    assert same(pg, ex)['method']=='fullgrad'
    assert re.search(r'took \d+ ms', pg.locator('#slow option[value="fullgrad"]').get_attribute('title'))

def test_what_if(opened, served):
    "Drag, click, Alt, the hottest tenth: one question each; the bars say by how much they moved; all can be undone"
    pg,ex = opened(served.url),served.explorer
    first = same(pg, ex)
    def drag(*to, **kw):
        pg.mouse.move(*on(pg, .25, .25))
        pg.mouse.down()
        pg.mouse.move(*on(pg, *to), steps=3)
        pg.mouse.up()
    drag(.75, .5)
    s = same(pg, ex)
    (e,) = s['edits']
    assert e['do']=='hide' and all(abs(a-b)<=1 for a,b in zip(e['box'], [12,12,37,25]))
    d = s['preds'][s['class']]-first['preds'][s['class']]
    assert pg.inner_text(f'#bars li[data-class="{s["class"]}"] .delta').replace('−','-')==f'{d:+.3f}'
    pg.keyboard.down('Alt')
    drag(.6, .6)
    pg.keyboard.up('Alt')
    assert [e['do'] for e in same(pg, ex)['edits']]==['hide','keep']
    pg.mouse.click(*on(pg, .01, .01))
    assert same(pg, ex)['edits'][2]['box'][:2]==[0,0]
    pg.click('#reset')
    assert same(pg, ex)['preds']==first['preds']
    pg.select_option('#fill', 'mean')
    for i in range(3): pg.click('#hottest'), same(pg, ex)
    s = same(pg, ex)
    assert [e['share'] for e in s['edits']]==[.1,.2,.3] and pg.locator('#history li').count()==3 and pg.locator('#curve circle').count()==4
    asked = []
    pg.on('request', lambda r: asked.append(r.url))
    pg.click('#undo')
    s = same(pg, ex)
    assert [e['share'] for e in s['edits']]==[.1,.2] and not asked               # what was seen is not asked again

def test_moving(opened, served):
    "Bars that are to change places wait while the mouse is pressed: a click is on the class that it began on"
    pg,ex = opened(served.url),served.explorer
    def order(): return pg.evaluate("$$('#bars li').map(o => +o.dataset.class)")
    was = order()
    other = next(i for i in range(24) if sorted(range(3), key=lambda c: -ex.answer({'item':i})['preds'][c])!=was)
    pg.mouse.move(*middle(pg, f'#bars li[data-class="{was[0]}"] .class'))
    with pg.expect_response('**/ask'):
        pg.mouse.down()
        pg.evaluate(f'void open({other})')
    pg.wait_for_timeout(100)
    assert order()==was
    pg.mouse.up()
    s = same(pg, ex)
    assert (s['item'],s['class'])==(other,was[0]) and order()!=was

def middle(pg, sel):
    b = pg.locator(sel).bounding_box()
    return b['x']+b['width']/2, b['y']+b['height']/2

def test_rapid_clicks(opened, served):
    "A hundred clicks at once: the first and the last are asked"
    pg,asked = opened(served.url),[]
    pg.on('request', lambda r: asked.append(r.post_data_json))
    pg.evaluate("for (let i = 0; i < 100; i++) document.querySelectorAll('#bars .class')[i % 3].click()")
    same(pg, served.explorer)
    assert len(asked)==2

def test_film(opened, served):
    "Arrows walk, filters leave what they say, sorting sorts; the next page comes when its place is in sight"
    pg,ex = opened(served.url),served.explorer
    pg.keyboard.press('ArrowRight')
    assert same(pg, ex)['item']==1
    pg.click('#film li[data-i="5"] button')
    assert same(pg, ex)['item']==5
    film = ex.film()
    for kind,f in (('wrong',lambda o: o['wrong']), ('level',lambda o: o['actual']=='level')):
        n = sum(map(f, film))
        if not 0<n<len(film): continue
        pg.locator('#filters button', has_text=kind).click()
        pg.wait_for_timeout(50)
        shown = pg.evaluate("seen()")
        assert [i for i in shown if i<24]==[o['i'] for o in film if f(o)]
        pg.locator('#filters button', has_text=kind).click()
    pg.evaluate("document.querySelector('#film li.more')?.scrollIntoView()")     # at once: while Playwright waits for it to be still, the page may have replaced it
    pg.wait_for_selector('#film li[data-i="47"]')
    pg.select_option('#sort', 'loss')
    order = pg.evaluate('seen()')
    losses = {o['i']:o['loss'] for o in film+ex.film(24)}
    assert len(order)>=48 and [losses[i] for i in order if i<48]==sorted((losses[i] for i in order if i<48), reverse=True)

def png():
    f = io.BytesIO()
    Image.open(drawn_files(240)[0][7]).save(f, 'png')
    return f.getvalue()

def test_photos(opened, learn):
    "A photo is chosen, dropped or pasted; what is none is refused in words"
    s = learn.explore_cams([])
    try:
        pg = opened(s.url, wait=False)
        assert pg.locator('li.none').is_visible()
        pg.set_input_files('#photo', dict(name='own.png', mimeType='image/png', buffer=png()))
        ready(pg)
        assert same(pg, s.explorer)['code']=="learn.show_cam('own.png')" and not pg.locator('li.none').is_visible()
        for n,event in ((2,'drop'),(3,'paste')):
            pg.evaluate("""([event, bytes]) => {
                const t = new DataTransfer(); t.items.add(new File([Uint8Array.from(bytes)], event + '.png', {type: 'image/png'}))
                document.body.dispatchEvent(event === 'drop' ? new DragEvent('drop', {dataTransfer: t, bubbles: true, cancelable: true}) : new ClipboardEvent('paste', {clipboardData: t, bubbles: true}))
            }""", [event, list(png())])
            pg.wait_for_selector(f'#film li:nth-child({n})')
            pg.wait_for_selector(f'#film li[data-i="{n-1}"] button[aria-current=true]')
            assert same(pg, s.explorer)['item']==n-1
        pg.set_input_files('#photo', dict(name='no.png', mimeType='image/png', buffer=b'no'))
        pg.wait_for_selector('#said:not([hidden])')
        assert 'no picture' in pg.inner_text('#said')
        assert all('400' in e for e in pg.errors)                               # Chromium and htmx note the refusal
        pg.errors.clear()
    finally: s.stop()

def test_out(opened, served):
    "The line of code, a link that leads back to the same view, and a PNG"
    pg,ex = opened(served.url),served.explorer
    pg.keyboard.press('ArrowRight')
    idle(pg)                                                           # the bars have found their places: they may move until the mouse is pressed
    pg.click('#bars li[data-class="2"] .class')
    pg.click('#layers button[value="-2"]')
    pg.check('#contour')
    pg.click('#hottest')
    s = same(pg, ex)
    pg.click('#code')
    assert pg.evaluate('navigator.clipboard.readText()')==s['code']==pg.inner_text('#line')
    pg.click('#link')
    link = pg.evaluate('navigator.clipboard.readText()')
    other = opened(link)
    other.wait_for_selector('#history li')
    t = same(other, ex)
    assert t==s and other.is_checked('#contour') and other.locator('#bars .delta.down, #bars .delta.up').count()>0
    assert pixels(other)==pixels(pg)
    with pg.expect_download() as d: pg.click('#png')
    im = Image.open(d.value.path())
    assert im.size==(576,576) and d.value.suggested_filename.endswith('-upright.png')

def test_drawing(opened, served):
    "Opacity, colors, threshold, signs and contour change the picture at once, and ask nothing; at no opacity it is the picture alone"
    pg = opened(served.url)
    asked,seen = [],{pixels(pg)}
    pg.on('request', lambda r: asked.append(r.url))
    for k,v in (('alpha','0.3'), ('thresh','0.5'), ('alpha','0')): pg.fill(f'#{k}', v), seen.add(pixels(pg))
    pg.fill('#alpha', '1'), pg.fill('#thresh', '0')
    for c in ('viridis','grey'): pg.select_option('#colors', c), seen.add(pixels(pg))
    for c in ('sign','contour'): pg.check('#'+c), seen.add(pixels(pg))
    assert len(seen)==8 and not [u for u in asked if not u.startswith('data:')]

def test_numbers_drawn(opened, served):
    "What is drawn between the cells is torch's interpolation, in matplotlib's colors"
    pg = opened(served.url)
    m = torch.rand(5,7)
    got = pg.evaluate('([v, g, w, h]) => [...resized(Float32Array.from(v), g, w, h)]', [m.flatten().tolist(), [5,7], 40, 30])
    assert torch.allclose(tensor(got).reshape(30,40), TensorCAM(m).resize((30,40)).as_subclass(Tensor), atol=1e-5)
    for ours,theirs in (('magma','magma'),('viridis','viridis'),('both','RdBu_r'),('grey','gray')):
        for v in np.linspace(0,1,33):
            assert np.abs(np.array(pg.evaluate('([n, v]) => color(palettes[n], v)', [ours, float(v)]))/255-plt.get_cmap(theirs)(v)[:3]).max()<.03

def test_hover(opened, served):
    "The value of the cell below, and its share of what speaks for the class"
    pg,ex = opened(served.url),served.explorer
    m = torch.tensor(np.frombuffer(b64decode(idle(pg)['map']), np.float32))
    grid = pg.evaluate('view.maps[0].grid')
    m = m.reshape(grid)
    i = [n//3 for n in grid]
    pg.mouse.move(*on(pg, (i[1]+.5)/grid[1], (i[0]+.5)/grid[0]))
    v = m[tuple(i)]
    share = 100*v/m[m.sign()==v.sign()].sum()
    value,part = re.fullmatch(r'(\S+) · (\S+) % of what speaks (?:for|against) it', pg.inner_text('#tip')).groups()
    assert abs(float(value)-v)<abs(v)*.01 and abs(float(part)-share)<.06

def test_keyboard(opened, served):
    "All of it without a mouse"
    pg,ex = opened(served.url),served.explorer
    press = pg.keyboard.press
    press('ArrowRight'), press('ArrowDown'), press('ArrowDown'), press('Enter')
    s = same(pg, ex)
    assert s['item']==1 and s['class'] is not None
    press('ArrowUp'), press('ArrowUp')
    if pg.evaluate('+document.activeElement.parentNode.dataset.class')==s['class']: press('ArrowDown')
    press('v')
    assert same(pg, ex)['versus'] is not None
    press('Enter'), press(']')
    assert same(pg, ex)['layer']==ex.layers()[0]['layer']
    press('['), press('m')
    assert same(pg, ex)['method']=='gradcam'
    press('h')
    assert len(same(pg, ex)['edits'])==1
    press('z')
    assert not same(pg, ex)['edits']
    pg.focus('#canvas')
    for k in ('ArrowRight','ArrowDown','Shift+ArrowRight','Enter'): press(k)
    (e,) = same(pg, ex)['edits']
    press('ArrowLeft'), press('Alt+Enter')
    assert same(pg, ex)['edits'][1]['do']=='keep' and e['box'][2]-e['box'][0]>e['box'][3]-e['box'][1]
    assert '%' in pg.inner_text('#say') or pg.inner_text('#say')
    press('r'), press('?')
    assert pg.locator('#keys').is_visible()
    press('Escape')
    assert not pg.locator('#keys').is_visible()
    names = pg.evaluate("[...document.querySelectorAll('button, select, input, canvas:not([aria-hidden]), svg:not([hidden])')].filter(o => !(o.ariaLabel || o.getAttribute('aria-label') || o.innerText?.trim() || o.labels?.length)).map(o => o.outerHTML.slice(0, 80))")
    assert not names

@pytest.mark.parametrize('width', [1280, 800, 390, 320])
@pytest.mark.parametrize('scheme', ['light','dark'])
def test_looks(opened, served, width, scheme):
    "Nothing is wider than the screen; the picture is in it; light and dark differ, and words can be read"
    pg = opened(served.url, viewport=dict(width=width, height=844), color_scheme=scheme)
    assert pg.evaluate('document.documentElement.scrollWidth')<=width
    b = pg.locator('#canvas').bounding_box()
    assert b['x']>=0 and b['x']+b['width']<=width and b['width']>=min(280, width-30)
    back = sum(map(int, re.findall(r'\d+', pg.evaluate('getComputedStyle(document.documentElement).backgroundColor'))[:3]))/3
    assert (back<60)==(scheme=='dark')
    pg.evaluate('hottest()')
    idle(pg)
    bad,n = unread(pg)
    assert n>30 and not bad

@pytest.mark.parametrize('width', [1280, 390, 320])
def test_long_names(opened, learn, tmp_path, width):
    "Long names of classes and files make nothing wider than the screen, and can be read in full"
    names = [f'{k}_{"a_species_with_a_name_that_never_ends"*3}' for k in kinds]
    for i,f in enumerate(drawn_files(240)[0][:4]): (tmp_path/f'{"IMG_2024"*20}_{i}.png').write_bytes(f.read_bytes())
    db = DataBlock((ImageBlock, CategoryBlock(vocab=names)), get_items=get_image_files, get_y=lambda o: names[int(o.stem[-1])%3], splitter=lambda o: (range_of(o),range_of(o)))
    own = Learner(db.dataloaders(tmp_path, bs=2, num_workers=0), learn.model, loss_func=learn.loss_func)
    own.remove_cb(ProgressCallback)
    s = own.explore_cams()
    try:
        pg = opened(s.url, viewport=dict(width=width, height=844))
        idle(pg)
        wide = pg.evaluate("$$('button, p, h1, h2, label, select, canvas, pre').filter(o => !o.closest('#film, #filters') && o.getBoundingClientRect().right > innerWidth).map(o => o.outerHTML.slice(0, 99))")
        assert not wide and pg.evaluate('document.documentElement.scrollWidth')<=width
        bar = pg.locator('#bars .name').first
        assert bar.get_attribute('title') in names and bar.get_attribute('title') in pg.inner_text('#head')
        assert pg.inner_text('#file')==s.explorer.name(0)
        assert all(t in names or len(t)<20 for t in pg.evaluate("$$('#filters span').map(o => o.title)"))
    finally: s.stop()

def test_file(opened, learn, tmp_path):
    "The static file, opened from disk with the network off: film, classes that have a map, drawing; the maps are those that were written"
    cams = learn.cam(dl=learn.dls.valid, target=['checked','level'], max_n=6)
    f = cams.to_html(tmp_path/'cams.html', 'Stripes')
    pg = opened(f.as_uri(), wait=False, offline=True)
    pg.wait_for_selector('#bars li')
    assert pg.title()=='Stripes' and pg.locator('#film li').count()==6 and not pg.locator('#hottest').is_visible() and not pg.locator('#layers').is_visible()
    for i in (0,3):
        pg.click(f'#film li[data-i="{i}"] button')
        for c in (0,1):
            pg.click(f'#bars li[data-class="{c}"] .class')
            s = idle(pg)
            assert torch.equal(torch.tensor(np.frombuffer(b64decode(s['map']), np.float32)), cams.maps[i,c].flatten().as_subclass(Tensor)) and s['preds']==cams.preds[i].tolist()
    assert pg.is_disabled('#bars li[data-class="2"] .class')
    was = pixels(pg)
    pg.fill('#alpha', '0.1')
    assert pixels(pg)!=was
    pg.focus('#film li[data-i="3"] button')
    pg.keyboard.press('ArrowLeft')
    assert pg.evaluate('S.item')==2
    with pytest.raises(ValueError, match='no item'): cams[[]].to_html(tmp_path/'none.html')
    with pytest.raises(TypeError, match='`title` is 7'): cams.to_html(tmp_path/'none.html', 7)
    assert cams.to_html(tmp_path/'new'/'cams.html').exists()

def wide_learner(learn, folder, item_tfms):
    "The trained model with photos twice as wide as high, 96 x 48, that come to it as `item_tfms` make them"
    for f,g in zip(drawn_files(240)[0][:4], drawn_files(240)[0][4:8]):
        im = Image.new('RGB', (96,48))
        for o,x in ((g,0),(g,48),(f,24)): im.paste(Image.open(o), (x,0))
        im.filter(ImageFilter.GaussianBlur(2)).save(folder/f.name)                  # else the page's JPEG is another picture
    db = DataBlock((ImageBlock, CategoryBlock(vocab=learn.dls.vocab)), get_items=get_image_files, get_y=kind_of, splitter=lambda o: (range_of(o),range_of(o)), item_tfms=item_tfms,
                   batch_tfms=Normalize.from_stats(*imagenet_stats))
    dls = db.dataloaders(folder, bs=2, num_workers=0)
    res = Learner(dls, learn.model, loss_func=learn.loss_func)
    res.remove_cb(ProgressCallback)
    return res

@pytest.mark.parametrize('how', ['crop','squish'])
def test_original(opened, learn, tmp_path, how):
    "A photo has its own proportions, what the model did not see is dimmed; hover and drag are about the pixels of what it saw"
    s = ServedExplorer(Explorer(wide_learner(learn, tmp_path, Resize(48, method=how))))
    try:
        pg,ex = opened(s.url),s.explorer
        b = pg.locator('#canvas').bounding_box()
        assert abs(b['width']/b['height']-2)<.02
        x0,n = (.25,.5) if how=='crop' else (0,1)                        # the part of the width that the model saw
        m = torch.tensor(np.frombuffer(b64decode(idle(pg)['map']), np.float32)).reshape(pg.evaluate('view.maps[0].grid'))
        i,j = 3,8
        pg.mouse.move(*on(pg, x0+n*(j+.5)/m.shape[1], (i+.5)/m.shape[0]))
        assert abs(float(pg.inner_text('#tip').split(' · ')[0])-m[i,j])<=abs(m[i,j])*.01
        def drag(a, b):
            pg.mouse.move(*on(pg, x0+n*a[0], a[1]))
            pg.mouse.down()
            pg.mouse.move(*on(pg, x0+n*b[0], b[1]), steps=3)
            pg.mouse.up()
        drag((.25,.25), (.75,.5))
        (e,) = same(pg, ex)['edits']
        assert np.abs(np.array(e['box'])-[12,12,37,25]).max()<=1
        pg.click('#reset')
        same(pg, ex)
        if how=='crop':
            pg.mouse.move(*on(pg, .1, .5))
            assert not pg.locator('#tip').is_visible()
            pg.mouse.click(*on(pg, .1, .5))
            assert not same(pg, ex)['edits']
        pg.fill('#alpha', '0')
        shown = np.array(Image.open(io.BytesIO(b64decode(pixels(pg).split(',')[1]))).convert('RGB').resize((96,48), Image.BOX)).astype(float)
        file = np.array(Image.open(ex.dl.dataset.items[0]).convert('RGB')).astype(float)
        seen,rest = (slice(26,70),slice(0,22)) if how=='crop' else (slice(0,96),slice(0,0))
        assert np.abs(shown-file)[:,seen].mean()<6 and (how=='squish' or np.abs(shown-(.4*file+.6*127))[:,rest].mean()<6)
    finally: s.stop()

def test_original_in_file(opened, learn, tmp_path):
    "The static file draws the photo in its own proportions too"
    cams = wide_learner(learn, tmp_path, Resize(48)).cam(max_n=2)
    pg = opened(cams.to_html(tmp_path/'cams.html').as_uri(), wait=False, offline=True)
    pg.wait_for_selector('#bars li')
    idle(pg)
    c = pg.evaluate("[$('#canvas').width, $('#canvas').height, view.own.at.slice(0, 4)]")
    assert c[0]==2*c[1] and np.allclose(c[2], [1,0,0,1], atol=.02)

class Shaky(Transform):
    def encodes(self, x:PILImage):
        i = random.randrange(48)
        return x.crop((i,0,i+48,48))

def test_no_original(learn, tmp_path):
    "Where the transforms are random, the page draws what the model saw"
    ex = Explorer(wide_learner(learn, tmp_path, Shaky()))
    assert ex.original(0) is None and ex.answer({'item':0, 'original':True})['original'] is None

def shown_bars(pg): return pg.evaluate("$$('#bars li').map(o => [$('.name', o).textContent, +$('.num', o).textContent])")

def test_objects(opened):
    "Objects of a detector, each with its box and its score: a click shows its map, and one that is hidden is no longer found"
    from test_objects import detector_learner, squares
    ex = Explorer(detector_learner(others=[squares((20,52,6.), size=(64,96))]))                 # of two sizes
    served = ServedExplorer(ex)
    pg = opened(served.url)
    cams = ex.learn.cam()[0]
    assert shown_bars(pg)==[[l,round(p,3)] for l,p in zip(cams.labels, cams._cams.probs[0])] and len(cams.labels)==2
    assert not pg.locator('#find').is_visible() and pg.locator('#film li').count()==4
    def shown(): return torch.tensor(np.frombuffer(b64decode(pg.evaluate('map().map')), np.float32).copy()),pg.evaluate('map().box')
    for j in (1,0):
        pg.click(f'#bars li[data-class="{j}"] .class')
        m,box = shown()
        assert torch.equal(m, cams.maps[j].flatten().as_subclass(Tensor)) and box==cams.boxes[j].tolist()
    was = idle(pg)
    x0,y0,x1,y1 = box
    pg.evaluate(f"edit({{do: 'hide', box: [{x0:.0f},{y0:.0f},{x1:.0f},{y1:.0f}]}})")
    idle(pg)
    assert 'no longer found' in pg.inner_text('#head') and shown_bars(pg)[0][1]==0 and abs(shown_bars(pg)[1][1]-cams._cams.probs[0][1])<.05
    pg.click('#undo')
    pg.click('#bars li[data-class="1"] .class')
    pg.click('#hottest')                                                                          # of the second one's map
    idle(pg)
    p = dict(zip('ab', (p for _,p in shown_bars(pg))))
    assert p['a']>.8 and p['b']<.5
    pg.reload()
    ready(pg)
    assert pg.evaluate('S.map')==1 and len(pg.evaluate('S.edits'))==1
    served.stop()

def test_prompts(opened, tmp_path):
    "Prompts of a model of two encoders: their maps and probabilities, and words that are added; a file of them"
    from test_prompt import TwoTowers, tokenizer
    torch.manual_seed(0)
    items = [(TensorImage(torch.rand(3,32,32)),TensorCategory(0)) for _ in range(3)]
    learn = Learner(DataLoaders.from_dsets(items, items, bs=2, device='cpu', num_workers=0), TwoTowers(), loss_func=CrossEntropyLossFlat())
    learn.remove_cb(ProgressCallback)
    prompt = lambda *more: Prompt('red circle', 'blue cross', *more, tokenizer=tokenizer)
    served = ServedExplorer(Explorer(learn, target=prompt()))
    pg = opened(served.url)
    want = learn.cam(target=prompt('red cross'))[0]
    def right(n): assert [l for l,_ in shown_bars(pg)]==want.labels[:n] and np.allclose([p for _,p in shown_bars(pg)], want.preds[:n], atol=6e-4)
    right(2)
    pg.fill('#find', 'red cross')
    pg.press('#find', 'Enter')
    pg.wait_for_selector('#bars li[data-class="2"]')
    idle(pg)
    right(3)
    m = np.frombuffer(b64decode(pg.evaluate('map().map')), np.float32)
    np.testing.assert_allclose(m, want.maps[2].flatten(), atol=1e-6)
    assert not pg.locator('#film li.wrong').count()
    served.stop()
    pg = opened(learn.cam(target=prompt()).to_html(tmp_path/'prompts.html').as_uri(), wait=False, offline=True)
    pg.click('#bars li[data-class="1"] .class')
    assert pg.inner_text('#head').startswith('blue cross')

def act(pg, rng):
    "One random action, at once, wherever the page is scrolled to"
    def click(s, n): pg.evaluate(f"$$('{s}')[{rng.randrange(n)}].click()")
    kind = rng.choice('class layer method key box cell photo rival draw'.split())
    if kind=='class': click('#bars .class', 3)
    elif kind=='layer': click('#layers button', 4)
    elif kind=='method': click('#methods button', 5)
    elif kind=='key': pg.keyboard.press(rng.choice(['h','z','r','m','[',']','ArrowRight','ArrowLeft','ArrowDown','Enter']))
    elif kind=='cell': pg.mouse.click(*on(pg, rng.random()*.98+.01, rng.random()*.98+.01))
    elif kind=='photo': click('#film li[data-i] button', 20)
    elif kind=='rival': pg.evaluate(f'rather({rng.randrange(3)}, {rng.randrange(3)})')
    elif kind=='draw': pg.fill('#thresh', str(rng.randrange(10)/10))
    else:
        pg.mouse.move(*on(pg, rng.random(), rng.random()))
        pg.mouse.down()
        pg.mouse.move(*on(pg, rng.random(), rng.random()), steps=2)
        pg.mouse.up()

def test_random(opened, served, learn):
    "Fifty random sequences: what is shown is right, nobody complains, and learner and model are as before"
    pg,rng = opened(served.url),random.Random(0)
    was = snapshot(learn)
    for i in range(int(os.environ.get('FASTCAM_SEQUENCES', 50))):
        for _ in range(6):
            act(pg, rng)
            if rng.random()<.5: pg.wait_for_selector('body:not(.busy)')
        same(pg, served.explorer)
    assert not settled(was, snapshot(learn))
