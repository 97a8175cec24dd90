"Texts: which words decide, whatever the length, the position and the batch; encoders of fastai and of Hugging Face; words, errors and no trace"
import pytest
from utils import *
from conftest import root
from fastai.text.all import TextDataLoaders, text_classifier_learner, AWD_LSTM, BaseTokenizer, TensorText, SortedDL, pad_input
from fastcam.learner.text import join_tokens

sys.path.append(str(root/'benchmarks'))
import words as bench
from words import good, bad, rest, deciding

def reviews(n, seed, lo=4, hi=30): return bench.reviews(n, seed, lo, hi)

def plain(learn):
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn

@cache
def text_learner(bptt=12, max_len=36):
    """A tiny AWD-LSTM that has learned which words decide; short chunks, so that texts take several; shared: leave it as it is.
    Trained in double precision, or what it learns depends on the processor's order of sums"""
    set_seed(0)
    dls = TextDataLoaders.from_df(reviews(700, 0), valid_pct=.15, seed=0, tok_tfm=BaseTokenizer(), num_workers=0, bs=16, seq_len=bptt)
    config = dict(emb_sz=24, n_hid=32, n_layers=1, pad_token=1, bidir=False, output_p=0, hidden_p=0, input_p=0, embed_p=0, weight_p=.1)
    learn = plain(text_classifier_learner(dls, AWD_LSTM, pretrained=False, config=config, seq_len=bptt, max_len=max_len, metrics=accuracy))
    learn.model.double()
    with learn.no_logging(): learn.fit_one_cycle(14, 1e-2)
    learn.model.float()
    return learn

def top_words(cams): return [w.word[w.iloc[:,2].idxmax()] for w in cams.words()]

# ---- which word decides
@pytest.mark.parametrize('method', [None,'gradcam','hirescam','elementwise','layercam'])
def test_deciding_word_is_first(method):
    """Held-out reviews of 2 to 35 words, the word anywhere, in padded batches of several chunks.
    For the named methods this is true of this model only: trained from other seeds it carries the word on, and they are right in as few
    as a third of the reviews. What holds for every seed, the default, is in test_words.py"""
    learn,df = text_learner(),reviews(200, 1, 1, 33)
    assert len({len(t.split()) for t in df.text})>25
    cams = learn.cam(df, method=method)
    right = cams.preds.argmax(1)==tensor([learn.dls.vocab[1].o2i[o] for o in df.label])
    assert right.float().mean()>.97                                             # else the maps explain something else
    hits = np.array([t==deciding(s) for t,s in zip(top_words(cams), df.text)])[right.numpy()]
    assert hits.mean()>=.95

def test_random_is_not_first():
    "The same test fails for a map that knows nothing"
    df = reviews(60, 1, 4, 33)
    assert np.mean([t==deciding(s) for t,s in zip(top_words(text_learner().cam(df, method='random')), df.text)])<.5

# ---- a batch is its items
@pytest.mark.parametrize('method', ['gradcam','hirescam','gradcampp','xgradcam','eigencam','fem','ablationcam','headcam','shapleycam'])
def test_alone_as_in_a_batch(method):
    "Padding, and the other items, change nothing; the order is that of the items, though fastai sorts by length"
    learn,texts = text_learner(),list(reviews(9, 2).text)
    cams = learn.cam(texts, method=method)
    assert [m.shape[-1] for m in cams._maps]==[len(t.split())+1 for t in texts]
    for t,m in zip(texts, cams._maps):
        one = learn.cam(t, method=method).maps[0]
        top = one.abs().max().item()
        assert (one-m).abs().max() <= 1e-4*top + 1e-6                            # sums in another order

def test_dl_of_batches():
    "Batches given as they are: the tokens are read from them"
    learn = text_learner()
    dl = learn.dls.test_dl(reviews(20, 3, 13, 22), num_workers=0)                # two chunks each
    cams,again = learn.cam(dl=[b[:1] for b in dl]),learn.cam(dl=dl)
    order = list(dl.get_idxs())
    for i,r in enumerate(order):
        assert torch.allclose(cams._maps[i], again._maps[r], atol=1e-6)
        assert list(cams[i].words().word)==list(again[r].words().word)

