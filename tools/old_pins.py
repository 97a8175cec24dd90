"Are tsai's models explained by `learn.cam`? Prints a table; run by tools/old_pins.sh, with the versions that tsai asks for"
import sys, traceback
from importlib.metadata import version
import numpy as np, torch
from fastai.vision.all import *
from tsai.basics import TSClassification, TSStandardize, get_splits, get_ts_dls
from tsai.models import all as models
from fastcam.all import *
from fastcam.engine.layer import find_layers

n,channels,steps = 24,3,64
names = 'InceptionTime InceptionTimePlus XceptionTime ResNet ResCNN FCN OmniScaleCNN XCM LSTM GRU LSTM_FCN TST TSTPlus TSiT PatchTST TSPerceiver MiniRocketPlus gMLP TransformerModel ConvTranPlus'.split()
small = dict(TST=dict(seq_len=steps, n_layers=2, d_model=32), TSTPlus=dict(seq_len=steps, n_layers=2, d_model=32), OmniScaleCNN=dict(seq_len=steps), XCM=dict(seq_len=steps), gMLP=dict(seq_len=steps), TSiT=dict(seq_len=steps, d_model=32, depth=2), TSPerceiver=dict(seq_len=steps),
    PatchTST=dict(seq_len=steps, pred_dim=2), MiniRocketPlus=dict(seq_len=steps), ConvTranPlus=dict(seq_len=steps, d_model=32), LSTM_FCN=dict(seq_len=steps))

def learner(name):
    "A learner of series (channels, steps) around the model, without training"
    rng = np.random.default_rng(0)
    X,y = rng.normal(size=(n,channels,steps)).astype(np.float32),np.array(['up','down']*(n//2))
    dls = get_ts_dls(X, y, splits=(list(range(16)),list(range(16,n))), tfms=[None,TSClassification()], batch_tfms=TSStandardize(), bs=4)
    torch.manual_seed(0)
    model = getattr(models, name)(channels, dls.c, **small.get(name, {}))
    return X,Learner(dls, model, loss_func=CrossEntropyLossFlat())

def said(f):
    "The shape of the maps, or what the error says"
    try: return 'x'.join(map(str, f().maps.shape[2:])),True
    except (ValueError,TypeError) as e: return f'{type(e).__name__}: {e}'.split('\n')[0],'fastcam' in traceback.extract_tb(e.__traceback__)[-1].filename
    except Exception as e: return f'FAULT {type(e).__name__}: {e}'.split('\n')[0],False

if __name__=='__main__':
    print(', '.join(f'{o} {version(o)}' for o in ('tsai','fastai','fastcore','pyts','scikit-learn','torch','fastcam')))
    faults = 0
    for name in names:
        if not hasattr(models, name): print(f'{name}: not in this tsai'); continue
        try: X,learn = learner(name)
        except Exception as e: print(f'{name}: not built, {type(e).__name__}: {e}'.split('\n')[0]); continue
        ways = {'dl=': lambda: learn.cam(dl=learn.dls.valid), 'ds_idx=0': lambda: learn.cam(ds_idx=0), 'array': lambda: learn.cam(X[0]), 'tensor': lambda: learn.cam(torch.tensor(X[0])), 'new_dl': lambda: learn.cam(dl=learn.dls.valid.new_dl(X[:3]))}
        with learn.no_bar(): res = {k: said(f) for k,f in ways.items()}
        faults += sum(not ok for _,ok in res.values())
        print(name, *(f'{k} {o[:300]}' for k,(o,_) in res.items()), sep=' | ', flush=True)
    sys.exit(faults)
