"""What an explanation costs beside a prediction, and beside other libraries: `python benchmarks/run.py`

The ways of a case take turns, a round after the other, so that what disturbs one disturbs all. A round in which something else
kept the processor busy is measured again. Each case has a process of its own, so that it finds what a fresh one does, whatever was
measured before it; for peak memory, each way."""
import argparse, fnmatch, importlib.metadata as md, json, os, platform, statistics, subprocess, sys, time
from pathlib import Path

here = Path(__file__).parent
sys.path[:0] = [str(here), str(here.parent)]
os.environ['TQDM_DISABLE'] = '1'                                             # peers' bars
memory_cases = {'gradcam/resnet34/last/16': ['forward','floor','fastcam','pytorch-grad-cam','torchcam','captum'],
                'gradcam/efficientnet_lite0/last/16': ['forward','floor','fastcam'], 'gradcam/vit_tiny/last/16': ['forward','floor','fastcam'],
                'learner': ['64 items','1024 items']}
libs = ['fastcam','torch','torchvision','fastai','timm','grad-cam','torchcam','captum']

def args():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--cases', nargs='*', default=['*'], help="patterns such as 'gradcam/*' or scorecam; also import and memory")
    p.add_argument('--rounds', type=int, default=5, help='undisturbed rounds of each case')
    p.add_argument('--batch', type=int, nargs='*', default=[1,16], help='batch sizes of the gradcam cases')
    p.add_argument('--cpu-time', action='store_true', help='one thread, and the processor time of this process instead of the clock: for a machine that is shared')
    p.add_argument('--device', default='cpu', help='cuda is timed with CUDA events')
    p.add_argument('--dtype', default='fp32', choices=['fp32','bf16'])
    p.add_argument('--json', type=Path, help='also write the results here')
    p.add_argument('--list', action='store_true', help='name the cases')
    p.add_argument('--one', help=argparse.SUPPRESS)                          # a case; what a process of its own is started with
    p.add_argument('--peak', nargs=2, help=argparse.SUPPRESS)                # a case and a way; as well
    return p.parse_args()

# ---- the machine
def head(a):
    import torch
    cpu = next((l.split(':')[1].strip() for l in Path('/proc/cpuinfo').read_text().splitlines() if l.startswith('model name')), '') if Path('/proc/cpuinfo').exists() else platform.processor()
    vers = {}
    for l in libs:
        try: vers[l] = md.version(l)
        except md.PackageNotFoundError: pass
    import fastcam
    vers['fastcam'] = fastcam.__version__
    return dict(date=time.strftime('%Y-%m-%d'), command=' '.join(['python','benchmarks/run.py',*sys.argv[1:]]), cpu=f'{cpu}, {os.cpu_count()} cores', threads=torch.get_num_threads(),
                device=torch.cuda.get_device_name() if a.device=='cuda' else a.device, dtype=a.dtype, measure='processor time' if a.cpu_time else 'CUDA events' if a.device=='cuda' else 'wall clock',
                python=platform.python_version(), system=platform.system(), versions=vers)

def busy():
    "Seconds that all processors were busy so far, for anybody; None where that is not known"
    try: user,nice,system,_,_,irq,soft,steal = map(int, Path('/proc/stat').read_text().split('\n')[0].split()[1:9])
    except (OSError,ValueError): return None
    return (user+nice+system+irq+soft+steal)/os.sysconf('SC_CLK_TCK')

# ---- time
class Clock:
    def __init__(self, a): self.cpu,self.cuda = a.cpu_time,a.device=='cuda'
    def __call__(self, f, n):
        "Seconds that each of `n` calls of `f` takes"
        if self.cuda:
            import torch
            a,b = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            a.record()
            for _ in range(n): f()
            b.record()
            torch.cuda.synchronize()
            return a.elapsed_time(b)/1000/n
        now = time.process_time if self.cpu else time.perf_counter
        t = now()
        for _ in range(n): f()
        return (now()-t)/n

def in_turn(case, clock, n):
    "Seconds per call of the ways in `n`, so many calls of each: call by call in turn, so that what drifts meanwhile meets all of them; on a GPU one way after the other"
    if clock.cuda: return {w: clock(case.ways[w], k) for w,k in n.items()}
    total = dict.fromkeys(n, 0.)
    for i in range(max(n.values())):
        for w in [w for w,k in n.items() if i<k]: total[w] += clock(case.ways[w], 1)
    return {w: t/n[w] for w,t in total.items()}

def measure(case, clock, rounds, least=.5, most=1):
    "Seconds of each way by round; the share of the processors that others used in each, and how many rounds were thrown away"
    n = {}
    for w,f in case.ways.items():
        if w in case.few: n[w] = 1
        else:
            f()
            n[w] = max(1, round(least/clock(f, 1)))
    kept,thrown,times = [],0,{w:[] for w in case.ways}
    want = 2 if case.few==set(case.ways) else rounds
    while len(kept)<want:
        ways = [w for w in case.ways if w not in case.few or len(kept) in (0, want-1)]
        if len(kept)%2: ways.reverse()
        b,t,own = busy(),time.perf_counter(),time.process_time()
        got = in_turn(case, clock, {w: n[w] for w in ways})
        t,own = time.perf_counter()-t,time.process_time()-own
        load = None if b is None else max(0., (busy()-b-own)/t)                     # processors that others kept busy
        if load is not None and load>.1+.02/t and not clock.cpu and thrown<most*rounds and not clock.cuda:
            thrown += 1
            continue
        kept.append(load)
        for w,s in got.items(): times[w].append(s)
    return times,kept,thrown

def summary(case, times):
    "By way: median, spread, and the median of the ratios to the base, round by round"
    def ratio(w, base):
        n = len(times[base])
        pairs = zip(times[w], times[base] if len(times[w])==n else [times[base][0],times[base][-1]])
        return statistics.median(a/b for a,b in pairs) if len(times[w])<=n else statistics.median(a/b for a,b in zip([times[w][0],times[w][-1]], times[base]))
    res = {}
    for w,ts in times.items():
        res[w] = dict(ms=1000*statistics.median(ts), low=1000*min(ts), high=1000*max(ts), ratio=ratio(w, case.base))
        if w in case.bounds:
            other,limit = case.bounds[w]
            res[w] |= dict(of=other, times=ratio(w, other), limit=limit)
    return res

# ---- in a process of its own
def alone(a, *what, **env):
    "The last line that this script prints if it is started with `what` as well"
    cmd = [sys.executable, __file__, *what, '--rounds', str(a.rounds), '--device', a.device, '--dtype', a.dtype] + ['--cpu-time']*a.cpu_time
    out = subprocess.run(cmd, stdout=subprocess.PIPE, text=True, env=dict(os.environ, **env))
    if out.returncode: raise SystemExit(out.returncode)
    return json.loads(out.stdout.strip().split('\n')[-1])

def one(a):
    "Print what there is to say of a case"
    import cases
    case = cases.cases[a.one]()
    times,load,thrown = measure(case, Clock(a), a.rounds)
    ways = summary(case, times)
    equal = {k: dict(off=o, limit=t) for k,(o,t) in (case.equal() if case.equal else {}).items()}
    print(json.dumps(dict(base=case.base, rounds=len(load), thrown=thrown, load=max((l for l in load if l is not None), default=None), ways=ways, equal=equal,
                          notes=case.notes() if case.notes else {})))

# ---- memory
def _status(key): return next(int(l.split()[1])*1024 for l in Path('/proc/self/status').read_text().splitlines() if l.startswith(key))

def peak(a):
    "Print the bytes by which memory grows in one call, beyond the model and the input"
    import torch, cases
    name,way = a.peak
    if name=='learner':
        f = lambda: cases.explained(int(way.split()[0]))
        cases.explained(32)                                                      # what is loaded once
    else:
        kind,m,where,bs = name.split('/')
        cases.gradcam(m, where, 1).ways[way]()
        f = cases.gradcam(m, where, int(bs)).ways[way]
    if a.device=='cuda':
        torch.cuda.reset_peak_memory_stats()
        was = torch.cuda.memory_allocated()
        f()
        print(torch.cuda.max_memory_allocated()-was)
    else:
        Path('/proc/self/clear_refs').write_text('5')
        was = _status('VmRSS')
        f()
        print(_status('VmHWM')-was)

def memory(a):
    res = {}
    for name,ways in memory_cases.items():
        # what is freed goes back at once, so that the peak is what is held
        for w in ways: res.setdefault(name, {})[w] = alone(a, '--peak', name, w, MALLOC_MMAP_THRESHOLD_='65536')
    return res

# ---- what the import adds
def imports(rounds, cpu):
    code = "from time import NOW as now; from fastai.vision.all import *; t = now(); from fastcam.all import *; print(now()-t)".replace('NOW', 'process_time' if cpu else 'perf_counter')
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(here.parent), os.environ.get('PYTHONPATH','')]))
    run = lambda: float(subprocess.run([sys.executable,'-W','ignore','-c',code], capture_output=True, text=True, env=env, check=True).stdout.split()[-1])
    run()                                                                       # compiles
    return [run() for _ in range(min(3, rounds))]

# ---- the table
def line(*cols): print(''.join(f'{c:<{w}}' if i<2 else f'{c:>{w}}' for i,(c,w) in enumerate(zip(cols, (36,20,10,17,10,44)))).rstrip(), flush=True)

def bound(r): return f"{r['times']:.2f} of {r['of']}, {'within' if r['times']<=r['limit'] else 'ABOVE'} {r['limit']:.2f}" if 'limit' in r else ''

def main():
    a = args()
    import torch, warnings
    warnings.simplefilter('ignore')
    if a.cpu_time: torch.set_num_threads(1)
    import cases
    cases.device,cases.dtype = a.device,dict(fp32=torch.float32, bf16=torch.bfloat16)[a.dtype]
    if a.one: return one(a)
    if a.peak: return peak(a)
    names = [n for n in cases.cases if not n.startswith('gradcam') or int(n.split('/')[-1]) in a.batch]
    names = [n for n in [*names,'memory','import'] if any(fnmatch.fnmatch(n, p) for p in a.cases)]
    if a.list: return print(*names, sep='\n')
    if not names: raise SystemExit(f"No such case: {', '.join(a.cases)}; see --list")
    res = dict(head=head(a), cases={})
    for k,v in res['head'].items(): print(f"{k:<10}{', '.join(f'{l} {n}' for l,n in v.items()) if isinstance(v, dict) else v}")
    print()
    line('case', 'way', 'ms', 'lowest-highest', 'x base', 'bound')
    began = time.perf_counter()
    def save():
        res['head']['seconds'] = round(time.perf_counter()-began)
        if a.json: a.json.write_text(json.dumps(res, indent=1)+'\n')
    for name in names:
        save()                                                              # what there is so far
        if name=='memory':
            for n,ways in memory(a).items():
                f = ways[next(iter(ways))]
                res['cases'][f'memory/{n}'] = dict(memory={w: dict(bytes=b, times=b/f, **(dict(limit=1.05) if w=='fastcam' else {})) for w,b in ways.items()})
                for w,b in ways.items():
                    line(f'memory/{n}'[:35], w, f'{b/2**20:.0f} MiB', '', f'{b/f:.2f}', ('within 1.05' if b<=1.05*f else 'ABOVE 1.05') if w=='fastcam' else '')
            continue
        if name=='import':
            ts = imports(a.rounds, a.cpu_time)
            s = statistics.median(ts)
            res['cases'][name] = dict(seconds=s, limit=.15)
            line(name, 'fastcam.all', f'{1000*s:.0f}', f'{1000*min(ts):.0f}-{1000*max(ts):.0f}', '', f"{'within' if s<=.15 else 'ABOVE'} 150 ms")
            continue
        r = res['cases'][name] = alone(a, '--one', name)
        for w,o in r['ways'].items(): line(name, w, f"{o['ms']:.1f}", f"{o['low']:.1f}-{o['high']:.1f}", f"{o['ratio']:.2f}", bound(o))
        for k,o in r['equal'].items(): line('', f"equal: {k}, off by {o['off']:.1e}" + ('' if o['off']<=o['limit'] else f" ABOVE {o['limit']:.0e}"))
        for k,t in r['notes'].items(): line('', f'{k}: {t}')
        if not a.cpu_time and r['load'] is not None and r['load']>.1:
            line('', f"disturbed: others kept {r['load']:.1f} processors busy; {r['thrown']} rounds were thrown away")
    save()
    bad = [n for n,r in res['cases'].items() if any(o['off']>o['limit'] for o in r.get('equal',{}).values())]
    print(f"\n{res['head']['seconds']} s" + (f"; maps differ: {', '.join(bad)}" if bad else ''))
    return bool(bad)

if __name__=='__main__': sys.exit(main())
