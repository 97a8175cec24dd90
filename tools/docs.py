"Build the documentation site from the notebooks, offline and without Quarto."
import html

from fastcore.all import *
from latex2mathml.converter import convert
from nbdev.config import get_config
from nbdev.quarto import refresh_quarto_yml
from nbdev.serve import proc_nbs
from smalldocs.config import load
from smalldocs.site import Site

root = Path(__file__).resolve().parent.parent
re_math   = re.compile(r'<span class="math (inline|display)">\\[(\[](.*?)\\[)\]]</span>', re.S)
re_dunder = re.compile(r'^### [\w.]*__\w+__$', re.M)
re_import = re.compile(r'@import url\([^)]*\);?')

def mathml(m):
    "MathML of the TeX that `re_math` found"
    return convert(html.unescape(m[2]), display='block' if m[1]=='display' else 'inline')

class NbdevSite(Site):
    "A smalldocs site of notebooks that nbdev has processed, which asks no other host for anything"
    def read(self, src):
        page = super().read(src)
        page.out = src.with_name(page.front.get('output-file', page.out.name))  # nbdev's links say core.html, not 00_core.html
        page.body = re_dunder.sub(lambda m: m[0].replace('_', r'\_'), page.body)  # `### Hook.__call__` is a name, not bold text
        return page

    def find_page(self, target):
        return super().find_page(target) or first(p for p in self.pages.values() if p.out==target)

    def render_page(self, page):
        super().render_page(page)
        page.html = re_math.sub(mathml, page.html)
        page.env['math'] = False  # no script from elsewhere to typeset it

    def copy_assets(self, nav):
        super().copy_assets(nav)
        for p in (self.out/'site_libs').rglob('*.css'): p.write_text(re_import.sub('', p.read_text()))  # web fonts

    def write_sitemap(self): "Needs the address where the site will be, and it is read from anywhere"

def build(dest):
    "Build the site into folder `dest`, and return it"
    os.chdir(root)
    sys.path.insert(0, str(root))  # nbdev imports our modules to document them: these, not those that may be installed
    refresh_quarto_yml()
    site = NbdevSite(load(proc_nbs(force=True)), quiet=True)
    site.out = dest.absolute()
    site.build()
    return site

@call_parse
def main(dest:Path=None): # folder for the site, `_docs` by default
    "Build the documentation site from the notebooks"
    site = build(dest or root/get_config(root).doc_path)
    if site.broken: sys.exit('\n'.join(f'{src}: broken link {href}' for src,href in site.broken))
    print(f'{len(site.pages)} pages. To read them: python -m http.server -d {os.path.relpath(site.out)}')
