"A film of a training leaves the training as it is, bit for bit; its frames go on over fits, and what is made of them shows them"
import contextlib, io, pytest, sys, types, warnings
from utils import *
from fastai.callback.training import GradientAccumulation
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback
from fastai.callback.mixup import MixUp

@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close('all')

class Block(nn.Module):
    "A residual block as in a resnet18"
    def __init__(self, ni, nf, stride):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(ni, nf, 3, stride, 1, bias=False), nn.BatchNorm2d(nf), nn.ReLU(inplace=True), nn.Conv2d(nf, nf, 3, 1, 1, bias=False), nn.BatchNorm2d(nf))
        self.down = nn.Sequential(nn.Conv2d(ni, nf, 1, stride, bias=False), nn.BatchNorm2d(nf)) if stride>1 or ni!=nf else noop
    def forward(self, x): return F.relu(self.body(x)+self.down(x), inplace=True)

def resnet(n=3):
    "Body and head of a small resnet, with dropout and batchnorm in the head as fastai makes it"
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), Block(8,8,1), Block(8,16,2), Block(16,16,1))
    return nn.Sequential(body, create_head(16, n, lin_ftrs=[16], ps=.5))

def learner(cbs=None, net=resnet, **kwargs):
    "A Learner on augmented pictures; equal arguments give equal learners"
    dls = drawn_dls(tfms=[*aug_transforms(size=40), Normalize.from_stats(*imagenet_stats)], **kwargs)
    learn = Learner(dls, net(), loss_func=CrossEntropyLossFlat(), metrics=[accuracy, F1Score(average='macro')], splitter=lambda m: [params(m[0]), params(m[1])], cbs=cbs)
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    set_seed(3, True)
    return learn

def plain(learn): return L(learn.cbs).filter(lambda o: not isinstance(o, CAMFilm))

def flat(o):
    "Tensors and numbers in nested lists and dicts, as something that compares bit for bit"
    if isinstance(o, Tensor): return bits(o)
    if isinstance(o, dict): return {k: flat(v) for k,v in o.items()}
    if isinstance(o, (list,tuple,L)): return [flat(v) for v in o]
    return repr(o)

def after(learn):
    "All that a training leaves behind"
    rec = learn.recorder
    return dict(weights=flat(learn.model.state_dict()), optimizer=flat(learn.opt.state_dict()), grads=flat([p.grad for p in learn.model.parameters()]),
                modes=[m.training for m in learn.model.modules()], frozen=[p.requires_grad for p in learn.model.parameters()],
                hooks=[len(m._forward_hooks)+len(m._forward_pre_hooks)+len(m._backward_hooks) for m in learn.model.modules()],
                recorder=flat([rec.values, rec.losses, rec.lrs, rec.iters, rec.metric_names, [v for v in rec.log if not isinstance(v, str)], rec.smooth_loss.value]),
                metrics=flat([m.value for m in learn.metrics]), cbs=[type(o).__name__ for o in plain(learn)], attrs=sorted(k for k in vars(learn) if k!='cam_film'),
                train_iter=learn.train_iter, pct=learn.pct_train, dls=[dl.rng.getstate() for dl in learn.dls.loaders], **rng_state(), **modes_state())

class Bf16(Callback):
    "fastai's `MixedPrecision`, on a CPU"
    order = MixedPrecision.order
    def before_batch(self):
        self.cast = torch.autocast('cpu', torch.bfloat16)
        self.cast.__enter__()
    def after_pred(self): self.learn.pred = self.pred.float()
    def after_loss(self): self.cast.__exit__(None, None, None)

fits = dict(
    one_cycle=lambda learn, cbs: learn.fit_one_cycle(2, 1e-2, cbs=cbs),
    fine_tune=lambda learn, cbs: learn.fine_tune(1, 1e-2, freeze_epochs=1, cbs=cbs),
    several_callbacks=lambda learn, cbs: learn.fit(2, 1e-2, cbs=[MixUp(.4), GradientAccumulation(7), GradientClip(.1), *L(cbs)]),
    early_stopping=lambda learn, cbs: learn.fit(6, 1e-2, cbs=[EarlyStoppingCallback(monitor='accuracy', min_delta=2., patience=1), *L(cbs)]),
    fp16=lambda learn, cbs: (learn.to_fp16(), learn.fit(2, 1e-2, cbs=cbs)),
    bf16=lambda learn, cbs: learn.fit(2, 1e-2, cbs=[Bf16(), *L(cbs)]),
    twice=lambda learn, cbs: (learn.fit(1, 1e-2, cbs=cbs), learn.lr_find(show_plot=False, num_it=4), learn.validate(), learn.fit(1, 1e-3, cbs=cbs)))

