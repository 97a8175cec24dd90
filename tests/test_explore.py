"The explorer: its numbers are those of `learn.cam`, it answers whom it should, and nobody else; and the page in a browser"
import asyncio, httpx, io, json, signal, subprocess, sysconfig
from base64 import b64decode
from contextlib import ExitStack
import pytest
from utils import *
from fastcam.engine.trace import own_hooks
from fastcam.apps.explore import *
from fastcam.evidence.metric import deletion_auc

@pytest.fixture(scope='module')
def learn(): return trained_learner()
@pytest.fixture(scope='module')
def files(): return drawn_files(240)[0][:30]
@pytest.fixture
def ex(learn, files): return Explorer(learn, files)

def values(m): return torch.tensor(np.frombuffer(b64decode(m['map']), np.float32).reshape(m['grid']))
def calls(learn, f):
    "What `f()` gives, and how often it calls the model"
    n = []
    with own_hooks([(learn.model, lambda *_: n.append(1), 'before')]): res = f()
    return res,len(n)

# ---- Numbers
questions = {'as it is': ({}, {}), 'class': ({'class':1}, dict(target='level')), 'layer': ({'layer':-2}, dict(layer=-2)), 'method': ({'method':'hirescam'}, dict(method='hirescam')),
    'versus': ({'class':2, 'versus':0}, dict(target=Versus('upright','checked'))), 'all': ({'class':0, 'layer':-3, 'method':'layercam'}, dict(target='checked', layer=-3, method='layercam'))}
@pytest.mark.parametrize('what', questions)
def test_answers(ex, learn, files, what):
    "Maps, probabilities and titles are those of `learn.cam`, made in one pass; the line of code draws the same map"
    q,kw = questions[what]
    ex.answer({'item':3, **q})                                       # finds the layers
    res,n = calls(learn, lambda: ex.answer({'item':3, **q}))
    cams = learn.cam(files[3], **kw)
    assert n==1
    assert torch.equal(values(res['maps'][0]), cams.maps[0,0].as_subclass(Tensor)) and res['preds']==cams.preds[0].tolist()
    assert (res['maps'][0]['label'],res['maps'][0]['target'],res['maps'][0]['doubt'])==(cams.labels[0][0],cams.targets[0,0].item(),cams.health[0][0])
    plt.close('all')
    exec(res['code'], dict(learn=learn, items=files, Versus=Versus))
    want = cams.show()[0].images[-1].get_array()
    drawn,_ = plt.figure(1).axes[0].images[-1].get_array(),plt.close('all')
    assert np.array_equal(drawn, want)

def test_first_choices(learn, files):
    "What was chosen at first holds until something else is chosen; keywords of another method go"
    ex = Explorer(learn, files[:4], method='hirescam', eigen=True, layer=-2)
    assert torch.allclose(values(ex.film()[1]), learn.cam(files[1], method='hirescam', eigen=True, layer=-2).maps[0,0].as_subclass(Tensor), atol=1e-5)
    assert ex.code(1, 'level')=="learn.show_cam(items[1], method='hirescam', eigen=True, layer=-2, target='level')"
    assert ex.code(1, method='scorecam')=="learn.show_cam(items[1], method='scorecam', layer=-2)"
    with pytest.raises(TypeError, match="Unknown keyword 'eigne'"): Explorer(learn, files[:4], eigne=True)
    with pytest.raises(ValueError, match="There is no class 'levle'"): Explorer(learn, files[:4], target='levle')

def test_film(learn, files):
    "Pages of a film say what `learn.cam` says; one batch is one pass; the training set as in validation"
    for ex,cams in ((Explorer(learn),learn.cam(dl=learn.dls.valid)), (Explorer(learn, ds_idx=0),learn.cam(ds_idx=0))):
        film,n = calls(learn, lambda: ex.film(24))
        assert n==1 and [o['i'] for o in film]==list(range(24, 48)) and len(ex.film(26))==22
        for o in film:
            i = o['i']
            assert (o['predicted'],o['actual'],o['wrong'])==(cams.predicted[i],cams.actuals[i],cams.predicted[i]!=cams.actuals[i])
            assert torch.allclose(values(o), cams.maps[i,0].as_subclass(Tensor), atol=1e-5) and abs(o['p']-cams.preds[i].max())<1e-5
            assert abs(o['loss']+cams.preds[i][cams.targs[i]].log())<1e-4 and abs(o['margin']-cams.preds[i].sort(descending=True).values.diff(dim=0).abs()[0])<1e-5
        assert Image.open(io.BytesIO(b64decode(film[0]['thumb'].split(',')[1]))).size==(48,48)