# ---- items
def test_items():
    learn,df = text_learner(),reviews(3, 4)
    want = learn.cam(list(df.text))
    for items in (df, df.text, L(list(df.text)), np.array(list(df.text)), df[['text']]):
        for a,b in zip(learn.cam(items)._maps, want._maps): assert torch.allclose(a, b, atol=1e-6)
    one = learn.cam(df.text[0])
    assert len(one)==1 and torch.allclose(one.maps[0], want[0].maps, atol=1e-6)
    val = learn.cam()
    assert len(val)==len(learn.dls.valid_ds) and (val.preds.argmax(1)==torch.stack(list(val.targs))).float().mean()>.95
    assert val.actuals[0] in ('good','bad') and len(learn.cam(max_n=3))==3 and len(learn.cam(ds_idx=0, max_n=2))==2
    assert len(val[:3].inputs)==3 and isinstance(val[[1,2]], TextCAMs)

@pytest.mark.parametrize('items,error,said', [
    ('', ValueError, 'Item 0.*empty'), (['a film','  '], ValueError, 'Item 1.*empty'), (['a film', None], ValueError, 'Item 1.*missing'),
    (pd.DataFrame(dict(text=['a film', np.nan], label=['good']*2), index=[4,7]), ValueError, 'Item 7.*missing'),
    (pd.DataFrame(dict(review=['a film'])), KeyError, "no column 'text'"), ([], ValueError, 'empty')])
def test_no_text(items, error, said):
    learn = text_learner()
    was = snapshot(learn)
    with pytest.raises(error, match=said): learn.cam(items)
    assert changed(was, snapshot(learn))==[]

def test_a_picture_is_no_text(tmp_path):
    "The error names the file, and so it does in the midst of texts"
    f = tmp_path/'a.jpg'
    PILImage.create(np.zeros((9,9,3), dtype=np.uint8)).save(f)
    (tmp_path/'a.txt').write_text('good')
    for its in (f, [tmp_path/'a.txt', f]):
        with pytest.raises(ValueError, match=f'Cannot read {re.escape(str(f))} as a text'): text_learner().cam(its)

def test_other_column():
    "The column that the tokenizer was set up with"
    df = reviews(40, 0).rename(columns=dict(text='review'))
    dls = TextDataLoaders.from_df(df, text_col='review', label_col='label', valid_pct=.2, seed=0, tok_tfm=BaseTokenizer(), num_workers=0, bs=8)
    learn = plain(text_classifier_learner(dls, AWD_LSTM, pretrained=False, config=dict(emb_sz=8, n_hid=8, n_layers=1, pad_token=1, bidir=False, output_p=0, hidden_p=0, input_p=0, embed_p=0, weight_p=.1)))
    assert list(learn.cam(df[:2]).words()[0].word)[1:]==df.review[0].split()

# ---- choices
def test_choices():
    learn,text = text_learner(),'a superb film , said the dull man'
    two = learn.cam(text, target=['bad','good'])
    w = two[0].words()
    assert list(w.columns)==['word','tokens','bad','good'] and w.word[w.bad.idxmax()]=='dull' and w.word[w.good.idxmax()]=='superb'
    assert learn.cam(text, target=lambda p: p[:,0]-p[:,1]).labels[0]==['<lambda>']
    for t in (TopK(2), Prob(), Neg('good'), Versus('good', rivals=1)): assert learn.cam(text, target=t).maps.shape[-1]==9
    assert learn.cam(max_n=4, target=Actual()).labels.concat()==learn.cam(max_n=4).actuals
    with pytest.raises(ValueError, match="no class 'goood'. Close matches: 'good'"): learn.cam(text, target='goood')
    by_layer = learn.cam(text, layer=['0','0.module.input_dp'], fuse=None)
    assert set(by_layer)=={'0','0.module.input_dp'} and '<b>layer 0.module.input_dp</b>' in by_layer['0.module.input_dp'].html()
    assert learn.cam([text,'a dull one'], layer=['0','0.module.input_dp'])._maps.map(lambda o: o.shape)==[(1,9),(1,4)]
    with pytest.raises(ValueError, match='no layer'): learn.cam(text, layer='0.modul')
    with pytest.raises(TypeError, match="'cmap', 'original' is for pictures.*texts.*'scale', 'relu'"): learn.show_cam(text, original=True, cmap='gray')
    ax = plt.subplots()[1]
    assert learn.cam(text)[0].show(ctxs=ax)==[ax]

@pytest.mark.parametrize('kw', [dict(method=m) for m in ('scorecam','sscam','iscam','guidedbackprop','guidedgradcam','rollout','smoothgradcampp')] + [dict(smooth=s) for s in ('tta','noise','windows')])
def test_not_for_text(kw):
    learn = text_learner()
    was = snapshot(learn)
    with pytest.raises(ValueError, match='text|ReLU'): learn.cam(['a superb film','a dull one'], **kw)
    assert changed(was, snapshot(learn))==[]

