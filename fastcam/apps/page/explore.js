// The page of the explorer: it asks a server, or in a static file what was written into it, and draws all by itself
'use strict'
const $ = (s, o = document) => o.querySelector(s), $$ = (s, o = document) => [...o.querySelectorAll(s)]
const boot = JSON.parse($('#boot').textContent), live = !boot.views
const who = Math.random().toString(36).slice(2)

// ---- State. What is asked goes into the address, and so does how it is drawn
const S = { item: null, class: null, versus: null, map: null, layer: null, method: null, prompts: [], edits: [] }
const D = { alpha: .7, thresh: 0, colors: 'magma', sign: false, contour: false }
let view = null, base = null, steps = []            // what is shown; the same before any edit; {view before it} for each edit
let box = null, cursor = null                        // what is dragged, and the cell under the keys, in pixels of the picture
const ms = {}                                        // by method: what it took

const el = (tag, props = {}, ...kids) => { const o = Object.assign(document.createElement(tag), props); o.append(...kids); return o }
const pct = v => (100 * v).toFixed(1) + ' %'
const num = v => v == null ? '' : Math.abs(v) >= 100 || v === 0 ? v.toFixed(0) : v.toPrecision(3)
const prob = v => v == null ? '' : Math.abs(v) < 1.0005 ? v.toFixed(3) : num(v)
const name = c => view?.entries?.[c]?.label ?? boot.vocab[c] ?? String(c)

let quiet
function say(text) {
  const o = $('#said')
  o.textContent = text
  o.hidden = !text
  clearTimeout(quiet)
  quiet = setTimeout(() => { o.hidden = true }, 6000)
}

// ---- What lies under a pressed mouse stays there until it is let go: a click on what has moved meanwhile would be lost, or be another's
let held = null
const freed = async () => { while (held) await held.freed }
function presses() {
  const free = (h = held) => setTimeout(() => { h?.free(); if (held === h) held = null })                // after the click; what is pressed since stays
  document.addEventListener('mousedown', () => { if (!held) { held = {}; held.freed = new Promise(f => { held.free = f }) } }, true)
  document.addEventListener('mousemove', e => { if (!e.buttons) free() }, true)     // let go where the page did not hear of it
  for (const k of ['mouseup', 'dragend']) document.addEventListener(k, () => free(), true)
}

// ---- Asking. One question is under way; of those that come meanwhile only the newest follows
let under = false, waiting = null
const question = () => ({ item: S.item, class: S.class, versus: S.versus, layer: S.layer, method: S.method, prompts: S.prompts, edits: S.edits })

async function ask(then) {
  if (waiting) waiting.resolve(false)
  if (under) return new Promise(resolve => { waiting = { then, resolve } })
  under = true
  document.body.classList.add('busy')
  let q = question(), res = null, failed = false
  try { res = live ? await fetched({ ...q, original: !originals.has(q.item) }) : found(q) } catch (e) { failed = true; say(e.message) }
  await freed()
  under = false
  document.body.classList.remove('busy')
  const w = waiting; waiting = null
  if (res && q.item === S.item) { res.q = q; then(res); shown(res) }
  if (w) w.resolve(ask(w.then))
  else if (failed && view) back()
  return !!res
}

// What was asked had no answer: the page says what it shows
function back() {
  Object.assign(S, view.q)
  steps = steps.slice(0, S.edits.length)
  current(); heading(); bars(); chips(); story(); remember()
}
function current() { for (const o of $$('#film button')) o.setAttribute('aria-current', +o.parentNode.dataset.i === S.item) }
async function fetched(q) {
  const r = await fetch('ask', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ who, ...q }) })
  if (r.status === 204) return null
  const res = await r.json().catch(() => ({ error: `The server answered ${r.status}` }))
  if (!r.ok) throw Error(res.error)
  return res
}
function found(q) {
  const all = boot.views[q.item], maps = all.maps
  if (all.listed) return { ...all }
  const i = Math.max(0, maps.findIndex(m => m.target === q.class))
  return { ...all, maps: maps.length ? [maps[i]] : [] }
}

function shown(res) {
  view = res
  view.pic = null
  for (const m of view.maps) m.values = floats(m.map)
  if (res.ms && !res.q.edits.length) ms[res.how] = res.ms
  if (!res.q.edits.length) base = res
  view.entries = view.listed ? entries() : null
  if (res.original !== undefined) originals.set(res.q.item, res.original && { ...res.original, im: loaded(res.original.picture) })
  const own = originals.get(res.q.item)
  Promise.all([loaded(res.picture), own?.im]).then(([pic, back]) => { if (view === res) { Object.assign(view, { pic, back, own }); draw() } })
  if (view.listed) $('aside h2').textContent = view.prompts ? 'Prompts' : view.maps.some(m => m.box) || !view.maps.length ? 'Objects' : 'Answers'
  $('.search').hidden = !!view.listed && !view.prompts
  if (view.prompts) { $('#find').previousSibling.textContent = 'Another prompt '; $('#find').placeholder = 'words' }
  heading(); bars(); chips(); story(); remember()
}