def quiet(fit, learn, cbs=None):
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='.*GradScaler|.*device_type|.*CUDA')          # mixed precision on a machine without a GPU
        warnings.filterwarnings('ignore', category=FutureWarning)
        with learn.no_logging(), learn.no_bar(), TemporaryDirectory() as d, contextlib.redirect_stdout(io.StringIO()):
            learn.path = Path(d)
            fit(learn, cbs)

@cache
def without(fit):
    learn = learner()
    quiet(fits[fit], learn)
    return after(learn)

@pytest.mark.parametrize('fit', fits)
@pytest.mark.parametrize('every', ['epoch', 1])
def test_same_bits(fit, every):
    "Weights, statistics, optimizer, recorder, metrics, random states, modes, callbacks: all as without a film"
    was,learn,film = without(fit),learner(),CAMFilm(drawn_files()[0][:3], every=every)
    quiet(fits[fit], learn, film)
    assert len(film.frames)>2
    assert not changed(was, after(learn))

def test_same_bits_fails():
    "The comparison above notices one batch that is seen in training mode"
    learn = learner()
    class Careless(Callback):
        def after_train(self):
            with torch.no_grad(): self.model.train()(self.xb[0])
    learn.add_cb(Careless())
    quiet(fits['one_cycle'], learn)
    assert {'weights','recorder','optimizer'} <= set(changed(without('one_cycle'), after(learn)))

@pytest.mark.parametrize('kw', [dict(method='scorecam', n=4), dict(method='gradcam', smooth='noise'), dict(layer=[-1,-2], target=['level','upright']), dict(method='hirescam', layer='0.3')], ids=str)
def test_same_bits_any_choice(kw):
    was,learn,film = without('one_cycle'),learner(),CAMFilm(drawn_files()[0][:3], **kw)
    quiet(fits['one_cycle'], learn, film)
    assert not changed(was, after(learn)) and len(film.frames)==3

# ---- the frames

def test_frames():
    "Each frame is what `learn.cam` gives at that moment"
    films = [CAMFilm(drawn_files()[0][:7], target='level')]                      # two batches
    class Look(Callback):
        order = 56
        def after_epoch(self):
            other = small_learner(resnet())
            other.dls,other.model = self.dls,self.model
            seen.append(other.cam(drawn_files()[0][:7], target='level'))
    seen,learn = [],learner()
    quiet(fits['one_cycle'], learn, [*films, Look()])
    film = films[0]
    assert film.steps==['start','epoch 1','epoch 2']
    for f,c in zip(film.frames[1:], seen):
        torch.testing.assert_close(f.maps, c.maps, rtol=0, atol=0)
        torch.testing.assert_close(f.preds, c.preds, rtol=0, atol=0)
        assert f.labels==c.labels
    torch.testing.assert_close(film.frames[-1].maps, learn.cam(drawn_files()[0][:7], target='level').maps, rtol=0, atol=0)
    assert all((a.maps!=b.maps).any() for a,b in zip(film.frames, film.frames[1:]))

@pytest.mark.parametrize('every,steps', [('epoch', ['start','epoch 1','epoch 2']), (2, ['start','batch 2','batch 4'])])
def test_every(every, steps):
    film = CAMFilm(drawn_files()[0][:2], every=every)
    quiet(fits['one_cycle'], learner(), film)                                   # two batches an epoch
    assert film.steps==steps

def test_validation_set():
    "Without items the first of the validation set, which know their true class; a DataLoader or batches do as well"
    learn = learner()
    films = [CAMFilm(max_n=4), CAMFilm(dl=learn.dls.test_dl(drawn_files()[0][:2])), CAMFilm(dl=[learn.dls.valid.one_batch()], target=Actual()), CAMFilm(ds_idx=0, max_n=2)]
    for f in films: quiet(fits['one_cycle'], learn, f)
    assert films[0].frames[0].actuals==[kind_of(f) for f in learn.dls.valid.items[:4]]
    assert [len(f.frames[0]) for f in films]==[4,2,5,2]
    for f in films: f.show(max_n=2)

