"Everything of fastcam, to be imported after `fastai.vision.all`"
from .core import *
from .layer import *
from .target import *
from .capture import *
from .method import *
from .perturb import *
from .network import *
from .callback import *
from .view import *
from .learner import *
from .concept import *
from .interpret import *
from .metric import *
from .localise import *
from .sanity import *
from .export import *
from .demo import *