@pytest.mark.parametrize('f', ['cam_metrics','best_cam','sanity_check','cam_summary','cam_localize'])
def test_refused(f):
    "What asks for places that pictures have in common, or changes them a little: in words, and nothing is changed"
    learn = text_learner()
    was = snapshot(learn)
    with pytest.raises(TypeError, match='items are texts.*words'): getattr(learn, f)(max_n=3)
    assert changed(was, snapshot(learn))==[]

# ---- long texts
@pytest.mark.parametrize('n', [35, 36, 37, 60, 100])
def test_beyond_max_len(n):
    "Of long texts the last tokens are scored; the others are NaN, and said so"
    learn,rng = text_learner(),random.Random(n)
    ws = rng.choices(rest, k=n)
    ws[-3],short = 'awful',['a superb day']
    cams = learn.cam([' '.join(ws)]+short)
    w = cams[0].words()
    scored = w.iloc[:,2].notna()
    assert len(w)==n+1 and scored.sum()==cams[0].maps.shape[-1]<=36 and not scored[:n+1-scored.sum()].any()
    assert scored.all()==(n+1<=36) and w.word[w.iloc[:,2].idxmax()]=='awful' and top_words(cams)[1]=='superb'
    assert ('not scored' in cams[0].html())==(n+1>36) and 'not scored' not in cams[1].html()
    x = learn.dls.test_dl([' '.join(ws)], num_workers=0).one_batch()[0]
    with torch.no_grad(): assert learn.model.eval()[0](x)[0].shape[1]==scored.sum()

# ---- no trace
def test_no_trace():
    learn = text_learner()
    was = snapshot(learn)
    cams = learn.cam(['a superb film','dull'])
    cams.words(), cams.html(), cams.show(figsize=(4,2))
    learn.show_cam('a superb film')
    assert changed(was, snapshot(learn))==[]
    plt.close('all')

# ---- words
@pytest.mark.parametrize('toks,words', [
    ('xxbos xxmaj the xxup best film', ['xxbos','The','BEST','film']), ('xxrep 4 ! xxwrep 3 so good', ['!!!!','so so so','good']), ('xxmaj xxmaj a xxup', ['A','xxup']),
    ('xxfld 1 xxmaj hi xxfld 2 yo', ['xxfld 1','Hi','xxfld 2','yo']), ('xxrep 3', ['xxrep','3']), ('# # a', ['#','#','a']), ('▁a b ▁ c ▁de', ['ab','c','de']), ('',[])])
def test_join_tokens(toks, words):
    toks = toks.split()
    ws = join_tokens(toks)
    assert [w for w,_ in ws]==words and sorted(i for _,o in ws for i in o)==list(range(len(toks)))

def test_many_marks(): assert join_tokens(['xxmaj']*5000+['a'])[0][0]=='A'

def test_unknown_word_is_named():
    w = text_learner().cam('a ZEBRA was superb!!!')[0].words()
    assert list(w.word)==['xxbos','a','ZEBRA','was','superb','!!!'] and w.tokens[2]=='xxup xxunk'

def test_html_is_escaped():
    h = text_learner().cam(['<script>alert(1)</script> & "superb" \' film'], target=lambda p: p[:,0]).html()
    assert '<script' not in h and '&lt;' in h and '&amp;' in h and '<lambda' not in h

@pytest.mark.parametrize('relu', [True, False])
@pytest.mark.parametrize('scale', ['image', 'shared'])
def test_drawn(relu, scale):
    "The deciding word has the strongest color, in HTML and on axes"
    cams = text_learner().cam(['a superb film', 'the man was dull'], target='good')
    spans = re.findall(r'rgba\((\d+),\d+,\d+,([\d.]+)\)[^>]*>([^<]+)<', cams[0].html(scale=scale, relu=relu))
    assert max(spans, key=lambda o: float(o[1]))[2]=='superb' and spans[2][0]=='220'
    ax = plt.figure(figsize=(4,1)).add_axes((0,0,1,.6))
    cams[0].show(ctxs=[ax], relu=relu)
    boxes = {t.get_text(): t.get_bbox_patch().get_facecolor() for t in ax.texts if t.get_bbox_patch()}
    assert boxes['superb'][3]==.55 and ax.get_title(loc='left').startswith('good')
    with pytest.raises(ValueError, match='2 are needed'): cams.show(ctxs=[ax])
    with pytest.raises(ValueError, match='scale'): cams.html(scale='no')
    plt.close('all')

