"Maps of many items in a folder: what is written, faults, several processes, other tools"
import errno, json, signal, socket, sys, time
import pytest
from utils import *
pa = pytest.importorskip('pyarrow')
from fastcam.apps import export

files = drawn_files()[0]

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

def test_overlays_none(learn, tmp_path):
    "None is no"
    fs = drawn_files()[0][:3]
    for o in (None,False): learn.export_cams(tmp_path/'out', fs, overlays=o)                        # the same settings: the run goes on
    assert len(load_cams(tmp_path/'out'))==3 and not (tmp_path/'out/overlays').exists()

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
    for c,g,p,m in zip(df.cam, df.grid, df.peak, cams.maps.flatten(0,1)):
        assert np.array_equal(np.array(c, np.float32).reshape(list(g))*np.float32(p), m.numpy())

# ---- drawn on the files

def crop_learner(method, size=32):
    "A learner that sees a part of pictures of several sizes"
    return small_learner(item_tfms=Resize(size, method=method, pad_mode=PadMode.Zeros))

@pytest.mark.parametrize('method', ['crop','pad','squish'])
def test_without_a_learner(tmp_path, method):
    "The same picture, the same map, the same places on the original"
    fs = []
    for i,(w,h) in enumerate([(60,40), (41,70), (500,420), (60,40)]):
        fs.append(tmp_path/f'{i}.png')
        draw('level', random.Random(i), 48)[0].resize((w,h)).save(fs[-1])
    learn = crop_learner(method)
    learn.export_cams(tmp_path/'out', fs, dtype='float32')
    a,b,c = load_cams(tmp_path/'out'),load_cams(tmp_path/'out', learn),learn.cam(fs)
    for v,w in zip(a.views, c.views): assert v.size==w.size and v.orig==w.orig and torch.equal(v.M, w.M) and np.allclose(v.box, w.box)
    for p,q,f in zip(a.pictures(), b.pictures(), fs):
        p,q = np.array(p)/255,q.permute(1,2,0).numpy()
        q = q/255 if q.max()>1 else q
        same = np.abs(p-q)[2:-2,2:-2].mean()                    # bilinear here, Resize has its own ways at edges; the content must be at the same place
        moved = np.abs(np.roll(p, 3, 1)-q)[2:-2,2:-2].mean()
        assert same<.06 and same<moved/2, (f.name, same, moved)
    for kw in (dict(), dict(original=True)):
        axs = a.show(**kw)
        assert len(axs)==4 and all(len(x.get_images())>=2 for x in axs)
        plt.close('all')
    assert [o.shape for o in a.originals()]==[(40,60),(70,41),(420,500),(40,60)]

def test_views_off(learn, tmp_path):
    learn.export_cams(tmp_path, views=False, max_n=3)
    with pytest.raises(ValueError, match='was not written down: give the learner'): load_cams(tmp_path).show()
    assert len(load_cams(tmp_path, learn).show(original=True))==3
    plt.close('all')

def test_as_a_list(out, learn):
    "Slices, lists, masks; nothing is read that is not asked for"
    a,b = load_cams(out, learn),learn.cam(target=TopK(2))
    assert len(a[2:5])==3 and a[-1].labels==b[-1].labels and a[[7,2,2]].labels==b[[7,2,2]].labels
    mask = [o=='level' for o in a.actuals]
    assert a[mask].files==[f for f,m in zip(a.files, mask) if m] and torch.equal(a[mask].maps, a.maps[mask])
    assert torch.equal(a[[7,2]].inputs, b[[7,2]].inputs)
    assert len(a[[]])==0 and 'maps' not in repr(a) and '_maps' not in vars(load_cams(out)[:3])
    with pytest.raises(IndexError): a[12]
    with pytest.raises(ValueError, match='give the learner'): load_cams(out).inputs

# ---- faults

