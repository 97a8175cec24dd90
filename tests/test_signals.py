"Signals as their users read them: maps by channel, against captum and a planted lead; time in seconds; spectrograms the right way up"
import importlib.util, math
from functools import cache
import pytest
from utils import *
from captum.attr import IntegratedGradients, Saliency, Occlusion, InputXGradient

class ECG(TensorBase): pass
lead,at = 1,slice(60,80)                                              # where a wave says which class it is

def record(i, fs=None):
    "Four leads of 160 steps: noise, waves that mean nothing in three of them, and one in `lead` that points up or down"
    gen = torch.Generator().manual_seed(i)
    x = torch.randn(4,160, generator=gen)*.2
    for c in (0,2,3): x[c,int(torch.randint(0,140,(1,), generator=gen)):][:20] += 1 if torch.rand(1, generator=gen)<.5 else -1
    x[lead,at] += 1 if i%2 else -1
    x = ECG(x)
    if fs is not None: x.fs = fs
    return x

@cache
def learner(fs=None):
    set_seed(0, True)
    dls = DataBlock((TransformBlock(),CategoryBlock), get_x=partial(record, fs=fs), get_y=lambda i: ['down','up'][i%2], splitter=IndexSplitter(range(96,112))
                   ).dataloaders(list(range(112)), bs=16, num_workers=0, device='cpu')
    learn = Learner(dls, nn.Sequential(nn.Conv1d(4,16,9,2,4), nn.ReLU(), nn.Conv1d(16,16,9,2,4), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16,2)), metrics=accuracy)
    learn.remove_cb(ProgressCallback)
    with learn.no_logging(): learn.fit_one_cycle(25, 1e-2)
    assert learn.validate()[1]>.9
    return learn

@pytest.mark.parametrize('method', ['ig','occlusion','inputxgradient'])
def test_the_planted_lead_is_found(method):
    "Of what speaks for the class most lies in the lead that tells it, at its wave; the channels add up to the map without them"
    cams = learner().cam(method=method, by_channel=True)
    assert cams.maps.shape==(16,1,4,160) and cams.maps.nd==2
    m = cams.maps[:,0].as_subclass(Tensor).relu()
    in_lead,in_wave = m[:,lead].sum(1)/m.sum((1,2)),m[:,:,50:90].sum((1,2))/m.sum((1,2))
    assert in_lead.mean()>.8 and (m.sum(2).argmax(1)==lead).all() and in_wave.mean()>.6
    if method!='occlusion': assert torch.allclose(cams.maps.sum(2), learner().cam(method=method).maps.as_subclass(Tensor), atol=1e-5)

@pytest.mark.parametrize('size', [(2,40), (3,12,10), (2,5,4,3)])
def test_by_channel_like_captum(size):
    set_seed(0)
    nd = len(size)-1
    conv,pool = ((nn.Conv1d,nn.AdaptiveAvgPool1d), (nn.Conv2d,nn.AdaptiveAvgPool2d), (nn.Conv3d,nn.AdaptiveAvgPool3d))[nd-1]
    model,x = nn.Sequential(conv(size[0],5,3,padding=1), nn.GELU(), pool(1), nn.Flatten(), nn.Linear(5,4)).double().eval(),torch.randn(3,*size).double()
    window,stride = (3,)*nd,(2,)*nd
    for kw,want in ((dict(method='inputgrad'), Saliency(model).attribute(x.clone(), target=2, abs=False)),
                    (dict(method='inputxgradient'), InputXGradient(model).attribute(x.clone(), target=2)),
                    (dict(method='ig', steps=4, bs=5), IntegratedGradients(model).attribute(x, 0., target=2, n_steps=4, method='gausslegendre')),
                    (dict(method='occlusion', window=window, stride=stride, bs=7), Occlusion(model).attribute(x, (1,*window), (1,*stride), target=2))):
        got = cam_maps(model, x, [0,2], by_channel=True, **kw)
        assert got.shape==(3,2,*size) and (got[:,1].as_subclass(Tensor)-want.detach()).abs().max()<=1e-5*want.abs().max(), kw