const originals = new Map()                          // by item: its picture before it was cropped and squeezed for the model, null where that is not known
const loaded = src => new Promise(resolve => { const im = new Image(); im.onload = () => resolve(im); im.src = src })
const floats = s => new Float32Array(Uint8Array.from(atob(s), c => c.charCodeAt(0)).buffer)

// Objects and prompts are chosen among the maps that came: those that were there before any edit, each with what it is now, and those that are new
function entries() {
  const left = [...view.maps], same = (o, m) => m.label !== o.label ? 0 : o.box ? overlap(o.box, m.box) : 1
  const res = base.maps.map(o => {
    const near = left.map(m => same(o, m)), i = near.indexOf(Math.max(0, ...near))
    return { label: o.label, was: o.p, now: near[i] > .3 ? left.splice(i, 1)[0] : null }
  })
  return [...res, ...left.map(m => ({ label: m.label, was: null, now: m }))]
}
function overlap(a, b) {
  const area = o => Math.max(0, o[2] - o[0]) * Math.max(0, o[3] - o[1]), both = area([Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])])
  return both / (area(a) + area(b) - both || 1)
}
const picked = () => Math.min(S.map ?? 0, view.entries.length - 1)
const map = () => view?.entries ? view.entries[picked()]?.now : view?.maps[0]
const pick = c => { S.map = c; heading(); bars(); story(); remember(); draw() }
// How far the model believes in a class, an object or a prompt
const worthOf = (v, c) => v?.entries ? (v.entries[c] ? v.entries[c].now?.p ?? 0 : null) : v?.preds?.[c]
const target = () => { if (view?.entries) return picked(); const t = S.class ?? map()?.target; return t >= 0 ? t : null }

// ---- What one can do
function open(i, more = {}) {
  Object.assign(S, { item: i, class: null, versus: null, map: null, edits: [] }, more)
  steps = []; box = cursor = null
  current()
  $(`#film li[data-i="${i}"]`)?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  if (!S.edits.length) return ask(() => {})
  const edits = S.edits                              // from a link: first what it was without them
  S.edits = []
  return ask(() => { S.edits = edits }).then(() => ask(() => {}))
}
const choose = more => { Object.assign(S, more); return ask(() => {}) }
const chooseClass = c => choose({ class: c, versus: null })
const rather = (a, b) => a === b ? say('A class is compared with another one') : choose({ class: a, versus: b })

function edit(e) {
  if (!live || !view) return
  if (S.class == null && !view.entries) S.class = target()            // what is asked stays the same class, whatever is hidden
  steps = [...steps, { before: view }]
  return choose({ edits: [...S.edits, { ...e, fill: $('#fill').value }] })
}

function hottest() {
  const last = S.edits.filter(e => e.do === 'hottest').at(-1), of = last ?? question()
  const share = Math.min(1, Math.round(((last?.share ?? 0) + .1) * 10) / 10)
  const e = { do: 'hottest', share, class: last ? of.class : view.entries ? null : target(), map: view.entries && (last?.map ?? picked()), versus: of.versus, layer: of.layer, method: of.method, prompts: S.prompts.length ? S.prompts : null }
  edit(Object.fromEntries(Object.entries(e).filter(o => o[1] != null)))
}
function undo() {
  if (!S.edits.length) return
  const { before } = steps.at(-1) ?? {}
  steps = steps.slice(0, -1)
  S.edits = S.edits.slice(0, -1)
  const same = before && before.q.edits.length === S.edits.length && ['item', 'versus', 'layer', 'method'].every(k => before.q[k] === S[k]) && (before.entries || before.maps[0]?.target === target())
  if (same && !under) { Object.assign(S, before.q); shown(before) }
  else ask(() => {})
}
function reset() { S.edits = []; steps = []; ask(() => {}) }

// ---- Words beside the picture
function heading() {
  const m = map(), p = view.entries ? m?.p : m && view.preds && m.target >= 0 ? view.preds[m.target] : null, a = about(S.item)
  $('#head').textContent = (view.entries?.length && !m ? `${name(picked())}: no longer found` : m ? `${view.blind ? 'without a class' : m.label}${p == null ? '' : ' ' + p.toFixed(3)}` : 'Nothing to explain') + (a?.actual != null && !view.entries ? ` · true: ${a.actual}` : '')
  $('#file').textContent = a?.name ?? ''
  $('#doubt').textContent = m?.doubt ?? ''
  $('#doubt').hidden = !m?.doubt
  $('#line').textContent = view.code ?? ''
  $('#canvas').setAttribute('aria-label', `${a?.name ?? 'Photo'}: map for ${m?.label ?? 'nothing'}${S.edits.length ? `, ${S.edits.length} edits` : ''}`)
}
function chips() {
  press('#layers', S.layer); press('#methods', S.method)
  for (const o of $$('#methods button, #slow option')) o.title = takes(o.method)
  $('#slow').value = $$('#slow option').some(o => o.value === S.method) ? S.method : ''
  $('#slow').setAttribute('aria-pressed', $('#slow').value !== '')
}
const press = (s, v) => { for (const o of $$(s + ' button')) o.setAttribute('aria-pressed', o.value === String(v ?? '')) }

