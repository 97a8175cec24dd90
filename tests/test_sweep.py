"The default layer's map in models of many families: its cells lie where it says, and it is the map that autograd gives by hand. All of them: `python benchmarks/sweep.py`"
import csv, sys
from importlib.util import find_spec
import pytest
from conftest import root

sys.path.append(str(root/'benchmarks'))
import sweep, zoo
from utils import *

few = {
    'timm': 'test_resnet test_vit test_convnext test_mambaout edgenext_xx_small'.split(),
    'torchvision': ['squeezenet1_1','VisionTransformer'],
    'transformers': 'ViTForImageClassification Swinv2ForImageClassification SegformerForSemanticSegmentation MobileViTForImageClassification'.split(),
    'monai': ['ViT','UNet'],
    'smp': ['Unet']}

def entry_of(library, name):
    if not find_spec(zoo.sources[library][0]): pytest.skip(f"{library} is not installed: it comes with the extra `peers`, `pip install -e '.[dev,peers]'`")
    return next(e for e in zoo.entries([library]) if e.name==name)

@pytest.mark.parametrize('library,name', [(l,n) for l,names in few.items() for n in names])
def test_right(library, name):
    entry = entry_of(library, name)
    row = sweep.row_of(entry, sweep.sizes_of(entry)[-1])
    assert row['status']=='right', row

def scrambled(lay):
    "A layer that says its cells lie elsewhere"
    order = torch.randperm(math.prod(lay.grid), generator=torch.Generator().manual_seed(0)).tolist()
    return SimpleNamespace(kind='NWC', grid=lay.grid, front=lay.front, back=lay.back, batch_dim=0, name=lay.name, call=lay.call, layout=SimpleNamespace(order=order))

def test_finds():
    "The sweep sees cells in a wrong order, or a row of tokens that begins one too early; and a map that is not the one by hand"
    model,x,_ = sweep.build(entry_of('timm', 'test_vit'), [((96,160), dict(img_size=(96,160)))])
    lay = first(find_layers(model, x).values())
    cells = sweep.some_cells(lay.grid)
    def judged(l): return [sweep.is_right(l, *sweep.follows(sweep.centers(f(model, l, x, cells)), cells, l.grid)) for f in (sweep.by_gradient,sweep.by_planting)]
    assert (lay.kind,lay.front)==('NLC',1) and judged(lay)==[True,True]
    assert judged(scrambled(lay))==[False,False]
    want,_ = sweep.maps_by_hand(model, lay, x)
    assert sweep.off(cam_maps(model, x)[:,0], want['gradcam'])<=1e-5<sweep.off(cam_maps(model, x)[:,0], want['hirescam'])

def test_stages_of_a_mixer():
    "Few gradients are asked for: hundreds of ways to take channels for cells are not"
    import timm
    from fastcam.engine import layer
    asked = []
    def count(numbers, inputs, was=layer.gradients):
        asked.append(len(numbers))
        return was(numbers, inputs)
    torch.manual_seed(0)
    model = timm.create_model('mixer_s32_224', img_size=96, num_classes=5).eval()
    was,layer.gradients = layer.gradients,count
    try: st = stages(grid_layers(model, torch.randn(1,3,96,96)))
    finally: layer.gradients = was
    assert [o.name for o in st]==[*[f'blocks.{i}' for i in range(7)],'norm'] and all(o.grid==(3,3) for o in st)
    assert sum(asked)<200

class Squeezing(nn.Module):
    "A clip's convolutions, whose strides differ by axis, as torchvision's; what they give is noise of all places, as in a deep net without training"
    def __init__(self):
        super().__init__()
        self.stem,self.deep = nn.Conv3d(3, 4, (1,3,3), stride=(1,4,4), padding=(0,1,1)),nn.Sequential(*[nn.Conv3d(4, 4, 3, padding=1) for _ in range(12)])
        self.pool,self.fc = nn.AdaptiveAvgPool3d(1),nn.Linear(4,2)
    def forward(self, x): return self.fc(self.pool(self.deep(self.stem(x))).flatten(1))

def test_strides_differ():
    "A convolution's maps lie where it reads, though time is not halved as height and width are"
    torch.manual_seed(0)
    lay = first(find_layers(Squeezing().eval(), torch.randn(1,3,6,24,32)).values())
    assert (lay.name,lay.grid,lay.place)==('deep',(6,6,8),'plain')

def test_table():
    "The table holds what the sweep is made of, and no row that is wrong"
    with open(sweep.table, encoding='utf-8', newline='') as f: rows = list(csv.DictReader(f))
    assert list(rows[0])==sweep.columns and {r['status'] for r in rows}<={'right','refused','unseen','not built'}
    assert {r['model'] for r in rows if r['library']=='timm'}=={e.name for e in zoo.timm_entries()}
