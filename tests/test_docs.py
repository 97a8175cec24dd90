"The documentation: every page, picture and link in place, nothing asked of other hosts, and readable on a wide and on a narrow screen"
import ast, html, json, re, shutil, subprocess
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit
import pytest
from fastcore.nbio import nb_frontmatter, read_nb
from nbdev.config import nbpath2html
from conftest import root
from contrast import unread

nbs = root/'nbs'
notebooks = sorted(o.relative_to(nbs) for o in nbs.rglob('*.ipynb') if not any(p[0] in '._' for p in o.relative_to(nbs).parts))

class Page(HTMLParser):
    "Links, resources (what a browser loads by itself), anchors and level one headings of the page at `path`"
    def __init__(self, path):
        super().__init__()
        self.path,self.links,self.resources,self.ids,self.title,self.in_h1 = path,[],[],set(),'',False
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        d = dict(attrs)
        self.ids |= {d.get('id'), d.get('name')}
        self.in_h1 |= tag=='h1'
        if tag=='a': self.links.append(d.get('href') or '')
        elif tag=='link': self.resources.append(d['href'])
        elif 'src' in d: self.resources.append(d['src'])

    def handle_endtag(self, tag): self.in_h1 &= tag!='h1'
    def handle_data(self, data): self.title += data*self.in_h1

@pytest.fixture(scope='module')
def site(run, copy):
    d = copy()
    run('python', 'tools/docs.py', cwd=d)
    return d/'_docs'

@pytest.fixture(scope='module')
def pages(site): return {o:Page(o) for o in site.rglob('*.html')}

def test_pages(site, pages):
    assert {o.relative_to(site) for o in pages}=={nbpath2html(o) for o in notebooks}

def test_sidebar():
    "nbs/sidebar.yml, which is written by hand, has each page once"
    listed = re.findall(r'- (\S+\.ipynb)$', (nbs/'sidebar.yml').read_text(encoding='utf-8'), re.M)
    assert sorted(listed)==sorted(o.as_posix() for o in notebooks)

def data_pictures(data):
    "Addresses of the pictures in an output: it is one, or its HTML or Markdown holds some"
    for k,v in data.items():
        v = ''.join(v)
        if k in ('image/png', 'image/jpeg'): yield f'data:{k};base64,{v.strip()}'
        if k in ('text/html', 'text/markdown'): yield from re.findall('src="(data:[^"]*)"', v)

@pytest.mark.parametrize('nb', notebooks, ids=str)
def test_page(site, pages, nb):
    "The page has the notebook's title and all pictures that it does not hide"
    page,nb = pages[site/nbpath2html(nb)],read_nb(nbs/nb)
    assert page.title.strip()==nb_frontmatter(nb)['title']
    hidden = 'hide', 'export', 'default_exp'
    outs = [o for c in nb.cells if c.cell_type=='code' and not c.directives.keys() & set(hidden) for o in c.outputs]
    pics = [o for out in outs for o in data_pictures(out.get('data', {}))]
    assert pics==[o for o in page.resources if o.startswith('data:')]

def last_expression(code):
    "The call or value that the cell `code` ends with, as IPython would show it; None if it ends with a statement"
    lines = '\n'.join(o for o in code.splitlines() if not o.startswith(('#|','!','%')))
    body = ast.parse(lines).body
    return ast.unparse(body[-1]) if body and isinstance(body[-1], ast.Expr) and not lines.rstrip().endswith(';') else None

silent = re.compile(r'(test_\w+|save|[\w.]+\.zero_grad)\(')    # give nothing to show

@pytest.mark.parametrize('nb', [o for o in notebooks if o.parts[0]=='tutorials' or o.name=='index.ipynb'], ids=str)
def test_outputs(nb):
    "A tutorial shows what its cells give: each visible cell that ends with an expression has an output"
    cells = [c for c in read_nb(nbs/nb).cells if c.cell_type=='code' and not c.directives.keys() & {'hide', 'eval'}]
    bare = [o for c in cells if not c.outputs and (o := last_expression(c.source)) and not silent.match(o)]
    assert not bare, 'run the notebook, and keep its outputs'

def broken(page, pages, href):
    "Is `href`, written on `page`, a link to a file or an anchor that does not exist?"
    u = urlsplit(href)
    if u.scheme or u.netloc: return False
    dest = (page.path.parent/unquote(u.path)).resolve() if u.path else page.path
    if dest.is_dir(): dest = dest/'index.html'
    return not dest.exists() or (dest in pages and u.fragment and unquote(u.fragment) not in pages[dest].ids)