kinds_of_items = {'files':lambda fs: fs, 'PIL':lambda fs: [Image.open(f) for f in fs], 'arrays':lambda fs: [np.array(Image.open(f)) for f in fs],
                  'tensors':lambda fs: torch.stack([tensor(Image.open(f)).permute(2,0,1) for f in fs]), 'one':lambda fs: fs[0], 'L':lambda fs: L(fs)}
@pytest.mark.parametrize('kind', kinds_of_items)
def test_items(learn, files, kind):
    items = kinds_of_items[kind](files[:3])
    ex,cams = Explorer(learn, items),learn.cam(items)
    for i in range(len(cams)):
        res = ex.answer({'item':i})
        assert torch.equal(values(res['maps'][0]), cams.maps[i,0].as_subclass(Tensor)) or torch.allclose(values(res['maps'][0]), cams.maps[i,0].as_subclass(Tensor), atol=1e-5)
    assert len(ex.film())==len(cams) and ex.code(0)==('learn.show_cam(items)' if kind=='one' else 'learn.show_cam(items[0])')

def test_loaders(learn):
    "Batches, and loaders of PyTorch, which are read at once; their items are named by `explorer`"
    xb,yb = learn.dls.valid.one_batch()
    cams = learn.cam(dl=[(xb,yb)])
    for dl in ([(xb,yb)], torch.utils.data.DataLoader(list(zip(xb, yb)), batch_size=7)):
        ex = Explorer(learn, dl=dl)
        assert ex.n==len(xb) and ex.film()[3]['actual']==cams.actuals[3] and ex.code(3, 'level')=="explorer.cams(3, target='level').show()"
        assert torch.allclose(values(ex.answer({'item':5})['maps'][0]), cams.maps[5,0].as_subclass(Tensor), atol=1e-5)

def test_broken_file(learn, files, tmp_path):
    "A file that cannot be read is left out of the film, and named without its folder when it is asked for"
    (tmp_path/'broken.png').write_bytes(b'no')
    ex = Explorer(learn, [files[0], tmp_path/'broken.png', files[1]])
    assert [o['i'] for o in ex.film()]==[0,2]
    with pytest.raises(ValueError, match='broken.png'): ex.answer({'item':1})

# ---- What if
def test_boxes(ex, learn, files):
    "A hidden box is the picture's mean there; the answer is that of the changed input, in one pass"
    b = learn.dls.test_dl(files[3:4]).one_batch()[0]
    x = b.clone()
    x[...,10:20,5:30] = b.mean((2,3), keepdim=True)
    e = dict(do='hide', box=[5,10,30,20], fill='mean')
    res,n = calls(learn, lambda: ex.answer({'item':3, 'class':1, 'edits':[e]}))
    cams = learn.cam(dl=[(x,)], target='level')
    assert n==1 and np.allclose(res['preds'], cams.preds[0], atol=1e-6) and torch.allclose(values(res['maps'][0]), cams.maps[0,0].as_subclass(Tensor), atol=1e-5)
    assert torch.equal(eval(res['code'].removesuffix('.show()'), dict(explorer=ex)).maps, ex.cams(3, 'level', edits=[e]).maps)
    kept = ex.cams(3, 'level', edits=[e | dict(do='keep')]).inputs
    x = b.mean((2,3), keepdim=True).expand_as(b).clone()
    x[...,10:20,5:30] = b[...,10:20,5:30]
    assert torch.allclose(kept, x.as_subclass(Tensor), atol=1e-6)

def test_deletion_curve(ex, learn, files):
    "Hiding tenth after tenth of what is hottest gives the curve that `deletion_auc` is the area of; the map is not asked for again"
    cams = ex.cams(3, 'upright')
    def p(share): return ex.cams(3, 'upright', edits=[{'do':'hottest', 'share':share, 'class':2, 'fill':'mean'}] if share else []).preds[0,2]
    ys = [p(i/10) for i in range(11)]
    _,n = calls(learn, lambda: p(.3))
    b = learn.dls.test_dl(files[3:4]).one_batch()[0].as_subclass(Tensor)
    want = deletion_auc(learn.model, b, cams.maps, target=2, steps=10, base=b.mean((2,3), keepdim=True))
    assert n==1 and abs(torch.trapezoid(torch.stack(ys))/10-want[0])<1e-5

