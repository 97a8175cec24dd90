"The yardsticks of benchmarks/evidence.py against plain loops and planted answers"
import sys
import pytest
from scipy import ndimage
from conftest import root
from utils import *
pytest.importorskip('cv2')
sys.path.insert(0, str(root/'benchmarks'))
import evidence as ev
sys.path.pop(0)

def boxes_map(boxes, hot=1., rest=0.):
    m = torch.full((ev.side,ev.side), rest)
    for x0,y0,x1,y1 in boxes: m[y0:y1+1,x0:x1+1] = hot
    return m

def plain_overlap(a, b):
    w,h = (min(a[i+2], b[i+2])-max(a[i], b[i])+1 for i in (0,1))
    both = max(0, w)*max(0, h)
    area = lambda o: (o[2]-o[0]+1)*(o[3]-o[1]+1)
    return both/(area(a)+area(b)-both)

def plain_regions(m, cut):
    "By connected pieces, corners included, rather than by contours"
    m = (m*255).astype(np.uint8)
    lbl,_ = ndimage.label(m>int(cut*m.max()), np.ones((3,3)))
    res = [(x.start, y.start, min(x.stop, ev.side-1), min(y.stop, ev.side-1)) for y,x in ndimage.find_objects(lbl)]
    return sorted(res) or [(0,0,0,0)]

def drawn_map(seed):
    g = torch.Generator().manual_seed(seed)
    return TensorCAM(torch.rand(1,7,7, generator=g)).resize(ev.side)[0].as_subclass(Tensor)

def test_overlap():
    rng = np.random.default_rng(0)
    a,b = (np.sort(rng.integers(0, 99, (5,2,2)), 1).reshape(5,4)[:,[0,1,2,3]] for _ in range(2))
    want = [[plain_overlap(p, q) for q in b] for p in a]
    assert np.allclose(ev.overlap(a, b), want)

@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('cut', [0., .3, .77, .99])
def test_regions(seed, cut):
    m = ev.score_map(drawn_map(seed))
    assert sorted(map(tuple, ev.regions(m, cut).tolist()))==plain_regions(m, cut)

def test_a_region_in_a_hole_counts_and_the_hole_does_not():
    m = boxes_map([(20,20,200,200)])
    m[60:161,60:161] = 0
    m[100:121,100:121] = 1
    assert sorted(map(tuple, ev.regions(m.numpy(), .5).tolist()))==[(20,20,201,201), (100,100,121,121)]

def shares(boxes): return np.array([[(x0+.5)/ev.side, (y0+.5)/ev.side, (x1+.5)/ev.side, (y1+.5)/ev.side] for x0,y0,x1,y1 in boxes])

def test_perfect_inverted_and_plain_loop():
    "A map that is the box finds it at every IoU; one that is hot all around it finds only boxes as large as the picture; in between, what a plain loop over photos, thresholds and boxes says"
    all_boxes = [[(30,40,120,150)], [(5,5,60,60),(150,150,200,210)], [(10,10,210,215)]]
    def ious(maps): return np.stack([ev.best_ious(m, shares(b)) for m,b in zip(maps, all_boxes)])
    assert ev.max_box_acc(ious([boxes_map(b) for b in all_boxes]))[0]==1
    acc,each = ev.max_box_acc(ious([boxes_map(b, 0., 1.) for b in all_boxes]))
    assert acc<=1/3 and each[:2].max()==0
    maps = [drawn_map(i) for i in range(3)]
    got,n = ious(maps),[]
    for d in (.3,.5,.7):
        hits = []
        for c in ev.cuts:
            found = [max(plain_overlap(r, b) for r in plain_regions(ev.score_map(m), c) for b in bs) for m,bs in zip(maps, all_boxes)]
            hits.append(np.mean([f>=d for f in found]))
        n.append(max(hits))
    assert np.isclose(ev.max_box_acc(got)[0], np.mean(n))

def test_centre():
    "The centre baseline finds a box in the middle, whose IoU at each level is known, and none in a corner"
    mid,corner = [(32,32,191,191)],[(0,0,20,20)]
    ious = np.stack([ev.best_ious(ev.centre_map(), shares(b)) for b in (mid,corner)])
    assert ious[0].max()>.97 and ious[1].max()<.05
    assert ev.max_box_acc(ious)[0]==.5

def test_placed():
    boxes = shares([(30,40,120,150)])
    hit,inside = ev.placed(boxes_map([(30,40,120,150)]), boxes)
    assert hit==1 and inside>.999
    assert ev.placed(boxes_map([(180,180,200,200)]), boxes)==(0.,0.)
    m = boxes_map([(124,60,140,80)])                                  # within 15 pixels of 500, which are 6.7 of 224
    assert ev.placed(m, boxes)[0]==1 and ev.placed(m, boxes)[1]==0
    assert ev.placed(boxes_map([(129,60,140,80)]), boxes)[0]==0

def test_own_share():
    m = torch.zeros(8,8)
    m[:4,4:] = 1
    assert [ev.own_share(m, c) for c in range(4)]==[0,1,0,0]
    assert np.allclose([ev.own_share(torch.ones(9,9), c, 3) for c in range(9)], 1/9) and np.isnan(ev.own_share(-m, 1))
    assert np.isclose(ev.own_share(torch.ones(7,7), 2), .25)

def test_collages():
    df = pd.DataFrame(dict(label=[0,0,1,2,3,4]))
    for at in ev.collages(df, 20, 2): assert len(set(df.label.iloc[at]))==4