# ---- any encoder of (batch, tokens, features)
class Pooled(nn.Module):
    "Embedding, an encoder, the mean over what is no padding"
    def __init__(self, enc, d, pad=1): super().__init__(); self.emb,self.enc,self.head,self.pad = nn.Embedding(60, d, padding_idx=pad),enc,nn.Linear(d, 2),1
    def forward(self, x):
        h,m = self.enc(self.emb(x)),(x!=self.pad)[...,None]
        h = h[0] if isinstance(h, tuple) else h
        return self.head((h*m).sum(1)/m.sum(1))

class Conv(nn.Module):
    def __init__(self, d): super().__init__(); self.c = nn.Conv1d(d, d, 3, padding=1)
    def forward(self, x): return F.relu(self.c(x.transpose(1,2))).transpose(1,2)

@pytest.mark.parametrize('enc', [lambda: nn.GRU(8, 8, batch_first=True), lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), lambda: Conv(8), nn.Identity])
@pytest.mark.parametrize('pad', [1, None])
def test_encoders(enc, pad):
    "HiResCAM of a linear head adds up to the class's output less its bias; items alone and in a batch; padding known to the embedding, or to the DataLoader only"
    torch.manual_seed(0)
    dls = TextDataLoaders.from_df(reviews(30, 0), valid_pct=.5, seed=0, tok_tfm=BaseTokenizer(), num_workers=0, bs=8)
    model = Pooled(enc(), 8, pad)
    learn = plain(Learner(dls, model, loss_func=CrossEntropyLossFlat()))
    texts = list(reviews(5, 5).text)
    cams = learn.cam(texts, method='hirescam', target=[0,1])
    model.eval()
    with torch.no_grad():
        for t,m in zip(texts, cams._maps):
            assert m.shape==(2, len(t.split())+1)
            if isinstance(model.enc, (Conv,nn.TransformerEncoderLayer)): continue                # what these say of a token depends on the padding beside it
            out = model(dls.test_dl([t], num_workers=0).one_batch()[0].as_subclass(Tensor))[0]
            assert torch.allclose(m.as_subclass(Tensor).sum(1), out-model.head.bias, atol=1e-5)
            assert torch.allclose(learn.cam(t, method='hirescam', target=[0,1]).maps[0], m, atol=1e-5)

# ---- Hugging Face
class WordPieces:
    "Stands in for a tokenizer of `transformers`: words of more than four letters are cut"
    all_special_tokens,pad_token = ['[PAD]','[UNK]','[CLS]','[SEP]'],'[PAD]'
    def __init__(self): self.vocab,self.ids = list(self.all_special_tokens),{}
    def tokenize(self, s): return ['[CLS]', *[p for w in s.lower().split() for p in ([w] if len(w)<5 else [w[:4], '##'+w[4:]])], '[SEP]']
    def learn(self, texts): self.vocab += sorted({p for t in texts for p in self.tokenize(t)}-set(self.vocab)); self.ids = {o:i for i,o in enumerate(self.vocab)}; return self
    def encode(self, s): return [self.ids.get(p, 1) for p in self.tokenize(s)]
    def convert_ids_to_tokens(self, ids): return [self.vocab[i] for i in ids]
    def convert_tokens_to_string(self, toks): return ' '.join(toks).replace(' ##', '')

class HFTokens(Transform):
    def __init__(self, tokenizer): self.tokenizer = tokenizer
    def encodes(self, s:str): return TensorText(tensor(self.tokenizer.encode(s)))

class HFLogits(nn.Module):
    def __init__(self, model): super().__init__(); self.model = model
    def forward(self, ids): return self.model(ids, attention_mask=(ids!=0).long()).logits

@cache
def hf_learner(kind):
    tf = pytest.importorskip('transformers')
    df,tok = reviews(400, 0, 3, 12),WordPieces()
    tok.learn(df.text)
    set_seed(0)
    if kind=='bert':
        model = tf.BertForSequenceClassification(tf.BertConfig(vocab_size=len(tok.vocab), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=64, num_labels=2))
    else:
        model = tf.DistilBertForSequenceClassification(tf.DistilBertConfig(vocab_size=len(tok.vocab), dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=64, num_labels=2))
    block = DataBlock((TransformBlock(type_tfms=HFTokens(tok), dl_type=SortedDL, dls_kwargs=dict(before_batch=partial(pad_input, pad_idx=0))), CategoryBlock),
                      get_x=ColReader('text'), get_y=ColReader('label'), splitter=RandomSplitter(.2, seed=0))
    learn = plain(Learner(block.dataloaders(df, bs=16, num_workers=0), HFLogits(model), loss_func=CrossEntropyLossFlat(), metrics=accuracy))
    with learn.no_logging(): learn.fit_one_cycle(6, 3e-3)
    return learn

