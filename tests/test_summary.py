"Where maps lie over a set: shares and distances against plain loops, outliers, and that nothing of the learner changes"
from fastcore.test import expect_fail
import pytest, warnings
from utils import *

rng = torch.Generator().manual_seed(0)
_,masks = drawn_files(240)

def fixed(maps):
    "A method that gives these maps, in order, whatever the model says"
    def known(o):
        known.n += len(o.a)
        return maps[known.n-len(o.a):known.n]
    known.n = 0
    return known

@pytest.mark.parametrize('shape', [(7,7), (6,9), (1,1), (5,), (3,4,5)])
@pytest.mark.parametrize('border', [.1,.25,.4])
def test_border(shape, border):
    "As on a map that is repeated until the border's edge runs between cells"
    m = torch.rand(4, *shape, generator=rng)
    m[2],m[3] = m[2]-.2,-1.
    m_big = m.relu()
    for d in range(1, m.ndim): m_big = m_big.repeat_interleave(20, d)
    inner = torch.ones(m_big.shape[1:], dtype=torch.bool)
    for d,n in enumerate(m_big.shape[1:]):
        at = ((torch.arange(n)+.5)/n).reshape([-1 if e==d else 1 for e in range(inner.ndim)])
        inner &= (at>border) & (at<1-border)
    want = (m_big*~inner).flatten(1).sum(1)/m_big.flatten(1).sum(1)
    got = border_share(m, border)
    assert got[3].isnan() and np.allclose(got, want, atol=1e-4, equal_nan=True)

def test_means_and_distances():
    "Of maps known beforehand: the mean of their shares, the distance from that of the others"
    learn = small_learner(n=24)
    maps = torch.rand(12, 5, 6, generator=rng)
    maps[4] = -1.                                                                                      # says nothing: in no mean
    s = learn.cam_summary(method=fixed(maps), target=Actual())
    p = (maps/maps.sum((1,2), keepdim=True)).numpy()
    kind = [kind_of(f) for f in learn.dls.valid.items]
    assert s.items['class'].tolist()==kind and s.items.file.tolist()==list(learn.dls.valid.items)
    for c,m in s.means.items():
        rows = [i for i in range(12) if kind[i]==c and i!=4]
        assert np.allclose(m, p[rows].mean(0), atol=1e-6) and s.df.n[c]==len(rows)
        for i in rows if len(rows)>2 else []:
            others = p[[j for j in rows if j!=i]].mean(0)
            assert s.items.distance[i]==pytest.approx(np.abs(p[i]-others).sum()/2, abs=1e-6)
    assert s.items.distance.notna().sum()==sum(n for n in s.df.n if n>2)>3 and s.items.distance.isna()[4] and s.items.border.isna().sum()==1
    assert np.allclose(s.df.border, s.items.groupby('class').border.mean()[s.df.index]) and 'outside' not in s.df

def test_outlier():
    "The one that lies elsewhere comes first; it is shown"
    learn = small_learner(n=24)
    maps = torch.zeros(12, 6, 6)
    maps[:,:3,:3] = 1+torch.rand(12,3,3, generator=rng)
    maps[7] = maps[7].flip(0,1)
    s = learn.cam_summary(method=fixed(maps), target=0)
    out = s.outliers(2)
    assert out.files[0]==learn.dls.valid.items[7] and len(out)==2 and s.items.distance[7]>.999
    assert len(out.show())==2 and [o.get_title() for o in s.show()]==[f'checked\n12 maps, {s.df.border.item():.0%} at the border']
    assert learn.cam_summary(method=fixed(maps), target=0, max_n=2).items.distance.isna().all()       # of two, either may be the odd one
    with expect_fail(ValueError, "no class 'chequed'"): s.outliers(cls='chequed')
    plt.close('all')

def test_outside():
    "What lies outside of masks, in any form, beside their area"
    learn = trained_learner()
    truth = [masks[f] for f in learn.dls.valid.items]
    s = learn.cam_summary(truth=masks.get, max_n=20)
    assert s.items.equals(learn.cam_summary(truth=truth, max_n=20).items) and len(s.cams)==20
    for i,(f,m) in enumerate(zip(s.cams.files, s.cams.maps[:,0])):
        m = m.resize(48).relu().numpy()
        assert s.items.outside[i]==pytest.approx(m[~masks[f]].sum()/m.sum(), abs=1e-5) and s.items.area[i]==pytest.approx((~masks[f]).mean())
    assert (s.df.outside<s.df['outside area']-.2).all()
    assert learn.cam_summary(truth=lambda f: None, max_n=3).items.outside.isna().all()

def test_several_targets():
    learn = small_learner(n=24)
    s = learn.cam_summary(target=['checked','upright'], dl=[(drawn_batch(3),)])
    assert s.df.n.to_dict()=={'checked':s.items[s.items['class']=='checked'].border.count(), 'upright':s.items[s.items['class']=='upright'].border.count()}
    assert len(s.items)==6 and s.items.file.isna().all()

def test_wrong():
    learn = small_learner(n=24)
    with expect_fail(ValueError, 'below .5'): learn.cam_summary(border=.5)
    with expect_fail(ValueError, 'one layer at a time'): learn.cam_summary(layer=[-1,-2], fuse=None)
    with expect_fail(ValueError, 'one layer at a time'): learn.cam_localize(layer=[-1,-2], fuse=None, truth=masks.get)
    with expect_fail(ValueError, '2 truths for 12 items'): learn.cam_summary(truth=[1,2])

def test_no_trace():
    learn = small_learner(n=24)
    unsettle(learn.model)
    was = snapshot(learn)
    learn.cam_summary(max_n=5)
    assert changed(was, snapshot(learn))==[]
    def bad(f): raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): learn.cam_summary(truth=bad)
    assert changed(was, snapshot(learn))==[]

def test_no_places():
    "Where no layer keeps places the maps are those of `learn.cam`"
    learn = small_learner(flat_net())
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        got = learn.cam_summary(max_n=6)
    want = learn.cam_summary(max_n=6, method='occlusion')
    assert got.items.border.notna().any() and got.items.equals(want.items)
    with pytest.raises(ValueError, match="'occlusion', 'ig'"): learn.cam_summary(method='gradcam')