function takes(m) {
  if (!m) return ''
  if (ms[m.method]) return `${m.what} (took ${time(ms[m.method])})`
  const one = Math.min(...Object.values(ms), view?.ms ?? 1e9)
  return `${m.what} (${m.passes == null ? 'takes longer' : 'about ' + (m.passes ? 'at most ' : '') + time(one * (1 + m.passes))})`
}
const time = t => t < 950 ? `${Math.max(10, Math.round(t / 10) * 10)} ms` : t < 6e4 ? `${(t / 1e3).toFixed(1)} s` : `${Math.round(t / 6e4)} min`

// ---- Classes
function rows() {
  if (view.entries) return [...view.entries.keys()]
  const p = view.preds ?? [], b = base?.preds ?? p, t = target(), a = boot.vocab.indexOf(String(about(S.item)?.actual ?? ''))
  const top = (v, n) => v.map((x, i) => [x, i]).sort((x, y) => y[0] - x[0]).slice(0, n).map(o => o[1])
  const all = new Set([...top(b, 6), ...top(p, 3), ...[t, S.versus, a].filter(c => c != null && c >= 0 && c < p.length)])
  return [...all].sort((x, y) => b[y] - b[x])
}

function bars() {
  const old = new Map($$('#bars li').map(o => [+o.dataset.class, o])), all = rows(), t = target()
  const p = Object.fromEntries(all.map(c => [c, worthOf(view, c)])), b = Object.fromEntries(all.map(c => [c, view.entries ? view.entries[c].was ?? 0 : (base ?? view).preds[c]]))
  const top = Math.max(1, ...Object.values(p), ...Object.values(b)), has = new Set((boot.views?.[S.item]?.maps ?? []).map(m => m.target)), actual = String(about(S.item)?.actual ?? '')
  const lis = all.map(c => {
    const o = old.get(c) ?? bar(c), d = p[c] - b[c], btn = $('.class', o)
    $('i', o).style.width = `${Math.max(0, 100 * p[c] / top)}%`
    $('b', o).style.left = `${100 * b[c] / top}%`
    $('b', o).hidden = !S.edits.length
    $('.num', o).textContent = prob(p[c])
    const delta = $('.delta', o)
    delta.textContent = S.edits.length && view.entries?.[c].was !== null ? (d < 0 ? '−' : '+') + Math.abs(d).toFixed(3) : ''
    delta.className = 'delta ' + (d < 0 ? 'down' : 'up')
    btn.setAttribute('aria-pressed', c === t)
    btn.disabled = !live && !view.entries && !has.has(c)
    btn.draggable = live && !view.entries
    Object.assign($('.name', o), { textContent: name(c), title: name(c) })
    $('.vs', o).hidden = !!view.entries
    o.classList.toggle('rival', c === S.versus)
    o.classList.toggle('true', name(c) === actual)
    return o
  })
  if (lis.length !== $('#bars').children.length || lis.some((o, i) => $('#bars').children[i] !== o)) {
    const f = document.activeElement
    $('#bars').replaceChildren(...lis)
    if (f && $('#bars').contains(f)) f.focus()
  }
}

function bar(c) {
  const btn = el('button', { className: 'class', onclick: () => view.entries ? pick(c) : chooseClass(c) }, el('i'), el('b'), el('span', { className: 'name', textContent: name(c), title: name(c) }),
    el('span', { className: 'delta' }), el('span', { className: 'num' }))
  const vs = el('button', { className: 'vs live', textContent: 'vs', title: 'Why the class shown rather than this one?', onclick: () => rather(target(), c) })
  vs.setAttribute('aria-label', `Why the class shown rather than ${name(c)}?`)
  const li = el('li', {}, btn, vs)
  li.dataset.class = c
  btn.ondragstart = e => { e.dataTransfer.setData('text/plain', 'class ' + c); e.dataTransfer.effectAllowed = 'link' }
  li.ondragover = e => { if (e.dataTransfer.types.includes('text/plain')) { e.preventDefault(); li.classList.add('over') } }
  li.ondragleave = () => li.classList.remove('over')
  li.ondrop = e => {
    li.classList.remove('over')
    const m = /^class (\d+)$/.exec(e.dataTransfer.getData('text/plain'))
    if (m) { e.preventDefault(); rather(+m[1], c) }
  }
  return li
}