@pytest.mark.parametrize('kind', ['bert','distilbert'])
def test_hugging_face(kind):
    learn = hf_learner(kind)
    df = reviews(60, 7, 3, 12)
    was = snapshot(learn)
    cams = learn.cam(df)
    assert changed(was, snapshot(learn))==[]
    w = cams[0].words()
    assert list(w.word)==['[CLS]', *df.text[0].split(), '[SEP]'] and any(' ##' in t for t in w.tokens)
    for t,m in list(zip(df.text, cams._maps))[:6]:
        one = learn.cam(t).maps[0]
        assert torch.allclose(one, m, atol=1e-4*one.abs().max().item()+1e-6)
    right = cams.preds.argmax(1)==tensor([learn.dls.vocab.o2i[o] for o in df.label])
    assert right.float().mean()>.9
    words = learn.cam(df, layer=f'model.{kind}.embeddings', method='elementwise').words()
    # less [CLS] and [SEP]: a transformer may say "bad" unless a word speaks against it
    top = [w.word[w.iloc[1:-1,2].idxmax()] for w in words]
    assert np.mean([t==deciding(s) for t,s in zip(top, df.text)])>=.85
    assert list(learn.cam_layers(all=True).query("share==0").name)[-1].endswith('layer.1')          # the class token only

# ---- other views
def test_interpretation():
    "Items of an Interpretation are those of the validation set, though a DataFrame of tokens has other columns than that of the labels"
    learn = text_learner()
    with learn.no_bar(): interp,val = ClassificationInterpretation.from_learner(learn),learn.cam()
    idxs = interp.top_losses(2)[1].tolist()
    cams = learn.cam(dl=interp._dl_of(idxs))
    assert [c.actual for c in cams]==[val.actuals[i] for i in idxs]
    for c,i in zip(cams, idxs): assert torch.allclose(c.maps, val[i].maps, atol=1e-5)
    interp.plot_top_losses(2, heatmap=True, figsize=(6,3))
    assert len(plt.gcf().axes)==4 and 'actual: ' in plt.gcf().axes[0].get_title(loc='left')
    plt.close('all')

def test_nothing_to_explain():
    "Texts that nothing is asked about are shown without colors"
    cams = text_learner().cam()[:2]
    cams._maps,cams._idxs,cams.labels,cams.health = cams._maps.map(lambda m: m[:0]),cams._idxs.map(lambda o: o[:0]),L([[],[]]),L([[],[]])
    for scale in ('image','shared'):
        assert 'rgba(30,110,200,0.0)' in cams.html(scale=scale) and 'nothing to explain' in cams.html(scale=scale)

def test_repeated_word_is_broken():
    "A word that is repeated comes as one: it goes on in the next line, and nothing is outside of the axes"
    learn = text_learner()
    ax, = learn.cam('it was '+'very '*60+'good').show(figsize=(4,3))
    ax.figure.canvas.draw()
    draw,box = ax.figure.canvas.get_renderer(),ax.get_window_extent()
    assert all(t.get_window_extent(draw).x1<=box.x1+1 for t in ax.texts) and sum(t.get_text()=='very' for t in ax.texts)>=50

@pytest.mark.parametrize('figsize', [(8,4), (5,6), (8,12)], ids=str)
def test_nothing_is_cut(figsize):
    "Long texts, and words longer than a line, stay within their axes and the figure; what has no room is counted, and with the words that are there makes all"
    long = ' '.join(['it was a superb film that nobody will forget']*7)
    many,few = f'{long} {"supercalifragilistic"*10} end',f'{"supercalifragilistic"*5} end'
    cams = text_learner().cam([many,few], target=['bad','good'])
    axs = cams.show(figsize=figsize)
    fig = axs[0].figure
    fig.canvas.draw()
    for ax,words in zip(axs, [w for w in cams.words() for _ in range(2)]):
        box = [t.get_window_extent() for t in ax.texts]
        assert all(b.x1<=fig.bbox.width+1 and b.y0>=-1 for b in box)
        said = [re.fullmatch(r'… (\d+) more words', t.get_text()) for t in ax.texts]
        if figsize==(8,12): assert not any(said) and ''.join(t.get_text() for t in ax.texts).startswith(''.join(words.word))
    plt.close('all')

