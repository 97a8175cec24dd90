"What the project says of itself in two places agrees, and what is built from it holds, and does, what it should"
import re, tarfile, zipfile
from configparser import ConfigParser
from email import message_from_bytes
import pytest
from nbdev.config import get_config
from conftest import root

cfg = get_config(root)
ini = ConfigParser(delimiters=['='], interpolation=None)
ini.read(root/'settings.ini', encoding='utf-8')
ini = ini['DEFAULT']

@pytest.mark.parametrize('key', 'lib_name description min_python git_url user'.split())
def test_settings(key): assert getattr(cfg, key)==ini[key], f'{key} in pyproject.toml, as nbdev reads it, is not the one in settings.ini'

def test_changelog():
    newest = re.search(r'^## (\S+)', (root/'CHANGELOG.md').read_text(encoding='utf-8'), re.M)[1]
    assert newest==cfg.version, 'the first entry of CHANGELOG.md is not about the version in fastcam/__init__.py'

@pytest.fixture(scope='module')
def built(run, copy):
    "Folder of the project with its sdist, and the wheel built from that sdist, in `dist`"
    d = copy()
    run('python', '-m', 'build', '--no-isolation', cwd=d)
    return d

@pytest.fixture(scope='module')
def wheel(built): return next((built/'dist').glob('*.whl'))

def modules(d):
    "Files of the package: code, and the explorer's page"
    code = [o for ext in ('py','pyi') for o in (d/'fastcam').rglob(f'*.{ext}')]
    return {o.relative_to(d).as_posix() for o in (*code, *(d/'fastcam/apps/page').iterdir())}

def test_wheel(built, wheel):
    names = {o for o in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in o}
    assert names==modules(built)

def test_sdist(built):
    with tarfile.open(next((built/'dist').glob('*.tar.gz'))) as f: names = {o.name.partition('/')[2] for o in f if o.isfile()}
    names = {o for o in names if '.egg-info/' not in o}
    pics = {o.relative_to(built).as_posix() for o in (built/'index_files').glob('*')}
    assert names==modules(built) | pics | set('LICENSE MANIFEST.in PKG-INFO README.md pyproject.toml settings.ini setup.cfg setup.py'.split())

def test_metadata(wheel):
    with zipfile.ZipFile(wheel) as z: md = message_from_bytes(z.read(f'fastcam-{cfg.version}.dist-info/METADATA'))
    assert (md['Name'], md['Version'], md['Summary'], md['License-Expression']) == ('fastcam', cfg.version, ini['description'], 'Apache-2.0')
    assert md['Requires-Python']==f">={ini['min_python']}"
    assert [o for o in md.get_all('Requires-Dist') if 'extra ==' not in o]==['fastai>=2.8']
    assert sorted(md.get_all('Provides-Extra'))==sorted(k.removesuffix('_requirements') for k in ini if k.endswith('_requirements'))
    assert md.get_payload().strip()==(root/'README.md').read_text(encoding='utf-8').strip()

def test_installed(run, wheel, tmp_path):
    "The wheel works from a folder of its own, and so does each command and entry point it brings"
    run('python', '-m', 'pip', 'install', '--no-deps', '--no-index', '--target', tmp_path/'lib', wheel, cwd=tmp_path)
    code = '''
from importlib.metadata import distribution
import fastcam.all
eps = distribution('fastcam').entry_points
for o in eps: o.load()
print(fastcam.__file__, fastcam.__version__, *sorted(eps.names))'''
    res = run('python', '-W', 'ignore', '-c', code, cwd=tmp_path, PYTHONPATH=str(tmp_path/'lib')).split()
    assert res==[str(tmp_path/'lib/fastcam/__init__.py'), cfg.version, *sorted(['fastcam', *(o.split('=')[0] for o in ini['console_scripts'].split())])]

def test_imported_from_anywhere(run, copy, tmp_path):
    "Installed as the README says, the package is found where the clone lies, too: its folder has the package's name, and Python looks there first"
    clone,lib = tmp_path/'fastcam',tmp_path/'lib'
    copy().rename(clone)
    run('python', '-m', 'pip', 'install', '--no-deps', '--no-index', '--no-build-isolation', '--target', lib, '-e', clone, cwd=tmp_path)
    code = f'import site; site.addsitedir({str(lib)!r}); import fastcam; print(fastcam.__file__, fastcam.__version__)'
    # -S: what is installed where the tests run, fastcam itself included, stays out of the way
    for cwd in (tmp_path,clone,lib): assert run('python', '-S', '-c', code, cwd=cwd).split()==[str(clone/'fastcam/__init__.py'), cfg.version]
