"Maps lie on what the model was given: whichever input that is, whatever a callback made of it, and whatever `decodes` would undo"
import pytest
from utils import *
from scipy import ndimage

colors = dict(blue=(0,0,255), green=(0,255,0), red=(255,0,0))
def color_of(f): return Path(f).stem.split('_')[1]

def patched(folder, n=6, size=(64,96), seed=0):
    "`n` dark pictures, each with one patch of one color, as files; and the (x,y) of its middle by file"
    rng,at = np.random.default_rng(seed),{}
    folder.mkdir(exist_ok=True)
    for i in range(n):
        c,(y,x) = list(colors)[i%3],(int(rng.uniform(10, o-10)) for o in size)
        a = rng.integers(40, 60, (*size,3), dtype=np.uint8)
        a[y-5:y+5,x-5:x+5] = colors[c]
        f = folder/f'{i}_{c}.png'
        Image.fromarray(a).save(f)
        at[f] = x,y
    return at

class ByColor(nn.Module):
    "Where is blue, green or red? A map for each; `order` are the channels of these, `mean` and `std` what pictures were normalized by"
    def __init__(self, order=(2,1,0), mean=0., std=1.):
        super().__init__()
        conv = nn.Conv2d(3, 3, 4, stride=4)
        conv.weight.data.fill_(-1/16)
        for o,c in enumerate(order): conv.weight.data[o,c] = 1/16
        conv.bias.data = conv.weight.data.sum((1,2,3))*mean
        conv.weight.data *= std
        self.body = nn.Sequential(conv, nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3, bias=False))
        self.head[2].weight.data = torch.eye(3)*200
    def forward(self, x): return self.head(self.body(x))

def learner(dls, model, loss=None, cbs=None):
    res = Learner(dls, model, loss_func=loss or CrossEntropyLossFlat(), cbs=cbs)
    res.remove_cbs(res.cbs.filter(lambda o: o.name=='progress'))
    return res

def middle(b): return ((b[0]+b[2])/2).item(),((b[1]+b[3])/2).item()
def close(p, q, tol=4): return all(abs(a-b)<=tol for a,b in zip(p, q))

# ---- the input that the layer reads
class Second(nn.Module):
    "What the second input shows decides, and the first hardly counts"
    def __init__(self, first):
        super().__init__()
        self.a,self.b = first,ByColor()
    def forward(self, x, y): return self.a(x)*.01+self.b(y)

def as_tensor(n): return lambda f: TensorImage(tensor(np.array(Image.open(f).convert('RGB').resize((n,n)))).permute(2,0,1))

def of_two(tmp_path, *blocks, first=None, read='f1', **kw):
    "A learner of two inputs, where the patch lies in the files of the second, and the DataFrame"
    fa,fb = patched(tmp_path/'a'),patched(tmp_path/'b', size=(128,192), seed=5)
    df = pd.DataFrame(dict(f1=[str(f) for f in fa], f2=[str(f) for f in fb], y=[color_of(f) for f in fb], v=[i>2 for i in range(6)]))
    dls = DataBlock((*blocks, CategoryBlock), n_inp=2, getters=[ColReader(read), ColReader('f2'), ColReader('y')], splitter=ColSplitter('v'), **kw).dataloaders(df, bs=2, num_workers=0)
    return learner(dls, Second(ByColor() if first is None else first)),fb

class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 3)
    def forward(self, x): return self.fc(x)

def numbers(o): return tensor([float(len(str(o))), 1.])

