"How true are maps of the packaged model? `python benchmarks/metrics.py` measures methods and layers on real photos, and writes metrics.csv and best.csv beside it, which the tutorial about trust shows"
from fastai.vision.all import *
from fastcam.all import *

root = Path(__file__).resolve().parent
choices = dict(methods=['gradcam','hirescam','layercam','eigencam'], layers=[-1,-2], max_n=None)

def photos(n):
    "Those that come with the demo, and `n` of ../shared/data/images, evenly spread, where that is present"
    more = sorted((root.parent.parent/'shared/data/images').glob('*.jpg'))
    return demo_photos() + more[::max(1, len(more)//max(1, n))][:n]

def tidy(df):
    "A row for each number, with its standard error where there is one"
    rows = [(*at, k, row[k,'mean' if (k,'mean') in df else ''], row.get((k,'se'))) for at,row in df.iterrows() for k in df.columns.unique(0)]
    return pd.DataFrame(rows, columns=['method','layer','metric','mean','se']).set_index(['method','layer','metric'])

def metrics(files, **kw): tidy(demo_learner().cam_metrics(files, **choices, **kw)).to_csv(root/'metrics.csv', float_format='%.4g')
def best(files, **kw): demo_learner().best_cam(files, **choices, **kw).ranking.to_csv(root/'best.csv', float_format='%.4g')

@call_parse
def main(
    n:int=8, # Photos besides the demo's, where they are present
    bs:int=4 # Rows at once; on a CPU few are faster
):
    "Measure, and write the tables"
    for f in (metrics,best): f(photos(n), bs=bs)
