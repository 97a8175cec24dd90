"The commands as processes, with a learner that was exported"
import subprocess, sysconfig
import pytest
from utils import *
from fastcore.script import anno_parser
from fastcam.apps import cli
pa = pytest.importorskip('pyarrow')

def run(name, *args, cwd, ok=True, **env):
    "What a command prints to stdout and stderr; its exit status is as expected and there is no traceback"
    res = subprocess.run([Path(sysconfig.get_path('scripts'))/f'fastcam-{name}', *map(str, args)], cwd=cwd, env=os.environ|env, text=True, stdin=subprocess.DEVNULL, capture_output=True)
    assert res.returncode==(0 if ok else 1) and 'Traceback' not in res.stderr, res.stdout+res.stderr
    return res.stdout,res.stderr

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "A folder with model.pkl, pics of drawn pictures, one broken, and files that are no model"
    d = tmp_path_factory.mktemp('cli')
    (d/'pics').mkdir()
    for f in drawn_files()[0][:8]: (d/'pics'/f.name).write_bytes(f.read_bytes())
    (d/'pics/broken.png').write_bytes(b'nothing')
    (d/'wrong').mkdir()
    (d/'wrong/labels.py').write_text('def label(f): return f.stem.split("_")[1]\n')
    sys.path.insert(0, str(d/'wrong'))
    from labels import label
    for name,get_y in (('model',RegexLabeller(r'_(.*)\.png$')),('named',label)):
        dls = ImageDataLoaders.from_path_func(d, get_image_files(d/'pics').filter(lambda o: o.stem!='broken'), get_y, valid_pct=.5, seed=0, bs=4, num_workers=0, batch_tfms=Normalize.from_stats(*imagenet_stats))
        body = nn.Sequential(ConvLayer(3,8,stride=2), ConvLayer(8,8,stride=2))
        Learner(dls, nn.Sequential(body, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8,3))), loss_func=CrossEntropyLossFlat()).export(f'{name}.pkl')
    sys.path.remove(str(d/'wrong'))
    torch.save(small_net().state_dict(), d/'wrong/weights.pkl')
    (d/'wrong/cut.pkl').write_bytes((d/'model.pkl').read_bytes()[:5000])
    return d

@pytest.fixture(scope='module')
def learn(folder):
    res = load_learner(folder/'model.pkl')
    res.remove_cb(ProgressCallback)
    return res

def test_show(folder, learn, tmp_path):
    "The class and its probability for each picture; a broken one is named, the others are done; nothing else is said"
    fs = get_image_files(folder/'pics').sorted()
    out,err = run('show', folder/'model.pkl', *fs, '--out', 'cams', '--method', 'fullgrad', '--layer', '-2', '--size', '48', cwd=tmp_path, ok=False)
    assert re.fullmatch(r'.*broken.png: cannot identify image file.*\n1 of 9 photos could not be read\n', err)
    good = [f for f in fs if f.stem!='broken']
    cams = learn.cam(good)
    assert out.splitlines()==[f'{f.name}: {l[0]} {p[0]:.2f} -> {Path("cams")/f.stem}.png' for f,l,p in zip(good, cams.labels, cams.probs)]
    assert sorted(o.stem for o in (tmp_path/'cams').iterdir())==[f.stem for f in good]
    assert all(np.array(Image.open(o).convert('RGB')).std()>20 for o in (tmp_path/'cams').iterdir())

def test_export_and_resume(folder, learn, tmp_path):
    "Quiet in a pipe; the numbers are those of `export_cams`; the same command again goes on; another is refused"
    args = folder/'model.pkl', folder/'pics', '--out', 'cams', '--target', 'level,upright', '--options', 'eigen=True', '--size', '40,48', '--shard', '4', '--labels', '--dtype', 'float32'
    out,err = run('export', *args, cwd=tmp_path)
    assert out==f"8 of 9 pictures explained in cams, 1 left out, see {Path('cams/errors')}\n" and not err
    (tmp_path/'cams/errors/00001.parquet').unlink()
    assert run('export', *args, cwd=tmp_path)==(out, err)
    cams = load_cams(tmp_path/'cams')
    want = learn.cam(list(cams.files), target=['level','upright'], eigen=True, size=(40,48))
    assert torch.allclose(cams.maps, want.maps, atol=1e-5*want.maps.abs().max()) and cams.labels==want.labels and cams.actuals==L(cams.files).map(kind_of)
    with pytest.raises(CliError, match='begun with something else:\n- (.*\n)*- method: none, now "hirescam"'):
        cli.export_main(folder/'model.pkl', folder/'pics', out=tmp_path/'cams', method='hirescam')