def test_by_channel_elsewhere_is_refused():
    learn = learner()
    with pytest.raises(TypeError, match="methods that take it: 'inputxgradient', 'inputgrad', 'smoothgrad', 'ig', 'occlusion'"): learn.cam(by_channel=True)
    with pytest.raises(ValueError, match='maps by channel are those of a picture'): learn.cam(method='ig', layer=-1, by_channel=True)
    words = nn.Sequential(nn.Embedding(9,4), nn.Flatten(), nn.Linear(4*6,2)).eval()
    with pytest.raises(ValueError, match='maps by channel are those of a picture'): cam_maps(words, torch.randint(0,9,(2,6)), method='ig', by_channel=True)

def test_a_lane_for_each_channel_in_seconds():
    "The lane of a channel has its own line and its own row of the map; the rate is given, or the item's own"
    for learn,kw in ((learner(), dict(fs=80)), (learner(80), {})):
        ax, = learn.cam(method='ig', by_channel=True, max_n=1).show(**kw)
        x,im = record(96),ax.get_images()[0]
        assert len(ax.lines)==4 and (ax.get_xlabel(), ax.get_ylabel(), ax.axison)==('seconds','channel',True)
        assert list(im.get_extent())==[0, 159/80, 0, 4] and im.get_interpolation()=='nearest' and im.origin=='upper'
        assert np.argmax(np.asarray(im.get_array()).sum(1))==lead                         # the second from above, as its line:
        y = torch.tensor(ax.lines[lead].get_ydata())
        assert 2<=y.min() and y.max()<=3 and torch.corrcoef(torch.stack([y, x[lead].as_subclass(Tensor)]))[0,1]>.999
        assert np.allclose(ax.lines[0].get_xdata(), np.arange(160)/80)
        ax, = learn.cam(max_n=1).show(**kw)
        assert (ax.get_xlabel(), ax.axison, *ax.get_images()[0].get_extent()[:2])==('seconds', True, 0, 159/80)
    ax, = learner().cam(max_n=1).show()
    assert (ax.get_xlabel(), ax.axison, ax.get_xlim())==('step', True, (0,159))
    assert [t.get_text() for t in ax.get_legend().get_texts()]==list('0123')
    plt.close('all')

def test_said_once():
    "In a figure of several records time is said below, the channel on the left, and which line is which on the first, above the lines"
    for learn,kw,said in ((learner(), {}, 'step'), (learner(), dict(method='ig', by_channel=True), 'step'), (learner(80), {}, 'seconds')):
        axs = learn.cam(max_n=6, **kw).show(ncols=3, nrows=2)
        assert [ax.get_xlabel() for ax in axs]==['']*3+[said]*3
        assert [ax.get_ylabel() for ax in axs]==(['channel','','']*2 if kw else ['']*6)
        assert [bool(ax.get_legend()) for ax in axs]==[not kw]+[False]*5
    axs = learner().cam(max_n=5).show(ncols=3, nrows=2)                                # the last place is empty: what is above it says its time
    assert [ax.get_xlabel() for ax in axs]==['','','step','step','step']
    axs[0].figure.canvas.draw()
    legend = axs[0].get_legend().get_window_extent()
    assert all(axs[0].transData.transform(o.get_xydata())[:,1].max()<=legend.y0 for o in axs[0].lines)
    learner().compare_cams(list(range(96,98)), methods=['gradcam','gradcam++'])
    axs = plt.gcf().axes
    assert [ax.get_xlabel() for ax in axs]==['','','step','step'] and [bool(ax.get_legend()) for ax in axs]==[True]+[False]*3
    plt.close('all')

@pytest.mark.parametrize('high', [.8,2.,6.,20.])
def test_numbers_of_lanes_do_not_overlap(high):
    "However many channels there are, in a figure of any height"
    fig,ax = plt.subplots(figsize=(4,high))
    Panel(as_picture(torch.randn(40,50))).draw(ax)
    fig.canvas.draw()
    at = [t.get_window_extent() for t in ax.get_yticklabels()]
    assert at and all(above.y0>=below.y1 for above,below in zip(at, at[1:]))
    plt.close('all')