function find(text) {
  if (view?.prompts) return choose({ prompts: [...S.prompts, text.trim()], map: view.entries.length })
  const c = boot.vocab.findIndex(o => o.toLowerCase() === text.trim().toLowerCase())
  if (c >= 0) return chooseClass(c)
  const near = boot.vocab.filter(o => o.toLowerCase().includes(text.trim().toLowerCase())).slice(0, 4)
  say(`There is no class “${text}”.` + (near.length ? ` Close matches: ${near.join(', ')}` : ''))
}

// ---- What was hidden
function story() {
  $('#undo').disabled = $('#reset').disabled = !S.edits.length
  const t = target(), after = i => worthOf(i + 1 < S.edits.length ? steps[i + 1]?.before : view, t)
  $('#history').replaceChildren(...S.edits.map((e, i) => el('li', {}, el('span', { textContent: told(e) }), el('span', { className: 'num', textContent: prob(after(i)) }))))
  const hot = S.edits.map((e, i) => [e.share, after(i)]).filter((o, i) => S.edits[i].do === 'hottest' && o[1] != null)
  curve(S.edits.every(e => e.do === 'hottest') && hot.length && base ? [[0, worthOf(base, t)], ...hot] : [])
}
const told = e => e.do === 'hottest' ? `hottest ${Math.round(100 * e.share)} % hidden (${e.fill})` : `${e.do === 'keep' ? 'only ' : ''}${e.box[2] - e.box[0]}×${e.box[3] - e.box[1]} ${e.do === 'keep' ? 'kept' : 'hidden'} (${e.fill})`
function curve(ps) {
  const top = Math.max(1e-9, ...ps.map(o => o[1])), xy = ps.map(([s, p]) => [10 + 180 * s, 50 - 44 * Math.max(0, p) / top]), o = $('#curve')
  o.toggleAttribute('hidden', !ps.length)
  const tag = (n, a, text = '') => { const e = document.createElementNS('http://www.w3.org/2000/svg', n); for (const k in a) e.setAttribute(k, a[k]); e.textContent = text; return e }
  o.replaceChildren(tag('line', { x1: 10, y1: 50, x2: 190, y2: 50 }), tag('path', { d: xy.map((c, i) => (i ? 'L' : 'M') + c).join(' ') }),
    ...xy.map(([x, y]) => tag('circle', { cx: x, cy: y, r: 2.5 })), tag('text', { x: 10, y: 59 }, '0'), tag('text', { x: 190, y: 59, 'text-anchor': 'end' }, '100 % hidden'))
}

// ---- Drawing: the map is a few hundred numbers, and is interpolated, colored and cut here
const hex = s => s.split(' ').map(h => [0, 2, 4].map(i => parseInt(h.slice(i, i + 2), 16)))
const palettes = {
  magma: hex('000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 d0416f e75263 f56b5c fc8961 fea772 fec488 fde2a3 fcfdbf'),
  viridis: hex('440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 84d44b addc30 d8e219 fde725'),
  grey: hex('000000 ffffff'),
  both: hex('053061 175290 2a71b2 3f8ec0 6bacd1 9bc9e0 c2ddec e0ecf3 f7f6f6 fbe5d8 fbccb4 f5aa89 e48066 d05548 ba2832 930e26 67001f'),
}
function color(stops, v) {
  const x = Math.min(1, Math.max(0, v)) * (stops.length - 1), i = Math.min(stops.length - 2, Math.floor(x)), f = x - i
  return stops[i].map((a, k) => a + (stops[i + 1][k] - a) * f)
}
// Values of a grid at w × h places, as torch's bilinear interpolation without aligned corners
function resized(values, [gh, gw], w, h) {
  const res = new Float32Array(w * h), at = (n, g) => Array.from({ length: n }, (_, i) => {
    const x = Math.max(0, (i + .5) * g / n - .5), a = Math.min(g - 1, Math.floor(x)), b = Math.min(g - 1, a + 1)
    return [a, b, x - a]
  })
  const xs = at(w, gw), ys = at(h, gh)
  for (let y = 0, k = 0; y < h; y++) {
    const [a, b, f] = ys[y]
    for (let x = 0; x < w; x++, k++) {
      const [c, d, g] = xs[x], u = values[a * gw + c] * (1 - g) + values[a * gw + d] * g, v = values[b * gw + c] * (1 - g) + values[b * gw + d] * g
      res[k] = u * (1 - f) + v * f
    }
  }
  return res
}
// The map over what is drawn in `ctx`
function overlay(ctx, { values, grid }, w, h, { alpha, thresh, colors, sign, contour }) {
  let top = 0
  for (const v of values) if (isFinite(v)) top = Math.max(top, sign ? Math.abs(v) : v)
  if (!top) return
  const vs = resized(values, grid, w, h), stops = palettes[sign ? 'both' : colors], lut = Array.from({ length: 256 }, (_, i) => color(stops, i / 255))
  const im = ctx.createImageData(w, h), size = i => (sign ? Math.abs(vs[i]) : Math.max(0, vs[i])) / top
  for (let i = 0; i < w * h; i++) {
    const s = size(i), v = sign ? (vs[i] / top + 1) / 2 : s, c = lut[Math.min(255, Math.max(0, Math.round(v * 255)))]
    const edge = contour && s >= (thresh || .5) && ((i % w < w - 2 && size(i + 2) < (thresh || .5)) || (i % w > 1 && size(i - 2) < (thresh || .5)) || (i + 2 * w < w * h && size(i + 2 * w) < (thresh || .5)) || (i >= 2 * w && size(i - 2 * w) < (thresh || .5)))
    const rgb = edge ? [255, 255, 255] : c
    im.data[4 * i] = rgb[0]; im.data[4 * i + 1] = rgb[1]; im.data[4 * i + 2] = rgb[2]
    im.data[4 * i + 3] = edge ? 255 : contour || !(s >= thresh) ? 0 : 255 * alpha * Math.min(1, .05 + 1.5 * s)
  }
  const c = el('canvas', { width: w, height: h })
  c.getContext('2d').putImageData(im, 0, 0)
  ctx.drawImage(c, 0, 0, w, h)
}