@pytest.mark.parametrize('fill', ['blur','mean','noise'])
def test_fills(fill):
    "All fills are deterministic, and hide: what was there no longer counts"
    x = torch.rand(2,3,32,32)
    e = [dict(do='hide', box=[0,0,32,32], fill=fill)]
    assert torch.equal(edited(x, e), edited(x, e)) and torch.equal(edited(x, []), x)
    assert (edited(x, e).mean((2,3))-x.mean((2,3))).abs().max()<.05 and (fill=='noise' or edited(x, e).std()<x.std()/2)

bad_edits = [None, 3, 'x', [3], [{}], [{'do':'hide'}], [{'do':'eval','box':[0,0,1,1]}], [{'do':'hide','box':[0,0,1]}], [{'do':'hide','box':[0,0,1e9,1]}], [{'do':'hide','box':[0,0,float('nan'),1]}],
             [{'do':'hide','box':['0',0,1,1]}], [{'do':'hide','box':[0,0,1,1],'fill':'__class__'}], [{'do':'hottest'}], [{'do':'hottest','share':2}], [{'do':'hottest','share':True}], [{'do':'hide','box':[0,0,1,1]}]*65]
@pytest.mark.parametrize('edits', bad_edits[1:], ids=str)
def test_bad_edits(ex, edits):
    with pytest.raises((ValueError,TypeError)): ex.answer({'item':0, 'edits':edits})

bad_questions = [{}, {'item':None}, {'item':'0'}, {'item':True}, {'item':-1}, {'item':99}, {'item':0,'class':3}, {'item':0,'class':'level'}, {'item':0,'class':-1}, {'item':0,'versus':1}, {'item':0,'class':1,'versus':1},
                 {'item':0,'layer':'0.0'}, {'item':0,'layer':'__import__("os")'}, {'item':0,'layer':[1]}, {'item':0,'method':'no'}, {'item':0,'method':['gradcam']}, {'item':0,'method':{}}, {'item':'../../etc/passwd'}]
@pytest.mark.parametrize('q', bad_questions, ids=str)
def test_bad_questions(ex, q):
    with pytest.raises((ValueError,TypeError,IndexError)): ex.answer(q)

def test_no_trace(learn, files):
    "Answers, and errors in them, leave learner and model as they were"
    learn = small_learner()
    unsettle(learn.model)
    was = snapshot(learn)
    ex = Explorer(learn, files[:3])
    def all_of_it():
        ex.film(), ex.layers()
        for q in ({'item':0}, {'item':1,'class':1,'method':'scorecam'}, {'item':2,'edits':[{'do':'hottest','share':.2,'fill':'noise'}]}): ex.answer(q)
        ex.add(Path(files[5]).read_bytes())
    all_of_it()
    assert not changed(was, snapshot(learn))
    fuse = next(m for m in learn.model.modules() if isinstance(m, Fuse))
    for left in (0,1):
        fuse.left,fuse.error = left,RuntimeError('burnt')
        with pytest.raises(Exception, match='burnt'):
            for q in ({'item':0}, {'item':0}): ex.answer(q)
        fuse.left = fuse.error = None
        del fuse.left, fuse.error
        assert not changed(was, snapshot(learn))

def test_left(learn, files):
    "A method that asks the model often is left when a newer question has come, and leaves no trace"
    ex,n = Explorer(learn, files[:1]),[]
    ex.answer({'item':0})
    was = snapshot(learn)
    def stop(): return n.append(1) or len(n)>3
    with pytest.raises(Exception) as e: ex.answer({'item':0, 'method':'rise'}, stop)
    assert type(e.value).__name__=='Stopped' and len(n)==4 and not changed(was, snapshot(learn))
    assert ex.answer({'item':0}, lambda: True)['maps']               # one pass is made to its end

def numbers_learner(*shapes):
    items = [(*(torch.randint(0, 4, s) if len(s)==1 else torch.rand(s) for s in shapes),TensorCategory(0)) for _ in range(4)]
    dls = DataLoaders.from_dsets(items, items, bs=2, device='cpu', num_workers=0)
    dls.n_inp = len(shapes)
    return Learner(dls, nn.Identity(), loss_func=CrossEntropyLossFlat())

