"Every kind of task, on small models trained here on drawn scenes, where it is known what decides"
import pytest
from utils import *

# ---- scenes: discs of up to three colors on noise, none overlapping another; what is asked about them differs from task to task
size,r,colors = 48,6,dict(red=(230,60,60), green=(60,200,60), blue=(80,90,240))

@cache
def scene(i, only=None):
    "Picture `i` (PIL) and where its discs are: a dict of color to center (x,y). `only`: one disc of one of these colors, and a gray one"
    rng = np.random.default_rng(i)
    names = [rng.choice(only)] if only else [c for c in colors if rng.random()<.6] or [list(colors)[i%3]]
    im = Image.fromarray(rng.integers(0, 70, (size,size,3), dtype=np.uint8))
    d,at = ImageDraw.Draw(im),{}
    for name,c in zip([*names, 'gray'], rng.permutation(9)):
        x,y = (int(16*o+8+rng.integers(-1,2)) for o in divmod(c, 3))
        d.ellipse([x-r,y-r,x+r,y+r], fill=colors.get(name, (150,150,150)))
        if name!='gray': at[name] = (x,y)
    return im,at

def picture(i, only=None): return PILImage.create(np.array(scene(i, only)[0]))

def scenes(block, get_y, n=200, get_x=picture, **kwargs):
    "DataLoaders of `n` scenes; an item is a number"
    blocks = DataBlock((ImageBlock,block), get_items=range, get_x=get_x, get_y=get_y, splitter=RandomSplitter(.2, seed=0), batch_tfms=Normalize.from_stats(*imagenet_stats), **kwargs)
    set_seed(0)
    return blocks.dataloaders(n, bs=20, num_workers=0)

def body(): return nn.Sequential(ConvLayer(3,16), ConvLayer(16,24,stride=2), ConvLayer(24,32,stride=2))
def pooled(n): return nn.Sequential(body(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32,n)))

def trained(dls, net, epochs=4, lr=1e-2, **kwargs):
    "A silent learner, trained"
    set_seed(0)
    learn = Learner(dls, net, **kwargs)
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    with learn.no_logging(): learn.fit_one_cycle(epochs, lr)
    return learn

def is_at(yx, grid, at):
    "Does cell `yx` of a map lie on the disc `at` (x,y), to within a cell?"
    y,x = ((o+.5)*size/g for o,g in zip(yx, grid))
    return math.hypot(x-at[0], y-at[1])<=r+size/min(grid)
def cell(m, largest=True): return np.unravel_index(m.numpy().argmax() if largest else m.numpy().argmin(), m.shape)
def peaks_at(m, at, largest=True): return is_at(cell(m, largest), m.shape, at)

def valid(learn): return list(learn.dls.valid.items)
def titles(o):
    res = [a.get_title() for a in o.show(ncols=1)]
    plt.close('all')
    return res

# ---- one label

@cache
def one_label():
    only = tuple(colors)
    return trained(scenes(CategoryBlock, lambda i: first(scene(i, only)[1]), get_x=partial(picture, only=only)), pooled(3), metrics=accuracy)

def test_single_label():
    "The predicted class by default, the true one by `Actual()`: both on the disc, and what speaks for another color is not"
    learn,only = one_label(),tuple(colors)
    assert learn.validate()[1]>.95
    its,cams = valid(learn),learn.cam(target=Actual())
    assert cams.actuals==L(first(scene(i, only)[1]) for i in its) and cams.labels==cams.actuals.map(lambda o: [o])
    assert np.mean([peaks_at(m[0], first(scene(i, only)[1].values())) for i,m in zip(its, cams.maps)])>.95
    right = learn.cam()
    same = [a==b for a,b in zip(right.labels, cams.labels)]
    assert np.mean(same)>.95 and torch.equal(right.maps[same], cams.maps[same])
    assert [len(o) for o in learn.cam(its[:3], target=TopK(2)).labels]==[2]*3

