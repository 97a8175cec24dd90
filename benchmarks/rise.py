"""RISE on 16 pictures beside as many bare passes and making the masks: `python benchmarks/rise.py`

EfficientNet-Lite0 at 224, 1,000 masks: 16,000 rows each way, which take longer than a shared machine stays as it is. So a chunk of bare passes is run before each chunk of RISE's,
from within its own loop; what is compared is the processor time of one thread. About 20 minutes; `--n` takes fewer masks, of which RISE's first pass, the pictures themselves, is a larger share."""
import argparse, sys, time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent)]
import torch
from torch import nn
from cases import forward, model, picture
from fastcam.engine import perturb
from fastcam.engine.explain import cam_maps

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--n', type=int, default=1000, help='masks')
    n = p.parse_args().n
    torch.set_num_threads(1)
    m,x,bare = model('efficientnet_lite0'),picture(16),0.
    coarse,done = (torch.rand(n, 1, 9, 9)<.5).float(),0
    def in_turns(todo, **kwargs):
        "Each chunk of RISE's, after as large a chunk of bare passes"
        nonlocal bare,done
        for rows,masks in todo:
            start,which = time.process_time(),torch.arange(done, done+len(rows))
            up = nn.functional.interpolate(coarse[which%n], (252,252), mode='bilinear')[...,:224,:224]
            forward(m, x[which//n%16]*up)
            done,bare = done+len(rows),bare+time.process_time()-start
            yield rows,masks
    cam_maps(m, x, 0, method='rise', n=4)                                       # what is found out once
    perturb.progress_bar,perturb.IN_NOTEBOOK = in_turns,True                    # the loop over chunks, as where it shows a bar
    start = time.process_time()
    cam_maps(m, x, 0, method='rise', n=n)
    ours = time.process_time()-start-bare
    if done!=16*n: raise SystemExit(f'{done} bare passes for {16*n} rows')
    print(f'{n} masks, 16 pictures: bare passes and masks {bare:.1f} s, rise {ours:.1f} s: {ours/bare:.3f} (bound 1.05)')

if __name__=='__main__': main()