@pytest.mark.parametrize('shapes', [[(2,64)], [(1,8,16,16)], [(5,3,16,16)], [(6,)], [(3,),(4,)]], ids=['signal','volume','clip','text','table'])
def test_no_pictures(shapes):
    "What is no picture is refused in a sentence, and the model is not asked"
    learn = numbers_learner(*shapes)
    def refused():
        with pytest.raises(TypeError, match=rf'shows pictures.*{re.escape(str(shapes[0]))}.*show_cam'): learn.explore_cams()
    assert calls(learn, refused)[1]==0

# ---- Photos from outside
def png(size=(48,48)):
    f = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size[::-1],3), dtype=np.uint8)).save(f, 'png')
    return f.getvalue()

def bomb(w=60000, h=60000):
    "A PNG that says it is large"
    import struct, zlib
    chunk = lambda k,d: struct.pack('>I', len(d))+k+d+struct.pack('>I', zlib.crc32(k+d))
    return b'\x89PNG\r\n\x1a\n'+chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 8, 2, 0, 0, 0))+chunk(b'IDAT', zlib.compress(b'0'*100))+chunk(b'IEND', b'')

def test_added(ex, learn):
    "A photo is opened as fastai opens it; of many only the last are kept; names come without folders"
    i = ex.add(png(), '../../some/where/cat.png')
    assert i==30 and ex.name(i)=='cat.png' and ex.film(i)[0]['name']=='cat.png' and ex.code(i, 'level')=="learn.show_cam('cat.png', target='level')"
    assert torch.equal(values(ex.answer({'item':i})['maps'][0]), learn.cam(png()).maps[0,0].as_subclass(Tensor))
    for _ in range(64): last = ex.add(png(), 'x.png')
    assert len(ex.added)==64
    with pytest.raises(IndexError, match='add it again'): ex.answer({'item':i})
    assert ex.answer({'item':last})['maps']

@pytest.mark.parametrize('data,said', [(b'','empty'), (b'no picture','no picture'), (bomb(),'million pixels'), (bomb(8000,8000),'million pixels'), (png()[:300],'')])
def test_not_added(ex, data, said):
    with pytest.raises((ValueError,OSError), match=said): ex.add(data)
    assert not ex.added

def test_only_added(learn):
    "Without items there is nothing to choose yet; a photo changes that"
    ex = Explorer(learn, [])
    assert ex.film()==[] and ex.layers()==[]
    assert ex.answer({'item':ex.add(png())})['preds'] and len(ex.layers())>1

# ---- Over HTTP
def ask_all(app, reqs, host='127.0.0.1'):
    "Responses to many requests `(method, path, keywords)` at once"
    async def go():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=f'http://{host}:8000') as c:
            return await asyncio.gather(*(c.request(m, path, **kw) for m,path,kw in reqs))
    return asyncio.run(go())

@pytest.fixture
def app(ex): return explorer_app(ex)

def test_clicks(ex, app, learn):
    "A hundred clicks of one page at once: the first and the last are answered, in one pass each; another page is answered too"
    ex.answer({'item':0})
    reqs = [('POST', '/ask', dict(json=dict(who='a', item=i%10, **{'class':i%3}))) for i in range(100)]
    res,n = calls_everywhere(learn, lambda: ask_all(app, reqs+[('POST','/ask',dict(json=dict(who='b', item=7)))]))
    assert [i for i,r in enumerate(res) if r.status_code==200]==[0,99,100] and {r.status_code for r in res}=={200,204} and n==3
    for i,q in ((0,dict(item=0, **{'class':0})), (99,dict(item=9, **{'class':0})), (100,dict(item=7))):
        want = ex.answer(q)
        assert res[i].json()['preds']==want['preds'] and res[i].json()['maps']==want['maps']

def calls_everywhere(learn, f):
    "As `calls`, in any thread"
    n = []
    h = learn.model.register_forward_pre_hook(lambda *_: n.append(1))
    try: return f(),len(n)
    finally: h.remove()