def test_no_vocab():
    "Without names, classes are numbers: what is wrong is known all the same"
    x = torch.stack([image2tensor(scene(i)[0])/255. for i in range(6)])
    dl = DataLoader([(o,i%3) for i,o in enumerate(x)], bs=2)
    learn = Learner(DataLoaders(dl, dl), pooled(3), loss_func=CrossEntropyLossFlat())
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    cams = learn.cam()
    assert cams.predicted==[str(o) for o in cams.preds.argmax(1).tolist()] and cams.actuals==['0','1','2']*2
    assert len(cams.where(error=True))==sum(a!=b for a,b in zip(cams.predicted, cams.actuals)) and len(cams.where(predicted=cams.predicted[0]))
    one = Learner(learn.dls, pooled(1), loss_func=BCEWithLogitsLossFlat())
    assert one.cam(dl=[(x, tensor([0,1]*3))]).predicted==[None]*6                                     # one output is no class
    with pytest.raises(TypeError, match='Tensor with an int.*with its target'): learn.cam((x[0], 1))
    with pytest.raises(ValueError, match='empty'): learn.cam([])

# ---- several labels

def test_multi_label():
    "A column for every class above the threshold, and each map is on its own disc"
    learn = trained(scenes(MultiCategoryBlock, lambda i: list(scene(i)[1])), pooled(3), epochs=12, lr=2e-2, metrics=accuracy_multi)
    assert learn.validate()[1]>.95
    its,cams = valid(learn),learn.cam()
    assert len({len(o) for o in cams.labels})>1                                                       # not the same number in each item
    assert np.mean([set(l)==set(scene(i)[1]) for i,l in zip(its, cams.labels)])>.9
    hits = [peaks_at(m, scene(i)[1][c]) for i,item in zip(its, cams) for c,m in zip(item.labels, item.maps) if c in scene(i)[1]]
    assert len(hits)>len(its) and np.mean(hits)>.95
    assert [set(l) for l in learn.cam(target=Actual()).labels]==[set(scene(i)[1]) for i in its]
    for i,item in zip(its, cams): assert [item.preds[learn.dls.vocab.o2i[c]]>.5 for c in item.labels].count(False)<=(len(item.labels)==1)
    few,many = learn.cam(target=Above(.99)),learn.cam(target=Above(.01))
    assert sum(map(len, few.labels))<sum(map(len, cams.labels))<sum(map(len, many.labels))
    two = first(i for i,o in zip(its, cams.labels) if len(o)==2)
    item = learn.cam(two)[0]
    assert [t.split()[0] for t in titles(item)]==item.labels
    assert learn.cam(two, target='blue')[0].labels==['blue']
    for c in learn.dls.vocab: assert cams.where(actual=c).rows==[i for i,t in enumerate(its) if c in scene(t)[1]]
    assert len(cams.where(actual=cams.actuals[0]))==sum(a==cams.actuals[0] for a in cams.actuals)
    assert learn.cam(two).predicted==[None] and cams.predicted==[None]*len(its)                        # no single one, with labels and without

@pytest.mark.parametrize('loss,several', [(BCEWithLogitsLossFlat(),True), (nn.BCEWithLogitsLoss(),True), (F.binary_cross_entropy_with_logits,True), (nn.CrossEntropyLoss(),False)])
def test_loss_says(loss, several):
    "Without fastai's data block, the loss alone says that there are several labels"
    x = torch.stack([image2tensor(scene(i)[0])/255. for i in range(4)])
    dl = torch.utils.data.DataLoader([(o,torch.ones(3)) for o in x], batch_size=2)
    net = pooled(3)
    net[1][2].bias.data = tensor([3.,2.,-9.])
    learn = Learner(DataLoaders(dl, dl), net, loss_func=loss)
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    assert learn.cam(dl=[(x,)]).labels==[['0','1'] if several else ['0']]*4

# ---- numbers

