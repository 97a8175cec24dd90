"Words as a target, and features without a head: a model of two encoders that is trained here, those of OpenCLIP and transformers, other truths for the numbers, and inputs that are wrong"
import pytest
from utils import *
from fastcam.engine.prompt import *
from fastcam.engine.features import *

# ---- drawn shapes and words

colors,shapes = dict(red=(.9,.1,.1), green=(.1,.8,.1), blue=(.2,.2,.95)),['circle','square','cross']
said = [f'{c} {s}' for c in colors for s in shapes]
words = [*colors, *shapes]
def tokenizer(texts): return tensor([[words.index(w) for w in t.split()] for t in texts])

def draw(rng, n=3, sz=32, r=4):
    "A picture with `n` different shapes at places apart, which they are, and where: a dict of (y, x) by words"
    im,at = .3*torch.rand(3, sz, sz, generator=rng),{}
    y,x = torch.meshgrid(torch.arange(sz), torch.arange(sz), indexing='ij')
    cells = torch.randperm(9, generator=rng)[:n].tolist()
    for i,cell in zip(torch.randperm(9, generator=rng)[:n].tolist(), cells):
        cy,cx = (5+11*o+int(torch.randint(0, 2, (1,), generator=rng)) for o in divmod(cell, 3))
        dy,dx = (y-cy).abs(),(x-cx).abs()
        m = dict(circle=dy**2+dx**2<=r**2+2, square=(dy<=r-1)&(dx<=r-1), cross=((dy<2)|(dx<2))&(dy<=r)&(dx<=r))[said[i].split()[1]]
        im = torch.where(m, tensor(colors[said[i].split()[0]])[:,None,None], im)
        at[said[i]] = (cy,cx)
    return im,at

class TwoTowers(nn.Module):
    "Pictures by convolutions, texts by their words; compared as SigLIP compares them"
    def __init__(self, d=32):
        super().__init__()
        self.visual = nn.Sequential(ConvLayer(3,24,5,stride=2), ConvLayer(24,48,stride=2), ConvLayer(48,48), nn.Conv2d(48,d,1), nn.ReLU())
        self.words,self.out = nn.EmbeddingBag(len(words), 32),nn.Sequential(nn.Linear(32,64), nn.ReLU(), nn.Linear(64,d))
        self.logit_scale,self.logit_bias,self.asked = nn.Parameter(tensor(2.5)),nn.Parameter(tensor(-4.)),[]
    def encode_image(self, x): return self.visual(x).mean((2,3))
    def encode_text(self, t):
        self.asked.append(len(t))
        return self.out(self.words(t))
    def forward(self, x, t): return F.normalize(self.encode_image(x))@F.normalize(self.encode_text(t)).T*self.logit_scale.exp()+self.logit_bias

@pytest.fixture(scope='module')
def trained():
    "The model, and pictures that it has not seen, `(x, where)`"
    rng = torch.Generator().manual_seed(0)
    pics = [draw(rng) for _ in range(1300)]
    x,y = torch.stack([o for o,_ in pics]),tensor([[float(t in at) for t in said] for _,at in pics])
    torch.manual_seed(0)
    model,tokens = TwoTowers(),tokenizer(said)
    steps = 600
    opt = torch.optim.AdamW(model.parameters(), lr=4e-3)
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, 8e-3, total_steps=steps)
    for i in range(steps):
        idx = torch.randint(0, 1000, (32,), generator=rng)
        F.binary_cross_entropy_with_logits(model(x[idx], tokens), y[idx]).backward()
        opt.step(); opt.zero_grad(); sched.step()
    model.eval().asked.clear()
    return model,x[1000:],[at for _,at in pics[1000:]]

def test_points_at_its_words(trained):
    "In held-out pictures with several shapes the map of a prompt is highest on its shape; what is not there says so, and what is does not"
    model,x,where = trained
    assert all(len(at)==3 for at in where)
    hits,absent,present = [],[],[]
    explain = Explainer(Prompt(*said, tokenizer=tokenizer).bound(model)[0])
    tower = image_tower(model)
    with evaluating(tower), explain.capture(tower, (x,)) as cap:
        tower(x)
        found = explain.explain(cap, range(len(x)))
    for m,h,at in zip(found.maps[None], found.health[None], where):
        for j,t in enumerate(said):
            if t not in at: absent.append(h[j].startswith('not seen'))
            else:
                present.append(h[j].startswith('not seen'))
                y,c = divmod(m[j].resize(32).argmax().item(), 32)
                hits.append((t, math.dist((y,c), at[t])<=6))
    red = [ok for t,ok in hits if t=='red circle']
    assert len(red)>60 and np.mean(red)>=.95, np.mean(red)
    assert np.mean([ok for _,ok in hits])>=.9
    assert np.mean(absent)>=.9 and np.mean(present)<=.1, (np.mean(absent), np.mean(present))

