"What several tests need: a command that must succeed, and a copy of the project to run it in"
import os, shutil, subprocess, sys, sysconfig
from pathlib import Path
import pytest

root = Path(__file__).resolve().parent.parent
if 'PYTEST_XDIST_WORKER' in os.environ: os.environ.setdefault('OMP_NUM_THREADS', '1')  # several processes share the cores; read when torch is imported

longest = ['test_notebooks','test_words','test_docs','test_archs','test_best','test_explore_page']

def pytest_collection_modifyitems(items):
    "The longest files first, so that no process works on one of them alone at the end"
    items.sort(key=lambda o: longest.index(o.path.stem) if o.path.stem in longest else len(longest))

@pytest.fixture(scope='session')
def run():
    "Run a command in `cwd`, a script of this Python environment or `python`; give what it printed, or fail with it"
    def _run(cmd, *args, cwd, **env):
        exe = sys.executable if cmd=='python' else Path(sysconfig.get_path('scripts'))/cmd
        res = subprocess.run([exe, *args], cwd=cwd, env=os.environ|env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if res.returncode: pytest.fail(f"{cmd} {' '.join(map(str, args))}: exit status {res.returncode}\n{res.stdout}", pytrace=False)
        return res.stdout
    return _run

@pytest.fixture(scope='session')
def copy(tmp_path_factory):
    "Make a copy of the project, so that what a test runs leaves nothing behind"
    def _copy():
        dest = tmp_path_factory.mktemp('project')
        for o in root.iterdir():
            if o.is_file(): shutil.copy(o, dest)
            elif o.name in ('fastcam', 'nbs', 'tools', 'benchmarks', 'index_files'):
                shutil.copytree(o, dest/o.name, ignore=shutil.ignore_patterns('__pycache__', '.*'))
        return dest
    return _copy
