"A real face detector, CenterFace: where its answer comes from, with nothing chosen but the peak of its heat map"
import pytest
from utils import *

def face_box(heat, size, off):
    "The box (x1, y1, x2, y2) that the detector finds at the peak of its heat map, as its authors decode it"
    y,x = divmod(heat[0,0].argmax().item(), heat.shape[-1])
    (h,w),(dy,dx) = (size[0,:,y,x].exp()*4).tolist(),off[0,:,y,x].tolist()
    cy,cx = (y+dy+.5)*4,(x+dx+.5)*4
    return TensorBBox(tensor([[cx-w/2, cy-h/2, cx+w/2, cy+h/2]]))

@pytest.mark.parametrize('who', face_photos)
def test_face(who):
    "All of the map lies in cells on the face, and at least .9 of it in the box where cells are drawn smoothly; Grad-CAM has less than half. The box of `camera` is smaller than two cells by three, and what is drawn of the two on it reaches past it"
    model,x = centerface(),face_picture(face_photos[who]())
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