def test_rows():
    "Gains and their errors over known numbers"
    one = lambda p: dict(ious=np.repeat(np.array(p, float)[:,None], len(ev.cuts), 1), pointing=np.array(p, float), energy=np.array(p, float))
    r = ev.row(one([1,1,0,1]), one([1,0,0,1]), one([0,0,0,1]), slice(None))
    assert (r['box'],r['box_over_default'],r['box_over_centre'],r['pointing'])==(75,25,50,75)
    assert np.isclose(r['box_over_default_se'], np.std([0,100,0,0], ddof=1)/2)

def test_maps_of_one_pass():
    "The methods share a pass, and give what they give alone"
    model,x,y = small_net().eval(),torch.randn(3,3,32,32),tensor([0,2,1])
    got = ev.maps_of(model, x, y, ev.one_pass)
    for m in ev.one_pass: assert torch.allclose(got[m], cam_maps(model, x, y[:,None], method=m)[:,0].as_subclass(Tensor), atol=1e-5), m

def test_scales_are_the_smoothers(tmp_path):
    "Fusing kept maps is `smooth='scales'` of the photos interpolated"
    model,x = small_net().eval(),torch.randn(3,3,32,32)
    class Here(ev.Bench):
        def __init__(self): self.work,self.df,self.bs = tmp_path,range(3),3
        def raw(self, size, methods, flip=False):
            big = F.interpolate(x, (size,size), mode='bilinear')
            m = cam_maps(model, big.flip(-1) if flip else big, tensor([[1]]*3), method=methods[0])[:,0].as_subclass(Tensor)
            return {methods[0]: m.flip(-1) if flip else m}
    got = Here().scales((32,48))
    assert torch.allclose(got, cam_maps(model, x, 1, method='gradcam', smooth='scales', scales=(1,1.5))[:,0].as_subclass(Tensor), atol=1e-6)

def plain_guided(m, light, r, eps):
    "The guided filter, pixel by pixel, window by window"
    h,w = m.shape
    def win(t, i, j): return t[max(0,i-r):i+r+1,max(0,j-r):j+r+1]
    a,b = torch.zeros(h,w),torch.zeros(h,w)
    for i in range(h):
        for j in range(w):
            l,p = win(light, i, j),win(m, i, j)
            a[i,j] = ((l*p).mean()-l.mean()*p.mean())/((l*l).mean()-l.mean()**2+eps)
            b[i,j] = p.mean()-a[i,j]*l.mean()
    return tensor([[win(a, i, j).mean()*light[i,j]+win(b, i, j).mean() for j in range(w)] for i in range(h)])

def test_along_edges():
    x,m = torch.rand(2,3,16,20),torch.randn(2,4,5)
    got = ev.along_edges(m, x, 1/8, 1e-2)
    for i in range(2):
        light = x[i].mean(0)
        light = (light-light.min())/(light.max()-light.min())
        want = plain_guided(TensorCAM(m).resize((16,20))[i].as_subclass(Tensor), light, 2, 1e-2)
        assert torch.allclose(got[i], want, atol=1e-4)

def test_replaced(tmp_path):
    f = tmp_path/'t.csv'
    for v in (1,2): ev.replaced(f, pd.DataFrame([dict(a='x', size=224, v=v)]), ['a','size'])
    ev.replaced(f, pd.DataFrame([dict(a='y', size=224, v=3)]), ['a','size'])
    assert pd.read_csv(f).v.tolist()==[2,3]

# ---- other packages
def test_other_packages_maps():
    "What is measured of them is their map, of fastcam's layer: fastcam's, rectified and scaled, where the method is the same"
    pytest.importorskip('torchcam')
    pytest.importorskip('pytorch_grad_cam')
    model,x,y = small_net().eval(),torch.randn(3,3,32,32,generator=torch.Generator().manual_seed(0)),tensor([0,2,1])
    ours = TensorCAM(ev.maps_of(model, x, y, ['gradcam'])['gradcam']).normalize()
    assert (ours.flatten(1).amin(1)==0).all()                                     # else they would subtract the least
    assert torch.allclose(ev.by_torchcam(model, x, y, ['gradcam'])['gradcam'], ours.as_subclass(Tensor), atol=1e-5)
    got,large = ev.by_grad_cam(model, x, y, ['gradcam'])['gradcam'],ours.resize(32).as_subclass(Tensor)
    assert torch.allclose(got, large/large.amax((1,2), keepdim=True), atol=1e-5)    # scaled once more when it is large

def test_drop_is_torchcams_metric(tmp_path, monkeypatch):
    methods = pytest.importorskip('torchcam.methods')
    from torchcam.metrics import ClassificationMetric
    model,x = small_net().eval(),torch.randn(6,3,32,32,generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(ev, 'batch', lambda files, size, stats: x[list(files)])
    b = SimpleNamespace(name='small', work=tmp_path, model=model, stats=None, bs=2, df=pd.DataFrame(dict(file=range(6))))
    got = ev.drop_increase(b, ['layercam'], 32, package='torchcam', maps=ev.by_torchcam).set_index('yardstick')['mean']
    with methods.LayerCAM(model, ev.last_layer(model, x)) as e:                    # as its example does, of the probability
        metric = ClassificationMetric(e, partial(torch.softmax, dim=-1))
        metric.update(x)
    want = metric.summary()
    assert want['avg_drop']>0
    assert np.allclose([got['average drop'],got['average increase']], [want['avg_drop'],want['conf_increase']], atol=1e-5)