def test_help(monkeypatch):
    "What `--help` says: a line for each option, none too long; and that a model runs code"
    monkeypatch.setenv('COLUMNS', '100')
    for f,opts in ((cli.show_main, 'model images --out --target --top --layer --method --fuse --smooth --size --options'),
                   (cli.export_main, 'model folder --out --target --top --layer --method --fuse --smooth --size --options --max-n --labels --bs --num-workers --shard --dtype --no-views --overlays')):
        out = anno_parser(f.__wrapped__, prog='fastcam').format_help()
        assert 'pickle' in out and 'trust' in out and 'None' not in out
        for o in opts.split(): assert re.search(rf'^  {o}\b', out, re.M), o
        assert max(map(len, out.splitlines()))<=100

# The other failures are of the functions: a process takes seconds to start

@pytest.mark.parametrize('args,msg', [
    (['no.pkl'], 'no.pkl: there is no such file'), (['pics'], 'pics: this is a folder'), (['pics/broken.png'], 'is no exported learner, or was cut off'), (['wrong/cut.pkl'], 'wrong/cut.pkl'),
    (['wrong/weights.pkl'], 'holds no learner, but perhaps weights, as `learn.save\\(\\)` writes them'), (['named.pkl'], "needs the module 'labels', which cannot be found.*label function.*PYTHONPATH"),
    (['model.pkl', '--target', 'levle'], "Close matches: 'level'"), (['model.pkl', '--method', 'gradcamm'], "'gradcam'"), (['model.pkl', '--layer', '9.9'], "9.9"), (['model.pkl', '--options', 'eigen'], 'are pairs.*eigen'),
    (['model.pkl', '--options', 'eigne=1'], "eigne"), (['model.pkl', '--target', 'level', '--top', '2'], 'not both'), (['model.pkl', '--fuse', 'men'], "'mean'"), (['model.pkl', '--size', 'big'], "'big'")])
def test_failures(folder, args, msg, monkeypatch):
    "Said in words by either command, before anything is written"
    import sys
    sys.modules.pop('labels', None)
    monkeypatch.chdir(folder)
    kw = {k[2:]: v for k,v in zip(args[1::2], args[2::2])}
    if 'top' in kw: kw['top'] = int(kw['top'])
    pic = first((folder/'pics').glob('*level.png'))
    for f in (lambda: cli.show_main(args[0], pic, out='out', **kw), lambda: cli.export_main(args[0], 'pics', out='out', **kw)):
        with pytest.raises(CliError, match=re.compile(msg, re.S)): f()
    assert not list(folder.glob('out/**/*.p*'))                                          # no picture, no Parquet file

def test_folder(folder, monkeypatch, capsys):
    "A folder means its pictures; what is wrong with the choices is said before any of them is opened"
    monkeypatch.chdir(folder)
    with pytest.raises(CliError, match='1 of 9 photos'): cli.show_main('model.pkl', 'pics', out='shown')
    assert len(list((folder/'shown').iterdir()))==8
    capsys.readouterr()
    with pytest.raises(CliError, match="'gradcam'"): cli.show_main('model.pkl', 'pics/broken.png', 'pics', out='no', method='gradcamm')
    assert capsys.readouterr().err=='' and not (folder/'no').exists()

def test_another_fastai(folder, monkeypatch):
    "What a class that fastai does not have any more gives"
    def gone(*args, **kw): raise AttributeError("Custom classes ...:\n\tCan't get attribute 'OldTransform' on <module 'fastai.vision.core'>")
    monkeypatch.setattr(cli, 'load_learner', gone)
    with pytest.raises(CliError, match="'OldTransform'.*another version of fastai or torch: This is fastai"): cli.show_main(folder/'model.pkl', 'a.png')

def test_nothing_to_do(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder/'empty').mkdir(exist_ok=True)
    with pytest.raises(CliError, match='Give pictures'): cli.show_main('model.pkl')
    with pytest.raises(CliError, match='--out'): cli.export_main('model.pkl', 'pics')
    with pytest.raises(CliError, match='no such folder'): cli.export_main('model.pkl', 'nowhere', out='x')
    with pytest.raises(CliError, match='no picture in the folder'): cli.export_main('model.pkl', 'empty', out='x')

def test_target_of_a_class_that_is_a_number():
    "'6' on the command line is the class 6, not the index"
    files = drawn_files()[0]
    dls = ImageDataLoaders.from_lists('.', files, [5+i%3 for i in range(len(files))], bs=4, num_workers=0)
    learn = Learner(dls, small_net(), loss_func=CrossEntropyLossFlat())
    for given,idxs in (('6',[1]), ('5,7',[0,2])): assert as_target(cli._choices(learn, target=given)['target'], dls.vocab).all.tolist()==idxs