// Size of the canvas, and the way to its pixels from those of what the model saw
function laid() {
  const { width: w, height: h } = view.back ?? view.pic, k = Math.max(1, Math.round(560 / Math.max(w, h)))
  return { k, w: w * k, h: h * k, at: new DOMMatrix([k, 0, 0, k, 0, 0]).multiply(new DOMMatrix(view.own?.at ?? [1, 0, 0, 1, 0, 0])) }
}

function draw() {
  if (!view?.pic) return
  const c = $('#canvas'), { k, w, h, at } = laid(), { width, height } = view.pic, s = Math.max(1, Math.round(Math.sqrt(Math.abs(at.a * at.d - at.b * at.c))))
  if (c.width !== w || c.height !== h) { Object.assign(c, { width: w, height: h }); $('#frame').style.setProperty('--wide', w / h) }
  const ctx = c.getContext('2d'), back = view.back ?? view.pic
  ctx.drawImage(back, 0, 0, w, h)
  ctx.save()
  if (view.back) {                                   // what the model did not see is dimmed
    ctx.fillStyle = '#7f7f7f99'
    ctx.fillRect(0, 0, w, h)
    ctx.clip(outline(view.own.box.map(o => o * k)))
    ctx.clip(outline([0, 0, width, height], at))
    if (!view.q.edits.length) ctx.drawImage(back, 0, 0, w, h)
  }
  ctx.setTransform(at)
  if (view.back && view.q.edits.length) ctx.drawImage(view.pic, 0, 0)
  ctx.scale(1 / s, 1 / s)
  if (map()) overlay(ctx, map(), width * s, height * s, D)
  ctx.restore()
  if (map()?.box) frame(ctx, outline(map().box, at), [])
  if (box ?? (document.activeElement === c && cursor)) frame(ctx, outline(box ?? cursor, at), [5, 5])
}

const outline = ([x0, y0, x1, y1], at = new DOMMatrix()) => { const o = new Path2D(), p = new Path2D(); p.rect(x0, y0, x1 - x0, y1 - y0); o.addPath(p, at); return o }

// A box that is seen on any ground: dashed what is dragged, in a color the object that is explained
function frame(ctx, path, dash) {
  const stroke = (strokeStyle, lineWidth, dashes) => { Object.assign(ctx, { strokeStyle, lineWidth }); ctx.setLineDash(dashes); ctx.stroke(path) }
  stroke('#fff', dash.length ? 2.5 : 4.5, [])
  stroke(dash.length ? '#000' : '#0a58a8', 2.5, dash)
}

// ---- On the picture
// The pixel of what the model saw that lies there, or the nearest one; and does one lie there?
function place(e) {
  const r = $('#canvas').getBoundingClientRect(), { w, h, at } = laid(), { width, height } = view.pic
  const p = at.inverse().transformPoint({ x: (e.clientX - r.left) / r.width * w, y: (e.clientY - r.top) / r.height * h })
  const xy = [[p.x, width], [p.y, height]].map(([v, n]) => Math.min(n - 1, Math.max(0, Math.floor(v))))
  return [...xy, p.x >= 0 && p.y >= 0 && p.x < width && p.y < height]
}

