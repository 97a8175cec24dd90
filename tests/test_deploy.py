"A model is explained in the form it is deployed in: the maps are those of the plain form"
import pytest
from torch.nn.parallel import DistributedDataParallel
from utils import *

files = drawn_files()[0][:7]

@cache
def plain():
    "A learner with its maps, of two layers and two classes"
    learn = small_learner()
    return learn,learn.cam(files, **asked).maps
asked = dict(target=[0,'upright'], layer=[-1,-2], fuse='max')

def same(maps, want, tol=1e-6): assert (maps-want).abs().max()<=tol*want.abs().max()

@pytest.fixture
def learn(): return small_learner()

def explain(learn, **kw):
    "Its maps, and nothing has changed"
    was,outside = snapshot(learn),type(learn.model)
    res = learn.cam(files, **{**asked, **kw}).maps
    assert not settled(was, snapshot(learn)) and type(learn.model) is outside
    return res

def test_loaded(learn, tmp_path):
    "Exported and loaded again, on the CPU, without its data; without items it says what is missing"
    learn.export(tmp_path/'m.pkl')
    loaded = load_learner(tmp_path/'m.pkl', cpu=True)
    loaded.remove_cbs(loaded.cbs.filter(lambda o: o.name=='progress'))
    same(explain(loaded), plain()[1])
    assert loaded.cam_layers(files[0]).equals(learn.cam_layers())
    for f in (loaded.show_cam, loaded.cam_layers):
        with pytest.raises(ValueError, match='Give items'): f()

@pytest.mark.parametrize('dtype,tol', [(torch.bfloat16, .1), (torch.float16, .02)])
def test_half_precision(learn, dtype, tol):
    "Autocast: activations and gradients have the dtype's precision (8 and 11 bits), and the stages before add up; the maps are float32"
    with torch.autocast('cpu', dtype): res = explain(learn, method='hirescam', layer=None)
    want = plain()[0].cam(files, **{**asked, 'method':'hirescam', 'layer':None}).maps
    assert res.dtype==torch.float32 and not torch.equal(res, want)
    same(res, want, tol)

@pytest.mark.parametrize('to', ['to_fp16', 'to_bf16'])
def test_mixed_precision_callback(learn, to):
    "fastai's mixed precision is for CUDA; here it must be carried along and left in place"
    getattr(learn, to)()
    same(explain(learn), plain()[1], .1)
    assert any(o.name=='mixed_precision' for o in learn.cbs)

def test_half_weights(learn):
    "A model whose weights are bfloat16, on input of that type"
    x = drawn_batch().bfloat16()
    res,want = cam_maps(learn.model.bfloat16(), x),cam_maps(plain()[0].model, drawn_batch())
    assert res.dtype==torch.float32
    same(res, want, .2)

def test_channels_last(learn):
    learn.model.to(memory_format=torch.channels_last)
    same(explain(learn), plain()[1])
    assert learn.model[0][0][0].weight.is_contiguous(memory_format=torch.channels_last)

def test_channels_last_callback(learn):
    "fastai's own way there, a callback that sees to the model and each batch"
    learn.to_channelslast(use_amp=False)
    same(explain(learn), plain()[1])
    assert any(o.name=='channels_last' for o in learn.cbs)

@pytest.mark.parametrize('form', [lambda l: l.to_fp16(), lambda l: l.to_bf16(), lambda l: l.to_channelslast(use_amp=False), lambda l: l.freeze()], ids=['fp16','bf16','channels_last','frozen'])
def test_form_loaded(learn, form, tmp_path):
    "Exported as it was trained, with its callbacks, and loaded on the CPU"
    form(learn)
    learn.export(tmp_path/'m.pkl')
    loaded = load_learner(tmp_path/'m.pkl', cpu=True)
    loaded.remove_cbs(loaded.cbs.filter(lambda o: o.name=='progress'))
    same(explain(loaded), plain()[1])

def test_frozen(learn):
    "No parameter requires a gradient; and all is in train mode, with dropout and batchnorm that would show"
    learn.model[1].insert(3, nn.Dropout(.9))
    for p in learn.model.parameters(): p.requires_grad_(False)
    learn.model.train()
    same(explain(learn), plain()[1])
    assert all(m.training for m in learn.model.modules())

@pytest.fixture
def alone(tmp_path):
    "A process group of one"
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/group', rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()

def compiled(m): return torch.compile(m, backend='eager')
def in_place(m):
    m.compile(backend='eager')
    return m
def inner(m):
    m[0] = torch.compile(m[0], backend='eager')
    return m
wraps = dict(data_parallel=nn.DataParallel, compiled=compiled, both=lambda m: nn.DataParallel(compiled(m)), in_place=in_place, inner=inner, distributed=DistributedDataParallel)

@pytest.mark.parametrize('wrap', wraps)
@pytest.mark.parametrize('ran', [True,False])
def test_wrapped(learn, wrap, ran, alone):
    "Wrapped models, also after the compiled form has run: a hook registered then would not fire in it"
    learn.model = wraps[wrap](learn.model)
    with torch.no_grad():
        if ran: learn.model.eval()(drawn_batch())
    same(explain(learn), plain()[1])
    with torch.no_grad(): same(learn.model.eval()(drawn_batch()), plain()[0].model.eval()(drawn_batch()))
    same(cam_maps(learn.model, drawn_batch(), [0,2], [-1,-2], fuse='max'), plain()[1][:5])
    if wrap!='inner': same(learn.cam(files, layer='0.1').maps, plain()[0].cam(files, layer='0.1').maps)       # names are those of the module inside

def test_parallel_trainer(learn):
    "fastai wraps the model itself, in `before_fit`"
    pytest.importorskip('accelerate')                            # without it, `import fastai.distributed` fails with a NameError
    from fastai.distributed import ParallelTrainer
    learn.add_cb(ParallelTrainer(None))
    same(explain(learn), plain()[1])
    assert any(o.name=='parallel_trainer' for o in learn.cbs)

def test_callback_sees_through(learn):
    "The callback by itself, too, in `get_preds`"
    learn.model = nn.DataParallel(learn.model)
    cb = CAMCallback(**asked)
    learn.get_preds(dl=learn.dls.test_dl(files), cbs=cb)
    same(torch.stack(list(cb.maps)), plain()[1])

@pytest.mark.parametrize('method', ['scorecam', 'ablationcam', 'guidedbackprop', 'smoothgradcampp'])
def test_further_passes(learn, method):
    "What asks the model again asks the module inside"
    learn.model = compiled(learn.model)
    with torch.no_grad(): learn.model.eval()(drawn_batch())
    same(learn.cam(files[:2], method=method).maps, plain()[0].cam(files[:2], method=method).maps)