@pytest.mark.parametrize('first', ['picture','numbers'])
def test_a_later_input(tmp_path, first):
    "Files, boxes, masks, scores and what is saved are of the input that the maps lie on"
    block,model,read = (ImageBlock,None,'f1') if first=='picture' else (TransformBlock(type_tfms=numbers),Counted(),'y')
    learn,at = of_two(tmp_path, block, ImageBlock, first=model, read=read, item_tfms=Resize(64, method='squish'))
    valid = list(at)[3:]
    cams = learn.cam(layer='b.body')
    assert cams.reads.source==1 and cams.files==valid
    df = cams.to_df(.5)
    assert df.file.tolist()==[str(f) for f in valid] and (df.score>.5).all()
    for f,r,b,m in zip(valid, df.itertuples(), cams.bbox(.5, original=True), cams.mask(.5, original=True)):
        assert close(((r.x1+r.x2)/2, (r.y1+r.y2)/2), at[f], 6) and close(middle(b[0]), at[f], 6)
        assert m.shape==(1,128,192) and close(ndimage.center_of_mass(m[0].as_subclass(Tensor).numpy())[::-1], at[f], 6)
    def truth(row):
        x,y = at[Path(row.f2)]
        return TensorBBox([[x-9., y-9., x+9., y+9.]])               # a cell is 12 pixels wide
    assert learn.cam_localize(truth=truth, layer='b.body', methods=['gradcam']).loc['gradcam',('pointing_game ↑','mean')]==1
    assert learn.cam_summary(truth=truth, layer='b.body').items.outside.max()<.5

@pytest.mark.parametrize('first', ['picture','numbers'])
def test_a_later_input_saved(tmp_path, first):
    "What is saved is drawn on the file that the maps lie on, with the learner, too"
    block,model,read = (ImageBlock,None,'f1') if first=='picture' else (TransformBlock(type_tfms=numbers),Counted(),'y')
    learn,at = of_two(tmp_path, block, ImageBlock, first=model, read=read, item_tfms=Resize(64, method='squish'))
    learn.export_cams(tmp_path/'maps', layer='b.body')
    for cams in load_cams(tmp_path/'maps'),load_cams(tmp_path/'maps', learn):
        assert cams.files==list(at)[3:]
        for f,pic,o,b in zip(cams.files, cams.pictures(), cams.originals(), cams.bbox(.5)):
            x,y = np.array(at[f])*64/(192,128)
            shown = np.array(pic)[int(y),int(x)]
            assert shown.argmax()==np.argmax(colors[color_of(f)]) and shown.max()>200 and o.size==(192,128)
            assert close(middle(b[0]), (x,y))
        cams.show(max_n=2)
        plt.close('all')
    with pytest.raises(ValueError, match='several inputs'): load_cams(tmp_path/'maps', learn).inputs

def test_a_later_input_of_another_size(tmp_path):
    "Boxes and masks are in pixels of the second picture, which is twice as large as the first"
    block = lambda n: TransformBlock(type_tfms=as_tensor(n), batch_tfms=IntToFloatTensor)
    learn,at = of_two(tmp_path, block(64), block(128))
    learn.model.b.body[0].bias.data += .5                            # in plain gray all cells would be dead
    cams = learn.cam(layer='b.body')
    for f,b,m,r in zip(list(at)[3:], cams.bbox(.5), cams.mask(.5), cams.to_df(.5, original=False).itertuples()):
        x,y = np.array(at[f])*128/(192,128)
        assert m.shape==(1,128,128) and close(middle(b[0]), (x,y), 6) and close(((r.x1+r.x2)/2,(r.y1+r.y2)/2), (x,y), 6)

def test_the_path_that_is_opened(tmp_path):
    "The file is the one at the end of what a getter makes of an item, be that a row or a tuple"
    at = patched(tmp_path/'a')
    df = pd.DataFrame(dict(name=[f.name for f in at], v=[i>2 for i in range(6)]))
    kw = dict(splitter=IndexSplitter([3,4,5]), item_tfms=Resize(64, method='squish'))
    named = DataBlock((ImageBlock,CategoryBlock), get_x=Pipeline([ColReader('name'), lambda o: tmp_path/'a'/o]), get_y=Pipeline([ColReader('name'), color_of]), **kw)
    tuples = DataBlock((ImageBlock,CategoryBlock), get_x=ItemGetter(0), get_y=ItemGetter(1), **kw)
    for block,items in (named,df),(tuples,[(f, color_of(f)) for f in at]):
        learn = learner(block.dataloaders(items, bs=3, num_workers=0), ByColor())
        assert learn.cam().files==list(at)[3:]