@pytest.mark.parametrize('figsize', [(.3,.3), (1,9), (8,.2), (4,1), (6,3), (6,9), None], ids=str)
def test_nothing_overlaps(figsize):
    "A figure that is too small grows until each text has a title, words and what the colors mean, none over another"
    long = 'it was a superb film that nobody will forget , and the man was not dull '*9
    axs = text_learner().cam([long,'a superb film',long], target=['bad','good']).show(figsize=figsize)
    fig = axs[0].figure
    fig.canvas.draw()
    box = [t.get_window_extent() for ax in axs for t in (ax._left_title,*ax.texts)]
    assert all(b.x0>=-1 and b.x1<=fig.bbox.width+1 and b.y0>=-1 and b.y1<=fig.bbox.height+1 for b in box)
    over = [(a,b) for i,a in enumerate(box) for b in box[:i] if min(a.x1,b.x1)-max(a.x0,b.x0)>1 and min(a.y1,b.y1)-max(a.y0,b.y0)>1]
    assert not over
    for ax in axs:
        said = ' '.join(t.get_text() for t in ax.texts)
        assert ax.get_title(loc='left') and re.match('xxbos .*red supports it', said)
    if figsize==(6,9): assert (fig.get_size_inches()==figsize).all()
    plt.close('all')

def test_small_axes_keep_the_words():
    "On axes of one's own that are too low for both, there are words, and not what their colors mean"
    ax = plt.figure(figsize=(3,.3)).add_axes((0,0,1,1))
    text_learner().cam('a superb film').show(ctxs=[ax])
    assert [t.get_text() for t in ax.texts]==['xxbos','a','superb','film']
    plt.close('all')

def test_html_in_a_notebook(monkeypatch):
    "Without axes or a figure size, a notebook is given HTML; with them, a figure"
    import fastcam.learner.text
    monkeypatch.setattr(fastcam.learner.text, 'IN_NOTEBOOK', True)
    seen = []
    monkeypatch.setattr('IPython.display.display', lambda o: seen.append(o.data))
    learn = text_learner()
    learn.show_cam(['a superb film','a dull one'], layer=['0','0.module.input_dp'], fuse=None)
    assert len(seen)==2 and any('<b>layer 0</b>' in h for h in seen) and seen[1].count('font-weight:600')==2 and not plt.get_fignums()
    learn.show_cam('a superb film', figsize=(4,1))
    assert len(seen)==2 and len(plt.get_fignums())==1
    plt.close('all')

def test_refused_at_once(tmp_path):
    "What is for pictures says so before a text is explained, or anything written"
    learn,seen = text_learner(),[]
    h = learn.model.register_forward_pre_hook(lambda m,i: seen.append(i))
    batch = [learn.dls.valid.one_batch()]
    try:
        for kw in ({}, dict(items=['a fine film']), dict(dl=learn.dls.valid), dict(dl=batch), dict(dl=torch.utils.data.DataLoader([(t,0) for t in batch[0][0]], batch_size=4))):
            for f in (learn.best_cam, learn.cam_metrics, learn.sanity_check, learn.cam_summary, learn.concepts, partial(learn.cam_localize, truth=lambda o: None)):
                with pytest.raises(TypeError, match=r'texts: see `learn.cam\(texts\)\[0\].words'): f(**kw)
        with pytest.raises(TypeError, match='Maps of texts are not saved'): learn.export_cams(tmp_path/'out')
        assert not seen and not (tmp_path/'out').exists()
    finally: h.remove()

def test_layers():
    "Texts are explained at their words unless a layer is given, and the table says so"
    learn,text = text_learner(),reviews(1, 1).text[0]
    tab = learn.cam_layers([text])
    assert tab.index[tab['']=='default'].tolist()==['input'] and len(tab)>1
    usual,named = (learn.cam([text], **kw).maps[0] for kw in ({}, dict(layer='input', method='ig', steps=3, check=False, power=2)))
    assert torch.equal(usual, named)
    for l in tab.index: assert learn.cam([text], layer=l).maps[0].isfinite().all()

