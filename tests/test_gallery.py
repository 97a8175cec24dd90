"The page of an export: what it holds, and in a browser: filters, order, enlarging, dark mode"
import json, re, shutil, subprocess
import pytest
from utils import *

chromium = next(filter(None, map(shutil.which, 'chromium chromium-browser google-chrome chrome'.split())), None)

@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    out = tmp_path_factory.mktemp('gallery')/'maps'
    learn = small_learner()
    with learn.no_bar(): learn.export_cams(out, dl=learn.dls.valid, shard=5, overlays=True)
    return out

def listed(out): return [o for f in sorted((out/'overlays').glob('*/items.js')) for o in json.loads(f.read_text()[5:-1])]

def test_what_is_listed(exported):
    "Class explained, predicted and actual, probability, health, and whether it is wrong, as `load_cams` has them"
    cams,rows = load_cams(exported),listed(exported)
    assert [r[3:9] for r in rows]==[[l[0],p,a,pytest.approx(pr[0], abs=1e-3),h[0],p!=a] for l,p,a,pr,h in zip(cams.labels, cams.predicted, cams.actuals, cams.probs, cams.health)]
    assert f'{len(cams)} items, by the default method of the task' in (exported/'gallery.html').read_text()

def asked(out, js, *flags):
    "What the page holds after the script `js` ran in it; (captions, count)"
    page = out/'probe.html'
    page.write_text((out/'gallery.html').read_text().replace('</html>', f'<script>setTimeout(() => {{ {js} }}, 600)</script></html>'))
    try: dom = subprocess.run([chromium, '--headless', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=5000', f'--user-data-dir={out.parent}/chrome', *flags, '--dump-dom', page.as_uri()],
                              capture_output=True, text=True, timeout=100).stdout
    finally: page.unlink()
    main = dom.split('<main>')[1].split('</main>')[0]
    return re.findall(r'<figcaption[^>]*>([^<]*)', main),re.search(r'id="count"[^>]*>([^<]*)', dom)[1],dom

@pytest.mark.skipif(not chromium, reason='no chromium or chrome on the PATH')
def test_in_a_browser(exported):
    rows = listed(exported)
    def pick(id, value): return f"el('{id}').value = '{value}'; el('{id}').dispatchEvent(new Event('input'));"
    captions,count,dom = asked(exported, '')
    assert captions==[r[1]+'\n' for r in rows] and count==f'{len(rows)} of {len(rows)}' and 'loading="lazy"' in dom
    wrong = [r for r in rows if r[8]]
    assert 0<len(wrong)<len(rows)
    assert asked(exported, pick('error', 1))[0]==[r[1]+'\n' for r in wrong]
    kind = rows[0][4]
    assert asked(exported, pick('predicted', f'={kind}'))[0]==[r[1]+'\n' for r in rows if r[4]==kind]
    at = sorted(r[6] for r in rows)[len(rows)//2]
    assert sorted(asked(exported, pick('lo', at))[0])==sorted(r[1]+'\n' for r in rows if r[6]>=at)
    assert asked(exported, pick('sort', 'down'))[0]==[r[1]+'\n' for r in sorted(rows, key=lambda r: -r[6])]
    opened = asked(exported, "document.querySelector('figure button').click()")[2]
    assert re.search(r'<dialog open[^>]*><img src="overlays/00000/', opened)
    shade = "document.title = getComputedStyle(document.body).backgroundColor"
    assert '<title>rgb(22, 22, 22)' in asked(exported, shade, '--blink-settings=preferredColorScheme=0')[2]
    assert '<title>rgb(255, 255, 255)' in asked(exported, shade, '--blink-settings=preferredColorScheme=1')[2]
