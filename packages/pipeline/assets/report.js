// The script of a report: sorting, pictures, and the explorer of codes. It writes text as text, never as markup.
;(() => {
  const colors = [
    '#0072b2',
    '#d55e00',
    '#009e73',
    '#aa5b93',
    '#e69f00',
    '#56b4e9',
    '#882255',
    '#8a8f98',
    '#999933',
    '#332288',
  ]
  const number = n => n.toLocaleString('en-US')
  const source = document.getElementById('data')
  const data = source === null ? undefined : JSON.parse(source.textContent)

  /** An element with properties and children; strings become text. */
  function make(tag, properties = {}, ...children) {
    const node = document.createElement(tag)
    for (const [name, value] of Object.entries(properties)) {
      if (value === undefined) continue
      if (name in node) node[name] = value
      else node.setAttribute(name, value)
    }
    node.append(...children.flat().filter(child => child !== undefined && child !== null))
    return node
  }

  function setPicture(img, place) {
    // Tiny pictures are shown as the pixels they are.
    img.addEventListener('load', () => img.classList.toggle('small', img.naturalWidth < 48), { once: true })
    img.src = data.pictures[place]
  }

  // Tables: a click on a title sorts, another one turns round.
  for (const table of document.querySelectorAll('table.sortable')) {
    const titles = [...table.tHead.rows[0].cells]
    for (const [column, title] of titles.entries())
      title.querySelector('button').addEventListener('click', () => {
        const numeric = title.classList.contains('number')
        const before = title.getAttribute('aria-sort')
        const turn = before === null ? !numeric : before === 'descending'
        for (const other of titles) other.removeAttribute('aria-sort')
        title.setAttribute('aria-sort', turn ? 'ascending' : 'descending')
        const keyed = [...table.tBodies[0].rows].map(row => {
          const cell = row.cells[column]
          const value = cell.dataset.v ?? cell.textContent.trim()
          return { row, value, number: Number.parseFloat(value) }
        })
        const sign = turn ? 1 : -1
        const byNumber = keyed.every(
          ({ value, number }) => value !== '' && !Number.isNaN(number) && `${Number(value)}` !== 'NaN',
        )
        keyed.sort((a, b) =>
          byNumber
            ? sign * (a.number - b.number)
            : sign * a.value.localeCompare(b.value, 'en', { numeric: true }),
        )
        table.tBodies[0].append(...keyed.map(({ row }) => row))
      })
  }

  if (data === undefined) return
  for (const img of document.querySelectorAll('img[data-p]')) setPicture(img, Number(img.dataset.p))

  // What can be scrolled must be reached by the keyboard, and nothing else.
  const reachable = new ResizeObserver(entries => {
    for (const { target } of entries)
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0
      else target.removeAttribute('tabindex')
  })
  for (const box of document.querySelectorAll('.found')) reachable.observe(box)

  const { positions, levels, sample, classes, tree, grid } = data
  const width = positions * levels
  const size = sample.ids.length
  const everyItem = Array.from({ length: size }, (_, i) => i)
  const pictured = sample.pictures.some(place => place >= 0)
  const worded = !pictured && sample.texts.some(text => text !== '')
  if (worded)
    for (const part of document.querySelectorAll('.neighbors, #collisions')) part.classList.add('worded')

  const explorer = document.getElementById('explorer')
  const part = name => explorer.querySelector(`.${name}`)
  const dialog = document.getElementById('item')
  const narrow = matchMedia('(max-width: 640px)')
  const first = () => ({ tiles: narrow.matches ? 40 : 140, items: narrow.matches ? 24 : 55 })
  const state = { pattern: [], ...first() }

  // Words that an item has, each once.
  const words = sample.texts.map(text => {
    const found = text.toLowerCase().match(/[\p{L}\p{N}][\p{L}\p{N}'’-]{2,}/gu) ?? []
    return [...new Set(found)]
  })
  const common = new Map()
  for (const own of words) for (const word of own) common.set(word, (common.get(word) ?? 0) + 1)

  /** Words of these items that the others have less often. */
  function telling(items, most) {
    const tally = new Map()
    for (const i of items) for (const word of words[i]) tally.set(word, (tally.get(word) ?? 0) + 1)
    const least = items.length > 3 ? 2 : 1
    return [...tally]
      .filter(([, times]) => times >= least)
      .map(([word, times]) => {
        const share = times / items.length
        const lift = share / (common.get(word) / size)
        return { word, lift, score: share * Math.log(lift) }
      })
      .filter(({ lift }) => lift >= 2)
      .sort((a, b) => b.score - a.score || (a.word < b.word ? -1 : 1))
      .slice(0, most)
      .map(({ word }) => word)
  }

  /** Whether the codes at a position of an item begin as the pattern does; '*' fits every code. */
  function fits(item, position, pattern) {
    const from = item * width + position * levels
    for (let l = 0; l < pattern.length; l++) {
      const code = sample.codes[from + l]
      if (code < 0 || (pattern[l] !== '*' && pattern[l] !== code)) return false
    }
    return true
  }
  function places(item, pattern) {
    const found = []
    for (let p = 0; p < positions; p++) if (fits(item, p, pattern)) found.push(p)
    return found
  }

  /** Items by the code that follows the pattern. */
  function following(pattern) {
    const groups = new Map()
    for (const item of everyItem)
      for (let p = 0; p < positions; p++) {
        if (!fits(item, p, pattern)) continue
        const code = sample.codes[item * width + p * levels + pattern.length]
        if (code < 0) continue
        const own = groups.get(code) ?? []
        if (own[own.length - 1] !== item) own.push(item)
        groups.set(code, own)
      }
    return groups
  }

  function nodeOf(pattern) {
    if (pattern.includes('*')) return undefined
    let node = tree
    for (const code of pattern) node = node?.k?.find(child => child.c === code)
    return node
  }

  /** How many vectors of all items have the pattern, where that is known. */
  function countOf(pattern) {
    const node = nodeOf(pattern)
    if (node !== undefined) return node.n
    const alone = pattern.slice(0, -1).every(code => code === '*')
    if (!alone) return undefined
    const list = data.codes[pattern.length - 1]
    for (let i = 0; i < list.length; i += 2) if (list[i] === pattern[pattern.length - 1]) return list[i + 1]
  }

  /** Codes that follow: { code, n, labels, known }, n of all items where known and else of those in the file. */
  function nextCodes(pattern, groups) {
    const alone = pattern.length > 0 && pattern.every(code => code === '*')
    if (alone) {
      const list = data.codes[pattern.length]
      return Array.from({ length: list.length / 2 }, (_, i) => ({
        code: list[2 * i],
        n: list[2 * i + 1],
        known: true,
      }))
    }
    const children = nodeOf(pattern)?.k
    if (children !== undefined) return children.map(({ c, n, l }) => ({ code: c, n, labels: l, known: true }))
    return [...groups].map(([code, items]) => ({ code, n: items.length, known: false }))
  }

  const what = positions === 1 ? 'item' : 'position'
  const counted = (n, name) => `${number(n)} ${name}${n === 1 ? '' : 's'}`

  function mixOf(labels, n, names) {
    const bar = make('div', { className: 'mix' })
    const list = make('ul', { className: 'legend' })
    for (let i = 0; i < labels.length; i += 2) {
      const color = colors[labels[i] % colors.length]
      const slice = make('i')
      slice.style.width = `${(100 * labels[i + 1]) / n}%`
      slice.style.background = color
      bar.append(slice)
      const dot = make('i')
      dot.style.background = color
      list.append(make('li', {}, dot, `${classes[labels[i]]} ${Math.round((100 * labels[i + 1]) / n)} %`))
    }
    return names ? [bar, list] : [bar]
  }

  function image(item, alt) {
    const img = make('img', { alt, width: 64, height: 64, decoding: 'async' })
    setPicture(img, sample.pictures[item])
    return img
  }

  /** A picture, with the patches marked whose codes fit. */
  function covered(item, pattern) {
    const img = image(item, sample.texts[item] || sample.ids[item])
    if (grid === undefined || pattern.length === 0) return img
    const [rows, columns] = grid
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
    svg.setAttribute('viewBox', `0 0 ${columns} ${rows}`)
    svg.setAttribute('preserveAspectRatio', 'none')
    svg.setAttribute('aria-hidden', 'true')
    for (const place of places(item, pattern)) {
      const rect = document.createElementNS('http://www.w3.org/2000/svg', 'rect')
      for (const [name, value] of Object.entries({
        x: place % columns,
        y: Math.floor(place / columns),
        width: 1,
        height: 1,
      }))
        rect.setAttribute(name, value)
      svg.append(rect)
    }
    return make('span', { className: 'cover' }, img, svg)
  }

  /** The part of a picture that one position stands for. */
  function patch(item, place) {
    const [rows, columns] = grid
    const along = (at, of) => (of === 1 ? '0' : `${(100 * at) / (of - 1)}%`)
    const span = make('span', { className: 'patch' })
    span.style.backgroundImage = `url("${data.pictures[sample.pictures[item]]}")`
    span.style.backgroundSize = `${100 * columns}% ${100 * rows}%`
    span.style.backgroundPosition = `${along(place % columns, columns)} ${along(Math.floor(place / columns), rows)}`
    return span
  }

  function tagOf(item) {
    const label = sample.labels[item]
    if (label < 0) return undefined
    const dot = make('i')
    dot.style.background = colors[label % colors.length]
    return make('span', { className: 'tag' }, dot, classes[label])
  }

  function tileOf({ code, n, labels, known }, items, total) {
    const pattern = [...state.pattern, code]
    const tile = make('button', { type: 'button', className: 'tile' })
    const many = known ? counted(n, what) : `${number(n)} here`
    tile.append(make('span', { className: 'top' }, make('b', {}, String(code)), make('span', {}, many)))
    const patched = grid !== undefined
    const faces = items.filter(item => sample.pictures[item] >= 0).slice(0, patched ? 8 : 4)
    if (patched && faces.length > 0)
      tile.append(
        make(
          'span',
          { className: 'patches' },
          faces.map(item => patch(item, places(item, pattern)[0])),
        ),
      )
    else if (faces.length > 0)
      tile.append(
        make(
          'span',
          { className: 'faces' },
          faces.map(item => image(item, '')),
        ),
      )
    const telltale = pictured ? [] : telling(items, 4)
    if (telltale.length > 0)
      tile.append(make('span', { className: 'words', dir: 'auto' }, telltale.join(', ')))
    if (labels !== undefined) {
      const [bar] = mixOf(labels, n, false)
      tile.append(bar)
      tile.title = `mostly ${classes[labels[0]]}, ${Math.round((100 * labels[1]) / n)} %`
    } else {
      const bar = make('div', { className: 'mix' })
      const slice = make('i')
      slice.style.width = `${(100 * n) / total}%`
      slice.style.background = colors[0]
      bar.append(slice)
      tile.append(bar)
    }
    tile.addEventListener('click', () => go(pattern))
    return tile
  }

  function itemButton(item, note) {
    const button = make('button', { type: 'button' })
    if (sample.pictures[item] >= 0) button.append(covered(item, state.pattern))
    if (sample.texts[item] !== '')
      button.append(make('p', { className: 'text', dir: 'auto' }, sample.texts[item]))
    button.append(make('span', { className: 'id', dir: 'auto' }, sample.ids[item]))
    const tag = tagOf(item)
    if (tag !== undefined) button.append(tag)
    if (note !== undefined) button.append(make('span', { className: 'tag' }, note))
    button.addEventListener('click', () => open(item))
    return button
  }

  // Arrow keys go through a group of buttons, of which one is in the order of the Tab key.
  function roving(box, start = 0) {
    const buttons = [...box.children].filter(
      child => child.tagName === 'BUTTON' && !child.classList.contains('more'),
    )
    for (const [i, button] of buttons.entries()) button.tabIndex = i === start ? 0 : -1
    box.onkeydown = event => {
      const at = buttons.indexOf(document.activeElement)
      if (at < 0) return
      const across = Math.max(1, buttons.filter(button => button.offsetTop === buttons[0].offsetTop).length)
      const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }
      const to = { Home: 0, End: buttons.length - 1 }[event.key] ?? at + (steps[event.key] ?? Number.NaN)
      if (buttons[to] === undefined) return
      event.preventDefault()
      buttons[at].tabIndex = -1
      buttons[to].tabIndex = 0
      buttons[to].focus()
    }
  }

  function moreButton(shown, all, name, grow) {
    if (shown >= all) return undefined
    const button = make(
      'button',
      { type: 'button', className: 'more' },
      `Show more ${name} (${number(all - shown)} left)`,
    )
    button.addEventListener('click', grow)
    return button
  }

  const go = pattern => {
    location.hash = pattern.length === 0 ? 'code=' : `code=${pattern.join('.')}`
  }

  function read() {
    const match = /^#code=(.*)$/.exec(decodeURIComponent(location.hash))
    if (match === null) return undefined
    const parts = match[1] === '' ? [] : match[1].split('.')
    return parts.slice(0, levels).map(part => (part === '*' ? '*' : Number(part)))
  }

  function crumbs() {
    const { pattern } = state
    const lead = pattern.findIndex(code => code !== '*')
    const from = lead < 0 ? pattern.length : lead
    const rootName = from === 0 ? 'All codes' : `All codes of level ${from + 1}`
    const parts = [make('button', { type: 'button' }, rootName)]
    parts[0].addEventListener('click', () => go(pattern.slice(0, from)))
    for (let l = from; l < pattern.length; l++) {
      const button = make(
        'button',
        { type: 'button' },
        `${l === from && from > 0 ? `level ${l + 1}: ` : ''}${pattern[l]}`,
      )
      button.addEventListener('click', () => go(pattern.slice(0, l + 1)))
      parts.push(make('span', { 'aria-hidden': 'true' }, '›'), button)
    }
    parts[parts.length - 1].setAttribute('aria-current', 'true')
    part('crumbs').replaceChildren(...parts)
  }

  function views() {
    if (levels === 1) return
    const alone = state.pattern.findIndex(code => code !== '*')
    const now = alone < 0 ? state.pattern.length : alone
    const buttons = Array.from({ length: Math.min(levels, 12) }, (_, l) => {
      const button = make('button', { type: 'button', 'aria-pressed': String(l === now) })
      button.append(l === 0 ? 'From the first code on' : `Level ${l + 1} alone`)
      button.addEventListener('click', () => go(new Array(l).fill('*')))
      return button
    })
    part('views').replaceChildren(...buttons)
  }

  function show() {
    const { pattern } = state
    const wanted = document.getElementById('find').value.trim().toLowerCase()
    const finds = item =>
      wanted === '' ||
      sample.ids[item].toLowerCase().includes(wanted) ||
      sample.texts[item].toLowerCase().includes(wanted)
    const here = everyItem.filter(
      item => finds(item) && (pattern.every(c => c === '*') || places(item, pattern).length > 0),
    )
    views()
    crumbs()
    const atRoot = pattern.every(code => code === '*')
    const n = atRoot ? tree.n : countOf(pattern)
    const name = atRoot ? 'All' : `Code ${pattern.filter(c => c !== '*').join(' › ')}`
    const found = wanted === '' ? '' : ` with “${wanted}”`
    const whole = n === undefined ? '' : counted(n, what)
    const sentence =
      positions === 1
        ? `${whole === '' ? '' : `${whole}, `}${number(here.length)} of them here${found}.`
        : `${whole === '' ? '' : `${whole}, `}in ${counted(here.length, 'item')} here${found}.`
    part('status').textContent = `${name}: ${sentence}`

    const node = nodeOf(pattern)
    const about = part('about')
    about.replaceChildren()
    if (node?.l !== undefined) about.append(...mixOf(node.l, node.n, true))
    if (!atRoot && words.length > 0) {
      const found = telling(here, 12)
      if (found.length > 0)
        about.append(
          make('p', { className: 'words', dir: 'auto' }, make('b', {}, 'Telling words: '), found.join(', ')),
        )
    }

    const tiles = part('tiles')
    tiles.replaceChildren()
    if (pattern.length < levels) {
      const groups = following(pattern)
      let next = nextCodes(pattern, groups)
      if (wanted !== '') next = next.filter(({ code }) => groups.get(code)?.some(finds))
      if (document.getElementById('order').value === 'c') next.sort((a, b) => a.code - b.code)
      const total = Math.max(1, ...next.map(({ n }) => n))
      tiles.append(
        ...next.slice(0, state.tiles).map(entry => tileOf(entry, groups.get(entry.code) ?? [], total)),
      )
      roving(tiles)
      const button = moreButton(state.tiles, next.length, 'codes', () => {
        const before = state.tiles
        state.tiles += 240
        show()
        roving(tiles, before)
        tiles.children[before]?.focus()
      })
      if (button !== undefined) tiles.append(button)
    }

    const items = part('items')
    items.classList.toggle('texts', !pictured)
    items.replaceChildren(...here.slice(0, state.items).map(item => itemButton(item)))
    roving(items)
    const button = moreButton(state.items, here.length, 'items', () => {
      const before = state.items
      state.items += 120
      show()
      roving(items, before)
      items.children[before]?.focus()
    })
    if (button !== undefined) items.append(button)
    if (here.length === 0)
      items.append(make('p', { className: 'empty' }, 'None of its items are in this file.'))
  }

  /** Codes shared from the start, then codes that do not differ: as neighborsById ranks. */
  function affinity(a, b) {
    let [shared, same] = [0, 0]
    for (let p = 0; p < positions; p++) {
      let together = true
      for (let l = 0; l < levels; l++) {
        const at = p * levels + l
        const [x, y] = [sample.codes[a * width + at], sample.codes[b * width + at]]
        if (x === y) {
          same++
          if (together && x >= 0) shared++
        } else together = false
      }
    }
    return shared * (width + 1) + same
  }

  function nearness(score) {
    const same = score % (width + 1)
    if (same === width) return 'same ID'
    if (positions === 1) return `${Math.floor(score / (width + 1))} of ${levels} shared`
    return `${number(width - same)} of ${number(width)} differ`
  }

  function open(item) {
    const near = everyItem
      .filter(other => other !== item)
      .map(other => ({ other, score: affinity(item, other) }))
      .sort((a, b) => b.score - a.score || a.other - b.other)
      .slice(0, pictured ? 12 : 6)
    const close = make('button', { type: 'button', className: 'more close' }, 'Close')
    close.addEventListener('click', () => dialog.close())
    const chips = make('div', { className: 'chips' })
    for (let at = 0; at < Math.min(width, 64 * levels); at++) {
      const code = sample.codes[item * width + at]
      if (code < 0) continue
      const level = at % levels
      const from = at - level
      const chip = make('button', { type: 'button', className: 'chip' })
      chip.append(
        make(
          'small',
          {},
          positions === 1 ? `level ${level + 1}` : `${Math.floor(at / levels) + 1}.${level + 1}`,
        ),
        make('code', {}, String(code)),
      )
      chip.title = 'Items that begin like this'
      chip.addEventListener('click', () => {
        dialog.close()
        go(sample.codes.slice(item * width + from, item * width + at + 1))
      })
      chips.append(chip)
    }
    const text = make('div', {}, make('h3', { className: 'id', dir: 'auto' }, sample.ids[item]))
    const tag = tagOf(item)
    if (tag !== undefined) text.append(tag)
    if (sample.texts[item] !== '')
      text.append(make('p', { className: 'text', dir: 'auto' }, sample.texts[item]))
    const large = make('div', { className: 'large' })
    if (sample.pictures[item] >= 0) large.append(covered(item, state.pattern))
    large.append(text)
    const found = make(
      'div',
      { className: `items${pictured ? '' : ' texts'}` },
      near.map(({ other, score }) => itemButton(other, nearness(score))),
    )
    dialog.replaceChildren(
      close,
      large,
      make('h3', {}, 'Its ID'),
      chips,
      make('h3', {}, 'Nearest by ID in this file'),
      found,
    )
    if (!dialog.open) dialog.showModal()
    dialog.scrollTop = 0
    close.focus()
  }
  dialog.addEventListener('click', event => {
    if (event.target === dialog) dialog.close()
  })

  function changed(atStart) {
    const pattern = read()
    if (pattern === undefined && !atStart) return
    Object.assign(state, { pattern: pattern ?? [], ...first() })
    show()
    if (pattern !== undefined) {
      document.getElementById('explorer-section').scrollIntoView({ block: 'start' })
      if (!atStart) part('crumbs').querySelector('[aria-current]').focus({ preventScroll: true })
    }
  }
  document.getElementById('order').addEventListener('change', show)
  document.getElementById('find').addEventListener('input', show)
  addEventListener('hashchange', () => changed(false))
  changed(true)
})()