def test_regression():
    "A red disc adds one to the number, a blue one takes one away: the map's highest cell is on the first, its lowest on the second"
    y = lambda i: float('red' in scene(i)[1]) - float('blue' in scene(i)[1])
    learn = trained(scenes(RegressionBlock(n_out=1), y), pooled(1), epochs=6, metrics=mae)
    assert learn.validate()[1]<.15
    both = [i for i in valid(learn) if {'red','blue'}<=set(scene(i)[1])]
    cams = learn.cam(both, method='hirescam')
    assert len(both)>5 and cams.signed and cams.labels==[['output 0']]*len(both)
    assert np.mean([peaks_at(m[0], scene(i)[1]['red']) for i,m in zip(both, cams.maps)])>.9
    assert np.mean([peaks_at(m[0], scene(i)[1]['blue'], largest=False) for i,m in zip(both, cams.maps)])>.9
    assert all('(red = increases)' in t for t in titles(cams[:2]))
    down = learn.cam(both, target=Neg(Outputs()), method='hirescam')
    assert torch.allclose(down.maps, -cams.maps, atol=1e-6)
    item = learn.cam(both[0])[0]
    assert (item.preds-learn.get_preds(dl=learn.dls.test_dl(both[:1]))[0][0]).abs().max()<1e-5

def test_several_outputs():
    "Two numbers, a column each: how much red, how much blue"
    y = lambda i: [float('red' in scene(i)[1]), float('blue' in scene(i)[1])]
    learn = trained(scenes(RegressionBlock(n_out=2), y), pooled(2), epochs=6, metrics=mae)
    both = [i for i in valid(learn) if {'red','blue'}<=set(scene(i)[1])]
    cams = learn.cam(both)
    assert cams.labels==[['output 0','output 1']]*len(both) and cams.maps.shape[:2]==(len(both),2)
    for j,c in enumerate(('red','blue')): assert np.mean([peaks_at(m[j], scene(i)[1][c]) for i,m in zip(both, cams.maps)])>.9
    assert learn.cam(both[:1], target=Outputs(['redness','blueness'])).labels==[['redness','blueness']]

@pytest.mark.parametrize('n', [1,2])
def test_regression_of_any_loss(n):
    "The block says that there are numbers, whatever the loss is: these are what the model gives, and no classes; one output alone is no probability"
    torch.manual_seed(0)
    dls = scenes(RegressionBlock(n_out=n), lambda i: [i/20, 1.][:n] if n>1 else i/20, n=20)
    own,mse = [Learner(dls, net, loss_func=f) for net in [pooled(n)] for f in (lambda p,y: (p.squeeze(1)-y).abs().mean(), MSELossFlat())]
    with own.no_bar(), mse.no_bar(): a,b = own.cam(),mse.cam()
    assert a.labels==b.labels and a.signed and torch.equal(a.preds, b.preds) and a.predicted==b.predicted==[None]*len(a) and titles(a)==titles(b)
    x = torch.stack([image2tensor(scene(i)[0])/255. for i in range(4)])
    dl = torch.utils.data.DataLoader([(o,.5) for o in x], batch_size=2)
    plain = Learner(DataLoaders(dl, dl), pooled(1), loss_func=lambda p,y: (p-y).abs().mean())
    with plain.no_bar(): cams = plain.cam()
    with evaluating(plain.model), torch.no_grad(): assert torch.allclose(cams.preds, plain.model(x), atol=1e-5)
    assert not any(o.preds.requires_grad for o in (a, b, cams))

def test_pictures_of_pictures():
    "Of a model that gives pictures, by whatever loss: the mean of each band, as by a function, and no class"
    torch.manual_seed(0)
    dls = scenes(ImageBlock, picture, n=20)
    net = Dense(3)
    for loss in (MSELossFlat(), lambda p,y: (p-y).abs().mean()):
        learn = Learner(dls, net, loss_func=loss)
        with learn.no_bar():
            cams,hand = learn.cam(),learn.cam(target=lambda p: p.mean((2,3)))
            out = learn.get_preds()[0]
        assert cams.labels==[[f'output {i}' for i in range(3)]]*len(cams) and cams.signed and cams.predicted==[None]*len(cams)
        assert torch.allclose(cams.preds, out.as_subclass(Tensor).mean((2,3)), atol=1e-5)
        assert torch.allclose(cams.maps, hand.maps, atol=1e-6*hand.maps.abs().max().item()+1e-9)

