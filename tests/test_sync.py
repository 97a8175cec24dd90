"What is written from the notebooks is what they give"
import re
import pytest
from conftest import root

def contents(path): return {o.relative_to(path).as_posix():o.read_bytes() for o in path.rglob('*') if o.is_file() and '__pycache__' not in o.parts}

def check_same(new, old, todo):
    "Fail with the names that differ, and what to do about it"
    diff = sorted(k for k in new|old if new.get(k)!=old.get(k))
    if diff: pytest.fail(f"{', '.join(diff)} differ: {todo}", pytrace=False)

def test_package(run, copy):
    d = copy()
    old = contents(d)
    made = [o for o in (d/'fastcam').rglob('*.py') if re.search('^# auto-?generated', o.read_text(encoding='utf-8'), re.I|re.M)]
    assert made
    for o in made: o.unlink()  # a module whose notebook is gone must not stay
    run('nbdev-export', cwd=d)
    check_same(contents(d), old, 'run nbdev-export')

def test_clean(run, copy):
    d = copy()
    old = contents(d)
    run('nbdev-clean', cwd=d)
    check_same(contents(d), old, 'run nbdev-clean')

def test_stub(run): run('python', '-W', 'ignore', 'tools/stubs.py', '--check', cwd=root)

def test_readme(run): run('python', 'tools/readme.py', '--check', cwd=root)

def test_readme_links():
    links = re.findall(r'\]\((?!\w+:|#)([^)\s]+)', (root/'README.md').read_text(encoding='utf-8'))
    missing = [o for o in links if not (root/o).exists()]
    assert not missing
    assert any(o.endswith(('.png', '.jpg')) for o in links), 'README.md shows no picture'
