"The notebooks are tests too"
import pytest
from fastcore.nbio import read_nb
from conftest import root

@pytest.mark.parametrize('args', [('--skip-folder-re', '^[_.]|^tutorials$|^how_to$'), ('nbs/tutorials',), ('nbs/how_to',)], ids=['rooms','tutorials','how_to'])
def test_notebooks(run, copy, args):
    "Apart, since processes are used again: a room patches fastai's classes with what its cells define, and a page is about those of the package"
    out = run('nbdev-test', *args, cwd=copy())
    assert out.rstrip().endswith('Success.'), out  # with no notebook at all, nbdev-test says so and exits with 0

def test_outputs():
    "Readers of the docs see no warning and no error that someone happened to store"
    bad = [(f.name, ''.join(o.get('text', o.get('ename')))) for f in (root/'nbs').rglob('*.ipynb') for c in read_nb(f).cells
           for o in c.get('outputs', []) if o.output_type=='error' or o.get('name')=='stderr']
    assert not bad
