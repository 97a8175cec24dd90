"Which words decide, by default: trained models of known answer, several seeds, chunks, padding; two words together, a negated word; left out, replaced, phrases"
import pytest
from utils import *
from conftest import root
sys.path.append(str(root/'benchmarks'))
import words as bench

@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('kind', list(bench.kinds))
def test_deciding_word(kind, seed):
    "First in 57 of 60 held-out reviews of 5 to 41 words, in padded batches, with nothing chosen"
    if kind=='hugging_face': pytest.importorskip('transformers')
    learn,df = bench.learner(kind, seed),bench.reviews(60, 1000+seed)
    first_,right = bench.hits(learn, df)
    assert right>=57 and first_>=57
    assert bench.hits(learn, df, method='random')[0]<12                          # else any map would do

@cache
def awd(): return bench.learner('awd_lstm', 0, seq_len=12)

def test_several_chunks():
    "Four chunks of 12 tokens; what is said of a text does not depend on those beside it"
    learn,df = awd(),bench.reviews(60, 1000)
    got,right = bench.hits(learn, df)
    assert right>=57 and got>=57 and max(len(t.split()) for t in df.text)>36
    cams = learn.cam(df[:6])
    for t,m in zip(df.text[:6], cams._maps):
        one = learn.cam(t).maps[0]
        assert (one-m).abs().max()<=1e-4*one.abs().max()+1e-6

def test_passes_by_default():
    "Four forwards: that of the prediction, and three rows for each item"
    learn,rows = awd(),[]
    h = learn.model.register_forward_pre_hook(lambda m,xb: rows.append(len(xb[0])))
    try: learn.cam(['a superb film', 'the man was dull'])
    finally: h.remove()
    assert rows[0]==2 and sum(rows[1:])==6                                        # texts of one padding at a time

def test_names():
    "What was done is said below the words"
    learn = awd()
    assert 'red speaks for it, by ig<' in learn.cam('a superb film').html()
    assert 'red speaks for it, blue against it, by occlusion<' in learn.cam('a superb film', method='occlusion').html(relu=False)
    assert 'by gradcam<' in learn.cam('a superb film', layer=-1, method='gradcam').html()
    assert 'by inputgrad<' in learn.cam('a superb film', method='inputgrad', smooth='noise', samples=2).html()

def pairs(n, seed):
    "Good only if two words are there: either alone, or none, is bad"
    rng,res = random.Random(seed),[]
    for i in range(n):
        ws = rng.choices(bench.rest, k=rng.randint(6, 20))
        for w in (['superb','moving'], ['superb'], ['moving'], ['superb','moving'])[i%4]: ws.insert(rng.randint(0, len(ws)), w)
        res.append((' '.join(ws), 'good' if 'superb' in ws and 'moving' in ws else 'bad'))
    return pd.DataFrame(res, columns=['text','label'])

def negated(n, seed):
    "'not' in front of the word turns it"
    rng,res = random.Random(seed),[]
    for i in range(n):
        ws,no,w = rng.choices(bench.rest, k=rng.randint(6, 20)),rng.random()<.5,rng.choice(bench.good+bench.bad)
        at = rng.randint(0, len(ws))
        ws[at:at] = ['not',w] if no else [w]
        res.append((' '.join(ws), 'good' if (w in bench.good)!=no else 'bad'))
    return pd.DataFrame(res, columns=['text','label'])

def top(words, n): return set(words.word[words.iloc[:,2].nlargest(n).index])

def test_two_words_together():
    set_seed(0)
    learn,df = bench.gru(pairs(600, 0)),pairs(60, 1).query("label=='good'").reset_index(drop=True)
    cams = learn.cam(df)
    assert sum(p=='good' for p in cams.predicted)>=28
    assert sum(top(w, 2)=={'superb','moving'} for w in cams.words())>=27

def test_negated_word():
    "Its 'not' is among the first three"
    set_seed(0)
    learn,df = bench.gru(negated(1500, 0)),negated(80, 1)
    df = df[df.text.str.contains('not')].reset_index(drop=True)
    cams = learn.cam(df)
    right = [i for i,(p,y) in enumerate(zip(cams.predicted, df.label)) if p==y]
    assert len(right)>=.9*len(df)
    words = cams.words()
    assert sum('not' in top(words[i], 3) for i in right)>=.9*len(right)

# ---- left out
def by_hand(learn, text, target, fill, n=1):
    "What the score loses without `n` words at a time, each alone by a plain prediction"
    x = learn.dls.test_dl([text], num_workers=0).one_batch()[0].as_subclass(Tensor)
    model = learn.model.eval()
    with torch.no_grad():
        model.reset()
        y = model(x)[0][0,target].clone()
        lost,count = torch.zeros(x.shape[1]),torch.zeros(x.shape[1])
        for i in range(0, x.shape[1]-n+1):
            z = x.clone()
            z[0,i:i+n] = fill
            model.reset()
            lost[i:i+n] += y-model(z)[0][0,target]
            count[i:i+n] += 1
    return lost/count

@pytest.mark.parametrize('n', [1,2,3])
def test_replaced_by_a_token(n):
    "A token in place of words, phrases of several: equal to plain predictions, in a padded batch"
    learn,texts = awd(),['the film was superb and it would rain', 'a dull man', 'the dog said that it was a superb film in town all day with him']
    cams = learn.cam(texts, method='occlusion', target='good', window=n, stride=1, fill=0)
    good = learn.dls.vocab[1].o2i['good']
    for t,m in zip(texts, cams._maps):
        want = by_hand(learn, t, good, 0, n)
        assert torch.allclose(m.as_subclass(Tensor)[0], want, atol=1e-4*want.abs().max().item())
