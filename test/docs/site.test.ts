// The built site, as a reader's browser sees it. `node docs/build.mjs` builds it; `npm test` does so before.
import { existsSync, readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launch, noChromium } from '../../packages/pipeline/test/chromium.js'

const site = resolve('docs/dist')
const missing = existsSync(join(site, 'api/index.html')) ? undefined : 'no built site: node docs/build.mjs'
const reason = missing ?? noChromium
if (reason !== undefined) console.warn(`the site is not looked at: ${reason}`)

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.gif': 'image/gif',
  '.json': 'application/json',
  '.woff2': 'font/woff2',
}

/** Of a desktop and of a phone. */
const widths = [1280, 360]
/** Of some thousand pages of the reference these. */
const reference = [
  'api/index.html',
  'api/modules/_vq_core.html',
  'api/classes/_vq_quantizers.VectorQuantizer.html',
]

describe.skipIf(reason !== undefined)('the site', () => {
  let server: Server
  let host: string
  let browser: Awaited<ReturnType<typeof launch>>
  let pages: string[]

  beforeAll(async () => {
    server = createServer((request, response) => {
      const path = join(site, decodeURIComponent(new URL(request.url!, 'http://site').pathname))
      const file = path.endsWith('/') ? `${path}index.html` : path
      if (!file.startsWith(site) || !existsSync(file)) return response.writeHead(404).end()
      response.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream' })
      response.end(readFileSync(file))
    })
    await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
    host = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    browser = await launch()
    const files = await readdir(site, { recursive: true })
    pages = files.filter(f => f.endsWith('.html') && !f.startsWith('api') && f !== '404.html').sort()
  })
  afterAll(async () => {
    await browser.close()
    server.close()
  })

  /** Opens a page; what the browser complained of, and asked for elsewhere, is in `trouble`. */
  async function open(path: string, width: number, dark = false) {
    const page = await browser.newPage()
    const trouble: string[] = []
    page.on('console', message => message.type() === 'error' && trouble.push(message.text()))
    page.on('pageerror', error => trouble.push(String(error)))
    page.on('request', request => {
      const url = request.url()
      if (!url.startsWith(host) && !url.startsWith('data:') && !url.startsWith('blob:'))
        trouble.push(`asks for ${url}`)
    })
    page.on('requestfailed', request => trouble.push(`failed: ${request.url()}`))
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }])
    await page.setViewport({ width, height: 900 })
    await page.goto(`${host}/${path}`, { waitUntil: 'load', timeout: 120_000 })
    await page.evaluate(() => document.fonts.ready.then(() => undefined))
    return { page, trouble }
  }

  test('every page opens without errors and without other hosts, no wider than a desktop or a phone, with all its figures', async () => {
    expect(pages.length).toBeGreaterThan(20)
    for (const path of [...pages, ...reference]) {
      const { page, trouble } = await open(path, widths[0]!)
      const over: number[] = []
      for (const width of widths) {
        await page.setViewport({ width, height: 900 })
        over.push(
          await page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
          ),
        )
      }
      const seen = await page.evaluate(() => ({
        title: document.querySelector('h1')?.textContent ?? '',
        broken: [...document.images].filter(i => i.complete && i.naturalWidth === 0).map(i => i.src),
        formulas: document.querySelectorAll('[data-mjx-error], merror, mjx-merror').length,
      }))
      await page.close()
      expect({ path, trouble, over, ...seen }).toEqual({
        path,
        trouble: [],
        over: [0, 0],
        title: expect.stringMatching(/\S/),
        broken: [],
        formulas: 0,
      })
    }
  }, 300_000)

  test('formulas, figures and diagrams are part of the pages', async () => {
    const count = async (path: string, selector: string) => {
      const { page } = await open(path, 1280)
      const found = await page.$$(selector)
      await page.close()
      return found.length
    }
    expect(await count('guide/mathematics.html', 'mjx-container svg')).toBeGreaterThan(80)
    expect(await count('guide/concepts.html', '.vp-doc img')).toBeGreaterThanOrEqual(5)
    expect(await count('guide/concepts.html', '.vp-doc pre')).toBeGreaterThanOrEqual(6)
    expect(await count('pipeline/templates.html', 'figure.diagram svg')).toBe(12)
  }, 60_000)

  test('search finds pages by their words, without a network', async () => {
    const { page, trouble } = await open('index.html', 1280)
    await page.click('.VPNavBarSearch button')
    await page.waitForSelector('.search-input')
    await page.type('.search-input', 'straight-through')
    await page.waitForSelector('.results .result')
    const titles = await page.$$eval('.results .result', results => results.map(r => r.textContent ?? ''))
    expect(titles.join('\n')).toMatch(/Straight through/i)
    expect(trouble).toEqual([])
    await page.close()
  }, 60_000)

  test('dark pages are dark', async () => {
    const { page } = await open('guide/concepts.html', 1280, true)
    const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    const [r, g, b] = background.match(/\d+/g)!.map(Number)
    expect(Math.max(r!, g!, b!)).toBeLessThan(64)
    await page.close()
  }, 60_000)
})
