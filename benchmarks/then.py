"""What do metrics and many classes cost beside bare passes, and beside the code of then? `git worktree add ../was 92f77f8; python benchmarks/then.py ../was`

The code of then and that of now have a process of their own, one thread each, and take turns; what is compared is their processor time. What goes through the model is written down, and bare passes are inputs of the same sizes
once more, right after (`of_bare`); besides, the time spent outside of the model is told from that inside (`of_passes`), which says the same and does not care who else uses the machine's memory. Values have to be equal.
Photos are those of ../shared/data/images. Writes then.csv beside this script."""
import argparse, json, os, statistics, subprocess, sys, time
from pathlib import Path

here = Path(__file__).resolve().parent

# ---- in a process of its own
def photo_batch(n=1):
    import numpy as np, torch
    from PIL import Image
    files = sorted((here.parent.parent/'shared/data/images').resolve().glob('*.jpg'))
    if not files: raise SystemExit('../shared/data/images is not there')
    def one(f): return torch.from_numpy(np.array(Image.open(f).convert('RGB').resize((224,224)))).permute(2,0,1)/127.5-1
    return torch.stack([one(f) for f in files[3::len(files)//n][:n]])

def cases():
    "name -> (model, function that gives values, function that passes an input of a size once, as bare as it can be); None where that code lacks it"
    import torch
    from fastai.vision.all import create_vision_model, models
    from fastcam.all import cam_maps, demo_learner
    try: from fastcam.evidence import metric as room
    except ImportError: from fastcam import metric as room
    sys.path.insert(0, str(here))
    from cases import after, top
    net,x = demo_learner().model.cpu().eval(),photo_batch()
    torch.manual_seed(0)
    heavy = create_vision_model(models.resnet34, 1000, pretrained=False).eval()
    y = net(x).argmax(1)[:,None]
    maps = cam_maps(net, x, y)[:,0]
    def bare(m):
        def f(t):
            with torch.no_grad(): m(t)
        return f
    def metric(name, **kw): return net,lambda: getattr(room, name)(net, x, maps, target=y, **kw),bare(net)
    def classes(m): return m,lambda: cam_maps(m, x[:1], target=list(range(1000))),bare(m)
    def scales(x):
        try: cam_maps(net, x, 0, smooth='scales')
        except Exception: return None                                          # there was none then
        return net,lambda: cam_maps(net, x, 0, smooth='scales'),lambda t: after(net, 'bn2', t, top)
    return dict(deletion_auc=metric('deletion_auc', steps=32), insertion_auc=metric('insertion_auc', steps=32), infidelity=metric('infidelity', samples=32), road=metric('road'), **{'scales, 1 photo': scales(x), 'scales, 4 photos': scales(photo_batch(4))},
                **{'1,000 classes, resnet34': classes(heavy), '1,000 classes, lite0': classes(net)})

def worker():
    "Answers each name of a case with processor seconds of it and of its bare passes, and what it gave"
    import torch
    torch.set_num_threads(1)
    todo = cases()
    calls = {m: Calls(m) for m in {c[0] for c in todo.values() if c}}
    for line in sys.stdin:
        case = todo[line.strip()]
        print('RESULT', json.dumps(case and measured(calls[case[0]], *case[1:])), flush=True)

class Calls:
    "The sizes of the inputs that go through model `m`, and the seconds that takes; what a model holds itself, the package puts back"
    def __init__(self, m):
        self.forget()
        m.register_forward_pre_hook(lambda m, i: self.before(i[0]))
        m.register_forward_hook(lambda m, i, o: self.behind())
    def forget(self): self.seen,self.inside = [],0.
    def before(self, x):
        self.seen.append(tuple(x.shape))
        self.inside -= time.process_time()
    def behind(self): self.inside += time.process_time()

def measured(calls, f, bare, least=1.):
    "Seconds, and those of bare passes, in turns until `least` are over"
    import torch
    now,secs,bares,inside,n = time.process_time,0,0,0,0
    while secs<least:
        calls.forget()
        t = now()
        v = f()
        secs += now()-t
        inside += calls.inside
        seen,n = list(calls.seen) or [(1,3,224,224)],n+1
        inputs = [torch.randn(s) for s in seen]
        t = now()
        for i in inputs: bare(i)
        bares += now()-t
    return dict(seconds=secs/n, bare=bares/n, inside=inside/n, rows=sum(s[0] for s in seen), values=v.float().flatten()[:4096].tolist())

# ---- turn by turn
class Worker:
    def __init__(self, path):
        env = dict(os.environ, PYTHONPATH=str(path), OMP_NUM_THREADS='1', MKL_NUM_THREADS='1')
        self.p = subprocess.Popen([sys.executable,'-W','ignore',__file__,'--worker'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=path)
    def __call__(self, name):
        self.p.stdin.write(name+'\n')
        self.p.stdin.flush()
        for line in self.p.stdout:
            if line.startswith('RESULT'): return json.loads(line[7:])
        raise SystemExit('a worker has failed')

names = ['deletion_auc','insertion_auc','infidelity','road','scales, 1 photo','scales, 4 photos','1,000 classes, resnet34','1,000 classes, lite0']
def summary(name, now, then):
    "Medians over the rounds; how far values are apart, as a share of the largest"
    mid = statistics.median
    def of(rs, k, by=None): return mid(r[k]/(r[by] if by else 1) for r in rs)
    def told(rs, end=''): return {f'{k}{end}': v for k,v in dict(rows=rs[0]['rows'], seconds=of(rs, 'seconds'), of_bare=of(rs, 'seconds', 'bare'),
                                                                of_passes=of(rs, 'seconds', 'inside') if 'auc' in name or name in ('infidelity','road') else None).items()}
    res = dict(case=name, rounds=len(now), **told(now))
    if then[0] is None: return res
    vals = [r[0]['values'] for r in (now,then)]
    return res | told(then, '_then') | dict(of_then=mid(a['seconds']/b['seconds'] for a,b in zip(now, then)), apart=max(abs(a-b) for a,b in zip(*vals))/max(map(abs, vals[1])))

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('was', nargs='?', type=Path, help='a checkout of 92f77f8')
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--cases', nargs='*', default=names)
    p.add_argument('--worker', action='store_true', help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.worker: return worker()
    import pandas as pd
    now,then,res = Worker(here.parent),Worker(a.was),[]
    for name in a.cases:
        for w in (now,then): w(name)                                          # what is found out once
        rounds = [(now(name),then(name)) for _ in range(a.rounds)]
        res.append(summary(name, *zip(*rounds)))
        print(res[-1], flush=True)
    f,res = here/'then.csv',pd.DataFrame(res)
    if f.exists(): res = pd.concat([(old := pd.read_csv(f))[~old.case.isin(res.case)], res])
    res.to_csv(f, index=False, float_format='%.4g')

if __name__=='__main__': main()
