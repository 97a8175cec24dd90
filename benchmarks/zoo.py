"The models of `sweep.py`: a small one of every family, with random weights and few classes. `python benchmarks/zoo.py` lists them, and the timm families that have none here"
import functools, inspect, sys
from importlib import import_module
from importlib.util import find_spec
import torch
from torch import nn

n_classes = 5

class Entry:
    "A model: its `library`, `family` and `name`; `make(**kwargs)` builds it, and `sizes` lists `(size, kwargs)`: the inputs to try, and what it must be built with for them; an entry is a list of which the first that works is taken"
    def __init__(self, library, family, name, make, sizes, channels=3, seconds=90):
        self.library,self.family,self.name,self.make,self.sizes,self.channels,self.seconds = library,family,name,make,sizes,channels,seconds
    @property
    def id(self): return f'{self.library}/{self.family}/{self.name}'
    def __repr__(self): return self.id

def one(*sizes): return [[(s, {})] for s in sizes]

# ---- timm: of each module the smallest model, by parameters. Where even that is large, fewer blocks, or smaller ones
timm_models = '''beit_base_patch16_224 lambda_resnet26t mobileone_s0 cait_xxs24_224 coat_lite_tiny convit_tiny convmixer_768_32 test_convnext cpubone_nano crossvit_9_240
csatv2 cs3darknet_focus_s cspnext_tiny davit_tiny deepseek_vit_412m deit_tiny_patch16_224 densenet121 dla46x_c dpn48b edgenext_xx_small efficientformer_l1 efficientformerv2_s0 test_efficientnet
efficientvim_m1 efficientvit_b0 efficientvit_m0 eva02_tiny_patch14_224 fasternet_t0 fastvit_t8 focalnet_tiny_srf gcvit_xxtiny gemma4_vit_167m ghostnet_050 hardcorenas_a hgnetv2_b0 hiera_tiny_224 sam2_hiera_tiny
hrnet_w18_small iformer_t inception_next_atto inception_resnet_v2 inception_v3 inception_v4 lcnetv2_small levit_128s lowformer_b0 test_mambaout test_maxvit test_coatnet poolformer_s12 caformer_s18
gmlp_ti16_224 mixer_s32_224 resmlp_12_224 mobilenetv3_small_050 mobilenetv5_300m mobilevit_xxs mobilevitv2_050 mvitv2_tiny naflexvit_base_patch16_gap nasnetalarge nest_tiny nextvit_small test_nfnet pit_ti_224
pnasnet5large pvt_v2_b0 qwen3_vit_88m rdnet_tiny regnetx_002 repghostnet_050 repvit_m0_9 res2net50_48w_2s resnest14d test_resnet resnetv2_18 rexnet_100 selecsls42b legacy_seresnet18 sequencer2d_s
shvit_s1 skresnet18 starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 swinv2_cr_tiny_ns_224 tiny_vit_5m_224 tnt_s_patch16_224 tresnet_m twins_pcpvt_small twins_svt_small vgg11_bn
visformer_tiny test_vit test_vit3 vit_small_patch14_reg4_dinov2 vit_tiny_r_s16_p8_224 test_vit_relpos samvit_base_patch16_224 vitamin_small_224 volo_d1_224 ese_vovnet19b_slim_dw legacy_xception xception41
xcit_nano_12_p16_224'''.split()

_few = dict(depth=3, embed_dim=96, num_heads=3)
timm_smaller = dict(
    beit_base_patch16_224=_few, vit_small_patch14_reg4_dinov2=_few, deit_tiny_patch16_224=dict(depth=4), cait_xxs24_224=dict(depth=6), 
    samvit_base_patch16_224=dict(_few, depth=4, global_attn_indexes=[1,3]), deepseek_vit_412m=_few, qwen3_vit_88m=_few, gemma4_vit_167m=dict(_few, head_dim=32, intermediate_size=192),
    tnt_s_patch16_224=dict(depth=4), xcit_nano_12_p16_224=dict(depth=4),
    mobilenetv5_300m=dict(channel_multiplier=.25), eva02_tiny_patch14_224=dict(depth=4))
