"""What saving the maps of a set costs beside predicting it: `python benchmarks/export.py`

Both ways read the same drawn photos from disk by the same DataLoader, and take turns. The photos are of one size; then again of many, as the way back from the model's view to the file is found once for each. Peak memory is that of
a process of its own for each size of the set."""
import argparse, json, re, statistics, subprocess, sys, tempfile, time
from pathlib import Path

here = Path(__file__).parent
sys.path[:0] = [str(here), str(here.parent)]
from run import head

def args():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--n', type=int, default=5000, help='pictures for the time')
    p.add_argument('--sizes', type=int, default=300, help='sizes of pictures in the second case; 0 leaves it out')
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--memory', type=int, nargs='*', default=[1000,20000], help='sizes of the set for the memory')
    p.add_argument('--arch', default='resnet34', help="torchvision's name of the model")
    p.add_argument('--device', default='cpu')
    p.add_argument('--num-workers', type=int, default=0)
    p.add_argument('--bs', type=int, default=64)
    p.add_argument('--cpu-time', action='store_true', help='CPU time instead of wall clock, for a machine that others use as well')
    p.add_argument('--json', type=Path, help='also write the results here')
    p.add_argument('--peak', nargs=2, help=argparse.SUPPRESS)                # folder and size: what a process of its own is started with
    p.set_defaults(dtype='fp32')
    return p.parse_args()

def draw(d, n, size, sizes=1):
    "`n` pictures of smooth noise, as large as JPEGs of photos, of so many `sizes`"
    import numpy as np
    from PIL import Image
    d.mkdir()
    for i in range(n):
        a = np.random.default_rng(i).integers(0, 255, (size//8,size//8,3), dtype=np.uint8)
        Image.fromarray(a).resize((size+i%sizes//20,size+i%sizes%20), Image.BICUBIC).save(d/f'{i:05}.jpg', quality=90)

def learner(d, a, size):
    import torchvision
    from fastai.vision.all import DataBlock, ImageBlock, CategoryBlock, Learner, Normalize, ProgressCallback, Resize, CrossEntropyLossFlat, get_image_files, imagenet_stats, set_seed
    import fastcam.all
    fs = get_image_files(d).sorted()
    db = DataBlock((ImageBlock, CategoryBlock(vocab=[str(i) for i in range(10)])), get_y=lambda o: o.stem[-1], splitter=lambda o: (range(a.bs), range(len(o))), item_tfms=Resize(size), batch_tfms=Normalize.from_stats(*imagenet_stats))
    dls = db.dataloaders(fs, bs=a.bs, num_workers=a.num_workers, device=a.device)
    set_seed(0)
    learn = Learner(dls, getattr(torchvision.models, a.arch)(num_classes=10).to(a.device), loss_func=CrossEntropyLossFlat())
    learn.remove_cb(ProgressCallback)
    return learn

def timed(f, clock):
    start = clock()
    f()
    return clock()-start

def times(tmp, a, sizes=1):
    "Seconds of each round of both ways, with pictures of so many sizes, and what was written"
    tmp.mkdir()
    draw(tmp/'pics', a.n, 256, sizes)
    learn,res = learner(tmp/'pics', a, 224),dict(get_preds=[], export=[])
    learn.export_cams(tmp/'warm', max_n=2*a.bs)
    learn.get_preds(dl=learn.dls.valid.new(n=min(a.n, 2*a.bs)))
    for r in range(a.rounds):
        outs = tmp/f'out{r}'
        ways = [('get_preds', lambda: learn.get_preds()), ('export', lambda: learn.export_cams(outs))]
        for name,f in ways if r%2==0 else ways[::-1]:
            res[name].append(timed(f, time.process_time if a.cpu_time else time.perf_counter))
            print(f'{sizes:4} sizes  {name:10} {res[name][-1]:8.1f} s', file=sys.stderr)
    return res,tmp/'out0'

def peak(d, n, a):
    "Peak memory (MB) of a process that exports `n` pictures"
    cmd = [sys.executable, __file__, '--peak', d, str(n), '--device', a.device, '--bs', str(a.bs), '--num-workers', str(a.num_workers)]
    return int(subprocess.run(cmd, check=True, text=True, stdout=subprocess.PIPE).stdout)/1024

def ratios(secs): return [e/p for e,p in zip(secs['export'], secs['get_preds'])]

def main():
    a = args()
    if a.peak:
        d,n = Path(a.peak[0]),int(a.peak[1])
        a.arch = 'resnet18'
        learner(d, a, 64).export_cams(d.parent/f'peak{n}', max_n=n)
        return print(re.search(r'VmHWM:\s*(\d+)', Path('/proc/self/status').read_text())[1])         # `ru_maxrss` would be at least that of the parent
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        secs,out = times(tmp/'one', a)
        import pyarrow, pyarrow.parquet as pq
        fs = list((out/'maps').glob('*.parquet'))
        t = [pq.ParquetFile(f).metadata for f in fs]
        rows,size = sum(o.num_rows for o in t),sum(f.stat().st_size for f in fs)
        cam = sum(o.row_group(g).column(c).total_compressed_size for o in t for g in range(o.num_row_groups) for c in range(o.num_columns) if o.row_group(g).column(c).path_in_schema.startswith('cam'))
        res = dict(head(a), arch=a.arch, n=a.n, rounds=a.rounds, num_workers=a.num_workers, bs=a.bs, seconds=secs, ratio=statistics.median(ratios(secs)), bytes_per_row=size/rows, bytes_per_map=cam/rows)
        res['versions']['pyarrow'] = pyarrow.__version__
        res['command'] = ' '.join(['python','benchmarks/export.py',*sys.argv[1:]])
        if a.sizes:
            many = times(tmp/'many', a, a.sizes)[0]
            res.update(sizes=min(a.n, a.sizes), seconds_sizes=many, ratio_sizes=statistics.median(ratios(many)))
        if a.memory:
            draw(tmp/'small', max(a.memory), 64)
            res['peak_mb'] = {n: peak(tmp/'small', n, a) for n in a.memory}
    print(f"{a.arch}, {a.n} pictures, {a.num_workers} workers, {res['device']}, {res['cpu']}")
    said = lambda secs: ', '.join(f'{o:.3f}' for o in ratios(secs))
    print(f"export / get_preds, one size of pictures: {res['ratio']:.3f} (rounds {said(secs)})")
    if a.sizes: print(f"export / get_preds, {res['sizes']} sizes: {res['ratio_sizes']:.3f} (rounds {said(many)})")
    print(f"bytes: {res['bytes_per_row']:.0f} a row, {res['bytes_per_map']:.0f} of them the map")
    for n,mb in res.get('peak_mb', {}).items(): print(f'peak memory, {n} pictures: {mb:.0f} MB')
    if a.json: a.json.write_text(json.dumps(res, indent=1))

if __name__=='__main__': main()