def test_goes_on():
    "Over a fine_tune, a second fit, and a fit that is interrupted and resumed; the default layer stays"
    film,learn = CAMFilm(drawn_files()[0][:2]),learner()
    quiet(fits['fine_tune'], learn, film)
    assert film.steps==['start','epoch 1','epoch 2']
    class Stop(Callback):
        def after_batch(self):
            if self.epoch==1: raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): quiet(lambda l,cbs: l.fit(3, cbs=cbs), learn, [film, Stop()])
    quiet(lambda l,cbs: l.fit(3, start_epoch=1, cbs=cbs), learn, film)
    assert film.steps[3:]==['epoch 3','epoch 4','epoch 5']
    assert len({tuple(f.maps.shape) for f in film.frames})==1 and film not in learn.cbs
    assert film.layer==['0']                                                     # found once, and a name since

def test_not_elsewhere():
    "A film that stays on the learner makes no frame in predictions, validation, the learning rate finder, or another map"
    film,learn = CAMFilm(drawn_files()[0][:2]),learner()
    learn.add_cb(film)
    def calls(l, cbs):
        l.lr_find(show_plot=False, num_it=5)
        l.get_preds()
        l.validate()
        l.predict(drawn_files()[0][0])
        l.cam(drawn_files()[0][:2])
    quiet(calls, learn)
    assert not film.frames
    quiet(lambda l,cbs: l.fit(1), learn)
    quiet(calls, learn)
    assert film.steps==['start','epoch 1']

def test_stopped_and_kept():
    "Early stopping keeps the frame of its last epoch, and `SaveModelCallback` the weights it would have kept"
    film,learn = CAMFilm(drawn_files()[0][:2]),learner()
    quiet(lambda l,cbs: l.fit(6, cbs=[EarlyStoppingCallback(patience=1, min_delta=99.), SaveModelCallback(), *L(cbs)]), learn, film)
    assert film.steps==['start','epoch 1','epoch 2']

def test_export(tmp_path):
    "A learner with a film on it can be exported, and trained on"
    film,learn = CAMFilm(drawn_files()[0][:2]),learner()
    learn.add_cb(film)
    quiet(lambda l,cbs: l.fit(1), learn)
    learn.export(tmp_path/'learn.pkl')
    quiet(lambda l,cbs: l.fit(1), learn)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        got = load_learner(tmp_path/'learn.pkl')
    assert got.cam_film.steps==['start','epoch 1'] and film.steps==['start','epoch 1','epoch 2']
    torch.testing.assert_close(got.cam_film.frames[-1].maps, got.cam(drawn_files()[0][:2]).maps, rtol=1e-5, atol=1e-6)

def test_a_training_is_worth_more():
    "Where the model breaks in training, the fit goes on as it would, and the film says what is missing"
    class Break(Callback):
        def after_batch(self):
            if self.epoch==1 and self.training:
                with torch.no_grad(): first(self.model.parameters()).fill_(float('nan'))
    film,learn = CAMFilm(drawn_files()[0][:2]),learner()
    with pytest.warns(UserWarning, match='No frame of epoch 2: The prediction is NaN'): quiet(lambda l,cbs: l.fit(2, cbs=cbs), learn, [film, Break()])
    assert film.steps==['start','epoch 1'] and not any(m._forward_hooks for m in learn.model.modules())

@pytest.mark.parametrize('kw,words', [(dict(target='levl'), "There is no class 'levl'"), (dict(layer='nothing'), "has no layer 'nothing'"), (dict(items=['nothing.png']), 'nothing.png')], ids=str)
def test_wrong_choices(kw, words):
    "are told before anything is trained"
    learn = learner()
    was = flat(learn.model.state_dict())
    with pytest.raises((ValueError,OSError), match=words): quiet(fits['one_cycle'], learn, CAMFilm(**{'items':drawn_files()[0][:2], **kw}))
    assert flat(learn.model.state_dict())==was and not any(m._forward_hooks for m in learn.model.modules())

@pytest.mark.parametrize('items,words', [('nofile.png', 'Cannot read nofile.png: No such file'), (Path('/no/file.png'), 'Cannot read /no/file.png'), (3, 'An item is an int, 3'),
                                         ('https://a.org/b.png', 'it is an address'), (b'abc', 'Cannot read item 0')], ids=str)
def test_items_are_read_first(items, words):
    "What a learner cannot read is told when the fit begins, before its first epoch does"
    events,learn = [],learner()
    class Began(Callback):
        def before_epoch(self): events.append('epoch')
    with pytest.raises((OSError,TypeError,ValueError), match=words): quiet(fits['one_cycle'], learn, [Began(), CAMFilm(items)])
    assert not events