// A cell of the map, which is hidden as one: of maps finer than 16 x 16, a sixteenth
function cell([x, y]) {
  const [gh, gw] = (map()?.grid ?? [7, 7]).map(n => Math.min(n, 16)), { width: w, height: h } = view.pic
  const i = Math.min(gw - 1, Math.floor(x * gw / w)), j = Math.min(gh - 1, Math.floor(y * gh / h))
  return [Math.round(i * w / gw), Math.round(j * h / gh), Math.round((i + 1) * w / gw), Math.round((j + 1) * h / gh)]
}

function tip(e) {
  const m = map(), o = $('#tip')
  const [x, y, seen] = m && view.pic ? place(e) : []
  o.hidden = !seen
  if (!seen) return
  const [gh, gw] = m.grid, v = m.values[Math.floor(y * gh / view.pic.height) * gw + Math.floor(x * gw / view.pic.width)], r = $('#frame').getBoundingClientRect()
  o.textContent = worth(m, v)
  o.style.left = `${e.clientX - r.left}px`
  o.style.top = `${e.clientY - r.top}px`
}
function worth(m, v) {
  let all = 0
  for (const u of m.values) if (u * v > 0) all += u
  return `${num(v)}` + (v ? ` · ${pct(v / all)} of what speaks ${v < 0 ? 'against' : 'for'} it` : '')
}
const between = (a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]) + 1, Math.max(a[1], b[1]) + 1]

function canvas() {
  const c = $('#canvas')
  let from = null
  c.onpointerdown = e => { if (live && view?.pic && e.button === 0 && place(e)[2]) { from = place(e); c.setPointerCapture(e.pointerId); cursor = null } }
  c.onpointermove = e => {
    if (!view?.pic) return
    tip(e)
    if (!from) return
    const b = between(from, place(e))
    box = b[2] - b[0] > 3 || b[3] - b[1] > 3 ? b : null
    draw()
  }
  c.onpointerleave = () => { $('#tip').hidden = true }
  c.onpointercancel = () => { from = box = null; draw() }
  c.onpointerup = e => {
    if (!from) return
    const b = box ?? cell(place(e))
    from = box = null
    edit({ do: e.altKey ? 'keep' : 'hide', box: b })
  }
  c.onfocus = c.onblur = () => draw()
  c.onkeydown = e => {
    const d = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key]
    if (!view?.pic || (!d && e.key !== 'Enter')) return
    e.preventDefault(); e.stopPropagation()
    if (e.key === 'Enter') { if (cursor) edit({ do: e.altKey ? 'keep' : 'hide', box: cursor }); return }
    const { width: w, height: h } = view.pic
    if (!cursor) cursor = cell([w / 2, h / 2])
    else {
      const [x0, y0, x1, y1] = cursor, at = cell([e.shiftKey ? x1 - 1 : x0, e.shiftKey ? y1 - 1 : y0]), cw = at[2] - at[0], ch = at[3] - at[1]
      const next = cell([Math.min(w - 1, Math.max(0, at[0] + cw / 2 + d[0] * cw)), Math.min(h - 1, Math.max(0, at[1] + ch / 2 + d[1] * ch))])
      cursor = e.shiftKey ? [x0, y0, Math.max(next[2], x0 + 1), Math.max(next[3], y0 + 1)] : next
    }
    draw()
    const m = map(), [gh, gw] = m?.grid ?? [0, 0]
    if (m) $('#say').textContent = worth(m, m.values[Math.floor((cursor[1] + 1) * gh / h) * gw + Math.floor((cursor[0] + 1) * gw / w)])
  }
}

// ---- Film
const abouts = new Map(), about = i => abouts.get(i)
function border({ values, grid: [h, w] }) {
  let all = 0, edge = 0
  values.forEach((v, i) => { if (v > 0) { all += v; if (i < w || i >= w * (h - 1) || i % w === 0 || i % w === w - 1) edge += v } })
  return all ? edge / all : 0
}

function develop() {
  for (const li of $$('#film li[data-about]')) {
    const a = JSON.parse(li.dataset.about), c = $('canvas', li), im = new Image()
    li.removeAttribute('data-about')
    abouts.set(a.i, a)
    if (a.map) { a.values = floats(a.map); a.border = border(a) }
    im.onload = () => {
      c.width = im.width; c.height = im.height
      const ctx = c.getContext('2d')
      ctx.drawImage(im, 0, 0)
      if (a.values) overlay(ctx, a, im.width, im.height, { ...D, thresh: 0, contour: false, sign: a.signed, colors: 'magma', alpha: .6 })
    }
    im.src = a.thumb
    $('button', li).onclick = () => open(a.i)
  }
  freed().then(filters)
}
let filter = null
const kinds = { wrong: a => a.wrong, unsure: a => a.margin != null && a.margin < .2, 'doubtful map': a => !!a.doubt }

