"The house: which room may import which, what is private, where pictures are drawn, how much a function may branch, what a user gets. Counted in the code, without running it"
import ast, builtins
import pytest
from conftest import root

floors = dict(zip(['', 'engine', 'learner', 'evidence', 'apps'], map(str.split, [
    'core draw',
    'trace grid dry layer target capture tail size method perturb network inputs explain prompt objects features',
    'calls items view cams text callback learner interpret film concept features',
    'metric localize sanity summary best',
    'export cli demo explore'])))
rooms = ['.'.join(filter(None, ('fastcam',floor,o))) for floor,names in floors.items() for o in names]
doors = {'fastcam', 'fastcam.all', *(f'fastcam.{o}' for o in floors if o)}                 # no rooms: they say what a user gets

def module_name(f): return '.'.join(f.relative_to(root).with_suffix('').parts).removesuffix('.__init__')
trees = {module_name(f): ast.parse(f.read_text(encoding='utf-8')) for f in sorted((root/'fastcam').rglob('*.py')) if f.name!='_modidx.py'}

def imports(name, tree):
    "`(module, imported name)` for each import in module `name`; the second is None for `import x`"
    for o in ast.walk(tree):
        if isinstance(o, ast.Import): yield from ((a.name,None) for a in o.names)
        if isinstance(o, ast.ImportFrom):
            at = name.split('.')[:-o.level] if o.level else []
            yield from (('.'.join([*at, *filter(None, [o.module])]),a.name) for a in o.names)

def imported_rooms(name, tree):
    "Rooms that module `name` imports; those of a whole floor if it imports the floor"
    for mod,n in imports(name, tree):
        full = f'{mod}.{n}'
        if mod in rooms or full in rooms: yield mod if mod in rooms else full
        elif mod in doors-{'fastcam'}: yield from (r for r in rooms if mod=='fastcam.all' or r.startswith(mod+'.'))

def private_imports(name, tree):
    "Private names that module `name` imports from another of the package"
    return [f'{mod}.{n}' for mod,n in imports(name, tree) if mod.split('.')[0]=='fastcam' and n and n.startswith('_') and n!='__version__']

def too_early(name, tree):
    "Rooms that `name` imports, and that do not come before it"
    return sorted({o for o in imported_rooms(name, tree) if rooms.index(o)>=rooms.index(name)})

def drawing(tree):
    "What in the code draws: imports of matplotlib, and `plt`"
    return [ast.unparse(o) for o in ast.walk(tree) if isinstance(o, ast.Name) and o.id=='plt' or
            isinstance(o, (ast.Import,ast.ImportFrom)) and any(m.split('.')[0]=='matplotlib' for m,_ in imports('', o))]

choices = ast.If,ast.For,ast.While,ast.IfExp,ast.ExceptHandler,ast.Assert,ast.comprehension
def branches(f):
    "Choices in a function, those of functions in it included"
    def n(o): return isinstance(o, choices) + (len(o.values)-1 if isinstance(o, ast.BoolOp) else len(o.ifs) if isinstance(o, ast.comprehension) else 0)
    return sum(map(n, ast.walk(f)))

functions = ast.FunctionDef,ast.AsyncFunctionDef
def branching(tree, most=15):
    "Functions with more than `most` branches"
    return [(f.name,branches(f)) for f in ast.walk(tree) if isinstance(f, functions) and branches(f)>most]

def undocumented(tree):
    "Public functions, patched methods among them, that do not say what they do; of those of one name (by dispatch) the first must"
    fs = {}
    for f in tree.body:
        if isinstance(f, functions) and not f.name.startswith('_'): fs.setdefault((f.name,owner(f)), f)
    return [f.name for f in fs.values() if not ast.get_docstring(f)]

def owner(f):
    "The class that `f` is patched to, '' if it is none"
    return ast.unparse(f.args.args[0].annotation) if 'patch' in map(ast.unparse, f.decorator_list) else ''

def each(f):
    "What `f(name, tree)` finds, in each room that has any"
    return {name:res for name in rooms if (res := f(name, trees[name]))}

def test_rooms(): assert set(trees)=={*rooms, *doors}, 'a room was added or moved: say where it stands in `floors`, and in CONTRIBUTING.md'
def test_private(): assert not each(private_imports), 'make these public where they belong'
def test_order(): assert not each(too_early), 'a room imports only rooms before it'
def test_draw(): assert set(each(lambda _,t: drawing(t)))<={'fastcam.draw'}, 'what draws belongs into `draw`'
def test_docs(): assert not each(lambda _,t: undocumented(t)), 'public functions without a docstring'

def test_branches():
    most = each(lambda _,t: branching(t))
    assert sum(map(len, most.values()))<=5, f'functions with more than 15 branches: {most}'

def names_of(module):
    res = {}
    exec(f'from {module} import *', res)
    return res.keys()-{'__builtins__'}

def test_names():
    "What a user gets is little, and hides nothing"
    names = names_of('fastcam.all')
    assert len(names)<=60
    assert names & names_of('fastai.vision.all')=={'Head'}                     # an HTML tag of fastcore's, which comes along with fastai
    assert not names & set(dir(builtins))

# The checks find what they look for
bad = {
    'private': (private_imports, 'from .method import Pass, _methods', ['fastcam.engine.method._methods']),
    'private, from afar': (private_imports, 'from fastcam.core import _x', ['fastcam.core._x']),
    'version': (private_imports, 'from .. import __version__', []),
    'later': (too_early, 'def f():\n    from ..learner.cams import CAMs', ['fastcam.learner.cams']),
    'later, as a module': (too_early, 'from . import explain', ['fastcam.engine.explain']),
    'later, a floor': (too_early, 'from ..evidence import *', [f'fastcam.evidence.{o}' for o in sorted(floors['evidence'])]),
    'itself': (too_early, 'import fastcam.engine.network', ['fastcam.engine.network']),
    'before': (too_early, 'from .grid import *\nfrom ..core import *', []),
    'draws': (lambda _,t: drawing(t), 'import matplotlib.pyplot as p\nfrom matplotlib import cm\nplt.show()\n"matplotlib and plt in words"', ['import matplotlib.pyplot as p','from matplotlib import cm','plt']),
    'branches': (lambda _,t: branching(t, 9), 'def f(x):\n    def g():\n        while x: pass\n        return [a for a in x if a if a] if x else 0\n'
        '    try: assert x and x or x\n    except E: pass\n    for o in x: pass\n    if x: pass\ndef h(): return 1 if x else 0', [('f',11)]),
    'docstring': (lambda _,t: undocumented(t), 'def f(x): pass\ndef _g(): pass\n@patch\ndef f(self:A): "Says"\n@dispatch\ndef k(x:int): "Says"\n@dispatch\ndef k(x:str): pass', ['f'])}
@pytest.mark.parametrize('what', bad)
def test_finds(what):
    check,code,found = bad[what]
    assert check('fastcam.engine.network', ast.parse(code))==found
