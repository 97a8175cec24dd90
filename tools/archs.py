"Print which layer is explained in many architectures: the table of nbs/tutorials/models.ipynb, where `--write` puts it."
from collections import OrderedDict
from functools import cache
import timm, torchvision.models as tv
from fastai.vision.all import *
from fastcore.nbio import read_nb, write_nb
from fastcam.engine.layer import default_layer, grid_layers
from timm.models.mlp_mixer import GatedMlp, MlpMixer, SpatialGatingBlock
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

root = Path(__file__).resolve().parent.parent
page = root/'nbs/tutorials/models.ipynb'

_layouts = {'NC*':'NCHW', 'N*C':'NHWC'}
def _by(size): return ' x '.join(map(str, size))

class Arch:
    "A model of 5 classes with random weights, as `vision_learner` or `Learner` takes it; and the layer that one would pick by hand"
    def __init__(self,
        name,          # for the table
        size,          # of the input: (height, width), or one number for both
        layer,         # name of the layer, as in `named_modules`
        grid,          # its grid
        arch,          # for `vision_learner`, or a function that makes the model for `Learner`
        layout='NCHW', # of what the layer gives: 'NCHW', 'NHWC', or how many tokens there are before those of the grid
        plain=False,   # `Learner`, not `vision_learner`?
        **kwargs       # for `vision_learner`, or that function
    ):
        store_attr('name,layer,grid,arch,layout,plain')
        self.kwargs,self.size = kwargs,(size,size) if isinstance(size, int) else size

    def learner(self):
        "A fresh one"
        set_seed(0)
        dls = noise_dls(self.size)
        if self.plain: return Learner(dls, self.arch(**self.kwargs), loss_func=CrossEntropyLossFlat())
        return vision_learner(dls, self.arch, pretrained=False, **self.kwargs)

    def picked(self): return self.layer,self.grid,self.layout
    def found(self, learn=None):
        "The default layer of `learn`, its grid and layout"
        learn = ifnone(learn, self.learner())
        o = default_layer(grid_layers(learn.model, learn.dls.one_batch()[0]))
        return o.name,o.grid,_layouts.get(o.kind, o.front)

    def row(self, layer, grid, layout):
        "Of the table"
        words = {'NCHW':'channels first', 'NHWC':'channels last', 0:'tokens', 1:'tokens, 1 before'}.get(layout, f'tokens, {layout} before')
        return [self.name, 'Learner' if self.plain else 'vision_learner', _by(self.size), f'`{layer}`', _by(grid), words]

@cache
def noise_dls(size): # (height, width)
    "DataLoaders of pictures with colored blots, in 5 classes; an item is a number"
    def blots(i): return PILImage.create(np.random.default_rng(i).integers(0, 256, (6,6,3), dtype=np.uint8)).resize(size[::-1])
    block = DataBlock((ImageBlock,CategoryBlock(range(5))), get_items=range, get_x=blots, get_y=lambda i: i%5, splitter=IndexSplitter(range(5)),
                      batch_tfms=Normalize.from_stats(*imagenet_stats))
    return block.dataloaders(10, bs=5, num_workers=0)

def _vision(name, size, layer, grid, arch=None, layout='NCHW', **kw): return Arch(name, size, layer, grid, arch or name, layout, **kw)
def _timm(name, size, layer, grid, layout='NCHW', note='', **kw):
    return Arch(f'{name}{note}', size, layer, grid, partial(timm.create_model, name, num_classes=5), layout, plain=True, **kw)
def _torch(name, size, layer, grid, arch=None, layout='NCHW', **kw): return Arch(f'torchvision {name}', size, layer, grid, arch or getattr(tv, name), layout, plain=True, num_classes=5, **kw)

def _small_vgg(num_classes):
    "VGG-11 with a smaller head: its own has 120 million weights"
    body = tv.vgg.make_layers(tv.vgg.cfgs['A'])
    return nn.Sequential(OrderedDict(features=body, avgpool=nn.AdaptiveAvgPool2d(7), flatten=nn.Flatten(), classifier=nn.Linear(512*7*7, num_classes)))

_vit,_mini = dict(img_size=64, depth=3),dict(img_size=64, depth=3, embed_dim=96, num_heads=2)
_swin = dict(depths=(1,1,1), embed_dim=24, num_heads=(1,2,4), window_size=4)