@pytest.fixture(scope='module')
def many(tmp_path_factory):
    "2,000 small pictures of noise"
    d,rng = tmp_path_factory.mktemp('many'),np.random.default_rng(0)
    for i in range(2000): Image.fromarray(rng.integers(0, 255, (16,16,3), dtype=np.uint8)).save(d/f'{i:04}.bmp')
    return d

def tiny_learner():
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3,4,3,stride=2), nn.ReLU()), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,3)))
    torch.manual_seed(0)
    for p in net.parameters(): p.data.normal_()
    return small_learner(net, bs=16)

def forked(f):
    "Process id of a child that runs `f`"
    pid = os.fork()
    if pid: return pid
    try:
        f()
        os._exit(0)
    except BaseException: os._exit(1)

def kill(pid):
    "kill -9; was it still running?"
    done = os.waitpid(pid, os.WNOHANG)!=(0,0)
    if not done:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return not done

def test_killed(many, tmp_path):
    "Ten times at a random moment; whatever is there is whole, and in the end all is as if nothing had happened"
    learn,rng = tiny_learner(),random.Random(0)
    start = time.time()
    learn.export_cams(tmp_path/'a', many, shard=64)
    each = (time.time()-start)/len(shards(tmp_path/'a'))
    killed = []
    for i in range(10):
        n = len(shards(tmp_path/'b'))+rng.randint(0, 2)
        pid = forked(lambda: learn.export_cams(tmp_path/'b', many, shard=64))
        while len(shards(tmp_path/'b'))<n: time.sleep(.001)
        time.sleep(rng.uniform(0, each))
        assert kill(pid), 'it was done already'
        killed.append(len(shards(tmp_path/'b')))
        for f in shards(tmp_path/'b')+shards(tmp_path/'b', 'errors'): pa.parquet.read_table(f)
    assert len(set(killed))>3 and killed[-1]<32, killed                        # it went on, and was not done
    learn.export_cams(tmp_path/'b', many, shard=64)
    assert same(tmp_path/'a', tmp_path/'b') and len(rows(tmp_path/'b'))==2000
    assert not list((tmp_path/'b').glob('.run-*'))

def test_done_is_not_done_again(learn, tmp_path, monkeypatch):
    learn.export_cams(tmp_path, shard=5)
    (tmp_path/'errors/00001.parquet').unlink()
    was = [f.stat().st_mtime_ns for f in shards(tmp_path)]
    learn.export_cams(tmp_path, shard=5)
    assert [a==b for a,b in zip(was, [f.stat().st_mtime_ns for f in shards(tmp_path)])]==[True,False,True]
    monkeypatch.setattr(learn, 'get_preds', lambda **kw: pytest.fail('there is nothing to do'))
    learn.export_cams(tmp_path, shard=5)

def test_interrupted(learn, tmp_path, monkeypatch):
    "An exception in the middle, such as Ctrl-C, leaves what is done and no lock"
    write,n = export._Export.write,[0]
    def stop(self, *args):
        n[0] += 1
        if n[0]==3: raise KeyboardInterrupt
        write(self, *args)
    monkeypatch.setattr(export._Export, 'write', stop)
    was = snapshot(learn)
    with pytest.raises(KeyboardInterrupt): learn.export_cams(tmp_path, shard=5)
    assert not changed(was, snapshot(learn))
    assert len(shards(tmp_path))==2 and not list(tmp_path.glob('.run-*'))

@pytest.mark.parametrize('who,kw', [('target', dict(target='level')), ('target', dict(target=lambda p: p[:,0])), ('layer', dict(layer=-2)), ('method', dict(method='hirescam')), ('options', dict(eigen=True)),
    ('smooth', dict(smooth='tta')), ('shard', dict(shard=10)), ('dtype', dict(dtype='float32')), ('items', dict(max_n=3)), ('items', dict(ds_idx=0)), ('overlays', dict(overlays=True))])
def test_other_settings(learn, out, who, kw):
    "Refused, and said what differs, before anything is changed"
    was = {f: f.stat().st_mtime_ns for f in out.rglob('*')}
    with pytest.raises(ValueError, match=f'begun with something else:\n- {who}: .*, now ') as e:
        learn.export_cams(out, **{**dict(shard=5, target=TopK(2)), **kw})
    assert str(e.value).count('\n- ')==1
    assert was=={f: f.stat().st_mtime_ns for f in out.rglob('*')}