function filters() {
  if ($('#film li[data-about]')) return develop()                                   // some have just come: what is said of them is read first
  const as = [...abouts.values()], tests = { ...kinds }
  for (const c of new Set(as.map(a => a.actual ?? a.predicted).filter(c => c != null))) tests['is ' + c] = a => (a.actual ?? a.predicted) === c
  const few = Object.entries(tests).map(([k, f]) => [k, f, as.filter(f).length]).filter(o => o[2] && o[2] < as.length), most = few.slice(0, 3 + 8)
  $('#filters').replaceChildren(...most.map(([k, f, n]) => {
    const o = el('button', { onclick: () => { filter = filter?.k === k ? null : { k, f }; filters() } }, el('span', { textContent: k.replace(/^is /, ''), title: k.replace(/^is /, '') }), el('small', { textContent: n }))
    o.setAttribute('aria-pressed', filter?.k === k)
    return o
  }))
  for (const li of $$('#film li[data-i]')) li.hidden = !!filter && !filter.f(about(+li.dataset.i))
  const by = { loss: a => -(a.loss ?? -1), margin: a => a.margin ?? 9, border: a => -(a.border ?? 0) }[$('#sort').value] ?? (a => a.order ?? a.i)
  const lis = $$('#film li[data-i]').sort((x, y) => by(about(+x.dataset.i)) - by(about(+y.dataset.i)))
  const ul = $('#film ul'), more = $$('#film li.more')
  if (lis.some((o, i) => ul.children[i] !== o)) ul.replaceChildren(...lis, ...more)
  const none = $('#film li.none')
  if (none) none.hidden = !!lis.length
}
const seen = () => $$('#film li[data-i]').filter(o => !o.hidden).map(o => +o.dataset.i)
function walk(d) {
  const all = seen(), i = all[Math.min(all.length - 1, Math.max(0, all.indexOf(S.item) + d))]
  if (i != null && i !== S.item) open(i)
}

// ---- Layers and methods
async function choices() {
  if (!live) return
  const r = await fetch('choices')
  if (!r.ok) return
  const { layers, methods } = await r.json()
  await freed()
  const chip = (value, text, small, f, method) => el('button', { value, onclick: f, method }, text, small ? el('small', { textContent: ' ' + small }) : '')
  $('#layers').replaceChildren(chip('', 'default', '', () => choose({ layer: null })),
    ...layers.map(l => chip(l.layer, l.layer === 'input' ? 'input' : l.name, l.grid, () => choose({ layer: l.layer }))))
  const fast = methods.filter(m => m.passes === 0).slice(0, 6)
  $('#methods').replaceChildren(chip('', 'default', '', () => choose({ method: null })), ...fast.map(m => chip(m.method, m.method, '', () => choose({ method: m.method }), m)))
  const option = m => el('option', { value: m.method, textContent: m.method + (m.passes === 0 ? '' : m.passes == null ? ' · longer' : ` · ${m.passes} passes`), method: m })
  $('#slow').replaceChildren(el('option', { value: '', textContent: 'more…' }), ...methods.filter(m => !fast.includes(m)).map(option))
  $('#slow').onchange = e => choose({ method: e.target.value || null })
  if (view) chips()
}
function step(s, d) {
  const all = $$(s + ' button'), i = all.findIndex(o => o.getAttribute('aria-pressed') === 'true')
  all[(i + d + all.length) % all.length]?.click()
}

// ---- Out of the page, and into it
function remember() {
  const q = new URLSearchParams()
  for (const [k, v] of Object.entries({ ...S, ...D })) if (v != null && !(Array.isArray(v) && !v.length)) q.set(k, typeof v === 'object' ? JSON.stringify(v) : v)
  history.replaceState(null, '', '#' + q)
}

function recalled() {
  const q = new URLSearchParams(location.hash.slice(1)), n = k => q.get(k) == null || q.get(k) === '' ? null : isNaN(q.get(k)) ? q.get(k) : +q.get(k)
  for (const k of ['alpha', 'thresh', 'colors']) if (n(k) != null) D[k] = n(k)
  for (const k of ['sign', 'contour']) if (q.has(k)) D[k] = q.get(k) === 'true'
  const list = k => { try { return JSON.parse(q.get(k) ?? '[]') } catch { say(`The ${k} in this address cannot be read`); return [] } }
  const edits = list('edits')
  return { item: n('item'), class: n('class'), versus: n('versus'), map: n('map'), prompts: live ? list('prompts') : [], layer: n('layer'), method: n('method'), edits: live ? edits : [] }
}