guards = {
    'foreign host': (('GET','/',dict(headers={'host':'evil.example'})), 403),
    'foreign host, to ask': (('POST','/ask',dict(json={'item':0}, headers={'host':'evil.example:8000'})), 403),
    'foreign host that ends alike': (('GET','/',dict(headers={'host':'127.0.0.1.evil.example'})), 403),
    'no host': (('GET','/',dict(headers={'host':''})), 403),
    'foreign origin': (('POST','/ask',dict(json={'item':0}, headers={'origin':'https://evil.example'})), 403),
    'another port': (('POST','/ask',dict(json={'item':0}, headers={'origin':'http://127.0.0.1:9'})), 403),
    'origin null': (('POST','/ask',dict(json={'item':0}, headers={'origin':'null'})), 403),
    'cross-site': (('POST','/drop',dict(files={'photo':('a.png',png())}, headers={'sec-fetch-site':'cross-site'})), 403),
    'own origin': (('POST','/ask',dict(json={'item':0}, headers={'origin':'http://127.0.0.1:8000','sec-fetch-site':'same-origin'})), 200),
    'no JSON': (('POST','/ask',dict(content=b'{')), 400),
    'no object': (('POST','/ask',dict(json=[1])), 400),
    'too large': (('POST','/drop',dict(files={'photo':('a.png',b'0'*(2**24+1))})), 413),
    'no file': (('POST','/drop',dict(data={'photo':'/etc/passwd'})), 400),
    'no picture': (('POST','/drop',dict(files={'photo':('a.png',b'no')})), 400),
    'bomb': (('POST','/drop',dict(files={'photo':('a.png',bomb())})), 400),
    'a picture': (('POST','/drop',dict(files={'photo':('a.png',png())})), 200),
    'a path': (('GET','/../../etc/passwd',{}), 404),
    'a path, coded': (('GET','/%2e%2e/%2e%2e/etc/passwd',{}), 404),
    'another file of ours': (('GET','/explore.html',{}), 404),
    'film of nobody': (('GET','/film?start=/etc/passwd',{}), 400),
    'to ask by GET': (('GET','/ask',{}), 405),
    'script': (('GET','/explore.js',{}), 200)}
@pytest.mark.parametrize('what', guards)
def test_guards(app, what, files):
    req,status = guards[what]
    res = ask_all(app, [req])[0]
    assert res.status_code==status and 'Traceback' not in res.text and str(Path(files[0]).parent) not in res.text
    if res.status_code in (400,403,413): assert res.json()['error']
    if res.status_code==200: assert "default-src 'none'" in res.headers['content-security-policy'] and res.headers['x-content-type-options']=='nosniff'

def test_too_large_unsaid(app):
    "A body that does not say its size is left where it grows too large"
    async def parts():
        for _ in range(40): yield b'0'*2**19
    res = ask_all(app, [('POST','/ask',dict(content=parts()))])[0]
    assert res.status_code==413

def test_token(ex):
    "Whoever is let in from elsewhere knows the token; it goes from the address into a cookie"
    app = explorer_app(ex, ['box'], 'secret')
    one = lambda path,**kw: ask_all(app, [('GET', path, kw)], host='box')[0]
    assert [one(p, **kw).status_code for p,kw in (('/',{}), ('/?token=secre',{}), ('/?token=',{}), ('/',dict(headers={'cookie':'fastcam=no'})), ('/explore.js',{}))]==[403]*5
    res = one('/?token=secret')
    assert res.status_code==303 and res.headers['location']=='/' and all(o in res.headers['set-cookie'].lower() for o in ('fastcam=secret','httponly','samesite=strict'))
    assert one('/', headers={'cookie':'fastcam=secret'}).status_code==200 and one('/', headers={'cookie':'fastcam=secret','host':'other'}).status_code==403

def test_no_paths(learn, files, tmp_path):
    "Nothing that is answered says where files lie, errors included"
    (tmp_path/'broken.png').write_bytes(b'no')
    ex = Explorer(learn, [*files[:2], tmp_path/'broken.png'])
    app = explorer_app(ex)
    reqs = [('GET','/',{}), ('GET','/film?start=0',{}), ('GET','/choices',{}), *(('POST','/ask',dict(json={'item':i, 'who':str(i)})) for i in range(4))]
    res = ask_all(app, reqs)
    assert res[5].status_code==400 and 'broken.png' in res[5].json()['error']
    for r in res: assert not [d for d in (tmp_path,Path(files[0]).parent,Path.cwd(),Path.home()) if str(d) in r.text and str(d)!='/']