def test_frames_in_seconds():
    "Frames of a clip whose rate is known have their time, others their number"
    for fs,said in ((None, ['2','7','12','17','22','27']), (25, ['0.08 s','0.28 s','0.48 s','0.68 s','0.88 s','1.08 s'])):
        clip = ECG(torch.rand(3,30,8,12))
        clip.fps = fs
        for pic in (as_picture(clip), as_picture(torch.rand(3,30,8,12), fs=fs)):
            assert [t.get_text() for t in pic.show(ctx=plt.subplots()[1]).texts]==said
    plt.close('all')

def test_bands_of_a_picture():
    "Of more than three bands too: the six where the map is strongest, each with its own"
    set_seed(0)
    model = nn.Sequential(nn.Conv2d(8,4,3,padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,2))
    dl = DataLoader([(torch.randn(8,12,10), tensor(0)) for _ in range(4)], bs=4, n_inp=1)
    learn = Learner(DataLoaders(dl, dl), model, loss_func=CrossEntropyLossFlat(), cbs=[])
    learn.remove_cb(ProgressCallback)
    cams = learn.cam(method='ig', by_channel=True, max_n=2)
    assert cams.maps.shape==(2,1,8,12,10)
    ax = cams.show()[0]
    pic,heat = ax.get_images()
    assert len(pic.montage.which)==6 and pic.montage.size==(12,10) and heat.get_extent()==pic.get_extent() and heat.get_array().shape==pic.get_array().shape
    plt.close('all')

class LowFirst(TensorImageBase):
    "A spectrogram, drawn with its lowest row at the bottom"
    def show(self, ctx=None, mesh=False, **kwargs):
        ctx = ifnone(ctx, plt.gca())
        if self.mesh: ctx.pcolormesh(self[0].numpy())
        else: ctx.imshow(self[0].numpy(), origin='lower', aspect='auto')
        return ctx

@pytest.mark.parametrize('mesh', [False,True])
def test_spectrograms_are_the_right_way_up(mesh):
    "A tone in the low rows is drawn where the picture has it, in the learner's own panels"
    x = LowFirst(torch.rand(1,32,48)*.1)
    x.mesh = mesh
    x[0,2:6,30:40] += 1
    body = nn.Conv2d(1,1,5,padding=2,bias=False)
    nn.init.constant_(body.weight, 1.)
    dl = DataLoader([(x, tensor(0))], bs=1, n_inp=1)
    learn = Learner(DataLoaders(dl, dl), nn.Sequential(body, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1,2)), loss_func=CrossEntropyLossFlat(), cbs=[])
    learn.remove_cb(ProgressCallback)
    nn.init.constant_(learn.model[-1].weight, 1.)
    ax, = learn.cam(layer=0, target=0).show(interpolation='nearest')
    ax.figure.canvas.draw()
    if mesh:
        pic,heat = ax.collections
        assert (heat.get_coordinates()==pic.get_coordinates()).all()
    else:
        pic,heat = ax.get_images()
        assert heat.origin==pic.origin=='lower' and heat.get_extent()==pic.get_extent() and ax.get_aspect()=='auto'
    for o in (pic,heat): assert 2<=np.argmax(np.asarray(o.get_array()).reshape(32,48).sum(1))<6
    lo,hi = ax.get_ylim()
    assert lo<hi
    plt.close('all')

def test_methods_of_the_input_are_measured():
    "`best_cam` among them looks at the input, also of a model none of whose layers keeps places"
    learn = learner()
    best = learn.best_cam(methods=['inputgrad','inputxgradient'], max_n=8)
    assert best['layer']=='input' and learn.cam(max_n=1, **best).maps.shape==(1,1,160)
    assert {l for _,l in best.ranking.index}=={'input'}
    table = learn.cam_metrics(methods=['occlusion'], layers='input', metrics=['deletion_auc'], max_n=4)
    lost = table['deletion_auc ↓','mean']
    assert lost['occlusion']<lost['random']
    flat = Learner(learn.dls, nn.Sequential(nn.Flatten(), nn.Linear(640,8), nn.ReLU(), nn.Linear(8,2)), loss_func=CrossEntropyLossFlat(), cbs=[])
    flat.remove_cb(ProgressCallback)
    assert flat.best_cam(methods=['inputxgradient','occlusion'], max_n=4)['layer']=='input'