def test_asked_once(trained):
    "The text is encoded once for a call, whatever the number of batches and templates; a batch is its items; nothing is left behind"
    model,x,_ = trained
    model.asked.clear()
    model.train()
    was = {n:m.training for n,m in model.named_modules()},{n:p.clone() for n,p in model.state_dict().items()}
    items = [(TensorImage(o),TensorCategory(0)) for o in x[:6]]
    learn = Learner(DataLoaders.from_dsets(items, items, bs=2, device='cpu', num_workers=0), model, loss_func=CrossEntropyLossFlat())
    learn.remove_cb(ProgressCallback)
    prompt = Prompt('red circle', 'blue cross', tokenizer=tokenizer, templates=['{}',' {} '])
    with evaluating(model):
        calls = []
        encode = TwoTowers.encode_text
        TwoTowers.encode_text = lambda self, t: calls.append(len(t)) or encode(self, t)
        try: cams = learn.cam(target=prompt)
        finally: TwoTowers.encode_text = encode
    assert calls==[4] and len(model.asked)==0                        # what it kept of the call is as it was
    assert cams.labels[0]==['red circle','blue cross'] and cams.maps.shape==(6,2,8,8)
    want = model.eval()(x[:6], tokenizer(['red circle'])).sigmoid()[:,0]
    model.asked.clear()
    model.train()
    assert torch.allclose(learn.cam(target=Prompt('red circle', tokenizer=tokenizer)).preds[:,0], want, atol=1e-5)
    one = cam_maps(model, x[4:5], Prompt('red circle', tokenizer=tokenizer))
    assert torch.allclose(cam_maps(model, x[:6], Prompt('red circle', tokenizer=tokenizer))[4:5], one, atol=1e-5)
    assert was[0]=={n:m.training for n,m in model.named_modules()} and all(torch.equal(v, was[1][n]) for n,v in model.state_dict().items())
    assert 'forward' not in vars(model) and not any(m._forward_hooks for m in model.modules())

# ---- peers, with random weights

def open_clip_model(**vision):
    open_clip = pytest.importorskip('open_clip')
    from open_clip.model import CLIP, CLIPVisionCfg, CLIPTextCfg
    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=2, width=64, head_width=16, patch_size=8, image_size=32, **vision)
    return CLIP(embed_dim=32, vision_cfg=vision, text_cfg=CLIPTextCfg(context_length=77, vocab_size=49408, width=32, heads=2, layers=1)).eval(),open_clip.SimpleTokenizer()

def transformers_model(kind):
    transformers,tokenizers = pytest.importorskip('transformers'),pytest.importorskip('tokenizers')
    vocab = {w:i for i,w in enumerate('<pad> <unk> <s> </s> a photo of red cat dog'.split())}
    t = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token='<unk>'))
    t.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tok = transformers.PreTrainedTokenizerFast(tokenizer_object=t, pad_token='<pad>', unk_token='<unk>', eos_token='</s>')
    both = dict(hidden_size=64, intermediate_size=64, num_attention_heads=4)
    text = dict(both, num_hidden_layers=1, vocab_size=10, max_position_embeddings=12, eos_token_id=3, pad_token_id=0, bos_token_id=2, projection_size=64)
    vision = dict(both, num_hidden_layers=2, image_size=32, patch_size=8)
    torch.manual_seed(0)
    return getattr(transformers, f'{kind}Model')(getattr(transformers, f'{kind}Config')(text_config=text, vision_config=vision)).eval(),tok

@pytest.mark.parametrize('vision', [{}, dict(attentional_pool=True), dict(pool_type='avg')], ids=['class token','attention pool','mean'])
def test_open_clip(vision):
    "Its own logits are what is explained, and every kind of method goes through"
    model,tok = open_clip_model(**vision)
    x = torch.randn(2,3,32,32)
    prompt,tower = Prompt('a cat', 'a dog', tokenizer=tok).bound(model)
    assert torch.allclose(prompt.setup().read(tower(x)), model.get_logits(x, tok(['a cat','a dog']))[0], atol=1e-4)
    for method in (None,'layercam','legrad','rollout','scorecam'):
        m = cam_maps(model, x, Prompt('a cat', 'a dog', tokenizer=tok), method=method)
        assert m.shape==(2,2,4,4) and m.isfinite().all() and m.abs().max()>0, method

@pytest.mark.parametrize('kind', ['CLIP','Siglip'])
def test_transformers(kind):
    "Its own logits are what is explained, through the tokenizer; a prompt that is too long is refused"
    model,tok = transformers_model(kind)
    x,texts = torch.randn(2,3,32,32),['a cat','a red dog']
    prompt,tower = Prompt(*texts, tokenizer=tok).bound(model)
    tokens = tok(texts, return_tensors='pt', **dict(padding='max_length', max_length=12) if kind=='Siglip' else dict(padding=True))
    assert torch.allclose(prompt.setup().read(tower(x)), model(**tokens, pixel_values=x).logits_per_image, atol=1e-4)
    for method in (None,'legrad','rollout','occlusion'): assert cam_maps(model, x, Prompt(*texts, tokenizer=tok), method=method).isfinite().all()
    with pytest.raises(ValueError, match='reads 12: make it shorter'): cam_maps(model, x, Prompt('a '*20, tokenizer=tok))

