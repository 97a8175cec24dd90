"""Explanations of one model by four threads, against one thread that asks for the same in turn; both interleaved in one run. `python benchmarks/threads.py`"""
import time
from concurrent.futures import ThreadPoolExecutor
from fastai.vision.all import *
from fastcam.all import *

torch.set_num_threads(1)
torch.manual_seed(0)

def model(): return nn.Sequential(*[ConvLayer(a, b, stride=2) for a,b in ((3,16),(16,32),(32,64))], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64,5)).eval()

def took(f):
    t = time.perf_counter()
    f()
    return time.perf_counter()-t

def main(n=40, rounds=7):
    m,xs = model(),torch.randn(n, 1, 3, 96, 96)
    for method in ('gradcam','layercam','ablationcam'):
        ask = partial(cam_maps, m, method=method)
        ask(xs[0])
        with ThreadPoolExecutor(4) as ex:
            times = [(took(lambda: list(map(ask, xs))), took(lambda: list(ex.map(ask, xs)))) for _ in range(rounds)]
        print(f'{method:12} one thread {n/np.median([a for a,_ in times]):6.0f} a second, four threads / one thread: {np.median([a/b for a,b in times]):.2f}')

if __name__=='__main__': main()