archs = [
    _vision('resnet18', 96, '0', (3,3), tv.resnet18),
    _vision('xresnet18', 96, '0', (3,3), xresnet18),
    _vision('vgg11_bn', 64, '0', (2,2), tv.vgg11_bn),
    _vision('densenet121', 64, '0', (2,2), tv.densenet121),
    _vision('squeezenet1_1', (64,96), '0', (3,5), tv.squeezenet1_1),
    _vision('alexnet', 96, '0', (2,2), tv.alexnet),
    _vision('mobilenet_v3_small', 96, '0', (3,3), tv.mobilenet_v3_small),
    _vision('efficientnet_lite0', 96, '0', (3,3)),
    _vision('convnext_atto', (64,96), '0', (2,3)),
    _vision('regnetx_002', 96, '0', (3,3)),
    _vision('nf_regnet_b0', 96, '0', (3,3)),
    _vision('mobilevit_xxs', 96, '0', (3,3)),
    _vision('coatnet_pico_rw_224', 64, '0', (2,2), img_size=64),
    _vision('maxvit_pico_rw_256', 64, '0', (2,2), img_size=64),
    _vision('swinv2_cr_tiny_224', 64, '0', (4,4), img_size=64, **{k:v for k,v in _swin.items() if k!='window_size'}),
    _vision('vit_tiny_patch16_224', (64,96), '0.model.blocks.2.norm1', (4,6), layout=1, **_vit|dict(img_size=(64,96))),
    _vision('deit_tiny_distilled_patch16_224', 64, '0.model.blocks.2.norm1', (4,4), layout=2, **_vit),
    _vision('efficientformer_l1', 224, '0.model.norm', (7,7), layout=0),

    _torch('vgg11, smaller head', 64, 'features', (2,2), _small_vgg),
    _torch('squeezenet1_1', 64, 'features', (3,3)),
    _torch('googlenet', 96, 'inception5b', (3,3), aux_logits=False, init_weights=False),
    _torch('inception_v3', 128, 'Mixed_7c', (2,2), aux_logits=False, init_weights=False),
    _torch('mobilenet_v2', (64,96), 'features', (2,3), width_mult=.25),
    _torch('mnasnet0_5', 96, 'layers', (3,3)),
    _torch('shufflenet_v2_x0_5', 96, 'conv5', (3,3)),
    _torch('regnet_y_400mf', 96, 'trunk_output', (3,3)),
    _torch('ConvNeXt', 64, 'features', (4,4), lambda num_classes: tv.ConvNeXt([CNBlockConfig(16,32,1), CNBlockConfig(32,64,1), CNBlockConfig(64,None,1)], num_classes=num_classes)),
    _torch('VisionTransformer', 64, 'encoder.layers.encoder_layer_2.ln_1', (4,4), partial(tv.VisionTransformer, 64, 16, 3, 2, 48, 96), layout=1),
    _torch('SwinTransformer', (64,96), 'permute', (4,6), partial(tv.SwinTransformer, [4,4], 24, [1,1,1], [1,2,4], [4,4])),
    _torch('SwinTransformer v2', 64, 'permute', (4,4), partial(tv.SwinTransformer, [4,4], 24, [1,1,1], [1,2,4], [4,4], block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2)),
    _torch('MaxVit', 64, 'blocks.1', (8,8), partial(tv.MaxVit, (64,64), 16, 4, [16,32], [1,1], 8, .1)),

    _timm('mobilenetv3_small_050', 96, 'blocks', (3,3)),
    _timm('mobilenetv4_conv_small_035', 96, 'blocks', (3,3)),
    _timm('efficientnet_b0', 64, 'bn2', (2,2)),
    _timm('convnextv2_atto', 64, 'stages', (2,2)),
    _timm('eca_nfnet_l0', 64, 'final_act', (2,2)),
    _timm('ghostnet_050', 96, 'blocks', (3,3)),
    _timm('repvgg_a0', 64, 'stages', (2,2)),
    _timm('resnest14d', 64, 'layer4', (2,2)),
    _timm('fastvit_t8', 64, 'final_conv', (2,2)),
    _timm('hgnetv2_b0', 64, 'stages', (2,2)),

    _timm('vit_tiny_patch16_224', (96,64), 'blocks.2.norm1', (6,4), 1, ', another size', **_vit|dict(dynamic_img_size=True)),
    _timm('vit_tiny_patch16_224', 64, 'blocks', (4,4), 0, ', mean pooling', **_vit, global_pool='avg', class_token=False),
    _timm('vit_tiny_patch16_224', 64, 'norm', (4,4), 0, ', attention pooling', **_vit, global_pool='map', class_token=False),
    _timm('vit_base_patch32_clip_224', 96, 'blocks.2.norm1', (3,3), 1, **_mini|dict(img_size=96)),
    _timm('vit_base_patch16_siglip_gap_224', 64, 'norm', (4,4), 0, **_mini),
    _timm('vit_small_patch14_dinov2', 56, 'blocks.2.norm1', (4,4), 1, **_mini|dict(img_size=56)),
    _timm('vit_small_patch14_reg4_dinov2', (56,84), 'blocks.2.norm1', (4,6), 5, **_mini|dict(img_size=(56,84))),
    _timm('vit_small_patch16_dinov3', 64, 'norm', (4,4), 5, **_mini),
    _timm('deit3_small_patch16_224', 64, 'blocks.2.norm1', (4,4), 1, **_mini),
    _timm('beit_base_patch16_224', 64, 'blocks.2', (4,4), 1, **_mini),
    _timm('beit_base_patch16_224', 64, 'blocks.2.norm1', (4,4), 1, ', class token', **_mini, global_pool='token'),
    _timm('eva02_tiny_patch14_224', 56, 'blocks.2', (4,4), 1, **_vit|dict(img_size=56)),
    _timm('cait_xxs24_224', 64, 'blocks', (4,4), 0, **_vit),
    _timm('xcit_nano_12_p16_224', 64, 'cls_attn_blocks.1.norm1', (4,4), 1, **_vit),
    _timm('pit_ti_224', 64, 'transformers.2.blocks.0.norm1', (2,2), 1, img_size=64, depth=(1,1,1)),

    _timm('swin_tiny_patch4_window7_224', (64,96), 'norm', (4,6), 'NHWC', **_swin, img_size=(64,96)),
    _timm('swinv2_tiny_window8_256', 64, 'norm', (4,4), 'NHWC', **_swin, img_size=64),
    _timm('mambaout_femto', 96, 'stages', (3,3), 'NHWC'),
    _timm('nest_tiny', 64, 'norm', (4,4), 'NHWC', img_size=64),
    _timm('hiera_tiny_224', 64, 'blocks.3', (2,2), 0, img_size=64, stages=(1,1,1,1)),
    _timm('pvt_v2_b0', 96, 'stages', (3,3)),
    _timm('levit_128s', 224, 'stages', (4,4), 0),
    _timm('mobilevitv2_050', 64, 'stages', (2,2)),
    _timm('coatnet_0_rw_224', 64, 'norm', (2,2), img_size=64, depths=(1,1,1,1), embed_dim=(32,32,64,64)),
    _timm('efficientformerv2_s0', 96, 'norm', (3,3), img_size=96),
    _timm('poolformer_s12', 64, 'stages', (2,2)),
    Arch('MLP-Mixer', 64, 'norm', (4,4), partial(MlpMixer, num_classes=5, img_size=64, num_blocks=3, embed_dim=64), 0, plain=True),
    Arch('gMLP', 64, 'norm', (4,4), partial(MlpMixer, num_classes=5, img_size=64, num_blocks=3, embed_dim=64, mlp_ratio=4, block_layer=SpatialGatingBlock, mlp_layer=GatedMlp), 0, plain=True),
]

def table(rows):
    "Markdown of `rows`"
    lines = [['model','made by','input','layer','grid','what the layer gives'], ['---']*6, *rows]
    return '\n'.join(f"| {' | '.join(o)} |" for o in lines)

def cell(nb): return first(c for c in nb.cells if c.source.startswith('| model |'))

@call_parse
def main(write:bool=False): # put the table in its page, too
    "Print which layer is explained in many architectures"
    tab = table(a.row(*a.found()) for a in archs)
    if write:
        nb = read_nb(page)
        cell(nb).source = tab
        write_nb(nb, page)
    print(tab)