def test_cut_off():
    "OpenCLIP's tokenizers cut a text off; words that are not read are not asked about"
    model,tok = open_clip_model()
    x = torch.randn(1,3,32,32)
    with pytest.raises(ValueError, match='78 tokens long, and the text encoder reads 77'): cam_maps(model, x, Prompt('cat '*76, tokenizer=tok))
    assert cam_maps(model, x, Prompt('cat '*75, tokenizer=tok)).shape==(1,1,4,4)

def test_tokenizer_of_another_model():
    "Tokens that the text encoder has no names for"
    model,tok = open_clip_model()
    with pytest.raises(TypeError, match=r'The tokenizer gives input_ids, attention_mask, and the text encoder takes \(text.*open_clip.get_tokenizer'):
        cam_maps(model, torch.randn(1,3,32,32), Prompt('a cat', tokenizer=lambda ts: dict(input_ids=tok(ts), attention_mask=tok(ts)>0)))

def test_film(trained):
    "A film of words, while the text encoder is trained as well: it is asked again for each frame"
    model,x,_ = trained
    class Both(nn.Module):
        def __init__(self): super().__init__(); self.towers = TwoTowers()
        def encode_image(self, x): return self.towers.encode_image(x)
        def encode_text(self, t): return self.towers.encode_text(t)
        def forward(self, x): return F.normalize(self.encode_image(x))@F.normalize(self.encode_text(tokenizer(said[:2]))).T*5
    both = Both()
    both.towers.load_state_dict(model.state_dict())
    items = [(TensorImage(o),TensorCategory(i%2)) for i,o in enumerate(x[:6])]
    learn = Learner(DataLoaders.from_dsets(items, items, bs=3, device='cpu', num_workers=0), both, loss_func=CrossEntropyLossFlat())
    learn.remove_cb(ProgressCallback)
    prompt = Prompt('red circle', 'blue cross', tokenizer=tokenizer)
    film,before = CAMFilm(target=prompt),learn.cam(target=prompt)
    with learn.no_logging(): learn.fit(1, 1e-2, cbs=film)
    after = learn.cam(target=prompt)
    assert torch.allclose(film.frames[0].maps, before.maps, atol=1e-5) and torch.allclose(film.frames[-1].maps, after.maps, atol=1e-5)
    assert torch.allclose(film.frames[-1].preds, after.preds, atol=1e-5) and not torch.allclose(before.preds, after.preds, atol=1e-3)
    assert film.frames[0].labels[0]==['red circle','blue cross']

# ---- bad inputs

def test_refused():
    "What is wrong is said before the pictures are read"
    model,x = TwoTowers(),torch.randn(2,3,32,32)
    refused = [(ValueError, 'no `encode_text`', lambda: cam_maps(nn.Conv2d(3,4,1), x, Prompt('red circle', tokenizer=tokenizer))),
               (ValueError, 'give it as `tokenizer=`', lambda: cam_maps(model, x, Prompt('red circle'))),
               (TypeError, '`tokenizer` is a str', lambda: cam_maps(model, x, Prompt('red circle', tokenizer='red'))),
               (ValueError, 'expected embeddings', lambda: cam_maps(model, x, Prompt('red circle', tokenizer=tokenizer, encoder=lambda t: t[0].float()))),
               (ValueError, 'needs words', Prompt), (TypeError, 'expected words', lambda: Prompt(3)), (ValueError, 'no word', lambda: Prompt(' ')),
               (ValueError, "expected '{}'", lambda: Prompt('red', templates=['a photo'])), (ValueError, 'there is one', lambda: Prompt('red', of='softmax')),
               (ValueError, 'text encoder before', lambda: as_target(Prompt('red', tokenizer=tokenizer)))]
    for error,said,f in refused:
        with pytest.raises(error) as e: f()
        assert said in str(e.value), (said, str(e.value))

# ---- features

def test_principal():
    "The components of scikit-learn, where there are more cells than channels and where there are fewer"
    PCA = pytest.importorskip('sklearn.decomposition').PCA
    for n,c in ((200,12), (9,40)):
        x = torch.randn(n, c, generator=torch.Generator().manual_seed(0))*torch.linspace(1, 5, c)
        pca = PCA(3, svd_solver='full').fit(x.double().numpy())
        mean,axes,var = principal(x)
        assert np.allclose(mean, pca.mean_) and np.allclose(var, pca.explained_variance_)
        assert np.allclose((axes*tensor(pca.components_)).sum(1).abs(), 1)
        assert (axes.gather(1, axes.abs().argmax(1, keepdim=True))>0).all()
        assert torch.equal(principal(x.flip(0))[1].sign(), axes.sign())