def test_wrong_name_first(learn, tmp_path):
    "A run that failed at once binds to nothing"
    with pytest.raises(ValueError, match="has no layer 'body'"): learn.export_cams(tmp_path, layer='body', overlays=True)
    learn.export_cams(tmp_path)
    assert len(load_cams(tmp_path))==12
    with pytest.raises(ValueError, match='begun with something else'): learn.export_cams(tmp_path, layer=-2)

def test_other_learner(learn, out):
    "Another model, batch size, transforms or classes"
    def fails(o, who):
        with pytest.raises(ValueError, match='begun with something else') as e: o.export_cams(out, shard=5, target=TopK(2))
        assert re.findall(r'^- (\w+)', str(e.value), re.M)==who
        return str(e.value)
    other = small_learner()
    list(other.model.parameters())[-1].data[0] += 1e-6
    assert '- model: other weights' in fails(other, ['model'])
    fails(small_learner(bs=4), ['batch','shard'])
    assert 'transforms: other mean in Normalize; other std in Normalize\nGive' in fails(small_learner(tfms=Normalize.from_stats([.5]*3, [.5]*3)), ['transforms'])
    assert 'transforms: Resize is new\n' in fails(small_learner(item_tfms=Resize(32)), ['transforms'])
    small_learner().export_cams(out, shard=5, target=TopK(2))

def test_other_words(tmp_path):
    "A transform's argument, and another version, with what to do"
    small_learner(item_tfms=Resize(32)).export_cams(tmp_path, max_n=3)
    with pytest.raises(ValueError, match=r'transforms: Resize size \[32, 32\], now \[40, 40\]\nGive'):
        small_learner(item_tfms=Resize(40)).export_cams(tmp_path, max_n=3)
    with pytest.raises(ValueError, match=r'transforms: without Resize now\nGive'): small_learner().export_cams(tmp_path, max_n=3)
    f = tmp_path/'manifest.json'
    f.write_text(json.dumps(json.loads(f.read_text()) | dict(torch='1.0', fastai='2.7')))
    with pytest.raises(ValueError, match=r'- fastai: 2\.7, now 2.*\n- torch: 1\.0, now .*To go on, install .*fastai==2\.7 torch==1\.0, else'):
        small_learner(item_tfms=Resize(32)).export_cams(tmp_path, max_n=3)

def test_texts(tmp_path):
    "Refused in words, and the folder stays free"
    from fastai.text.all import TextDataLoaders, BaseTokenizer, text_classifier_learner, AWD_LSTM
    df = pd.DataFrame(dict(text=['a good film', 'bad', 'a dull and long one', 'good']*4, label=['y','n']*8))
    dls = TextDataLoaders.from_df(df, valid_pct=.5, seed=0, tok_tfm=BaseTokenizer(), num_workers=0, bs=4, seq_len=8, device='cpu')
    learn = text_classifier_learner(dls, AWD_LSTM, pretrained=False, config=dict(emb_sz=8, n_hid=8, n_layers=1, pad_token=1, bidir=False, output_p=0, hidden_p=0, input_p=0, embed_p=0, weight_p=.1), seq_len=8)
    learn.remove_cb(ProgressCallback)
    for kw in (dict(), dict(items=df)):
        with pytest.raises(TypeError, match=r'Maps of texts are not saved.*words'): learn.export_cams(tmp_path, **kw)
    pd.concat(learn.cam(df).words(), keys=df.index).to_parquet(tmp_path/'words.parquet')                    # what the error says

