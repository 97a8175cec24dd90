"The explorer in a notebook's cell: a kernel serves it, and the cell's output is opened in a browser"
import http.server, signal, threading
from concurrent.futures import ThreadPoolExecutor
from utils import *
from test_explore_page import api, browser, chromium, opened, pytest, pytestmark

nbclient = pytest.importorskip('nbclient', reason='nbclient is not installed')
from nbformat.v4 import new_code_cell, new_notebook

setup = f'''import warnings; warnings.simplefilter('ignore')
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from utils import *
from fastcam.apps.explore import *
learn = small_learner()'''

@pytest.fixture(scope='module')
def kernel():
    "Runs a cell of a real kernel: gives its outputs"
    nb = new_notebook(cells=[])
    client = nbclient.NotebookClient(nb, timeout=120, kernel_name='python3')
    with ThreadPoolExecutor(1) as pool:                                # Playwright's loop runs in this thread
        context = client.setup_kernel()
        pool.submit(context.__enter__).result()
        def start(source):
            nb.cells.append(new_code_cell(source))
            return pool.submit(client.execute_cell, nb.cells[-1], len(nb.cells)-1)
        def run(source): return start(source).result().outputs
        run.start,run.cells = start,nb.cells
        run(setup)
        yield run
        pool.submit(context.__exit__, None, None, None).result()

@contextmanager
def hosted(html):
    "The address of a page of another origin, as a notebook's is"
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header('content-type', 'text/html')
            self.end_headers()
            if self.path=='/': self.wfile.write(f'<!doctype html><link rel="icon" href="data:,"><body>{html}'.encode())
        def log_message(self, *args): pass
    server = http.server.ThreadingHTTPServer(('127.0.0.1',0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try: yield f'http://localhost:{server.server_port}/'
    finally:
        server.shutdown()
        server.server_close()

def wait_until(f, secs=60):
    end = time.time()+secs
    while not f() and time.time()<end: time.sleep(.05)
    return f()

def printed(out): return ''.join(o['text'] for o in out if o['output_type']=='stream')

def test_cell(kernel, opened):
    "The frame in a cell's output shows the page: its film, its map, and the map for a class that is clicked; also while a cell runs, and after it was interrupted"
    out, = kernel('served = learn.explore_cams(height=700)\nserved')
    want = json.loads(printed(kernel("print(json.dumps([os.getpid(), *(served.explorer.answer({'item':0, 'class':c}) for c in range(3))]))")))
    with hosted(out['data']['text/html']) as url:
        pg = opened(url, wait=False)
        page = pg.frame_locator('iframe')
        page.locator('#layers button').first.wait_for()
        assert pg.locator('iframe').bounding_box()['height']==700 and page.locator('#film li[data-i]').count()>1
        frame = pg.frames[1]
        def click(c):
            page.locator(f'#bars li[data-class="{c}"] .class').click()
            frame.wait_for_selector(f'body:not(.busy) #bars li[data-class="{c}"] .class[aria-pressed=true]')
            assert frame.evaluate('[view.preds, view.maps[0].map, view.pic.width > 0, view.code]')==[want[c+1]['preds'],want[c+1]['maps'][0]['map'],True,want[c+1]['code']]
        click(1)
        running = kernel.start('print("begun", flush=True)\ntime.sleep(60)')
        click(0)
        assert wait_until(lambda: kernel.cells[-1].outputs)
        os.kill(want[0], signal.SIGINT)
        with pytest.raises(nbclient.exceptions.CellExecutionError, match='KeyboardInterrupt'): running.result()
        click(2)

def test_again(kernel):
    "A cell that runs again stops what it served before, and may have the same port; another cell, and another page of the same cell, are left alone"
    def run(cell, *calls): return json.loads(printed(kernel(f"get_ipython().get_parent()['metadata']['cellId'] = {cell!r}\n"+'\n'.join(f'all_served.append({o})' for o in calls)
                                             +"\nprint([int(o.thread.is_alive()) for o in all_served], flush=True)")))
    kernel('all_served = []')
    explore = 'learn.explore_cams({})'.format
    assert run('a', explore(''))==[1]
    assert run('b', explore(''), explore(''))==[1,1,1]
    assert run('a', explore('port=all_served[0].port'))==[0,1,1,1]
    assert run('b', explore(''))==[0,0,0,1,1]
    assert printed(kernel('print(all_served[3].port==all_served[0].port)'))=='True\n'
    kernel('for o in all_served: o.stop()')