timm_square = dict(gmlp_ti16_224=96, mixer_s32_224=96, resmlp_12_224=96, efficientvit_b0=256, deepseek_vit_412m=126, qwen3_vit_88m=128, gemma4_vit_167m=144, naflexvit_base_patch16_gap=96, vit_small_patch14_reg4_dinov2=112, inception_v3=160, inception_v4=160, inception_resnet_v2=160,
    nasnetalarge=160, pnasnet5large=160, legacy_xception=128, mobilenetv5_300m=128, sam2_hiera_tiny=128, volo_d1_224=224, efficientvim_m1=384)
timm_oblong = dict(pnasnet5large=(224,320), efficientvim_m1=(384,512), deepseek_vit_412m=(84,126), vit_small_patch14_reg4_dinov2=(84,112), gemma4_vit_167m=(96,144), eva02_tiny_patch14_224=(84,140), inception_v3=(160,256), inception_v4=(224,320), inception_resnet_v2=(128,192))

def _timm_sizes(name):
    "The model's own size, or a small one if it takes any; and one that is not square"
    import timm
    cfg = timm.get_pretrained_cfg(name, allow_unregistered=True)
    fixed = cfg is None or cfg.fixed_input_size
    square = timm_square.get(name) or (cfg.input_size[-1] if fixed and cfg else 128)
    wide = [timm_oblong[name]] if name in timm_oblong else [(96,160),(128,192),(128,256),(224,448)] if fixed else [(128,192),(96,160)]
    own = [((square,square), {}), ((square,square), dict(img_size=square))]
    if name in timm_square: own = own[::-1]
    ways = [[dict(img_size=s), {}] if fixed else [{}, dict(img_size=s)] for s in wide]
    return [own, [(s, kw) for s,kws in zip(wide, ways) for kw in kws]]

def _timm(name, **kwargs):
    import timm
    model = timm.create_model(name, **dict(dict(num_classes=n_classes), **timm_smaller.get(name, {}), **kwargs))
    # blocks whose branches are normed drown embeddings of random weights, which are a thirtieth of them
    if name.startswith('gemma4'): model.encoder.patch_embed.input_proj.weight.data.mul_(30)
    return model

def timm_entries():
    from timm.models._registry import _model_to_module
    return [Entry('timm', _model_to_module[n], n, functools.partial(_timm, n), functools.partial(_timm_sizes, n)) for n in timm_models if n in _model_to_module]

# ---- torchvision
def _tv(name, **kwargs):
    import torchvision
    return torchvision.models.get_model(name, weights=None, **dict(dict(num_classes=n_classes), **kwargs))

class Scores(nn.Module):
    "A detector of torchvision as a classifier: its anchors' scores for each class, the mean over the anchors; it takes a batch of pictures of one size"
    def __init__(self, detector): super().__init__(); self.detector = detector
    def forward(self, x):
        feats = list(self.detector.backbone(x).values())
        return self.detector.head(feats)['cls_logits'].mean(1)

