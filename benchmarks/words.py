"""Which word decides? How often each method names it, on models whose answer is known: `python benchmarks/words.py [--seeds 3] [--write]`

Made-up reviews in which one word says whether they are good or bad; models that fastai and PyTorch users train, each from three seeds. Counted are held-out reviews of any
length, in padded batches, for which the word with the highest value is the deciding one; special tokens such as `xxbos` and `[CLS]` are no words."""
import argparse, random, sys, warnings
from pathlib import Path
warnings.filterwarnings('ignore')
from fastai.text.all import *
sys.path.insert(0, str(Path(__file__).parent.parent))
from fastcam.all import *

good,bad = ['superb','moving','funny'],['dull','awful','silly']
rest = 'the film was about a man and his dog in town who said that it would rain on them all day'.split()
special = {'xxbos','[CLS]','[SEP]'}

def review(rng, lo=4, hi=40):
    ws,y = rng.choices(rest, k=rng.randint(lo, hi)),rng.choice(['bad','good'])
    ws.insert(rng.randint(0, len(ws)), rng.choice(good if y=='good' else bad))
    return ' '.join(ws),y

def reviews(n, seed, *size):
    rng = random.Random(seed)
    return pd.DataFrame([review(rng, *size) for _ in range(n)], columns=['text','label'])

def deciding(text): return next(w for w in text.split() if w in good+bad)

# ---- models
def loaders(df, bs=16, seq_len=72): return TextDataLoaders.from_df(df, valid_pct=.15, seed=0, tok_tfm=BaseTokenizer(), num_workers=0, bs=bs, seq_len=seq_len)

def trained(learn, epochs, lr):
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    with learn.no_logging(): learn.fit_one_cycle(epochs, lr)
    return learn

def awd_lstm(df, seq_len=72):
    "The stock AWD-LSTM, two layers, with fastai's own dropouts at a tenth"
    config = dict(awd_lstm_clas_config, n_hid=64, emb_sz=48, n_layers=2)
    return trained(text_classifier_learner(loaders(df, seq_len=seq_len), AWD_LSTM, pretrained=False, config=config, drop_mult=.1, seq_len=seq_len, metrics=accuracy), 8, 1e-2)

class Pooled(nn.Module):
    "Embedding, an encoder that may be told what is padding, the mean over what is none"
    def __init__(self, n, enc, d=32, n_out=2, at=None): super().__init__(); self.emb,self.enc,self.head,self.at = nn.Embedding(n, d, padding_idx=1),enc,nn.Linear(d, n_out),at
    def forward(self, x):
        pad,h = x==1,self.emb(x)
        if self.at is not None: h = h + self.at(torch.arange(x.shape[1], device=x.device))
        h = self.enc(h, src_key_padding_mask=pad) if isinstance(self.enc, nn.TransformerEncoder) else self.enc(h)[0]
        return self.head(h.masked_fill(pad[...,None], 0).sum(1)/(~pad).sum(1, keepdim=True))

def gru(df):
    dls = loaders(df)
    return trained(Learner(dls, Pooled(len(dls.vocab[0]), nn.GRU(32, 16, 2, batch_first=True, bidirectional=True)), loss_func=CrossEntropyLossFlat(), metrics=accuracy), 10, 5e-3)

def with_neither(df):
    """With reviews that are neither. With two classes alone a transformer may learn that all is good without a bad word, and then no word decides: for a third of the seeds, leaving out
    the word that we mean changes nothing"""
    rng = random.Random(len(df))
    more = [(' '.join(rng.choices(rest, k=rng.randint(5, 41))),'neither') for _ in range(len(df)//2)]
    return pd.concat([df, pd.DataFrame(more, columns=df.columns)], ignore_index=True)

def encoder(df):
    dls = loaders(with_neither(df))
    enc = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=.1), 2, enable_nested_tensor=False)
    return trained(Learner(dls, Pooled(len(dls.vocab[0]), enc, n_out=3, at=nn.Embedding(64, 32)), loss_func=CrossEntropyLossFlat(), metrics=accuracy), 10, 3e-3)