def test_error_in_model(files):
    "An error of the model is told in a line, and the next question is answered"
    learn = small_learner()
    fuse = next(m for m in learn.model.modules() if isinstance(m, Fuse))
    app = explorer_app(Explorer(learn, files[:2]))
    reqs = [('POST','/ask',dict(json={'item':0}))]
    fuse.left,fuse.error = 0,RuntimeError('burnt in /usr/lib/x.py')
    res = ask_all(app, reqs)[0]
    assert res.status_code==500 and 'RuntimeError' in res.json()['error'] and '/usr' not in res.text
    fuse.left = None
    assert ask_all(app, reqs)[0].status_code==200

def test_served(learn, files):
    "On this machine only, at a port of its own; an address that is taken is said to be; after `stop` nobody listens"
    s = learn.explore_cams(files[:2])
    assert s.server.config and s.url==f'http://127.0.0.1:{s.port}/' and s.token is None and httpx.get(s.url).status_code==200
    with pytest.raises(OSError, match=f'port {s.port}'): learn.explore_cams(files[:2], port=s.port)
    assert f'src="{s.url}"' in s._repr_html_()
    s.stop()
    with pytest.raises(httpx.ConnectError): httpx.get(s.url)
    with learn_elsewhere(learn, files) as s: assert s.token in s.url and httpx.get(f'http://127.0.0.1:{s.port}/').status_code==403

@contextmanager
def learn_elsewhere(learn, files):
    s = learn.explore_cams(files[:2], host='127.0.0.1', name='localhost')
    try: yield s
    finally: s.stop()

def test_htmx():
    "The htmx that is brought along is the one that FastHTML's own option asks for"
    import fasthtml.core as fh
    asked = re.search(r'htmx.org@([\d.]+)', str(fh.htmxsrc))[1]
    page = Path(sys.modules['fastcam'].__file__).parent/'apps'/'page'
    assert f'version:"{asked}"' in (page/'htmx.min.js').read_text(encoding='utf-8') and 'Zero-Clause BSD' in (page/'htmx.LICENSE').read_text(encoding='utf-8')
    assert len((page/'explore.js').read_text(encoding='utf-8').splitlines())<600

# ---- The command
def command(*args, cwd):
    script = cwd/'fastcam-explore.py'
    script.write_text('from fastcam.apps.explore import explore_main\nexplore_main()\n')
    return subprocess.Popen([sys.executable, '-W', 'ignore', script, *map(str, args)], cwd=cwd, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL))    # a background job's children would ignore it

def test_command(files, tmp_path):
    "Serves the pictures of a folder until Ctrl-C; the line of code names files"
    (tmp_path/'pics').mkdir()
    for f in files[:4]: (tmp_path/'pics'/f.name).write_bytes(f.read_bytes())
    dls = ImageDataLoaders.from_path_func(tmp_path, get_image_files(tmp_path/'pics'), RegexLabeller(r'_(.*)\.png$'), valid_pct=.5, seed=0, bs=2, num_workers=0)
    net = nn.Sequential(nn.Sequential(ConvLayer(3,8,stride=2)), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,dls.c)))
    Learner(dls, net, loss_func=CrossEntropyLossFlat()).export(tmp_path/'model.pkl')
    p = command('model.pkl', 'pics', '--port', 0, '--layer', -1, cwd=tmp_path)
    try:
        url = p.stdout.readline().strip()
        assert re.fullmatch(r'http://127\.0\.0\.1:\d+/', url), p.stderr.read()
        res = httpx.post(url+'ask', json={'item':2}, timeout=60).json()
        assert res['code']==f"learn.show_cam({sorted(f.name for f in files[:4])[2]!r}, layer=-1)"
    finally: p.send_signal(2)
    out,err = p.communicate(timeout=60)
    assert p.returncode==0 and 'Traceback' not in err

@pytest.mark.parametrize('args,said', [((),'Give a model'), (('m.pkl','--demo'),'Give a model'), (('m.pkl',),'no such file')])
def test_command_refuses(args, said, tmp_path):
    p = command(*args, cwd=tmp_path)
    out,err = p.communicate(timeout=120)
    assert p.returncode==1 and said in err and 'Traceback' not in err

def test_command_warns(tmp_path):
    "The help says what a pickle is, and what letting others in means"
    out,err = command('--help', cwd=tmp_path).communicate(timeout=120)
    assert 'pickle' in out and 'token' in out and not err

def test_versus_of_numbered_classes(ex):
    "A rival that is a number is a class, not how many there are"
    ex.vocab = [4,1,6]
    assert ex.asked({'class':0, 'versus':1})['target'].rivals==[1]
