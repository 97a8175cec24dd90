"Can a map be trusted, does it hit the object, does it depend on the model, where does it look over a set, which method serves best"
from .metric import *
from .localize import *
from .sanity import *
from .summary import *
from .best import *