# ---- masks beside the token numbers
class Masked(nn.Module):
    "Reads the tokens that the mask says are real; `order` is that of its inputs"
    def __init__(self, order='ids mask', vocab=20, pad=0, types=2):
        super().__init__()
        torch.manual_seed(0)
        self.order,self.e,self.t,self.lin,self.head = order.split(),nn.Embedding(vocab, 8, padding_idx=pad),nn.Embedding(types, 8),nn.Sequential(nn.Linear(8,8), nn.Tanh()),nn.Linear(8,3)
        with torch.no_grad(): self.e.weight[0] = torch.randn(8)      # as GPT-2's end of the text, which pads it
    def forward(self, *xb):
        d = dict(zip(self.order, xb))
        real = ~d['gone'] if 'gone' in d else d['mask'].bool()
        self.seen = self.e(d['ids'])
        y = self.lin(self.seen+(self.t(d['types']) if 'types' in d else 0))*real[...,None]
        return self.head(y.sum(1)/real.sum(1, keepdim=True))

def slopes_by_hand(model, xb, target=1):
    "Input times gradient of each token, at what the embedding gave"
    model.eval()
    s = model(*xb)[:,target].sum()
    g, = torch.autograd.grad(s, model.seen)
    return (g*model.seen).sum(-1).detach()

ids_of_end,mask_of_end = torch.tensor([[5,6,7,0,9,3,11,12],[5,6,7,8,0,0,0,0],[4,4,2,0,0,0,0,0]]),torch.tensor([[1]*8,[1]*5+[0]*3,[1]*3+[0]*5])
lengths_of_end = [8,5,3]

@pytest.mark.parametrize('order,pad', [('ids mask', 0), ('mask ids', 0), ('ids gone', 0), ('ids types mask', 0), ('ids mask', None)])
@pytest.mark.parametrize('kind', ['long','float','bool'])
def test_real_token_with_the_paddings_number(order, pad, kind):
    "A mask says which tokens are padding, where the end of a text is what pads it; alone as in a batch"
    model,types = Masked(order, pad=pad),(torch.arange(8)>3).long().expand(3, 8)
    d = dict(ids=ids_of_end, mask=getattr(mask_of_end, kind)(), gone=mask_of_end==0, types=types)
    xb = tuple(d[o] for o in order.split())
    want = slopes_by_hand(model, xb)
    for layer in (None, 'lin'):
        got = cam_maps(model, xb, target=1, method='inputxgradient' if layer is None else 'hirescam', layer=layer)
        assert [m.shape[-1] for m in got]==lengths_of_end
        if layer is None:
            for m,w,n in zip(got, want, lengths_of_end): assert torch.allclose(plain_tensor(m)[0], w[:n], atol=1e-6)
    for i,n in enumerate(lengths_of_end):
        one = cam_maps(model, rows(xb, i), target=1, method='inputxgradient')
        assert torch.allclose(plain_tensor(one)[0,0], want[i,:n], atol=1e-6)

def plain_tensor(m): return m.as_subclass(Tensor)
def rows(xb, i): return tuple(x[i:i+1] for x in xb)

def test_occlusion_of_a_token_with_the_paddings_number():
    "Each real token is taken away, and no other; `fill` is a token of its own place"
    model,xb = Masked().eval(),(ids_of_end,mask_of_end)
    with torch.no_grad(): base = model(*xb)[:,1]
    got = cam_maps(model, xb, target=1, method='occlusion', fill=13)
    for i,n in enumerate(lengths_of_end):
        assert got[i].shape==(1,n)
        for j in range(n):
            changed = ids_of_end[i:i+1].clone()
            changed[0,j] = 13
            with torch.no_grad(): lost = base[i]-model(changed, mask_of_end[i:i+1])[0,1]
            assert abs(lost-plain_tensor(got[i])[0,j])<1e-6

def test_without_a_mask_the_number_tells():
    "As before: without a mask, and where what stands beside is none, since it is 0 at tokens that are no padding"
    class Plain(Masked):
        def forward(self, ids, beside=None): return super().forward(ids, ids!=0)
    want = slopes_by_hand(Plain(), (ids_of_end,))
    real = ids_of_end!=0
    for xb in [(ids_of_end,), (ids_of_end,(torch.arange(8)>3).long().expand(3, 8))]:
        for m,w,r in zip(cam_maps(Plain().eval(), xb, target=1, method='inputxgradient'), want, real): assert torch.allclose(plain_tensor(m)[0], w[r], atol=1e-6)

def masked_learner(texts, masks=None):
    items = [(x,m,0) for x,m in zip(texts, masks)]
    def padded(b):
        n = max(len(x) for x,*_ in b)
        return [(F.pad(x, (0,n-len(x))), F.pad(m, (0,n-len(m))), y) for x,m,y in b]
    dl = DataLoader(items, bs=3, n_inp=2, before_batch=padded)
    dl.n_inp = 2
    dls = DataLoaders(dl, dl)
    dls.n_inp = 2
    return plain(Learner(dls, Masked().eval(), loss_func=CrossEntropyLossFlat()))