class ToZero(nn.MSELoss):
    def forward(self, pred, y): return (pred**2).mean()

def test_outputs_by_number():
    "Numbers of outputs are these outputs, as they are drawn by default; names fit the outputs, or are refused"
    learn = small_learner(small_net())
    learn.loss_func = MSELossFlat()
    files = drawn_files()[0][:2]
    every,two = learn.cam(files),learn.cam(files, target=[2,0])
    assert every.signed and two.signed and every.labels==[['output 0','output 1','output 2']]*2 and two.labels==[['output 2','output 0']]*2
    assert torch.equal(two.maps, every.maps[:,[2,0]]) and learn.cam(files, target=1).labels==[['output 1']]*2
    assert learn.cam(files, target=tensor(1)).labels==[['output 1']]*2
    film = CAMFilm(files, target=1)
    learn.loss_func = ToZero()
    with learn.no_logging(): learn.fit(1, 0., cbs=film)
    assert film.frames[0].signed and film.frames[0].labels==[['output 1']]*2
    with pytest.raises(ValueError, match='empty list'): learn.cam(files, target=[])
    with pytest.raises(ValueError, match='2 names for 3 outputs'): learn.cam(files, target=Outputs(['a','b']))
    with pytest.raises(TypeError, match='expected a list'): Outputs(3)
    with pytest.raises(IndexError, match='3 outputs'): learn.cam(files, target=3)

def test_points():
    "Where is the disc? Its x and y are columns, by name; what moves them is on the disc"
    only = ('red',)
    at = lambda i: TensorPoint(tensor([scene(i, only)[1]['red']]).float())
    net = nn.Sequential(body(), nn.Sequential(nn.Flatten(), nn.Linear(32*12*12, 2)))
    learn = trained(scenes(PointBlock, at, get_x=partial(picture, only=only), n=300), net, epochs=8, lr=3e-3)
    its = valid(learn)
    preds,targs = learn.get_preds()
    assert (preds.view(-1,2)-targs.view(-1,2)).abs().mean()<.15                                        # the picture is -1..1
    cams = learn.cam(method='hirescam')
    assert cams.signed and cams.labels==[['point 0 x','point 0 y']]*len(its)
    assert np.mean([peaks_at(m.abs().sum(0), scene(i, only)[1]['red']) for i,m in zip(its, cams.maps.as_subclass(Tensor))])>.9

# ---- segmentation

class Dense(nn.Module):
    "A class for each pixel, from a grid of 12 by 12; a cell sees 23 pixels around itself"
    def __init__(self, n):
        super().__init__()
        self.body,self.head = body(),nn.Sequential(ConvLayer(32,32,1), nn.Conv2d(32,n,1))
    def forward(self, x): return F.interpolate(self.head(self.body(x)), size=x.shape[-2:], mode='bilinear')

codes = ['background',*colors]
def mask(i):
    res = Image.new('L', (size,size))
    for c,(x,y) in scene(i)[1].items(): ImageDraw.Draw(res).ellipse([x-r,y-r,x+r,y+r], fill=codes.index(c))
    return PILMask.create(np.array(res))

@cache
def segments(): return trained(scenes(MaskBlock(codes), mask), Dense(len(codes)), epochs=6)

def test_segmentation():
    "Each class that is predicted is a column; a class by name"
    learn = segments()
    its = valid(learn)
    pred = learn.get_preds()[0].argmax(1)
    assert (pred==torch.stack([tensor(np.array(mask(i))) for i in its])).float().mean()>.95
    cams = learn.cam()
    assert np.mean([set(l)=={'background',*scene(i)[1]} for i,l in zip(its, cams.labels)])>.9
    hits = [peaks_at(m, scene(i)[1][c]) for i,item in zip(its, cams) for c,m in zip(item.labels, item.maps) if c in scene(i)[1]]
    assert len(hits)>len(its) and np.mean(hits)>.95
    share = torch.stack([(pred==c).flatten(1).float().mean(1) for c in range(len(codes))], 1)
    assert torch.allclose(cams.preds, share)                                                            # what the titles say
    with_red = [i for i in its if 'red' in scene(i)[1]]
    assert all(peaks_at(m[0], scene(i)[1]['red']) for i,m in zip(with_red, learn.cam(with_red, target='red').maps))