class Numbers(Transform):
    "Stands in for a tokenizer of `transformers` with one token for each word"
    all_special_tokens,pad_token = ['[PAD]','[UNK]','[CLS]','[SEP]'],'[PAD]'
    def __init__(self, texts): self.vocab = self.all_special_tokens + sorted({w for t in texts for w in t.split()}); self.tokenizer = self
    def convert_ids_to_tokens(self, ids): return [self.vocab[i] for i in ids]
    def convert_tokens_to_string(self, toks): return ' '.join(toks)
    def encodes(self, s:str): return TensorText(tensor([2, *[self.vocab.index(w) if w in self.vocab else 1 for w in s.split()], 3]))

class Logits(nn.Module):
    def __init__(self, model): super().__init__(); self.model = model
    def forward(self, ids): return self.model(ids, attention_mask=(ids!=0).long()).logits

def hugging_face(df):
    import transformers as tf
    df = with_neither(df)
    tok = Numbers(df.text)
    model = tf.BertForSequenceClassification(tf.BertConfig(vocab_size=len(tok.vocab), hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128,
                                                           max_position_embeddings=64, num_labels=3))
    block = DataBlock((TransformBlock(type_tfms=tok, dl_type=SortedDL, dls_kwargs=dict(before_batch=partial(pad_input, pad_idx=0))), CategoryBlock),
                      get_x=ColReader('text'), get_y=ColReader('label'), splitter=RandomSplitter(.2, seed=0))
    return trained(Learner(block.dataloaders(df, bs=16, num_workers=0), Logits(model), loss_func=CrossEntropyLossFlat(), metrics=accuracy), 12, 1e-3)

kinds = dict(awd_lstm=awd_lstm, gru=gru, encoder=encoder, hugging_face=hugging_face)

def learner(kind, seed, n=None, **kwargs):
    "A trained learner of this kind, from this seed; of 400 reviews, of 800 for BERT, which does not learn the words of fewer with every seed"
    set_seed(seed)
    return kinds[kind](reviews(ifnone(n, 800 if kind=='hugging_face' else 400), seed), **kwargs)

# ---- counting
def top_word(words):
    "The word with the highest value, of a table that `cams.words()` gives"
    words = words[~words.word.isin(special)]
    return words.word[words.iloc[:,2].idxmax()]

def hits(learn, df, **kwargs):
    "In how many of the reviews `df` the deciding word is first; and how many of them are predicted right"
    cams = learn.cam(df, **kwargs)
    return sum(top_word(w)==deciding(t) for w,t in zip(cams.words(), df.text)),sum(p==y for p,y in zip(cams.predicted, df.label))

ways = {'by default': {}, 'inputxgradient': dict(method='inputxgradient'), 'inputgrad': dict(method='inputgrad'), 'ig, 20 steps': dict(method='ig'), 'occlusion': dict(method='occlusion'),
        'rise, 500 masks': dict(method='rise', n=500), 'hirescam at the embeddings': dict(layer='input', method='hirescam'), 'gradcam behind the encoder': dict(method='gradcam'),
        'hirescam behind the encoder': dict(method='hirescam'), 'random': dict(method='random')}

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--seeds', type=int, default=3)
    p.add_argument('--reviews', type=int, default=60)
    p.add_argument('--write', action='store_true', help='write words.txt beside this script')
    a = p.parse_args()
    rows = {}
    for kind in kinds:
        for seed in range(a.seeds):
            learn,df = learner(kind, seed),reviews(a.reviews, 1000+seed)
            right = hits(learn, df)[1]
            rows[f'{kind} {seed}'] = {**{n: hits(learn, df, **kw)[0] for n,kw in ways.items()}, 'predicted right': right}
            print(kind, seed, rows[f'{kind} {seed}'], flush=True)
    table = pd.DataFrame(rows).T
    text = f"The deciding word is first, of {a.reviews} held-out reviews of 5 to 41 words; a line for each model and seed\n\n{table.to_string()}\n"
    print(text)
    if a.write: Path(__file__).with_suffix('.txt').write_text(text)
