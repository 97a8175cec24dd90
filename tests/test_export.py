"Maps of many items in a folder: what is written, faults, several processes, other tools"
import json, multiprocessing, signal, subprocess, sys, time
import pytest
from utils import *
pa = pytest.importorskip('pyarrow')
from fastcam import export

def shards(path, kind='maps'): return sorted((path/kind).glob('*.parquet'))
def rows(path): return pa.concat_tables([pa.parquet.read_table(f) for f in shards(path)])
def same(a, b): return rows(a).equals(rows(b)) and [o.name for o in shards(a)]==[o.name for o in shards(b)]

@pytest.fixture(scope='module')
def learn(): return small_learner()

# ---- what is written

@pytest.mark.parametrize('kw', [dict(), dict(target=TopK(2), layer=-2, method='hirescam'), dict(target=Fn(lambda p: p[:,0]-p[:,1])), dict(target=['level','upright'], smooth='tta')])
def test_same_as_cam(learn, tmp_path, kw):
    "Every number is the one of `learn.cam`, the maps bit for bit"
    learn.export_cams(tmp_path, dtype='float32', shard=5, **kw)
    a,b = load_cams(tmp_path),learn.cam(**kw)
    assert len(a)==len(b)==12 and len(shards(tmp_path))==3
    assert torch.equal(a.maps, b.maps) and torch.equal(a.targets, b.targets)
    assert (a.labels, a.health, a.actuals)==(b.labels, b.health, b.actuals)
    assert a.probs==b.probs.map(lambda o: [None if p is None else np.float32(p) for p in o])
    assert a.files==learn.dls.valid.items and a.items==range_of(12)
    if b.preds is not None and not kw: assert a.predicted==L(learn.dls.vocab[i] for i in b.preds.argmax(1))

def test_float16(learn, tmp_path):
    "float16 loses at most half of its last bit of each map's largest value"
    learn.export_cams(tmp_path)
    a,b = load_cams(tmp_path).maps,learn.cam().maps
    assert (a-b).abs().amax((2,3)).le(b.abs().amax((2,3))*2**-11).all()
    assert rows(tmp_path).schema.field('cam').type==pa.list_(pa.float16())

def test_kinds_of_items(learn, tmp_path):
    "A folder, files, the training set, a DataLoader with true classes, the first few"
    fs = drawn_files()[0]
    learn.export_cams(tmp_path/'a', fs[0].parent)
    learn.export_cams(tmp_path/'b', [str(o) for o in fs])
    assert load_cams(tmp_path/'a').files==load_cams(tmp_path/'b').files==fs and same(tmp_path/'a', tmp_path/'b')
    learn.export_cams(tmp_path/'c', ds_idx=0)
    assert load_cams(tmp_path/'c').files==learn.dls.train.items
    learn.export_cams(tmp_path/'d', dl=learn.dls.test_dl(fs, with_labels=True), max_n=7)
    assert load_cams(tmp_path/'d').actuals==L(fs[:7]).map(kind_of)
    assert load_cams(tmp_path/'a').actuals is None

def test_into_the_folder_of_the_items(learn, tmp_path):
    for f in drawn_files()[0][:3]: (tmp_path/f.name).write_bytes(f.read_bytes())
    for _ in range(2): learn.export_cams(tmp_path/'out', tmp_path, overlays=True)
    assert len(load_cams(tmp_path/'out'))==3

def test_dataframe(tmp_path):
    "The file is in a column of the table"
    fs = drawn_files()[0]
    df = pd.DataFrame(dict(name=[o.name for o in fs], label=[kind_of(o) for o in fs]))
    dls = ImageDataLoaders.from_df(df, fs[0].parent, valid_pct=.5, seed=0, bs=5, num_workers=0)
    learn = small_learner()
    learn.dls = dls
    learn.export_cams(tmp_path)
    assert load_cams(tmp_path).files==[fs[0].parent/o for o in dls.valid.items.name]

def test_no_trace(learn, tmp_path):
    unsettle(learn.model)
    was = snapshot(learn)
    learn.export_cams(tmp_path/'a')
    assert not changed(was, snapshot(learn))
    with pytest.raises(ValueError): learn.export_cams(tmp_path/'b', layer='nothing')
    assert not changed(was, snapshot(learn))

def test_wrong(learn, tmp_path):
    (tmp_path/'file').touch()
    tdl = torch.utils.data.DataLoader([(torch.zeros(3,48,48),0)])
    for e,msg,kw in [(FileExistsError, 'is a file', dict(path=tmp_path/'file')), (FileExistsError, "something else, 'file'", dict(path=tmp_path)), (ValueError, 'fuse', dict(fuse=None)),
                     (ValueError, 'float64', dict(dtype='float64')), (ValueError, 'at least one', dict(shard=0)), (TypeError, 'by their index', dict(dl=tdl)), (ValueError, "'level'", dict(target='levle'))]:
        with pytest.raises(e, match=msg): learn.export_cams(**{**dict(path=tmp_path/'new'), **kw})
    assert tmp_path.ls().attrgot('name')==['file']
    with pytest.raises(FileNotFoundError, match='holds no maps'): load_cams(tmp_path)

def test_without_pyarrow(learn, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    with pytest.raises(ImportError, match=r"pip install 'fastcam\[export\]'"): learn.export_cams(tmp_path)

# ---- other tools

@pytest.fixture(scope='module')
def out(learn, tmp_path_factory): return learn.export_cams(tmp_path_factory.mktemp('export'), shard=5, target=TopK(2))

def as_pandas(d): return pd.read_parquet(d/'maps')
def as_polars(d): return pytest.importorskip('polars').read_parquet(d/'maps').to_pandas()
def as_duckdb(d): return pytest.importorskip('duckdb').sql(f"from '{d}/maps/*.parquet' order by item, \"column\"").df()
def as_datasets(d):
    ds = pytest.importorskip('datasets')
    ds.disable_progress_bars()
    return ds.load_dataset(str(d/'maps'), split='train', cache_dir=str(d.parent/'cache')).to_pandas()

@pytest.mark.parametrize('read', [as_pandas, as_polars, as_duckdb, as_datasets])
def test_other_tools(out, read):
    df,cams = read(out),load_cams(out)
    assert len(df)==24 and list(df.label)==list(cams.labels.concat()) and list(df.prob)==list(cams.probs.concat())
    for c,g,p,m in zip(df.cam, df.grid, df.peak, cams.maps.flatten(0,1)): assert np.array_equal(np.array(c, np.float32).reshape(list(g))*np.float32(p), m.numpy())