def torchvision_entries():
    square,wide = (128,128),(128,192)
    def row(family, name, sizes=(square,wide), make=None, **kwargs): return Entry('torchvision', family, name, make or functools.partial(_tv, name, **kwargs), one(*sizes))
    plain = dict(alexnet='alexnet', convnext='convnext_tiny', densenet='densenet121', efficientnet='efficientnet_b0', efficientnet_v2='efficientnet_v2_s', mnasnet='mnasnet0_5', mobilenet_v2='mobilenet_v2',
        mobilenet_v3='mobilenet_v3_small', regnet='regnet_y_400mf', resnet='resnet18', shufflenet='shufflenet_v2_x0_5', squeezenet='squeezenet1_1', swin='swin_t', swin_v2='swin_v2_t', vgg='vgg11')
    res = [row(f, n) for f,n in plain.items()]
    res += [row('googlenet', 'googlenet', aux_logits=False, init_weights=False), row('inception', 'inception_v3', ((160,160),(224,320)), aux_logits=False, init_weights=False)]
    def vit(**kwargs): return import_module('torchvision.models.vision_transformer').VisionTransformer(num_layers=3, num_heads=2, hidden_dim=64, mlp_dim=128, num_classes=n_classes, **kwargs)
    res += [Entry('torchvision', 'vision_transformer', 'VisionTransformer', functools.partial(vit, image_size=96, patch_size=16), one((96,96))),
            row('maxvit', 'maxvit_t', ((224,224),))]
    clip = (8,64,96)
    res += [row('video', n, (s,)) for n,s in dict(r3d_18=clip, mc3_18=clip, r2plus1d_18=clip, swin3d_t=clip).items()]
    def mvit(): return import_module('torchvision.models.video.mvit').MViT(spatial_size=(64,96), temporal_size=8, num_classes=n_classes, residual_pool=True, residual_with_cls_embed=False, rel_pos_embed=True, proj_after_attn=True,
        block_setting=[import_module('torchvision.models.video.mvit').MSBlockConfig(num_heads=h, input_channels=c, output_channels=d, kernel_q=[3,3,3], kernel_kv=[3,3,3], stride_q=q, stride_kv=k)
                       for h,c,d,q,k in ((1,32,32,[1,1,1],[1,4,4]),(2,32,64,[1,2,2],[1,2,2]),(2,64,64,[1,1,1],[1,2,2]),(2,64,64,[1,1,1],[1,2,2]))])
    res += [row('video', 'mvit_v2 (4 blocks)', (clip,), mvit), row('video', 's3d', ((16,224,224),))]
    res += [row('segmentation', n, ((256,256),(256,320)), weights_backbone=None) for n in ('lraspp_mobilenet_v3_large','deeplabv3_mobilenet_v3_large')]
    res += [row('segmentation', 'fcn_resnet50', ((96,128),), weights_backbone=None)]
    res += [row('detection', f'{n}, scores', ((128,192),), lambda n=n: Scores(_tv(n, weights_backbone=None))) for n in ('retinanet_resnet50_fpn',)]
    return res

# ---- Hugging Face
_vit = dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=2, intermediate_size=96)
_s4 = dict(hidden_sizes=[16,24,32,48], depths=[1,1,2,1])
_swin = dict(image_size=128, embed_dim=24, depths=[1,1,2,1], num_heads=[1,2,4,8], window_size=4)
_pvt = dict(depths=[1,1,2,1], num_attention_heads=[1,2,2,4], hidden_sizes=[16,24,32,48])
_square,_wide = (128,128),(128,192)
hf_models = dict(
    ViT=(dict(_vit, image_size=[96,160]), [(96,160)]), DeiT=(dict(_vit, image_size=96), [(96,96)]), Beit=(dict(_vit, image_size=96), [(96,96)]), Data2VecVision=(dict(_vit, image_size=96), [(96,96)]),
    ViTMSN=(dict(_vit, image_size=96), [(96,96)]), Dinov2=(dict(_vit, image_size=98, patch_size=14), [(98,98),(70,112)]), Dinov2WithRegisters=(dict(_vit, image_size=98, patch_size=14), [(98,98),(70,112)]), DINOv3ViT=(dict(_vit, patch_size=16, num_register_tokens=4), [(96,96),_wide]),
    IJepa=(dict(_vit, image_size=96, patch_size=16), [(96,96)]), Siglip=(dict(vision_config=dict(_vit, image_size=96, patch_size=16)), [(96,96)]), CLIP=(dict(vision_config=dict(_vit, image_size=96, patch_size=16)), [(96,96)]), MetaClip2=(dict(vision_config=dict(_vit, image_size=96, patch_size=16)), [(96,96)]),
    Swin=(_swin, [_square,(128,192)]), Swinv2=(_swin, [_square,(128,192)]), DonutSwin=(_swin, [_square,(128,192)]), ConvNext=(_s4, [_square,_wide]), ConvNextV2=(_s4, [_square,_wide]), Focalnet=(dict(image_size=128, embed_dim=24, depths=[1,1,2,1]), [_square,_wide]),
    Pvt=(dict(_pvt, image_size=128), [_square]), PvtV2=(_pvt, [_square,_wide]), Segformer=(_pvt, [_square,_wide]), PoolFormer=(dict(_s4, hidden_sizes=[16,24,32,48]), [_square,_wide]), Hiera=(dict(embed_dim=24, image_size=[128,128], depths=[1,1,2,1], num_heads=[1,1,2,4]), [_square]),
    MobileViT=(dict(image_size=128, hidden_sizes=[32,48,64], neck_hidden_sizes=[8,16,24,32,40,48,64]), [_square,_wide]), MobileViTV2=(dict(image_size=128, width_multiplier=.5), [_square,_wide]), MobileNetV1=(dict(depth_multiplier=.25), [_square,_wide]), MobileNetV2=(dict(depth_multiplier=.35), [_square,_wide]),
    ResNet=(dict(_s4, embedding_size=16), [_square,_wide]), RegNet=(dict(hidden_sizes=[16,32,48,64], depths=[1,1,2,1], embedding_size=16, groups_width=8), [_square,_wide]), EfficientNet=(dict(width_coefficient=.3, depth_coefficient=.3, hidden_dim=384), [_square,_wide]),
    Levit=(dict(hidden_sizes=[32,48,64], num_attention_heads=[2,3,4], depths=[1,1,1], key_dim=[8,8,8], image_size=224), [(224,224)]), Cvt=(dict(embed_dim=[16,32,48], num_heads=[1,2,3], depth=[1,2,3]), [_square,_wide]), Bit=(dict(hidden_sizes=[32,64,96,128], depths=[1,1,2,1], embedding_size=32, num_groups=8), [_square,_wide]),
    SwiftFormer=(dict(embed_dims=[16,24,32,48], depths=[1,1,2,1]), [_square,_wide]), TextNet=(dict(), [_square,_wide]), HGNetV2=(dict(hidden_sizes=[32,64,96,128], stem_channels=[3,8,16], stage_in_channels=[16,32,64,96], stage_mid_channels=[8,16,24,32], stage_out_channels=[32,64,96,128], embedding_size=16), [_square,(192,288)]),
    PPLCNet=(dict(), [(192,192),(192,288)]), DINOv3ConvNext=(_s4, [_square,_wide]))