def test_two_at_once(learn, tmp_path):
    "The second is refused while the first runs; when that was killed, it takes over"
    def hold():
        tmp_path.mkdir(exist_ok=True)
        with export._claimed(tmp_path, 'single'): time.sleep(60)
    pid = forked(hold)
    while not list(tmp_path.glob('.run-*')): time.sleep(.01)
    with pytest.raises(BlockingIOError, match=f'Process {pid} on .* exports into'): learn.export_cams(tmp_path)
    os.kill(pid, signal.SIGKILL)
    while export._born(pid): time.sleep(.01)                                       # dead, though nobody has asked after it
    learn.export_cams(tmp_path)
    os.waitpid(pid, 0)
    assert len(load_cams(tmp_path))==12 and not list(tmp_path.glob('.run-*'))

def test_disk_full(learn, tmp_path, monkeypatch):
    "A clear error, and the run goes on when there is room"
    sync,n = export._sync,[0]
    def full(f):
        n[0] += 1
        if n[0]==9: raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(f)
    with monkeypatch.context() as m:
        m.setattr(export, '_sync', full)
        with pytest.raises(OSError, match='The disk is full: 1 shards are written. Make room, and run the same again') as e:
            learn.export_cams(tmp_path/'a', shard=5)
        assert e.value.errno==errno.ENOSPC
    learn.export_cams(tmp_path/'a', shard=5)
    learn.export_cams(tmp_path/'b', shard=5)
    assert same(tmp_path/'a', tmp_path/'b')

# ---- several processes

def test_two_processes(learn, tmp_path):
    "Two gloo processes, with fastai's own wrapper on the learner, write what one writes; each its share"
    accelerate = pytest.importorskip('accelerate')
    import fastai.distributed
    fs = drawn_files()[0]
    learn.export_cams(tmp_path/'one', fs, shard=5)
    def rank():
        learn.to_distributed()
        was,cbs = snapshot(learn),list(learn.cbs)
        learn.export_cams(tmp_path/'two', fs, shard=5)
        r = torch.distributed.get_rank()
        (tmp_path/f'rank{r}').write_text(json.dumps([torch.distributed.get_backend(), list(learn.cbs)==cbs, changed(was, snapshot(learn)), num_distrib(), os.getpid()]))
    accelerate.debug_launcher(rank, num_processes=2)
    assert same(tmp_path/'one', tmp_path/'two')
    told = [json.loads((tmp_path/f'rank{r}').read_text()) for r in range(2)]
    assert [o[:4] for o in told]==[['gloo', True, [], 2]]*2 and told[0][4]!=told[1][4]

def as_rank(monkeypatch, rank, world, f):
    with monkeypatch.context() as m:
        m.setenv('RANK', str(rank))
        m.setenv('WORLD_SIZE', str(world))
        f()
        assert (rank_distrib(),num_distrib())==(rank,world)

def test_lost_rank(learn, tmp_path, monkeypatch):
    "Rank r does shards r, r+world, ...; what a lost one left is done by any number of others"
    fs = drawn_files()[0]
    go = lambda: learn.export_cams(tmp_path/'b', fs, shard=5)
    learn.export_cams(tmp_path/'a', fs, shard=5)
    as_rank(monkeypatch, 1, 2, go)
    assert [o.stem for o in shards(tmp_path/'b')]==['00001','00003']
    assert load_cams(tmp_path/'b').items==[*range(5,10), *range(15,20)]                # what is done can be looked at
    for r in range(3): as_rank(monkeypatch, r, 3, go)
    assert same(tmp_path/'a', tmp_path/'b')

def test_ranks_share_a_folder(tmp_path, monkeypatch):
    "Ranks of one launch; neither those of another launch nor a process alone"
    def claim(launch):
        with export._claimed(tmp_path, launch): pass
    monkeypatch.setenv('WORLD_SIZE', '2')
    monkeypatch.setenv('MASTER_ADDR', 'node0')
    mine = export._launch()
    (tmp_path/f'.run-node1-7-1-{mine}').mkdir()
    claim(export._launch())
    monkeypatch.setenv('MASTER_PORT', '1234')
    for other in (export._launch(), 'single'):
        with pytest.raises(BlockingIOError, match='Process 7 on node1 exports into .*if it does not run any more, delete'): claim(other)
    monkeypatch.setenv('MASTER_ADDR', '127.0.0.1')
    here = export._launch()
    monkeypatch.setattr(socket, 'gethostname', lambda: 'elsewhere')
    assert export._launch()!=here