def test_segmentation_other_targets():
    "`Above` is about labels; of what is predicted everywhere it is each class that is predicted. A title is that of the target inside"
    learn,i = segments(),first(i for i in valid(segments()) if len(scene(i)[1])>1)
    default,above,outs = learn.cam(i),learn.cam(i, target=Above(.2)),learn.cam(i, target=Outputs())
    assert above.labels==default.labels and torch.equal(above.maps, default.maps)
    assert outs.labels==[[f'output {c}' for c in range(len(codes))]]

def test_segmentation_region():
    "Asked about one region or pixel, only what lies around it counts; it is the gradient of these places"
    learn = segments()
    i = first(i for i in valid(learn) if {'red','blue'}<=set(scene(i)[1]))
    (x,y),(u,v) = scene(i)[1]['red'],scene(i)[1]['blue']
    m = np.zeros((size,size), dtype=bool)
    m[y-r:y+r,x-r:x+r] = True
    item = learn.cam(i, target=Region(m))[0]
    assert item.labels==['red'] and peaks_at(item.maps[0], (x,y))
    cams = learn.cam(i, target=[Region((y,x)), Region((v,u)), Region((y,x), 'blue')], method='hirescam')
    assert cams.labels==[['red','blue','blue']]
    red,blue,other = cams.maps[0]
    assert peaks_at(red, (x,y)) and peaks_at(blue, (u,v)) and other.max()<red.max()
    far = torch.tensor([[max(abs((o+.5)*4-y), abs((p+.5)*4-x))>8 for p in range(12)] for o in range(12)])
    assert not red[far].any()                                                                           # the head sees a place and those next to it
    xb = learn.dls.test_dl([i]).one_batch()[0].as_subclass(Tensor)
    with evaluating(learn.model):
        a = learn.model.body(xb).detach().requires_grad_()
        out = F.interpolate(learn.model.head(a), size=(size,size), mode='bilinear')
        g, = torch.autograd.grad(out[0,1,y,x], a)
    assert torch.allclose(red.as_subclass(Tensor), (g*a)[0].sum(0).detach(), atol=1e-5)
    with pytest.raises(IndexError, match='outside'): learn.cam(i, target=Region((size,0)))
    with pytest.raises(ValueError, match='empty'): learn.cam(i, target=Region(np.zeros((size,size))))

def tiny(pretrained=False): return nn.Sequential(*body(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32,4))

def test_unet():
    "`unet_learner`: the bottom of the U by default, and by hand a layer of the decoder"
    learn = unet_learner(scenes(MaskBlock(codes), mask), tiny, pretrained=False, n_out=len(codes))
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    with learn.no_logging(): learn.fit_one_cycle(4, 3e-3)
    its = [i for i in valid(learn) if 'red' in scene(i)[1]]
    was = snapshot(learn)
    cams = learn.cam(its, target='red', method='hirescam')
    assert not changed(was, snapshot(learn))
    assert cams.labels==[['red']]*len(its) and cams.maps.grid==(12,12)
    assert np.mean([peaks_at(m[0], scene(i)[1]['red']) for i,m in zip(its, cams.maps)])>.6              # by chance .14; much goes past the bottom of a U
    tab = learn.cam_layers()
    assert tab.iloc[-1]['name']=='layers.3' and tab.iloc[-1]['']=='default'
    fine = learn.cam(its, target='red', method='hirescam', layer='layers.4')
    assert fine.maps.grid==(24,24) and np.mean([peaks_at(m[0], scene(i)[1]['red']) for i,m in zip(its, fine.maps)])>.9

# ---- embeddings