@functools.cache
def _hf_configs():
    import transformers
    return {k.lower():k for k in dir(transformers) if k.endswith('Config')}

@functools.cache
def _hf_class(name):
    import transformers
    config = _hf_configs().get(f'{name}config'.lower())
    if config is None: return None
    stem = config.removesuffix('Config')
    cls = getattr(transformers, f'{stem}ForImageClassification', None)
    return cls and (getattr(transformers, config), cls)

def _hf(name, config):
    cfg,cls = _hf_class(name)
    return cls(cfg(num_labels=n_classes, **config))

def _hf_segmentation(name, config):
    import transformers
    return getattr(transformers, f'{name}ForSemanticSegmentation')(getattr(transformers, f'{name}Config')(num_labels=n_classes, **config))

class Fold(nn.Module):
    "What VideoMAE and its like take: (batch, frames, channels, height, width) of a clip (batch, channels, frames, height, width)"
    def __init__(self, model): super().__init__(); self.model = model
    def forward(self, x): return self.model(x.transpose(1, 2)).logits

def _hf_video(name, config):
    import transformers
    return Fold(getattr(transformers, f'{name}ForVideoClassification')(getattr(transformers, f'{name}Config')(num_labels=n_classes, **config)))

def hf_entries():
    res = [Entry('transformers', n, f'{n}ForImageClassification', functools.partial(_hf, n, cfg), one(*sizes)) for n,(cfg,sizes) in hf_models.items() if _hf_class(n)]
    seg = dict(Segformer=dict(_pvt, decoder_hidden_size=32), MobileViT=dict(hf_models['MobileViT'][0], aspp_out_channels=32), Beit=dict(_vit, image_size=96, num_hidden_layers=4, out_indices=[1,2,3,4], use_auxiliary_head=False))
    res += [Entry('transformers', f'{n}, segmentation', f'{n}ForSemanticSegmentation', functools.partial(_hf_segmentation, n, c), one((96,96) if n=='Beit' else _wide)) for n,c in seg.items()]
    video = dict(VideoMAE=dict(_vit, image_size=64, num_frames=8), Timesformer=dict(_vit, image_size=64, num_frames=4), Vivit=dict(_vit, image_size=64, num_frames=4, tubelet_size=[2,16,16]))
    return res + [Entry('transformers', f'{n}, video', f'{n}ForVideoClassification', functools.partial(_hf_video, n, c), one((c['num_frames'],64,64))) for n,c in video.items()]

