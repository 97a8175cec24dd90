"What several tests need: a command that must succeed, and a copy of the project to run it in"
import os, shutil, subprocess, sys, sysconfig
from pathlib import Path
import pytest

root = Path(__file__).resolve().parent.parent

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