def test_similar():
    "A query in one color, pictures with two: what makes them alike is the disc of that color"
    learn = one_label()
    dls = scenes(CategoryBlock, lambda i: 'any')
    embed = Learner(dls, nn.Sequential(learn.model[0], learn.model[1][:2]), loss_func=CrossEntropyLossFlat())
    embed.remove_cbs(embed.cbs.filter(lambda o: o.name=='progress'))
    alone = {c: first(i for i in range(500) if set(scene(i)[1])=={c}) for c in ('red','blue')}
    both = [i for i in range(60) if set(scene(i)[1])=={'red','blue'}]
    cams = embed.cam(both, target=Similar(list(alone.values())))
    # the last layer, though each of its channels is an output of its own
    assert cams.maps.shape==(len(both),2,12,12) and len(both)>3
    for j,c in enumerate(alone): assert np.mean([peaks_at(m[j], scene(i)[1][c]) for i,m in zip(both, cams.maps)])>.9
    assert titles(cams[0])==['similar to 0','similar to 1']                                              # and no probability
    one = embed.cam(both[0], target=Similar(alone['red']))
    assert torch.allclose(one.maps[0,0], cams.maps[0,0], atol=1e-6)
    emb = embed.get_preds(dl=embed.dls.test_dl([alone['red']]), act=noop)[0][0]
    assert torch.allclose(embed.cam(both[0], target=Similar(emb)).maps, one.maps, atol=1e-6)              # an embedding does as well
    # it is as alike as can be: a step along the activations changes nothing
    assert (embed.cam(alone['red'], target=Similar(alone['red']), method='hirescam').maps.sum().abs()<1e-4)

# ---- models with more than one output, and more than one input

class Outs(nn.Module):
    "`net` and a second output, in a tuple, a list or a dict"
    def __init__(self, net, how): super().__init__(); self.net,self.how = net,how
    def forward(self, x):
        y = self.net(x)
        return dict(tuple=(y,y.sum(1)), list=[y,-y], dict=dict(logits=y, sum=y.sum(1)))[self.how]

@pytest.mark.parametrize('how,get', [('tuple',lambda p: p[0][:,1]), ('list',lambda p: p[0][:,1]), ('dict',lambda p: p['logits'][:,1])])
def test_outputs(how, get):
    "A function says which number; without one, the error says what is needed; nothing is changed"
    plain = one_label()
    learn = Learner(plain.dls, Outs(plain.model, how), loss_func=lambda p,*y: get(p).mean())
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    its = valid(learn)[:3]
    was = snapshot(learn)
    cams = learn.cam(its, target=get)
    want = plain.cam(its, target=1)
    assert torch.allclose(cams.maps, want.maps)
    assert torch.allclose(cams.preds, want.preds, atol=1e-6) if how=='dict' else cams.preds is None      # logits are known by their name
    assert torch.allclose(learn.cam(target=get).maps[:3], cams.maps, atol=1e-6)                          # the validation set, with its loss
    if how=='dict': assert torch.allclose(learn.cam(its).maps, plain.cam(its).maps)
    else:
        with pytest.raises(TypeError, match=f'(?s){how}.*target=.*function'): learn.cam(its)
    assert not changed(was, snapshot(learn))
    learn.show_cam(its, target=get)
    plt.close('all')

class Twin(nn.Module):
    "One body for both inputs; the second decides the class"
    def __init__(self, net): super().__init__(); self.body,self.head = net[0],net[1]
    def forward(self, x, y): return .1*self.head(self.body(x)) + self.head(self.body(y))

