"""What does `best_cam` cost, and does it choose as before? `git worktree add ../was 92f77f8; python benchmarks/race.py ../was`

The code of then measures every method at every layer in 16 steps, for all photos of ../shared/data/images that are taken, a few at a time; in between, today's `best_cam` is asked with its defaults about draws of them. Both
have a process of their own, one thread each, and what is compared is their processor time. A row that goes through the model is one pass. The winner of a draw is held against the ties of then, on the same
photos. Writes race.csv beside this script, a row for each draw."""
import argparse, json, os, subprocess, sys, time
from pathlib import Path

here = Path(__file__).resolve().parent

def worker():
    "Answers each line of files with what `best_cam` says of them"
    import torch, pandas as pd
    torch.set_num_threads(1)
    from fastcam.all import demo_learner
    import fastcam
    learn,seen,scores = demo_learner(),[],[]
    learn.model.register_forward_hook(lambda m,i,o: seen.append(len(o)))
    if not hasattr(fastcam, 'evidence') and (Path(fastcam.__file__).parent/'metric.py').exists():    # then
        import fastcam.metric as room
        rank = room._rank
        def kept(s, *args):
            scores.append(s)
            return rank(s, *args)
        room._rank = kept
    with learn.no_bar(): learn.cam(learn.dls.valid_ds.items[:1])                 # what is found out once
    for line in sys.stdin:
        files = [Path(f) for f in json.loads(line)]
        seen.clear(); scores.clear()
        t,c = time.perf_counter(),time.process_time()
        with learn.no_bar(): best = learn.best_cam(files, max_n=None)
        res = dict(wall=time.perf_counter()-t, cpu=time.process_time()-c, rows=sum(seen), winner=[best.method,best.layer], ties=[list(o) for o in best.ranking.index[best.ranking.tie]],
                   notes=repr(best).split('\n')[1:])
        if scores: res['scores'] = [[list(k),v.tolist()] for k,v in scores[0].items()]
        print('RESULT', json.dumps(res), flush=True)

class Worker:
    def __init__(self, path):
        env = dict(os.environ, PYTHONPATH=str(path), OMP_NUM_THREADS='1', MKL_NUM_THREADS='1')
        self.p = subprocess.Popen([sys.executable,'-W','ignore',__file__,'--worker'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=path)
    def __call__(self, files):
        self.p.stdin.write(json.dumps([str(f) for f in files])+'\n')
        self.p.stdin.flush()
        for line in self.p.stdout:
            if line.startswith('RESULT'): return json.loads(line[7:])
        raise SystemExit('a worker has failed')

def ties(scores, items):
    "The ties of then: at most twice the standard error behind the best, item by item"
    import numpy as np
    x = {tuple(k): np.array(v)[items] for k,v in scores.items()}
    best = max((k for k in x if k[0]!='random'), key=lambda k: x[k].mean())
    return {k for k,v in x.items() if k[0]!='random' and not (x[best]-v).mean()>2*(x[best]-v).std(ddof=1)/len(items)**.5}

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('was', nargs='?', type=Path, help='a checkout of 92f77f8')
    p.add_argument('--photos', type=int, default=32)
    p.add_argument('--draws', type=int, default=20, help='of 16 photos each; the one of all photos comes besides')
    p.add_argument('--part', type=int, default=4, help='photos that the code of then is asked about at once')
    p.add_argument('--worker', action='store_true', help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.worker: return worker()
    import numpy as np, pandas as pd
    files = sorted((here.parent.parent/'shared/data/images').resolve().glob('*.jpg'))
    if not files: raise SystemExit('../shared/data/images is not there')
    files = files[::max(1, len(files)//a.photos)][:a.photos]
    was,now,rng = Worker(a.was),Worker(here.parent),np.random.default_rng(0)
    draws = [sorted(rng.permutation(len(files))[:16].tolist()) for _ in range(a.draws)]
    draws.insert(1, list(range(len(files))))
    then,scores,cost,rows = [],{},dict(cpu=0.,wall=0.,rows=0),[]
    parts = [files[i:i+a.part] for i in range(0, len(files), a.part)]
    while parts or draws:                                                          # turn by turn
        if parts:
            r = was(parts.pop(0))
            for k,v in r['scores']: scores.setdefault(tuple(k), []).extend(v)
            for k in cost: cost[k] += r[k]
            print(f"then: {cost}", flush=True)
        if draws:
            items = draws.pop(0)
            rows.append(dict(items=items, **now([files[i] for i in items])))
            print({k:v for k,v in rows[-1].items() if k!='items'}, flush=True)
    each = {k: v/len(files) for k,v in cost.items()}
    res = []
    for r in rows:
        t,n = ties(scores, r['items']),len(r['items'])
        res.append(dict(photos=n, rows=r['rows'], rows_share=r['rows']/(each['rows']*n), cpu=r['cpu'], cpu_share=r['cpu']/(each['cpu']*n), wall=r['wall'], wall_share=r['wall']/(each['wall']*n),
                        winner=' '.join(map(str, r['winner'])), in_ties=tuple(r['winner']) in t, ties=len(r['ties']), ties_then=len(t), new_ties=len({tuple(o) for o in r['ties']}-t)))
    df = pd.DataFrame(res)
    df.to_csv(here/'race.csv', index=False, float_format='%.4g')
    print(df.to_string()); print(f"in the ties of then: {df.in_ties.sum()} of {len(df)}; rows {df.rows_share.max():.3f}, processor time {df.cpu_share.max():.3f} of then, at most")

if __name__=='__main__': main()