@pytest.mark.parametrize('cut', [False,True])
def test_words_of_a_token_with_the_paddings_number(cut):
    "A learner of token numbers and their mask, in items that are padded and in those that the loader pads: each value at its token"
    texts,masks = ([t[:n] for t,n in zip(o, lengths_of_end)] if cut else list(o) for o in (ids_of_end, mask_of_end))
    learn = masked_learner(texts, masks)
    want = slopes_by_hand(learn.model, (ids_of_end,mask_of_end))
    with learn.no_bar(): cams = learn.cam(target=1, method='inputxgradient')
    for i,(w,n) in enumerate(zip(cams.words(), lengths_of_end)):
        assert list(w.tokens)==[str(o) for o in ids_of_end[i,:n].tolist()]
        assert np.allclose(w.iloc[:,2], want[i,:n].numpy(), atol=1e-6)
    given = learn.cam(dl=[(ids_of_end,mask_of_end)], target=1, method='inputxgradient')
    assert list(given[0].words().tokens)==[str(o) for o in ids_of_end[0].tolist()]

@pytest.mark.parametrize('order', ['ids mask types','types mask ids','mask ids','types ids mask','mask types ids'])
def test_which_input_is_the_text(order):
    "Masks and token types are no text, wherever they stand"
    ids = torch.randint(3, 20, (3,12), generator=torch.Generator().manual_seed(0))
    d = dict(ids=ids, mask=torch.ones(3,12).long(), types=(torch.arange(12)>5).long().expand(3, 12))
    xb,model = tuple(d[o] for o in order.split()),Masked(order)
    want = slopes_by_hand(model, xb)
    got = plain_tensor(cam_maps(model, xb, target=1, method='inputxgradient'))[:,0]
    assert got.shape==want.shape and torch.allclose(got, want, atol=1e-6)
    assert cam_maps(model, xb, target=1, layer='lin').shape==cam_maps(model, xb, target=1).shape==(3,1,12)

def test_text_of_zeros_and_ones():
    "Tokens that are 0 and 1 only: alone, beside a mask, and beside their positions"
    ids = torch.randint(0, 2, (3,12), generator=torch.Generator().manual_seed(0))
    class Binary(Masked):
        def forward(self, ids, beside=None): return super().forward(ids, torch.ones_like(ids))
    want = slopes_by_hand(Binary(vocab=2, pad=None), (ids,))
    for xb in [(ids,), (ids,torch.ones(3,12)), (ids,torch.ones(3,12).long()), (ids,torch.arange(12).expand(3, 12))]:
        got = plain_tensor(cam_maps(Binary(vocab=2, pad=None).eval(), xb, target=1, method='inputxgradient'))[:,0]
        assert got.shape==want.shape and torch.allclose(got, want, atol=1e-6)

@pytest.mark.parametrize('kind', ['float','bool','long'])
@pytest.mark.parametrize('mask_first', [False,True])
def test_mask_of_a_signal(kind, mask_first):
    "A signal (batch, steps) beside a mask of its length, of whatever type and wherever it stands"
    class Heard(nn.Module):
        def __init__(self): super().__init__(); torch.manual_seed(0); self.c,self.fc = nn.Sequential(nn.Conv1d(1,8,5,2,2), nn.ReLU()),nn.Linear(8,2)
        def forward(self, *xb):
            x,m = xb[::-1] if mask_first else xb
            return self.fc(self.c(x[:,None]*m[:,None].float()).mean(2))
    x,m = torch.randn(2, 100, generator=torch.Generator().manual_seed(0)),torch.tensor([[1]*100,[1]*70+[0]*30])
    if mask_first and kind=='float': return                          # nobody knows which of two signals is the mask
    given = (x,getattr(m, kind)())
    model,leaf = Heard().eval(),(x*m).requires_grad_()
    a = model.c(leaf[:,None])
    g, = torch.autograd.grad(model.fc(a.mean(2))[:,1].sum(), a)
    want = (g.mean(2, keepdim=True)*a).sum(1).detach()
    for layer in (None,'c'):
        got = plain_tensor(cam_maps(model, given[::-1] if mask_first else given, target=1, layer=layer))[:,0]
        assert got.shape==want.shape and torch.allclose(got, want, atol=1e-6)
    assert cam_maps(model, given[::-1] if mask_first else given, target=1, method='occlusion').shape==(2,1,100)