# ---- what cannot be read

def hostile(d):
    "50 files, and the names of those that cannot be read"
    import struct, zlib
    rng,bad = np.random.default_rng(0),[]
    im = Image.fromarray(rng.integers(0, 255, (40,30,3), dtype=np.uint8))
    def put(name, data=None, is_bad=False, im=im, **kw):
        f = d/name
        f.write_bytes(data) if data is not None else im.save(f, **kw)
        if is_bad: bad.append(name)
    def chunk(kind, data): return struct.pack('>I', len(data))+kind+data+struct.pack('>I', zlib.crc32(kind+data))
    def png(w, h): return b'\x89PNG\r\n\x1a\n'+chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 8, 2, 0, 0, 0))+chunk(b'IDAT', zlib.compress(b'\0'*100))+chunk(b'IEND', b'')
    full = {}
    for ext in ('png','jpg','bmp','gif','tiff','webp'):
        put(f'good.{ext}')
        full[ext] = (d/f'good.{ext}').read_bytes()
        put(f'empty.{ext}', b'', True)
        put(f'cut.{ext}', full[ext][:len(full[ext])//2], True)
        put(f'text.{ext}', b'<html>404 Not Found</html>', True)
    for ext,kind in (('jpg','png'),('png','jpg'),('bmp','webp'),('webp','gif')): put(f'wrong_suffix.{ext}', full[kind])
    put('huge.png', png(60000, 60000), True)
    put('wide.png', png(100000, 1), True)
    put('flat.png', png(0, 10), True)
    put('header.jpg', full['jpg'][:20], True)
    put('zeros.jpg', bytes(1000), True)
    put('animated.gif', save_all=True, append_images=[im.rotate(90), im.rotate(180)])
    put('animated.webp', save_all=True, append_images=[im.rotate(180)])
    put('cmyk.jpg', im=im.convert('CMYK'))
    put('gray.png', im=im.convert('L'))
    put('alpha.png', im=im.convert('RGBA'))
    put('palette.png', im=im.convert('P'))
    put('bits1.png', im=im.convert('1'))
    put('bits16.png', im=Image.fromarray(rng.integers(0, 65535, (40,30), dtype=np.uint16)))
    put('float.tiff', im=Image.fromarray(rng.random((40,30), dtype=np.float32)))
    exif = Image.Exif()
    exif[0x0112] = 6
    put('rotated.jpg', exif=exif)
    put('one_pixel.png', im=im.resize((1,1)))
    put('with space.png')
    put('quote\'s "two".png')
    put('Gänse 雁 🦆.png')
    put('new\nline.png')
    put('%20#?.png')
    (d/'folder.png').mkdir()
    (d/'gone.png').symlink_to(d/'nowhere.png')
    bad += ['gone.png']
    if os.geteuid():
        put('locked.png', is_bad=True)
        (d/'locked.png').chmod(0)
    return bad

@pytest.mark.parametrize('num_workers', [0,2])
def test_hostile(tmp_path, num_workers):
    "Each is exported, or listed with its reason; what can be read is as if the others were not there"
    (tmp_path/'pics').mkdir()
    learn,bad = small_learner(item_tfms=Resize(32)),hostile(tmp_path/'pics')
    fs = get_image_files(tmp_path/'pics').sorted()
    assert len(fs)>=49
    out = tmp_path/'out'
    learn.export_cams(out, dl=learn.dls.test_dl(fs, num_workers=num_workers), shard=10, dtype='float32', overlays=num_workers==0)
    cams = load_cams(out)
    err = cams.errors
    assert sorted(err.file)==sorted(str(tmp_path/'pics'/o) for o in bad)
    assert sorted([*cams.items, *err['item']])==range_of(fs) and [fs[i] for i in cams.items]==cams.files
    assert err.reason.str.match(r'\w+: .').all() and 'DecompressionBombError' in ' '.join(err.reason)
    want = learn.cam(list(cams.files))
    assert cams.labels==want.labels and torch.allclose(cams.maps, want.maps, atol=1e-5*want.maps.abs().max())        # in other batches, so not bit for bit
    # of a single pixel there is no telling how it lies
    cams[[f.name!='one_pixel.png' for f in cams.files]].show(max_n=40)
    plt.close('all')
    if num_workers: return
    listed = [o for f in (out/'overlays').glob('*/items.js') for o in json.loads(f.read_text()[5:-1])]
    assert len(listed)==len(cams) and {o[2] for o in listed}=={f.name for f in cams.files}
    assert {o[0] for o in listed}=={f.relative_to(out/'overlays').as_posix() for f in (out/'overlays').rglob('*.jpg')}
    assert json.loads((out/'manifest.json').read_text())['items'][0]==len(fs)

def test_all_broken(learn, tmp_path):
    "A clear error, also when it is said again; nothing is left, so that the right call can use the folder"
    (tmp_path/'in').mkdir()
    for i in range(7): (tmp_path/f'in/{i}.png').write_bytes(b'')
    (tmp_path/'empty').mkdir()
    for out in ('out','out','deep/down/out','empty'):
        with pytest.raises(ValueError, match=r'None of the 7 items could be explained; the first is .*0\.png: Unidentified.*; then .*1\.png.* and 3 more'):
            learn.export_cams(tmp_path/out, tmp_path/'in', shard=5)
        assert sorted(o.name for o in tmp_path.iterdir())==['empty','in'] and not any((tmp_path/'empty').iterdir())
    learn.export_cams(tmp_path/'out', files[:2])
    assert len(load_cams(tmp_path/'out'))==2

@pytest.mark.parametrize('kw,error,said', [
    (dict(items='fotos'), FileNotFoundError, "no file or folder 'fotos'"), (dict(items=[Path('a.png'),'b.png','c.png']), FileNotFoundError, "'a.png', and none of 2 others"),
    (dict(items=files[:3], method='gradcamm'), ValueError, "'gradcam'"), (dict(items=files[:3], layer='0.99'), ValueError, "no layer '0.99'"), (dict(items=files[:3], target='levle'), ValueError, "'level'"),
    (dict(items=files[:3], eigne=1), TypeError, 'eigne'), (dict(items=files[:3], methods=['gradcam']), TypeError, '`method='), (dict(items=files[:3], layers=[-1]), TypeError, '`layer='),
    (dict(items=files[:3], target=9), IndexError, '9'), (dict(items=files[:3], fuse='maen'), ValueError, "'mean'")])
def test_refused_before_anything_is_written(learn, tmp_path, kw, error, said):
    "The folder is as it was, made or not, and then takes the right call; also where the first file is broken"
    (tmp_path/'broken.png').write_bytes(b'')
    (tmp_path/'there').mkdir()
    its = [tmp_path/'broken.png', *kw['items']] if kw['items']==files[:3] else kw['items']
    for out in ('maps','there'):
        with pytest.raises(error, match=re.escape(said)): learn.export_cams(tmp_path/out, **{**kw, 'items':its})
        assert sorted(o.name for o in tmp_path.iterdir())==['broken.png','there'] and not any((tmp_path/'there').iterdir())
    learn.export_cams(tmp_path/'maps', files[:2])
    assert len(load_cams(tmp_path/'maps'))==2

def test_path_comes_first(learn):
    with pytest.raises(TypeError, match="`path` is a list, and comes first"): learn.export_cams(files[:2])

def nothing_here(cams):
    assert len(cams)==len(cams.maps)==len(cams.where(prob=(0,1)))==0 and list(cams)==[]
    df = cams.to_df()
    assert len(df)==0 and 'probability' in df
    with pytest.raises(ValueError, match='no item here'): cams.show()
    with pytest.raises(IndexError, match='Item 0 of 0'): cams[0]

def test_begun(learn, tmp_path):
    "A folder in which nothing is done yet"
    learn.export_cams(tmp_path)
    for f in tmp_path.glob('*/*.parquet'): f.unlink()
    cams = load_cams(tmp_path)
    nothing_here(cams)
    assert list(cams.errors)==['item','file','reason'] and not len(cams.errors)
    was = learn.cam()
    nothing_here(was[[]])
    assert list(was[[]].to_df())==list(was.to_df())

def test_left_out(learn, tmp_path):
    "Said once, with the number, the first and where to look; also when there is nothing left to do"
    fs = drawn_files()[0][:9]+[tmp_path/'gone.png', tmp_path/'lost.png']
    for _ in range(2):
        with pytest.warns(UserWarning, match=r'2 of 11 items are left out of .*out; the first is .*gone\.png: FileNotFoundError: .*load_cams\(.*\)\.errors') as said:
            learn.export_cams(tmp_path/'out', dl=learn.dls.test_dl(fs), shard=5)
        assert len(said)==1 and said[0].filename==__file__

# ---- a prediction that is no number

class Poisoned(nn.Module):
    "Predicts NaN for pictures whose first pixel is white"
    def __init__(self, net): super().__init__(); self.net = net
    def forward(self, x): return self.net(x)*torch.where(x[:,0,0,0]>2, math.nan, 1.)[:,None]

def poisoned(d, at, n=24):
    "Drawn pictures in `d`, those `at` with a white first pixel"
    for i,f in enumerate(drawn_files()[0][:n]):
        im = Image.open(f)
        if i in at: im.putpixel((0,0), (255,)*3)
        im.save(d/f.name)
    return get_image_files(d).sorted()

@pytest.mark.parametrize('kw', [dict(), dict(target=TopK(2), layer=[-1,-2]), dict(method='eigencam'), dict(smooth='tta'), dict(method='ablationcam')])
def test_nan_prediction(tmp_path, kw):
    "It is left out with its reason, alone or with a whole batch or shard; all others are, bit for bit, as in batches without it"
    (tmp_path/'pics').mkdir()
    at,learn = [0,7,8,*range(10,20)],small_learner(Poisoned(small_net()))
    fs = poisoned(tmp_path/'pics', at)
    with pytest.raises(ValueError, match='NaN for item 0: '): learn.cam(fs)
    fs[6].write_bytes(b'')                                                                    # the next stands in for it, which is NaN
    with pytest.warns(UserWarning, match=r'14 of 24 items are left out'):
        learn.export_cams(tmp_path/'out', fs, shard=10, dtype='float32', overlays=not kw, **kw)
    cams = load_cams(tmp_path/'out')
    assert list(cams.errors['item'])==sorted([6, *at]) and list(cams.errors.reason.str.match('The prediction is NaN: '))==[i!=6 for i in sorted([6, *at])]
    assert cams.items==[i for i in range(24) if i not in at and i!=6] and cams.files==fs[cams.items]
    plain = [drawn_files()[0][2 if i<5 else 5 if i<10 else 20] if i in at or i==6 else f for i,f in enumerate(fs)]     # what stands in, or as good
    want = learn.cam(plain, **kw)[cams.items]
    assert torch.equal(cams.maps, want.maps) and cams.labels==want.labels and cams.health==want.health
    (tmp_path/'out/errors/00001.parquet').unlink()
    was = rows(tmp_path/'out')
    with pytest.warns(UserWarning, match='left out'): learn.export_cams(tmp_path/'out', fs, shard=10, dtype='float32', overlays=not kw, **kw)
    assert rows(tmp_path/'out').equals(was) and list(load_cams(tmp_path/'out').errors['item'])==sorted([6, *at])
    if not kw: assert len(list((tmp_path/'out/overlays').rglob('*.jpg')))==len(cams)

def test_nan_one_by_one(tmp_path):
    "In batches of one"
    (tmp_path/'pics').mkdir()
    learn = small_learner(Poisoned(small_net()), bs=1)
    fs = poisoned(tmp_path/'pics', [0,3], n=5)
    was = snapshot(learn)
    with pytest.warns(UserWarning, match='2 of 5'): learn.export_cams(tmp_path/'out', fs, shard=2)
    assert not changed(was, snapshot(learn)) and load_cams(tmp_path/'out').items==[1,2,4]

def test_nan_everywhere(learn, tmp_path):
    "Of the model: at once, and the folder is free; of each item: after all were tried"
    (tmp_path/'pics').mkdir()
    broken = small_learner()
    list(broken.model.parameters())[0].data[0] = math.nan
    with pytest.raises(ValueError, match="The model's own weights hold NaN, '0.0.0.weight'"): broken.export_cams(tmp_path/'out')
    learn.export_cams(tmp_path/'out')
    fs = poisoned(tmp_path/'pics', range(7), n=7)
    with pytest.raises(ValueError, match='None of the 7 items could be explained; .*0000_checked.png: The prediction is NaN'):
        small_learner(Poisoned(small_net())).export_cams(tmp_path/'nan', fs, shard=5)

def test_some_items_with_targets(learn, tmp_path):
    "Classes item by item are those of the first `max_n`, as in `learn.cam`"
    files = drawn_files()[0][:6]
    cams = load_cams(learn.export_cams(tmp_path, files, max_n=3, target=tensor([2,0,1])))
    assert torch.allclose(cams.maps, learn.cam(files, max_n=3, target=tensor([2,0,1])).maps, atol=1e-3) and cams.targets.flatten().tolist()==[2,0,1]

class SomeActual(Actual):
    "The true class; of every third item there is none"
    def idxs(self, pred, rows, yb): return torch.where(tensor(rows)[:,None]%3==0, -2, super().idxs(pred, rows, yb))

def test_nothing_to_explain(learn, tmp_path):
    "An item that nothing is asked about is noted as left out, and has no place, box or share in what is said of the others"
    dl,n = learn.dls.valid,len(learn.dls.valid_ds)
    with pytest.warns(UserWarning, match='left out'): cams = load_cams(learn.export_cams(tmp_path, dl=dl, target=SomeActual()))
    assert list(cams.errors.item)==list(range(0, n, 3)) and cams.errors.reason.str.contains('nothing to explain').all() and len(cams)==n-len(range(0, n, 3))
    held = learn.cam(dl=dl, target=SomeActual()).localize(lambda o: drawn_files()[1][o])
    assert list(held.item)==[i for i in range(n) if i%3]
    check = learn.sanity_check(dl=dl, target=SomeActual(), methods='gradcam', draws=1, max_n=None, show_n=3)
    assert sorted(check.values.item.unique())==[i for i in range(n) if i%3] and len(check.cams)==3
    check.show()
    plt.close('all')

def test_without_files(learn, tmp_path):
    "Items that were not read from files: their numbers are there, and what is missing is said"
    dl = DataLoader([(o,i%3) for i,o in enumerate(drawn_batch(5))], bs=2)
    other = Learner(DataLoaders(dl, dl), small_net(), loss_func=CrossEntropyLossFlat())
    other.remove_cbs(other.cbs.filter(lambda o: o.name=='progress'))
    cams = load_cams(other.export_cams(tmp_path))
    assert torch.allclose(cams.maps, other.cam().maps, atol=1e-3*cams.maps.abs().max().item())
    for c in (cams, load_cams(tmp_path, other)):
        for f in (c.show, c.to_df, c[0].show):
            with pytest.raises(ValueError, match='not read from files'): f()

def test_numbers_of_outputs(tmp_path):
    "An output by its number is saved as it is explained: both signs answer"
    learn = small_learner()
    learn.loss_func = MSELossFlat()
    files = drawn_files()[0][:3]
    cams = load_cams(learn.export_cams(tmp_path, files, target=2))
    assert cams.signed and cams.labels==learn.cam(files, target=2).labels==[['output 2']]*3 and cams.manifest['target'][0]=='Outputs'
