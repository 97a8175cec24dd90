"On pictures whose answer is known, the maps point at it; and fastcam's names are its own"
import pytest
from utils import *

def hits(learn, cams, masks):
    "For each item, whether the map's maximum lies inside the picture's shape"
    size = first(masks.values()).shape
    tops = [m[0].resize(size).argmax().item() for m in cams.maps]
    return np.array([masks[f].flat[i] for f,i in zip(learn.dls.valid.items, tops)])

@pytest.mark.parametrize('method', 'gradcam cam hirescam headcam'.split())
def test_finds_the_shape(method):
    "The shape covers a tenth of the picture, and the maximum lies in it for at least 90 % of the validation pictures"
    learn,(_,masks) = trained_learner(),drawn_files(240)
    cams = learn.cam(method=method, target=Actual())
    assert len(cams)==len(learn.dls.valid_ds)==60
    assert np.mean([m.mean() for m in masks.values()])<.13
    assert hits(learn, cams, masks).mean()>=.9

def test_box_finds_the_shape():
    "So does the box around what is hot: its center lies in the shape"
    learn,(_,masks) = trained_learner(),drawn_files(240)
    boxes = learn.cam(target=Actual()).maps[:,0].bbox(.5, size=48)
    mid = ((boxes[:,:2]+boxes[:,2:])/2).long()
    assert np.mean([masks[f][y,x] for f,(x,y) in zip(learn.dls.valid.items, mid.tolist())])>=.9

def test_names_shadow_nothing(run, tmp_path):
    "Importing fastcam after fastai changes no name that was there, nor a builtin"
    code = '''
import builtins
import fastai.vision.all as fv, fastcam.all as fc
from fastai.vision.all import *
was = dict(globals())
from fastcam.all import *
now = dict(globals())
del now['was']
print('REPLACED', sorted(k for k in was if was[k] is not now[k]))
public = {k for k in now if k not in was}
print('BUILTIN', sorted(k for k in public if k in dir(builtins)))
print('NEW', *sorted(public))'''
    res = run('python', '-W', 'ignore', '-c', code, cwd=tmp_path).splitlines()
    lines = {o.split()[0]:o.split(maxsplit=1)[1] for o in res if o.split()[0] in ('REPLACED','BUILTIN','NEW')}
    assert lines['REPLACED']=="['Head']" and lines['BUILTIN']=='[]'                    # an HTML tag of fastcore's, which comes along with fastai
    assert {'cam_maps','TensorCAM','CAMs','CAMCallback','TopK','Actual'} <= set(lines['NEW'].split())

def test_names_are_own():
    "Each name of a module's `__all__` is made in that module, and none is a name of `fastai.vision.all` or a builtin"
    import builtins, importlib, fastai.vision.all as fv, fastcam, fastcam.all
    for f in Path(fastcam.__path__[0]).glob('*.py'):
        mod = importlib.import_module(f'fastcam.{f.stem}')
        for o in {*getattr(mod, '__all__', [])}-{'Head'}: assert not hasattr(fv, o) and not hasattr(builtins, o) and not hasattr(Learner, o), f'{o} in {f.name}'