async function copy(text, what) {
  try { await navigator.clipboard.writeText(text) }
  catch {                                            // not every frame may
    const o = el('textarea', { value: text })
    document.body.append(o)
    o.select()
    document.execCommand('copy')
    o.remove()
  }
  say(what + ' is copied')
}
function png() {
  $('#canvas').toBlob(b => {
    const a = el('a', { href: URL.createObjectURL(b), download: `${(about(S.item)?.name ?? 'photo').replace(/\.\w+$/, '')}-${map()?.label ?? 'map'}.png` })
    a.click()
    setTimeout(() => URL.revokeObjectURL(a.href), 1000)
  })
}

function send(files) {
  const f = [...files].find(o => o.type.startsWith('image/'))
  if (!f) return say('This is no picture')
  const t = new DataTransfer(), o = $('#photo')
  t.items.add(f)
  o.files = t.files
  o.dispatchEvent(new Event('change', { bubbles: true }))
}

function uploads() {
  document.addEventListener('paste', e => { if (e.clipboardData?.files.length) send(e.clipboardData.files) })
  document.addEventListener('dragover', e => { if (e.dataTransfer.types.includes('Files')) { e.preventDefault(); document.body.classList.add('drop') } })
  document.addEventListener('dragleave', e => { if (!e.relatedTarget) document.body.classList.remove('drop') })
  document.addEventListener('drop', e => { document.body.classList.remove('drop'); if (e.dataTransfer.files.length) { e.preventDefault(); send(e.dataTransfer.files) } })
  document.body.addEventListener('htmx:afterSettle', e => {
    const posted = e.detail.requestConfig?.verb === 'post', had = new Set(abouts.keys())
    develop()
    if (posted) { $('#photo').value = ''; open([...abouts.keys()].find(i => !had.has(i))) }
    else if (S.item == null && abouts.size) open(seen()[0])
  })
  document.body.addEventListener('htmx:responseError', e => { let m; try { m = JSON.parse(e.detail.xhr.response).error } catch { m = `The server answered ${e.detail.xhr.status}` } say(m) })
  document.body.addEventListener('htmx:sendError', () => say('The server does not answer'))
}

const keys = {
  ArrowLeft: () => walk(-1), ArrowRight: () => walk(1), '[': () => step('#layers', -1), ']': () => step('#layers', 1), m: () => step('#methods', 1), h: () => $('#hottest').click(),
  z: undo, r: reset, c: () => $('#code').click(), l: () => $('#link').click(), p: () => $('#png').click(), '?': () => $('#keys').showModal(),
  ArrowDown: () => near(1), ArrowUp: () => near(-1), v: () => { const c = document.activeElement.closest?.('#bars li')?.dataset.class; if (c != null) rather(target(), +c) },
}
function near(d) {
  const all = $$('#bars .class:not(:disabled)'), i = all.indexOf(document.activeElement)
  all[i < 0 ? 0 : Math.min(all.length - 1, Math.max(0, i + d))]?.focus()
}
function onkey(e) {
  if (e.ctrlKey || e.metaKey || e.altKey || $('#keys').open || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return
  const f = keys[e.key.length === 1 ? e.key.toLowerCase() : e.key], vertical = /^Arrow(Up|Down)$/.test(e.key)
  if (!f || (!live && /^[\[\]mhzrclv]$/i.test(e.key)) || (vertical && e.target.closest('#film'))) return
  e.preventDefault()
  f()
}

function start() {
  document.body.classList.toggle('static', !live)
  document.body.append(el('div', { id: 'say', role: 'status', className: 'unseen' }))
  const was = recalled()
  for (const k of ['alpha', 'thresh', 'colors', 'sign', 'contour']) {
    const o = $('#' + k), key = o.type === 'checkbox' ? 'checked' : 'value'
    o[key] = D[k]
    o.oninput = () => { D[k] = o.type === 'range' ? +o.value : o[key]; draw(); remember() }
  }
  $('#vocab').append(...boot.vocab.slice(0, 5000).map(o => el('option', { value: o })))
  $('#find').onchange = e => { if (e.target.value) { find(e.target.value); e.target.value = '' } }
  $('#sort').onchange = filters
  Object.assign($('#hottest'), { onclick: hottest }); Object.assign($('#undo'), { onclick: undo }); Object.assign($('#reset'), { onclick: reset })
  $('#code').onclick = () => copy(view?.code ?? '', 'The line')
  $('#link').onclick = () => copy(location.href, 'The link')
  $('#png').onclick = png
  $('#help').onclick = () => $('#keys').showModal()
  document.addEventListener('keydown', onkey)
  presses(); canvas(); develop()
  if (live) uploads()
  if (boot.signed && !location.hash) $('#sign').checked = D.sign = true
  const first = was.item ?? seen()[0]
  const opened = first == null ? Promise.resolve() : open(first, was.item == null ? {} : was)
  opened.then(choices)                               // finding the layers takes a while the first time: after the first view
}
start()