@pytest.mark.parametrize('kw,words', [(dict(every=0), '`every` is 0'), (dict(every='batch'), "`every` is 'batch'"), (dict(fuse=None), '`fuse=None`'), (dict(method='gradcamm'), 'gradcamm'),
                                      (dict(items=[]), '`items` is empty'), (dict(items={1,2}), '`items` is a set'), (dict(items=iter('ab')), '`items` is a str'),
                                      (dict(items=drawn_dls().valid), '`items` is a TfmdDL.*`dl=`'), (dict(items=drawn_dls().valid_ds), 'give its items'),
                                      (dict(dl='a.png'), '`dl` is a str'), (dict(items=['a.png'], dl=drawn_dls().valid), 'not both'), (dict(max_n=0), '`max_n` is 0')], ids=lambda o: ', '.join(o) if isinstance(o, dict) else o)
def test_wrong_at_once(kw, words):
    "What can be known without a learner is told when the film is made"
    with pytest.raises((ValueError,TypeError), match=words): CAMFilm(**kw)

# ---- what is seen

@cache
def film():
    res = CAMFilm(drawn_files()[0][:3], target='level')
    quiet(lambda l,cbs: l.fit(3, 1e-2, cbs=cbs), learner(), res)
    return res

def test_show():
    film().show(max_n=2, n_frames=3)
    axs = plt.gcf().axes
    assert len(axs)==6 and [ax.get_title().split('\n')[0] for ax in axs[:3]]==['start','epoch 2','epoch 3']
    assert all(ax.get_title().split('\n')[-1].startswith('level ') for ax in axs)
    for ax,f in zip(axs[3:], film().frames[[0,2,3]]): np.testing.assert_array_equal(ax.get_images()[-1].get_array(), f.maps[1,0].normalize())
    film().show(max_n=1, scale='shared')
    top = max(f.maps[0].max().item() for f in film().frames)
    assert [ax.get_images()[-1].get_clim() for ax in plt.gcf().axes]==[(0,pytest.approx(top))]*4

def frames_of(data):
    im = Image.open(io.BytesIO(data) if isinstance(data, bytes) else data)
    res = []
    for i in range(im.n_frames):
        im.seek(i)
        res.append(np.array(im.convert('RGB')).astype(float))
    return res

