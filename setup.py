"Package metadata: what pyproject.toml calls dynamic comes from settings.ini, and the version from the package."
import re
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup, find_packages

root = Path(__file__).parent
ini = ConfigParser(delimiters=['='], interpolation=None)
ini.read(root/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']
lib = cfg['lib_path']

licenses = {'apache2': 'Apache-2.0'}
statuses = ['', 'Planning', 'Pre-Alpha', 'Alpha', 'Beta', 'Production/Stable']
extra = '_requirements'

setup(
    version=re.search(r'^__version__ = "(.+)"', (root/lib/'__init__.py').read_text(encoding='utf-8'), re.M)[1],
    long_description=(root/'README.md').read_text(encoding='utf-8'), long_description_content_type='text/markdown',
    license_expression=licenses[cfg['license']], license_files=['LICENSE'],
    author=cfg['author'], keywords=cfg['keywords'].split(),
    classifiers=[f"Development Status :: {cfg['status']} - {statuses[int(cfg['status'])]}", 'Programming Language :: Python :: 3'],
    # with the second, an editable install is a plain path entry: a finder would be asked after the working directory, where a clone's own folder passes for the package
    packages=find_packages(include=[lib, f'{lib}.*']), package_dir={'': '.'}, package_data={lib: ['*.pyi', 'apps/page/*']},
    install_requires=cfg['requirements'].split(),
    extras_require={k.removesuffix(extra): v.split() for k,v in cfg.items() if k.endswith(extra)},
    # nbdev looks names up through the second, so that other projects' docs link to ours
    entry_points={'console_scripts': cfg['console_scripts'].split(), 'nbdev': [f'{lib}={lib}._modidx:d']},
)
