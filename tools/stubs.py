"Write fastcam/all.pyi, by which editors that do not run the code see the methods that fastcam patches into classes of fastai's and its own, with all keywords and what they mean."
import ast, inspect, sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root))
from fastcore.docments import docments
from fastai.text import all as text
from fastai.vision import all as vision
from fastcore.script import call_parse
from fastcam import all as ours

makers = 'vision_learner unet_learner load_learner text_classifier_learner'.split()        # what gives a `Learner`
head = '''"""What editors see of `fastcam.all`. Written by tools/stubs.py from the package: run that

After `from fastcam.all import *`, fastai's own classes have more methods. Here they are subclasses that have them, and what makes learners gives these."""
from typing import Any, overload
from pandas import DataFrame
'''

def patched():
    "The public methods that modules patch into classes, by name of the class"
    res = {}
    for f in sorted((root/'fastcam').rglob('*.py')):
        for o in ast.parse(f.read_text(encoding='utf-8')).body:
            if not isinstance(o, ast.FunctionDef) or o.name.startswith('_'): continue
            if any(ast.unparse(d).startswith('patch') for d in o.decorator_list): res.setdefault(ast.unparse(o.args.args[0].annotation), []).append(o.name)
    return res

def find(name): return next((getattr(m, name) for m in (ours,vision,text) if hasattr(m, name)), None)

def value(o): return repr(o) if isinstance(o, (type(None),bool,int,float,str)) else '...'
known = {*ours.__all__, 'str', 'bool', 'int', 'DataFrame', 'Learner'}
def returns(o):
    "The name of what a function gives, or of the first of its bases that the stub knows; '' if it does not say"
    return next((c.__name__ for c in getattr(o, '__mro__', ()) if c.__name__ in known), 'None' if o is None else '')

# what is set by `store_attr` no editor sees: any other name may be right
any_name = '    def __getattr__(self, name: str) -> Any: ...'
extra = dict(CAMs='''    @overload
    def __getitem__(self, i: int) -> CAMItem: ...
    @overload
    def __getitem__(self, i: Any) -> CAMs: ...
    @property
    def maps(self) -> TensorCAM: ...''')

def signature(f, res=None):
    "`(...) -> ...` of `f`, keywords of `delegates` included"
    sig = inspect.signature(f)
    ps = [p.replace(annotation=p.empty, default=p.empty) for p in sig.parameters.values()]
    # without `Any`, a default of 'gradcam' would be taken to say that only strings go
    said = [str(p)+('' if o.default is o.empty else f': Any = {value(o.default)}') for p,o in zip(ps, sig.parameters.values())]
    if first := [i for i,p in enumerate(ps) if p.kind is p.KEYWORD_ONLY]:
        if not any(p.kind is p.VAR_POSITIONAL for p in ps): said.insert(first[0], '*')
    res = res or returns(sig.return_annotation)
    return f"({', '.join(said)}){' -> '*bool(res)}{res}"

def doc(f, indent):
    "Docstring of `f`, and what its parameters mean"
    said = [f'- {n}: {d}' for n,d in docments(f).items() if d and n not in ('return','self')]
    return f'\n{indent}'.join([f'r"""{inspect.getdoc(f) or ""}', *(['', *said] if said else [])])+'"""'

def method(cls, name):
    f = inspect.getattr_static(cls, name)
    if isinstance(f, property): return f'    @property\n    def {name}(self): {doc(f.fget, " "*8)}'
    return f'    def {name}{signature(f)}: {doc(f, " "*8)}'

def stub():
    "The text of fastcam/all.pyi"
    methods = {n:ms for n,ms in patched().items() if n in ours.__all__ or not (find(n) or int).__module__.startswith(('fastcam','builtins'))}
    classes = sorted((find(n) for n in methods), key=lambda c: (len(c.mro()),c.__name__))
    imports = [f"from {c.__module__} import {c.__name__} as _{c.__name__}" for c in classes]
    made = [*makers, *(n for n in ours.__all__ if n not in methods and inspect.isfunction(find(n)) and returns(inspect.signature(find(n)).return_annotation) in methods)]
    plain = [n for n in ours.__all__ if n not in methods and n not in made]
    imports += [f"from {find(n).__module__} import {n} as {n}" for n in plain]
    views = [f"class {c.__name__}({', '.join(['_'+c.__name__, *(b.__name__ for b in c.__bases__ if b in classes)])}):\n"+
             '\n'.join([*(method(c, m) for m in dict.fromkeys(methods[c.__name__])), *filter(None, [extra.get(c.__name__)]), any_name])
             for c in classes]
    fs = [f'def {n}{signature(find(n), "Learner" if n in makers else None)}: {doc(find(n), "    ")}' for n in made]
    names = sorted({*ours.__all__, *methods, *makers})
    return '\n'.join([head+'\n'.join(imports), *views, *fs, f'__all__ = {names}', ''])

@call_parse
def main(check:bool=False): # only say whether the file is up to date
    "Write fastcam/all.pyi"
    f,new = root/'fastcam'/'all.pyi',stub()
    if f.exists() and f.read_text(encoding='utf-8')==new: return
    if check: sys.exit('fastcam/all.pyi is not what the package gives. Run: python tools/stubs.py')
    f.write_text(new, encoding='utf-8')