# ---- MONAI: volumes
def _monai(name, **kwargs): return getattr(import_module('monai.networks.nets'), name)(**kwargs)

def monai_entries():
    volume,classes = (48,64,64),dict(spatial_dims=3, in_channels=1, out_channels=n_classes)
    se = dict(spatial_dims=3, in_channels=1, num_classes=n_classes)
    rows = dict(DenseNet121=(dict(classes, init_features=8, growth_rate=8, block_config=(2,2,2)), volume), SEResNet50=(dict(se, layers=(1,1,1,1), inplanes=16), (64,64,96)),
        ResNet=(dict(block='basic', layers=[1,1,1,1], block_inplanes=[8,16,24,32], spatial_dims=3, n_input_channels=1, num_classes=n_classes), (64,64,96)), EfficientNetBN=(dict(model_name='efficientnet-b0', spatial_dims=3, in_channels=1, num_classes=n_classes), (96,96,128)),
        ViT=(dict(in_channels=1, img_size=(48,64,64), patch_size=16, hidden_size=48, mlp_dim=96, num_layers=3, num_heads=3, classification=True, num_classes=n_classes, post_activation=''), (48,64,64)),
        UNet=(dict(classes, channels=(8,16,24), strides=(2,2)), (32,32,48)), BasicUNet=(dict(classes, features=(8,8,16,24,32,8)), (64,64,96)), AttentionUnet=(dict(classes, channels=(8,16,24), strides=(2,2)), (32,32,48)), SegResNet=(dict(classes, init_filters=8), (32,32,48)), VNet=(dict(classes), (32,32,48)),
        DynUNet=(dict(classes, kernel_size=[3,3,3], strides=[1,2,2], upsample_kernel_size=[2,2], filters=[8,16,24]), (32,32,48)), UNETR=(dict(in_channels=1, out_channels=n_classes, img_size=(32,32,48), feature_size=8, hidden_size=48, mlp_dim=96, num_heads=3), (32,32,48)), HighResNet=(dict(classes), (16,24,24)))
    rows['SwinUNETR'] = (dict(in_channels=1, out_channels=n_classes, feature_size=12, depths=(1,1,1,1)), (32,32,64))
    return [Entry('monai', n, n, functools.partial(_monai, n, **kw), one(size), channels=1) for n,(kw,size) in rows.items()]

# ---- segmentation_models_pytorch
def _smp(name, **kwargs): return getattr(import_module('segmentation_models_pytorch'), name)(**dict(dict(encoder_name='timm-mobilenetv3_small_minimal_100', encoder_weights=None, classes=n_classes), **kwargs))

def smp_entries():
    names = dict(Unet={}, UnetPlusPlus={}, MAnet={}, Linknet={}, FPN={}, PSPNet={}, DeepLabV3={}, DeepLabV3Plus={}, PAN={}, UPerNet={}, Segformer={}, DPT=dict(encoder_name='tu-test_vit', dynamic_img_size=True))
    names['Unet, mit_b0'] = dict(encoder_name='mit_b0')
    return [Entry('smp', n, n, functools.partial(_smp, n.split(',')[0], **kw), one({'DPT':(160,160), 'PAN':(512,768)}.get(n, (128,192)))) for n,kw in names.items()]

sources = dict(timm=('timm', timm_entries), torchvision=('torchvision', torchvision_entries), transformers=('transformers', hf_entries), monai=('monai', monai_entries), smp=('segmentation_models_pytorch', smp_entries))

def entries(libraries=None):
    "All that can be built with what is installed"
    return [e for lib,(module,make) in sources.items() if (not libraries or lib in libraries) and find_spec(module) for e in make()]

if __name__=='__main__':
    for e in entries(): print(e.id)
    from timm.models._registry import _model_to_module
    print('timm families without a model here:', sorted(set(_model_to_module.values())-{_model_to_module.get(n) for n in timm_models}))
