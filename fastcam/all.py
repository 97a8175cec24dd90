"What a user of fastcam types, to be imported after `fastai.vision.all`; metrics are in `fastcam.evidence`"
from .core import TensorCAM
from .draw import *
from .engine.grid import Layout, register_layout
from .engine.layer import default_layer, find_layers, grid_layers
from .engine.target import Above, Actual, Classes, Fn, Head, Neg, Outputs, PerItem, Prob, ReST, Region, Several, Similar, Target, TopK, Versus
from .engine.method import cam_methods, register_method, register_smooth, weight_method
from .engine.perturb import *
from .engine.network import *
from .engine.explain import cam_maps, input_shares, layers_table
from .engine.objects import Detections
from .engine.prompt import Prompt
from .engine.features import FeatureColors
from .learner.items import as_item
from .learner.cams import CAMItem, CAMs
from .learner.text import TextCAMs
from .learner.callback import CAMCallback
from .learner.learner import *
from .learner.interpret import *
from .learner.film import CAMFilm
from .learner.concept import Concepts
from .learner.features import Features
from .evidence import BestCAM, CAMSummary, SanityCheck, metrics_table, register_metric
from .apps.export import load_cams
from .apps.demo import demo_learner, demo_photos
from .apps.explore import Explorer

__all__ = ['Above', 'Actual', 'BestCAM', 'CAMCallback', 'CAMFilm', 'CAMItem', 'CAMSummary', 'CAMs', 'Classes', 'Concepts', 'Detections', 'Explorer', 'FeatureColors', 'Features', 'Fn', 'Head', 'Layout', 'Neg', 'Outputs',
           'PerItem', 'Prob', 'Prompt', 'ReST', 'Region', 'SanityCheck', 'Several', 'Similar', 'Target', 'TensorCAM', 'TextCAMs', 'TopK', 'Versus', 'as_item', 'cam_maps',
           'cam_methods', 'default_layer', 'demo_learner', 'demo_photos', 'find_layers', 'grid_layers', 'input_shares', 'layers_table', 'load_cams', 'metrics_table', 'register_layout', 'register_method', 'register_metric',
           'register_smooth', 'weight_method']