def test_inputs():
    "`layer='body@1'` explains the second input, `inp=1` draws it"
    plain,only = one_label(),tuple(colors)
    block = DataBlock((ImageBlock,ImageBlock,CategoryBlock), n_inp=2, get_items=range, splitter=RandomSplitter(.2, seed=0), batch_tfms=Normalize.from_stats(*imagenet_stats),
                      getters=[partial(picture, only=only), lambda i: picture(i+1000, only), lambda i: first(scene(i+1000, only)[1])])
    learn = Learner(block.dataloaders(50, bs=5, num_workers=0), Twin(plain.model), loss_func=CrossEntropyLossFlat())
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    its = valid(learn)
    a,b = learn.cam(target=Actual()),learn.cam(target=Actual(), layer='body@1')
    assert np.mean([peaks_at(m[0], first(scene(i+1000, only)[1].values())) for i,m in zip(its, b.maps)])>.9
    assert torch.allclose(a.maps, .1*plain.cam(its, target=a.targets).maps, atol=1e-5)                   # the first by default
    assert torch.allclose(a.inputs[1], b.inputs[1]) and len(a.inputs)==2
    shown = [np.asarray(b[0].show(inp=n)[0].get_images()[0].get_array()) for n in (0,1)]
    for n,s in enumerate(shown): assert np.abs(s.astype(int)-np.array(scene(its[0]+1000*n, only)[0])).max()<2
    with pytest.raises(IndexError, match='2 inputs'): b.show(inp=2)
    plt.close('all')

# ---- a prediction inside of an object, as Hugging Face's models give it

class Output(dict):
    "A dict whose entries are attributes, too"
    __getattr__ = dict.__getitem__

class HasLogits(nn.Module):
    def __init__(self, model): super().__init__(); self.model = model
    def forward(self, x): return Output(logits=self.model(x))

@pytest.mark.parametrize('kw', [dict(method=m) for m in ['gradcam','ablationcam','headcam','cam','scorecam','sscam','iscam','smoothgradcampp','guidedbackprop','guidedgradcam','fullgrad']] +
                               [dict(smooth=o) for o in ('tta','noise','windows')], ids=lambda kw: first(kw.values()))
def test_logits(kw):
    "Every method takes the `logits` of such an object for the prediction"
    model,x = small_net().eval(),drawn_batch(2)
    assert torch.equal(cam_maps(HasLogits(model), x, [2,0], 'model.0', **kw), cam_maps(model, x, [2,0], '0', **kw))
    assert cam_maps(HasLogits(model), x, [2,0], 'model.0', **kw).any()

@pytest.mark.parametrize('metric', [insertion_auc, average_drop, max_sensitivity])
def test_logits_measured(metric):
    "So do the metrics"
    model,x = small_net().eval(),drawn_batch(3)
    maps = cam_maps(model, x)[:,0]
    kw = lambda m: dict(explain=partial(cam_maps, m)) if metric is max_sensitivity else {}
    assert torch.equal(metric(HasLogits(model), x, maps, **kw(HasLogits(model))), metric(model, x, maps, **kw(model)))

def test_said():
    "Each target says how it is made"
    assert repr(Actual())=='Actual()' and repr(Neg(Actual()))=='Neg(Actual())' and repr(TopK(2))=='TopK(2)'
    assert repr(Several(Actual(), TopK(2)))=='Several(Actual(), TopK(2))'

@pytest.mark.parametrize('wrap', [Prob,Versus,ReST,Neg])
def test_wrapped_targets_read_for_themselves(wrap):
    "What is wrapped reads the prediction its own way: the same as of a model that gives that part alone"
    class Second(TopK):
        def read(self, pred): return pred[:,:,1] if isinstance(pred, Tensor) else pred[1]
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3,6,3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x,(one,two) = torch.randn(2,3,9,9),(nn.Linear(6,3),nn.Linear(6,3))
    class Net(nn.Module):
        def __init__(self, out):
            super().__init__()
            self.body,self.one,self.two,self.out = body,one,two,out
        def forward(self, x):
            h = self.body(x)
            return self.out(self.one(h), self.two(h))
    want = cam_maps(Net(lambda a,b: b).eval(), x, wrap(TopK(1)))
    assert want.any()
    for target,out in ((Second(1),lambda a,b: torch.stack([a,b], 2)), (Head(1),lambda a,b: torch.stack([a,b], 1)), (Head(1),lambda a,b: (a,b))):
        assert torch.allclose(cam_maps(Net(out).eval(), x, wrap(target)), want, atol=1e-6)
