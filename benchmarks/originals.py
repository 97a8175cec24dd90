"""What `original=True` costs for photos of a phone, 12 and 48 megapixels as JPEG: show and savefig, with it less without it, beside opening the file.

    python benchmarks/originals.py

Seconds of CPU in one thread, the median of rounds in which the three take turns; memory is the highest of a process that does one of them, over a process that shows a small photo.
The goal: at most a quarter of opening the file and 50 ms, and 150 MB, above the same call without it."""
import json, resource, subprocess, sys, tempfile, time
import numpy as np
from pathlib import Path
from PIL import Image

sizes = {'12 MP':(4000,3000), '48 MP':(8000,6000)}

def photo(size, seed=0):
    "Detail at all scales, as in a photo: noise of many sizes, each half as strong as the one twice as large"
    rng,res = np.random.default_rng(seed),None
    for n in (4,16,64,256,1024):
        layer = Image.fromarray(rng.integers(0, 256, (n*3//4,n,3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
        res = layer if res is None else Image.blend(res, layer, .3)
    return res

def learner(folder):
    import warnings
    warnings.simplefilter('ignore')
    import matplotlib
    matplotlib.use('Agg')
    import torch
    from fastai.vision import all as fv
    from fastcam import all as _
    torch.set_num_threads(1)
    files = sorted(Path(folder).glob('small*.jpg'))
    dls = fv.ImageDataLoaders.from_path_func(folder, files, lambda f: f.stem[-1], bs=2, valid_pct=.5, seed=0, num_workers=0, item_tfms=fv.Resize(224),
                                             batch_tfms=fv.Normalize.from_stats(*fv.imagenet_stats))
    learn = fv.vision_learner(dls, fv.resnet18, pretrained=False)
    learn.remove_cb(fv.ProgressCallback)
    return learn

def show(learn, f, original, folder):
    from matplotlib import pyplot as plt
    learn.show_cam(f, original=original)
    plt.savefig(Path(folder)/'out.png')
    plt.close('all')

def cpu(f):
    t = time.process_time()
    f()
    return time.process_time()-t

def child(folder, name, what):
    "One process: the peak of its memory in MB, and for 'time' what each of the ways costs"
    learn,f,small = learner(folder),Path(folder)/f'{name}.jpg',Path(folder)/'small_a.jpg'
    for o in (False,True): show(learn, small, o, folder)
    res = {}
    if what=='time':
        from fastai.vision.core import PILImage
        ways = dict(open=lambda: PILImage.create(f), without=lambda: show(learn, f, False, folder), original=lambda: show(learn, f, True, folder))
        rounds = [{k: cpu(g) for k,g in ways.items()} for _ in range(5)]
        res = {k: float(np.median([r[k] for r in rounds])) for k in ways}
    elif what!='small': show(learn, f, what=='original', folder)
    print(json.dumps(dict(res, peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024)))

def run(*args): return json.loads(subprocess.run([sys.executable, '-W', 'ignore', __file__, *args], capture_output=True, text=True, check=True).stdout.splitlines()[-1])

def main():
    with tempfile.TemporaryDirectory() as folder:
        for k in 'abab': photo((400,300), ord(k)).save(Path(folder)/f'small_{k}.jpg', quality=90)
        print(f"{'':8}{'open':>8}{'without':>9}{'with':>8}{'more':>8}{'allowed':>9}{'memory: without':>17}{'with':>8}{'more':>8}")
        for name,size in sizes.items():
            photo(size).save(Path(folder)/f'{name}.jpg', quality=90)
            t,mem = run(folder, name, 'time'),{k: run(folder, name, k)['peak'] for k in ('small','without','original')}
            print(f"{name:8}{t['open']:8.3f}{t['without']:9.3f}{t['original']:8.3f}{t['original']-t['without']:8.3f}{.25*t['open']+.05:9.3f}"
                  f"{mem['without']-mem['small']:14.0f} MB{mem['original']-mem['small']:5.0f} MB{mem['original']-mem['without']:5.0f} MB")

if __name__=='__main__': child(*sys.argv[1:]) if len(sys.argv)>1 else main()