def test_gif(tmp_path):
    "A frame for each step, all different and of one size; the last shows the final map"
    film().save(tmp_path/'new'/'film.gif', max_n=1)
    ims = frames_of(tmp_path/'new'/'film.gif')
    assert len(ims)==4 and len({o.shape for o in ims})==1
    assert all(np.abs(a-b).mean()>1 for a,b in zip(ims, ims[1:]))
    last = CAMFilm()
    last.frames,last.steps = film().frames[[-1]],film().steps[[-1]]
    alone, = frames_of(last.animate(max_n=1).data)
    def seen(o): return o.reshape(o.shape[0]//4, 4, o.shape[1]//4, 4, 3).mean((1,3))  # colors that the palette lacks are mixed of dots
    first,last,alone = map(seen, (ims[0],ims[-1],alone))
    assert np.abs(last-alone).mean() < np.abs(first-alone).mean()/4              # apart from where the layout was made for longer titles
    assert not plt.get_fignums()

def test_animation_shows_itself():
    html = film().animate(max_n=2)._repr_html_()
    assert html.startswith('<img src="data:image/gif;base64,') and 'http' not in html

def test_titles_may_change():
    "Targets that change in number from frame to frame, and titles of several lines, leave the size of the picture alone"
    res = CAMFilm()
    res.frames,res.steps = film().frames[[0,1]],L('a','b')
    res.frames[1] = learner().cam(drawn_files()[0][:3], target=['level','upright'])
    assert len({o.shape for o in frames_of(res.animate(max_n=2).data)})==1

def test_mp4(tmp_path, monkeypatch):
    "is written by ffmpeg: where that is missing, the message says so; where it is there, it gets every frame"
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(RuntimeError, match='ffmpeg.*gif'): film().save(tmp_path/'film.mp4')
    (tmp_path/'ffmpeg').write_text(f'#!{sys.executable}\nimport sys\nopen(sys.argv[-1], "wb").write(sys.stdin.buffer.read())\n')
    (tmp_path/'ffmpeg').chmod(0o755)
    film().save(tmp_path/'film.mp4', max_n=1)
    size = (tmp_path/'film.mp4').stat().st_size
    assert size==4*160*160*4
    with pytest.raises(ValueError, match="'.gif', '.webp' or '.mp4'"): film().save(tmp_path/'film.mov')
    for call in (film().show, film().animate):
        for kw,said in ((dict(max_n=0), 'at least one item'), (dict(figsize=(0,1)), 'both above 0')):
            with pytest.raises(ValueError, match=said): call(**kw)

def test_empty():
    for f in (CAMFilm.show, CAMFilm.animate):
        with pytest.raises(ValueError, match='no frames yet'): f(CAMFilm())

# ---- loggers

def test_tensorboard(tmp_path):
    "The events hold a picture of each frame, at its step"
    pytest.importorskip('tensorboard')
    from fastai.callback.tensorboard import TensorBoardCallback
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    def fit(log_dir, cbs):
        learn = learner()
        quiet(lambda l,cbs: l.fit(2, 1e-2, cbs=cbs), learn, [TensorBoardCallback(log_dir, trace_model=False, log_preds=False), *cbs])
        return after(learn)
    assert not changed(fit(tmp_path/'without', []), fit(tmp_path/'with', [CAMFilm(drawn_files()[0][:2])]))
    log = EventAccumulator(str(tmp_path/'with'), size_guidance=dict(images=0)).Reload()
    pics = log.Images('CAMFilm')
    assert [o.step for o in pics]==[0,2,4]
    ims = [np.array(Image.open(io.BytesIO(o.encoded_image_string))) for o in pics]
    assert all(o.std()>10 for o in ims) and (ims[0]!=ims[1]).any() and not plt.get_fignums()

def test_wandb(monkeypatch):
    "The run gets a picture of each frame"
    wandb = pytest.importorskip('wandb')
    from fastai.callback.wandb import WandbCallback
    logged = []
    monkeypatch.setattr(Learner, 'gather_args', lambda self: {})                 # fastai's own fails on files as items, with some versions of fastcore
    monkeypatch.setattr(wandb, 'run', types.SimpleNamespace(step=0, summary={}))
    monkeypatch.setattr(wandb, 'config', types.SimpleNamespace(update=lambda *args, **kwargs: None))
    monkeypatch.setattr(wandb, 'log', lambda d, step=None: logged.append((step, d)))
    quiet(lambda l,cbs: l.fit(2, 1e-2, cbs=cbs), learner(), [WandbCallback(log=None, log_preds=False), CAMFilm(drawn_files()[0][:2])])
    pics = [(step,d['CAMFilm']) for step,d in logged if 'CAMFilm' in d]
    assert [step for step,_ in pics]==[0,1,3] and all(isinstance(o, wandb.Image) for _,o in pics)

# ---- texts

def text_learner():
    "A tiny AWD-LSTM on texts of different lengths, which are padded"
    from fastai.text.all import TextDataLoaders, text_classifier_learner, AWD_LSTM, BaseTokenizer
    df = pd.DataFrame(dict(text=['a good film about a man and his dog','a bad one']*8, label=['pos','neg']*8))
    set_seed(0)
    dls = TextDataLoaders.from_df(df, valid_pct=.5, seed=0, bs=4, num_workers=0, tok_tfm=BaseTokenizer(), seq_len=4)
    learn = text_classifier_learner(dls, AWD_LSTM, pretrained=False, seq_len=4, max_len=8, config=dict(emb_sz=8, n_hid=8, n_layers=1, pad_token=1, bidir=False,
                                    output_p=.1, hidden_p=.1, input_p=.1, embed_p=.1, weight_p=.5))
    learn.remove_cbs(learn.cbs.filter(lambda o: o.name=='progress'))
    return learn

def test_text():
    "The same bits; the frames are what `learn.cam` gives, in the order of the items, and show words"
    def trained(cbs=None):
        learn = text_learner()
        quiet(lambda l,cbs: l.fit(2, 1e-2, cbs=cbs), learn, cbs)
        return after(learn),learn
    items = ['bad', 'a good film about a dog and a man']
    film = CAMFilm(items)
    (was,_),(now,with_it) = trained(),trained(film)
    assert not changed(was, now)
    cams = with_it.cam(items)
    assert [len(w) for w in film.frames[-1].words()]==[len(w) for w in cams.words()]
    for a,b in zip(film.frames[-1]._maps, cams._maps): torch.testing.assert_close(a, b, rtol=0, atol=0)
    film.show(figsize=(8,2))
    assert len(frames_of(film.animate(ncols=1, figsize=(6,2)).data))==3
