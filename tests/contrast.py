"How well words are read on a page, computed in the browser from what it has made of its styles"

# WCAG 2.2, 1.4.3: the luminance of a word and of what lies behind it, translucent colors laid over each other down to the page; disabled controls, and what is hidden or shown to screen readers only, do not count
script = '''() => {
  const rgba = s => { const n = (s.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number); return s.startsWith('color(srgb') ? [...n.slice(0, 3).map(v => 255 * v), n[3] ?? 1] : [n[0], n[1], n[2], n[3] ?? 1] }
  const over = ([r, g, b, a], c) => [r, g, b].map((v, i) => v * a + c[i] * (1 - a))
  const lum = c => c.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0)
  const dark = matchMedia('(prefers-color-scheme: dark)').matches && getComputedStyle(document.documentElement).colorScheme.includes('dark')
  const ground = o => {
    const above = []
    for (; o; o = o.parentElement) above.push(rgba(getComputedStyle(o).backgroundColor))
    return above.reverse().reduce((c, b) => over(b, c), dark ? [18, 18, 18] : [255, 255, 255])
  }
  const faint = o => { let a = 1; for (; o; o = o.parentElement) a *= +getComputedStyle(o).opacity; return a }
  const res = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walk.nextNode()) {
    const t = walk.currentNode.textContent.trim(), o = walk.currentNode.parentElement
    if (!t || o.closest('script, style, svg, :disabled, [aria-hidden=true], dialog:not([open]), option, .unseen') || !o.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue
    const s = getComputedStyle(o), back = ground(o), ink = over(rgba(s.color).map((v, i) => i < 3 ? v : v * faint(o)), back), size = parseFloat(s.fontSize)
    const [a, b] = [lum(ink), lum(back)], ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05), large = size >= 24 || size >= 18.66 && +s.fontWeight >= 700
    res.push({ text: t.slice(0, 40), ratio: Math.round(100 * ratio) / 100, least: large ? 3 : 4.5, of: `${o.tagName.toLowerCase()}.${o.className}`, ink: s.color, back: back.map(Math.round).join(' ') })
  }
  return res
}'''

def unread(page):
    "Words on a page of Playwright whose contrast is less than what WCAG's level AA asks for, and how many words there are"
    found = page.evaluate(script)
    return [o for o in found if o['ratio']<o['least']],len(found)