def test_links(site, pages):
    "A name in backticks that is in the package but not in the docs, such as one of `#| exporti`, makes a broken link too"
    bad = [(page.path.relative_to(site).as_posix(), o) for page in pages.values() for o in page.links+page.resources if broken(page, pages, o)]
    assert not bad

def test_formulas(pages):
    "Every formula is MathML, which a browser draws by itself"
    assert not [o.name for o in pages if 'class="math' in o.read_text(encoding='utf-8')]

def test_source_links(pages):
    "nbdev finds our names, and so links them, only where the package is installed with the entry point that tells it of them"
    assert any('/blob/main/fastcam/' in o for page in pages.values() for o in page.links)

def test_no_other_host(site, pages):
    bad = [o for page in pages.values() for o in page.resources if re.match(r'(\w+:)?//', o)]
    css = re.compile(r'''(?:@import\s+|url\()\s*["']?((?:https?:)?//[^"')]*)''')
    bad += [o for p in site.rglob('*.css') for o in css.findall(p.read_text(encoding='utf-8'))]
    assert not bad

# ---- What a browser shows

chromium = next(filter(None, map(shutil.which, 'chromium chromium-browser google-chrome chrome'.split())), None)

# The page lies in a frame, as narrow as we want, of a page that writes down what it sees there
probe = '''<!DOCTYPE html><script>
function look(frame) {
    const w = frame.contentWindow, d = w.document, box = o => o.getBoundingClientRect()
    const inside = o => box(o).width > 0 && box(o).height > 0 && box(o).left >= 0 && box(o).right <= w.innerWidth + 1
    const main = d.querySelector('main')
    const res = {
        title: d.title,
        h1: [...d.querySelectorAll('h1')].filter(inside).map(o => o.innerText),
        code: [...main.querySelectorAll('pre')].filter(inside).map(o => o.innerText),
        pics: [...main.querySelectorAll('img')].map(o => o.naturalWidth > 0 && inside(o)),
        cut: [...main.querySelectorAll('h2, p, pre, img')].filter(o => !inside(o)).map(o => o.outerHTML.slice(0, 80)),
        asked: w.performance.getEntriesByType('resource').map(o => o.name),
    }
    document.body.textContent = JSON.stringify(res)
}
</script><body><iframe src="_docs/index.html" style="width:WIDTHpx; height:900px; border:0" onload="look(this)"></iframe>'''

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass

@pytest.fixture(scope='module')
def server(site):
    with ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=site.parent)) as srv:
        Thread(target=srv.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{srv.server_port}/'
        srv.shutdown()

@pytest.mark.skipif(not chromium, reason='no chromium or chrome on the PATH')
@pytest.mark.parametrize('scheme', ['light','dark'])
def test_contrast(site, scheme):
    "Words on the pages, links and words in the colors of their values among them, are told from what lies behind them as WCAG's level AA asks for"
    api = pytest.importorskip('playwright.sync_api', reason='Playwright is not installed')
    with api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        pg = browser.new_page(color_scheme=scheme, viewport=dict(width=1280, height=900))
        for page in ('index','draw','learner/learner','tutorials/sheet','tutorials/text','tutorials/methods'):
            pg.goto((site/f'{page}.html').as_uri())
            bad,n = unread(pg)
            assert n>100 and not bad, page
        browser.close()

@pytest.mark.skipif(not chromium, reason='no chromium or chrome on the PATH')
@pytest.mark.parametrize('width', [1280, 390])
def test_main_page(site, server, width, tmp_path):
    (site.parent/'probe.html').write_text(probe.replace('WIDTH', str(width)))
    cmd = [chromium, '--headless', '--no-sandbox', '--disable-gpu', f'--user-data-dir={tmp_path}', '--window-size=1400,1000', '--dump-dom', server+'probe.html']
    res = subprocess.run(cmd, text=True, stdin=subprocess.DEVNULL, capture_output=True)
    seen = re.search(r'<body>(\{.*\})</body>', res.stdout, re.S)
    assert seen, res.stdout+res.stderr
    seen = json.loads(html.unescape(seen[1]))
    assert seen['title']=='fastcam' and seen['h1']==['fastcam']
    assert any('learn.show_cam(' in o for o in seen['code']) and any('fastcam-demo' in o for o in seen['code'])
    assert seen['pics'] and all(seen['pics']), 'no picture, or one that is not loaded or not inside of the page'
    assert not seen['cut'], 'wider than the screen, or hidden'
    assert seen['asked'] and all(o.startswith(server) or o.startswith('data:') for o in seen['asked'])
