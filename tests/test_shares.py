"What each of several inputs counted: against Shapley values by hand, on trained models whose deciding input is known, for numbers, texts, categories and masks"
import itertools
import pytest
from utils import *

class TwoInputs(nn.Module):
    "A picture and numbers; answers are a class of two"
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1,8,3,2,1), nn.ReLU(), nn.Conv2d(8,8,3,2,1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(nn.Linear(8+3,16), nn.ReLU(), nn.Linear(16,2))
    def forward(self, x, t): return self.head(torch.cat([self.body(x), t], 1))

def random_inputs(n=4): return torch.randn(n,1,16,16),torch.randn(n,3)

def items_of(deciding, n=96):
    "(picture, numbers, class): the class lies in one of the two, in the other is noise"
    rng,res = torch.Generator().manual_seed(0),[]
    for i in range(n):
        x,t = torch.randn(1,16,16, generator=rng)*.3,torch.randn(3, generator=rng)
        if deciding==0: x[:,4:12,4:12] += 2 if i%2 else -2
        else: t[1] = 2 if i%2 else -2
        res.append((x, t, tensor(i%2)))
    return res

def trained(deciding):
    set_seed(0)
    its = items_of(deciding)
    dls = DataLoaders(DataLoader(its[:64], bs=16, shuffle=True, n_inp=2), DataLoader(its[64:], bs=16, n_inp=2))
    dls.n_inp = 2
    learn = Learner(dls, TwoInputs(), loss_func=CrossEntropyLossFlat())
    learn.remove_cb(ProgressCallback)
    with learn.no_logging(): learn.fit(8, 1e-2)
    return learn,its[64:]

@pytest.mark.parametrize('deciding', [0,1])
def test_the_planted_input_counts(deciding):
    "In the learner and in plain PyTorch: the planted input has nearly all, in each item"
    learn,its = trained(deciding)
    xb = tuple(torch.stack(t) for t in list(zip(*its))[:2])
    cams = learn.cam(dl=[xb], shares=True)
    assert cams.shares.shape==(len(its),1,2)
    each = cams.shares.abs()/cams.shares.abs().sum(-1, keepdim=True)
    assert each[...,deciding].min()>.8 and each[...,deciding].mean()>.9
    assert (cams.shares[...,deciding]>0).all()                           # it speaks for what is predicted
    assert torch.allclose(cams.shares, input_shares(learn.model, xb), atol=1e-5)
    assert torch.equal(cams[3].shares, cams.shares[3]) and torch.equal(cams[2:4].shares, cams.shares[2:4])
    s = each[0,0,deciding].item()
    assert f'input {deciding}: {s:.0%}' in cams.panels()[0].title
    plain = learn.cam(dl=[xb])
    assert plain.shares is None and 'input' not in plain.panels()[0].title and torch.equal(plain.maps, cams.maps)

def test_they_are_shapley_values():
    "Three inputs that multiply: by the formula over sets; they add up to what was gained; other empty inputs"
    class Product(nn.Module):
        def forward(self, x, y, z):
            x,y,z = (t.flatten(1).mean(1) for t in (x,y,z))
            return torch.stack([x*y+z*z*y, x*y*z], 1)
    model,xb = Product().eval(),(torch.rand(5,3,4,4),torch.rand(5,6),torch.rand(5,2))
    for empty in ([0.,0.,0.], [.1,-.2,.3]):
        def v(s): return model(*[x if i in s else torch.full_like(x, empty[i]) for i,x in enumerate(xb)])
        def of(i):
            others = [j for j in range(3) if j!=i]
            sets = [c for n in range(3) for c in itertools.combinations(others, n)]
            return sum(math.factorial(len(s))*math.factorial(2-len(s))/6*(v({*s,i})-v({*s})) for s in sets)
        got = input_shares(model, xb, [0,1], empty=empty)
        assert torch.allclose(got, torch.stack([of(i) for i in range(3)], -1), atol=1e-6)
        assert torch.allclose(got.sum(-1), v({0,1,2})-v(set()), atol=1e-6)

def test_many_inputs_add_up():
    "Of seven inputs not all orders are asked: what adds up in the model has its own value, and a product's is all given away"
    class Many(nn.Module):
        def forward(self, *xs):
            m = [x.mean(1) for x in xs]
            return torch.stack([sum((i+1)*o for i,o in enumerate(m)), m[0]*m[1]*m[2]], 1)
    xb = tuple(torch.rand(3,4) for _ in range(7))
    got = input_shares(Many(), xb, [0,1])
    assert torch.allclose(got[:,0], torch.stack([(i+1)*x.mean(1) for i,x in enumerate(xb)], 1), atol=1e-5)
    assert torch.allclose(got[:,1].sum(1), xb[0].mean(1)*xb[1].mean(1)*xb[2].mean(1), atol=1e-6)
    assert (got[:,1,3:].abs()<1e-6).all()

class TextBesideNumbers(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb,self.out,self.num = nn.Embedding(20,6),nn.Linear(6,2,bias=False),nn.Linear(3,2,bias=False)
    def forward(self, ids, mask, t): return self.out((self.emb(ids)*mask[...,None]).sum(1))+self.num(t)

def test_texts_by_their_embeddings():
    "A text is empty where its embeddings are 0; its mask goes along; a whole number is a token"
    set_seed(0)
    model = TextBesideNumbers().eval()
    ids,mask,t = torch.randint(2,20,(4,7)),torch.ones(4,7).long(),torch.randn(4,3)
    mask[:2,5:] = 0
    with torch.no_grad(): want = torch.stack([model.out((model.emb(ids)*mask[...,None]).sum(1)), torch.zeros(4,2), model.num(t)], -1)
    assert torch.allclose(input_shares(model, (ids,mask,t), [0,1]), want, atol=1e-5)
    with torch.no_grad(): token = want[...,0]-model.out((model.emb(torch.full_like(ids, 3))*mask[...,None]).sum(1))
    assert torch.allclose(input_shares(model, (ids,mask,t), [0,1], empty=(3,None,None))[...,0], token, atol=1e-5)

def test_categories_are_codes():
    "Looked up column by column, they are empty as number 0"
    class Categories(nn.Module):
        def __init__(self): super().__init__(); self.embs = nn.ModuleList([nn.Embedding(5,2) for _ in range(3)])
        def forward(self, cat, x): return sum(e(cat[:,i]) for i,e in enumerate(self.embs))+x.mean((1,2,3))[:,None]
    model,cat,x = Categories().eval(),torch.randint(1,5,(4,3)),torch.rand(4,1,6,6)
    with torch.no_grad(): gained = sum(e(cat[:,i])-e.weight[0] for i,e in enumerate(model.embs))
    got = input_shares(model, (cat,x), [0,1])
    assert torch.allclose(got[...,0], gained, atol=1e-5) and torch.allclose(got[...,1], x.mean((1,2,3))[:,None].expand(-1,2), atol=1e-5)

def test_an_item_by_itself():
    "The same alone and in a batch; per item and as numbers differ, an `L`"
    set_seed(0)
    model,xb = TwoInputs().eval(),random_inputs()
    got = input_shares(model, xb)
    for i in range(4): assert torch.allclose(input_shares(model, tuple(x[i:i+1] for x in xb)), got[i:i+1], atol=1e-6)
    assert [len(o) for o in input_shares(model, xb, Above(.5))]==[int((p>.5).sum()) for p in model(*xb).sigmoid()]

def test_what_cannot_be_told_is_said():
    class Ratio(nn.Module):
        def forward(self, x, t): return torch.stack([x.mean((1,2,3))/t.norm(dim=1), t.sum(1)], 1)
    xb = random_inputs()
    with pytest.raises(ValueError, match='say what stands for an empty input'): input_shares(Ratio(), xb, 0)
    assert input_shares(Ratio(), xb, 0, empty=(0.,1.)).isfinite().all()
    with pytest.raises(ValueError, match='one for each of the 2 inputs'): input_shares(Ratio(), xb, 0, empty=(0.,))

class Counting:
    "Counts the calls of a model"
    def __init__(self, model, calls): self.model,self.calls = model,calls
    def __enter__(self): self.h = self.model.register_forward_pre_hook(lambda m,x: self.calls.append(x))
    def __exit__(self, *args): self.h.remove()

def test_few_passes_and_no_trace():
    "Three more calls for two inputs, none where nothing was asked; nothing is left behind"
    model,xb,calls = TwoInputs().eval(),random_inputs(),[]
    find_layers(model, xb)
    with Counting(model, calls): input_shares(model, xb)
    assert len(calls)==4
    assert not model._forward_pre_hooks and all(p.grad is None for p in model.parameters())

def test_of_texts_in_a_learner():
    "Words beside numbers: the title says what both counted"
    set_seed(0)
    class Words(TextBesideNumbers):
        def forward(self, ids, t): return super().forward(ids, torch.ones_like(ids), t)
    model,xb = Words().eval(),(torch.randint(2,20,(4,7)),torch.randn(4,3))
    dl = DataLoader(list(zip(*xb, torch.zeros(4).long())), bs=4, n_inp=2)
    learn = Learner(DataLoaders(dl, dl), model, loss_func=CrossEntropyLossFlat())
    learn.remove_cb(ProgressCallback)
    cams = learn.cam(shares=True)
    assert type(cams) is TextCAMs and torch.allclose(cams.shares, input_shares(model, xb), atol=1e-6)
    assert all('input 0: ' in p.title and 'input 1: ' in p.title for p in cams.panels())
