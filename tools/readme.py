"Write README.md, and the pictures it shows, from nbs/index.ipynb: the job of nbdev-readme, without Quarto."
from base64 import b64decode
from textwrap import indent

from fastcore.all import *
from fastcore.nbio import read_nb

root = Path(__file__).resolve().parent.parent
pics = 'index_files'
kinds = {'image/png':'png', 'image/jpeg':'jpg'}
re_local = re.compile(r'(\]\(|src=")([\w./-]+\.(?:ipynb|png|jpe?g|gif|svg)\b)')

def output_md(o, # one output of a cell
    alt,         # what its picture shows, in words
    files,       # dict of file name to bytes, to add the picture to
):
    "Markdown of one output: a picture, Markdown, or text"
    data = o.get('data', {})
    for kind in data.keys() & kinds:
        nm = f'{pics}/figure-{len(files)+1}.{kinds[kind]}'
        files[nm] = b64decode(data[kind])
        return f'![{alt}]({nm})'
    if o.get('name')=='stderr': return ''
    return data.get('text/markdown') or indent((o.get('text') or data.get('text/plain', '')).rstrip(), '    ')

def cell_md(c, # cell of the notebook
    files,     # as in `output_md`
):
    "Parts of the README that a cell makes: none where it is hidden, and no code with `#| echo: false`"
    d = c.directives
    if c.cell_type=='raw' or d.keys() & {'hide', 'default_exp', 'export'}: return []
    if c.cell_type=='markdown': return [re_local.sub(r'\1nbs/\2', c.source)]
    c.remove_directives()
    code = [] if d.get('echo')=='false' or not c.source.strip() else [f'```python\n{c.source.strip()}\n```']
    return code + [output_md(o, d.get('fig-alt', ''), files) for o in c.outputs]

def readme(path=root/'nbs/index.ipynb'):
    "All files that `path` makes: a dict of names, relative to the root, to bytes"
    files = {}
    parts = concat(cell_md(c, files) for c in read_nb(path).cells)
    warn = f'<!-- Written by tools/readme.py from {path.relative_to(root)}: edit that -->'
    md = '\n\n'.join([warn] + [p.strip('\n') for p in parts if p.strip()]) + '\n'
    return {'README.md':md.encode(), **files}

@call_parse
def main(check:bool=False): # only say whether the files are up to date
    "Write README.md and its pictures from nbs/index.ipynb"
    new = readme()
    old = {p.relative_to(root).as_posix():p.read_bytes() for p in [root/'README.md', *(root/pics).glob('*')] if p.exists()}
    stale = sorted(k for k in new|old if new.get(k)!=old.get(k))
    if check: sys.exit(f"Not what nbs/index.ipynb gives: {', '.join(stale)}. Run: python tools/readme.py" if stale else 0)
    for f in map(root.joinpath, stale):
        f.parent.mkdir(exist_ok=True)
        f.write_bytes(new[k]) if (k := f.relative_to(root).as_posix()) in new else f.unlink()
