"What finding a layer costs, beside the code of a commit before the places were proven: `python benchmarks/find.py`, a table, medians of three runs that take turns; `--write` keeps it in find.json"
import argparse, json, os, statistics, subprocess, sys, tempfile
from pathlib import Path

root = Path(__file__).resolve().parent.parent
before = '92f77f8'

# name -> (code that makes the model `m` and an input `x`, bound on the default layer as a multiple of the time before; None where there was no right answer before)
models = {
    'resnet34':  ("import torchvision; m,x = torchvision.models.resnet34(),torch.randn(1,3,224,224)", 1.3),
    'lite0':     ("import timm; m,x = timm.create_model('tf_efficientnet_lite0'),torch.randn(1,3,224,224)", 1.3),
    'xresnet18': ("from fastai.vision.all import xresnet18; m,x = xresnet18(n_out=10),torch.randn(1,3,128,128)", 1.3),
    'vit_tiny':  ("import timm; m,x = timm.create_model('vit_tiny_patch16_224'),torch.randn(1,3,224,224)", 3.),
    'conv1d':    ("m,x = nn.Sequential(*[o for i,j in ((3,32),(32,64),(64,128)) for o in (nn.Conv1d(i,j,5,2,2),nn.BatchNorm1d(j),nn.ReLU())], nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(128,4)),torch.randn(1,3,512)", 1.3),
    'r3d_18':    ("import torchvision; m,x = torchvision.models.video.r3d_18(num_classes=5),torch.randn(1,3,16,112,112)", None),
    'swin3d_t':  ("import torchvision; m,x = torchvision.models.video.swin3d_t(num_classes=5),torch.randn(1,3,16,112,112)", None),
    'mvit_v2_s': ("import torchvision; m,x = torchvision.models.video.mvit_v2_s(num_classes=5),torch.randn(1,3,16,224,224)", None),
}

# a fresh model each time: what is found is remembered
child = '''
import warnings; warnings.simplefilter('ignore')
import copy, json, sys, time, torch
from torch import nn
torch.set_num_threads(1); torch.manual_seed(0)
try: from fastcam.all import find_layers, layers_table
except ImportError: from fastcam.layer import find_layers, layers_table          # before the rooms were moved
{make}
m.eval()
def timed(f):
    c = copy.deepcopy(m)
    t = time.process_time(); f(c); return time.process_time()-t
def forward(c):
    with torch.no_grad(): c(x)
def tried(f):
    try: return timed(f)
    except Exception: return None
forward(m)
n = {n}
print(json.dumps(dict(forward=min(timed(forward) for _ in range(n)), default=min((tried(lambda c: find_layers(c, x)) or 0) for _ in range(n)) or None,
                      table=tried(lambda c: layers_table(c, x)))))
'''

def once(tree, make, n):
    res = subprocess.run([sys.executable, '-W', 'ignore', '-c', child.format(make=make, n=n)], env={**os.environ, 'PYTHONPATH':str(tree), 'OMP_NUM_THREADS':'1'}, capture_output=True, text=True)
    if res.returncode: raise RuntimeError(res.stderr[-2000:])
    return json.loads(res.stdout.splitlines()[-1])

def median(rs, k): return statistics.median(o) if (o := [r[k] for r in rs if r[k]]) else None

def main(names, rounds, n):
    with tempfile.TemporaryDirectory() as old:
        tar = subprocess.run(['git','archive',before,'fastcam'], cwd=root, check=True, capture_output=True).stdout
        subprocess.run(['tar','x','-C',old], input=tar, check=True)
        res = {}
        for name in names:
            make,bound = models[name]
            runs = [(once(old, make, n), once(root, make, n)) for _ in range(rounds)]
            was,now = zip(*runs)
            row = {k: median(rs, key) for k,rs,key in (('forward',now,'forward'),('before',was,'default'),('default',now,'default'),('table before',was,'table'),('table',now,'table'))}
            res[name] = row | dict(bound=bound)
            ratio = f"{row['default']/row['before']:.2f}" if row['before'] and row['default'] else '-'
            print(f"{name:10} forward {row['forward']*1e3:7.0f} ms   default {row['default']*1e3:7.0f} ms   {ratio:>5} of before (bound {bound or '-'})   table {row['table']*1e3:7.0f} ms", flush=True)
        return res

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('names', nargs='*', default=list(models))
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--n', type=int, default=3, help='of each run the quickest of so many')
    p.add_argument('--write', action='store_true')
    a = p.parse_args()
    res = main(a.names or list(models), a.rounds, a.n)
    if a.write: (Path(__file__).parent/'find.json').write_text(json.dumps(res, indent=1)+'\n')