class Speech(nn.Module):
    "Silero's detector of speech at 16 kHz, as its package describes it for tinygrad: spectrum, four convolutions, a recurrent cell"
    def __init__(self):
        super().__init__()
        self.stft_conv,self.lstm_cell,self.final_conv = nn.Conv1d(1, 258, 256, 128, bias=False),nn.LSTMCell(128, 128),nn.Conv1d(128, 1, 1)
        self.conv1,self.conv2,self.conv3,self.conv4 = (nn.Conv1d(i, o, 3, s, 1) for i,o,s in ((129,128,1), (128,64,2), (64,64,2), (64,128,1)))
    def forward(self, x):
        a,b = self.stft_conv(F.pad(x, (0,64), mode='reflect')).chunk(2, 1)
        x = (a**2+b**2).sqrt()
        for f in (self.conv1, self.conv2, self.conv3, self.conv4): x = f(x).relu()
        return self.final_conv(self.lstm_cell(x[...,0])[0].relu()[...,None]).sigmoid()[...,0]

def speech():
    load_file = pytest.importorskip('safetensors.torch').load_file
    spec = importlib.util.find_spec('silero_vad')
    if spec is None: pytest.skip("The weights of Silero's detector are not here: `pip install --no-deps silero-vad==6.2.3`")
    model = Speech().eval()
    model.load_state_dict(load_file(Path(first(spec.submodule_search_locations))/'data/silero_vad_16k.safetensors'))
    return model

def vowels():
    "Twenty drawn vowels of 576 samples: harmonics of five pitches, louder near the formants of four vowels"
    t = torch.arange(576)/16000
    def one(pitch, formants):
        fs = torch.arange(pitch, 7500, pitch)
        loud = sum(1/(1+((fs-f)/w)**2) for f,w in formants)/torch.arange(1, len(fs)+1)**.5
        s = (loud[:,None]*torch.sin(2*math.pi*fs[:,None]*t+torch.arange(1, len(fs)+1)[:,None]**2*.2)).sum(0)
        return s/s.abs().max()/2
    kinds = [(700,90),(1200,110),(2600,150)],[(300,60),(2300,120),(3000,150)],[(500,80),(1500,100),(2500,140)],[(350,70),(800,90),(2400,140)]
    return torch.stack([one(p, k) for p in (100,120,150,180,220) for k in kinds])[:,None]

@pytest.mark.parametrize('kw', [dict(method='inputxgradient'), dict(method='ig', steps=4)], ids=str)
def test_speech_is_found(kw):
    "A vowel in one half of a window, hiss in all of it: nine tenths of the map lie in that half, of each of forty, as of the signal's energy. The last layer that keeps places has two steps, and Grad-CAM there does not tell; beside louder noise no method has .9 in every case"
    model,x,hiss = speech(),vowels(),torch.randn(20, 1, 576, generator=torch.Generator().manual_seed(0))*.002
    with torch.no_grad(): assert model(x).median()>.6 and model(hiss).max()<.2
    def shares(half, **kw):
        near = torch.zeros(576).index_fill(0, torch.arange(288)+288*half, 1.)
        m = cam_maps(model, x*near+hiss, target=0, **kw)
        m = TensorCAM(m[:,0], nd=1).resize(576).as_subclass(Tensor).relu()
        return (m*near).sum(1)/m.sum(1).clamp(min=1e-12)
    got = torch.cat([shares(half, **kw) for half in (0,1)])
    assert len(got)==40 and got.min()>=.9
    assert torch.cat([shares(half) for half in (0,1)]).mean()<.8
