/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { analyzeIds, writeComparison, writeReport } from '@vq/pipeline'
import type { Browser, Page } from 'puppeteer-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launch, noChromium } from './chromium.js'
import { evil, smallReport } from './report-input.js'

const folder = mkdtempSync(join(tmpdir(), 'vq-report-'))
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
let browser: Browser

interface Visit {
  page: Page
  /** Errors, warnings and requests other than that of the file. */
  complaints: string[]
}

async function visit(file: string, width: number): Promise<Visit> {
  const page = await browser.newPage()
  const url = pathToFileURL(file).href
  const complaints: string[] = []
  page.on('console', message => complaints.push(`${message.type()}: ${message.text()}`))
  page.on('pageerror', error => complaints.push(String(error)))
  page.on('request', request => {
    if (request.url() !== url && !request.url().startsWith('data:'))
      complaints.push(`request: ${request.url()}`)
  })
  await page.setViewport({ width, height: 800 })
  // A click would miss what is still scrolling.
  await page.emulateMediaFeatures([{ name: 'prefers-reduced-motion', value: 'reduce' }])
  await page.goto(url)
  return { page, complaints }
}

const textOf = (page: Page, selector: string): Promise<string[]> =>
  page.$$eval(selector, nodes => nodes.map(node => node.textContent ?? ''))

/** Clicks where a person would: brought into view, by the pointer. */
async function click(page: Page, selector: string): Promise<void> {
  const target = await page.waitForSelector(selector)
  await target!.click()
}

const shown = (page: Page): Promise<string[]> => textOf(page, '#explorer .items .id')
/** The explorer answers once the address has changed. */
async function expectStatus(page: Page, wanted: string): Promise<void> {
  const status = async (): Promise<string> => (await textOf(page, '#explorer .status'))[0]
  await expect.poll(status, { timeout: 5000 }).toBe(wanted)
}

describe.skipIf(noChromium !== undefined)(
  `a report in Chromium${noChromium ? ` (${noChromium})` : ''}`,
  () => {
    const files = { image: join(folder, 'image.html'), text: join(folder, 'text.html') }
    beforeAll(async () => {
      for (const kind of ['image', 'text'] as const) await writeReport(files[kind], await smallReport(kind))
      browser = await launch()
    })
    afterAll(async () => {
      await browser?.close()
      rmSync(folder, { recursive: true, force: true })
    })

    describe.each([1280, 360])('%i pixels wide', width => {
      test.each(['image', 'text'] as const)(
        'of %ss opens without a complaint, loads nothing and fits',
        async kind => {
          const { page, complaints } = await visit(files[kind], width)
          const measured = await page.evaluate(() => ({
            wide: document.documentElement.scrollWidth,
            pictures: [...document.images].map(img => [
              img.complete,
              img.naturalWidth,
              img.hasAttribute('alt'),
            ]),
            cards: document.querySelectorAll('.cards li').length,
            plots: document.querySelectorAll('.plot svg').length,
            headings: document.querySelectorAll('h1').length,
          }))
          expect(complaints).toEqual([])
          expect(measured.wide).toBeLessThanOrEqual(width)
          expect(measured.pictures.length > 0).toBe(kind === 'image')
          for (const picture of measured.pictures) expect(picture).toEqual([true, 40, true])
          expect(measured).toMatchObject({ cards: 10, plots: 6, headings: 1 })
          await page.close()
        },
      )

      test('sorts a table by a click on a title, and turns it round by another', async () => {
        const { page, complaints } = await visit(files.image, width)
        const table = '#tree .side .scroll:first-child table'
        const codes = async (): Promise<string[]> => textOf(page, `${table} tbody th`)
        const sorts = (): Promise<(string | null)[]> =>
          page.$$eval(`${table} thead th`, titles => titles.map(title => title.getAttribute('aria-sort')))
        expect(await sorts()).toEqual([null, null, 'descending', null])
        await click(page, `${table} thead th:nth-child(1) button`)
        expect(await sorts()).toEqual(['descending', null, null, null])
        expect(await codes()).toEqual(['5', '4', '3', '2', '2', '1', '1', '0', '0'])
        await click(page, `${table} thead th:nth-child(1) button`)
        expect(await sorts()).toEqual(['ascending', null, null, null])
        expect(await codes()).toEqual(['0', '0', '1', '1', '2', '2', '3', '4', '5'])
        // By the keyboard, and by the number behind "33.3 %".
        await page.focus(`${table} thead th:nth-child(4) button`)
        await page.keyboard.press('Enter')
        const shares = (await textOf(page, `${table} tbody td:nth-child(4)`)).map(Number.parseFloat)
        expect(shares).toEqual([...shares].sort((a, b) => b - a))
        expect(complaints).toEqual([])
        await page.close()
      })

      test('shows the items of a code, and then of the code that follows', async () => {
        const { page, complaints } = await visit(files.image, width)
        const { table } = await smallReport('image')
        await expectStatus(page, 'All: 60 items, 60 of them here.')
        expect(await textOf(page, '.tiles .top b')).toEqual(['0', '1', '2', '3', '4', '5'])
        expect(await textOf(page, '.tiles .top span')).toEqual([20, 15, 10, 8, 5, 2].map(n => `${n} items`))
        await click(page, '.tiles .tile:nth-child(4)')
        await expectStatus(page, 'Code 3: 8 items, 8 of them here.')
        expect(await shown(page)).toEqual(table.ids.slice(45, 53))
        const second = await textOf(page, '.tiles .top b')
        await click(page, '.tiles .tile:nth-child(1)')
        const wanted = table.ids.filter(
          (_, i) => table.codes[2 * i] === 3 && table.codes[2 * i + 1] === Number(second[0]),
        )
        expect(wanted.length).toBeGreaterThan(1)
        await expectStatus(
          page,
          `Code 3 › ${second[0]}: ${wanted.length} items, ${wanted.length} of them here.`,
        )
        expect(await shown(page)).toEqual(wanted)
        expect(await textOf(page, '.crumbs button')).toEqual(['All codes', '3', second[0]])
        expect(await page.evaluate(() => location.hash)).toBe(`#code=3.${second[0]}`)
        await page.goBack()
        await expectStatus(page, 'Code 3: 8 items, 8 of them here.')
        await click(page, '.crumbs button')
        await expectStatus(page, 'All: 60 items, 60 of them here.')
        // Another level alone.
        await click(page, '.views button:nth-child(2)')
        await page.waitForFunction(() => location.hash === '#code=*')
        await expect.poll(async () => (await textOf(page, '.tiles .top b')).length).toBe(3)
        expect((await textOf(page, '.tiles .top b')).sort()).toEqual(['0', '1', '2'])
        await click(page, '.tiles .tile:nth-child(1)')
        await page.waitForFunction(() =>
          document.querySelector('.crumbs [aria-current]')?.textContent?.includes(': '),
        )
        await page.waitForFunction(() =>
          document.querySelector('.crumbs [aria-current]')?.textContent?.includes(': '),
        )
        const [code] = await textOf(page, '.crumbs [aria-current]')
        const of = Number(code.replace('level 2: ', ''))
        const many = table.ids.filter((_, i) => table.codes[2 * i + 1] === of).length
        await expectStatus(page, `Code ${of}: ${many} items, ${many} of them here.`)
        expect(complaints).toEqual([])
        await page.close()
      })

      test('shows what an item is, its ID and those nearest to it', async () => {
        const { page, complaints } = await visit(files.text, width)
        await page.type('#find', 'number 59 ')
        expect(await shown(page)).toEqual(['group5/item59.png'])
        await click(page, '#explorer .items button')
        expect(await page.$eval('dialog', dialog => (dialog as HTMLDialogElement).open)).toBe(true)
        expect(await textOf(page, 'dialog h3')).toEqual([
          'group5/item59.png',
          'Its ID',
          'Nearest by ID in this file',
        ])
        expect((await textOf(page, 'dialog .items .id'))[0]).toBe('group5/item58.png')
        await page.keyboard.press('Escape')
        expect(await page.$eval('dialog', dialog => (dialog as HTMLDialogElement).open)).toBe(false)
        await click(page, '#explorer .items button')
        await click(page, 'dialog .chip:nth-child(1)')
        // What was searched for still holds.
        await expectStatus(page, 'Code 5: 2 items, 1 of them here with “number 59”.')
        expect(await page.evaluate(() => location.hash)).toBe('#code=5')
        expect(complaints).toEqual([])
        await page.close()
      })
    })

    test('goes through codes by the arrow keys, one of them in the order of Tab', async () => {
      const { page } = await visit(files.image, 1280)
      expect(
        await page.$$eval('.tiles .tile', tiles => tiles.map(tile => (tile as HTMLElement).tabIndex)),
      ).toEqual([0, -1, -1, -1, -1, -1])
      await page.focus('.tiles .tile')
      for (const key of ['ArrowRight', 'ArrowRight', 'End', 'ArrowLeft'] as const)
        await page.keyboard.press(key)
      await page.keyboard.press('Enter')
      await expectStatus(page, 'Code 4: 5 items, 5 of them here.')
      expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('4')
      await page.close()
    })

    test('tells codes of texts by their words', async () => {
      const { page } = await visit(files.text, 1280)
      const words = await textOf(page, '.tiles .words')
      expect(words[1]).toContain('goals')
      expect(words[2]).toContain('banks')
      await page.close()
    })

    test('keeps text from data text, wherever it stands', async () => {
      for (const kind of ['image', 'text'] as const) {
        const { page, complaints } = await visit(files[kind], 1280)
        expect(await textOf(page, 'h1')).toEqual([`A report ${evil}`])
        expect(await textOf(page, 'dd')).toEqual([evil])
        expect(await textOf(page, '#skipped tbody th')).toEqual([evil])
        await page.evaluate(() => {
          location.hash = '#code=0'
        })
        await expectStatus(page, 'Code 0: 20 items, 20 of them here.')
        expect(await shown(page)).toContain(evil)
        expect(await textOf(page, '#explorer .items .text')).toContain(evil)
        expect(await textOf(page, '#explorer .tag')).toContain('odd <b>label')
        expect(await page.evaluate(() => [...document.querySelectorAll('img[src="x"]')].length)).toBe(0)
        expect(await page.evaluate(() => 'hacked' in window)).toBe(false)
        expect(complaints).toEqual([])
        await page.close()
      }
    })

    test('its policy stops scripts and pictures from elsewhere', async () => {
      const { page, complaints } = await visit(files.image, 1280)
      await page.evaluate(() => {
        const script = document.createElement('script')
        script.textContent = 'window.hacked = 1'
        document.body.append(script)
        const img = document.createElement('img')
        img.src = 'https://example.invalid/x.png'
        document.body.append(img)
      })
      expect(await page.evaluate(() => 'hacked' in window)).toBe(false)
      expect(complaints.some(text => /Content Security Policy/.test(text))).toBe(true)
      await page.close()
    })

    test('has nothing to be found by axe, in any state', async () => {
      for (const [kind, width] of [
        ['image', 1280],
        ['text', 360],
      ] as const) {
        const { page } = await visit(files[kind], width)
        await page.evaluate(axe)
        const violations = (): Promise<string[]> =>
          page.evaluate(async () => {
            const { axe } = window as unknown as {
              axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> }
            }
            const { violations } = await axe.run()
            return violations.map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`)
          })
        expect(await violations()).toEqual([])
        await click(page, '.tiles .tile:nth-child(2)')
        expect(await violations()).toEqual([])
        await click(page, '#explorer .items button')
        expect(await violations()).toEqual([])
        await page.close()
      }
    })

    test('prints its tables whole, without controls, and moves nothing for those who ask so', async () => {
      const { page } = await visit(files.image, 1280)
      await page.emulateMediaType('print')
      const printed = await page.evaluate(() => ({
        nav: getComputedStyle(document.querySelector('body > nav')!).display,
        controls: getComputedStyle(document.querySelector('.controls')!).display,
        tall: getComputedStyle(document.querySelector('.scroll.tall')!).maxHeight,
      }))
      expect(printed).toEqual({ nav: 'none', controls: 'none', tall: 'none' })
      await page.emulateMediaType('screen')
      const motion = async (value: 'reduce' | 'no-preference'): Promise<string[]> => {
        await page.emulateMediaFeatures([{ name: 'prefers-reduced-motion', value }])
        return page.evaluate(() => [
          getComputedStyle(document.documentElement).scrollBehavior,
          getComputedStyle(document.querySelector('.tile')!).transitionDuration,
        ])
      }
      expect(await motion('no-preference')).toEqual(['smooth', '0.12s, 0.12s'])
      const calm = await motion('reduce')
      expect(calm).toEqual(['auto', '0s'])
      await page.close()
    })

    test('marks the patches of a picture that have a code', async () => {
      const file = join(folder, 'patches.html')
      // Four patches of two items: code 1 at the lower left of the first, and at both right ones of the second.
      const codes = Int32Array.of(0, 2, 1, 0, 2, 1, 0, 1)
      const table = { ids: ['first', 'second'], codes, positions: 4, levels: 1, codebookSizes: [4] }
      const { preview } = await smallReport('image')
      await writeReport(file, {
        title: 'Patches',
        table,
        analysis: analyzeIds(table),
        grid: [2, 2],
        preview: preview!,
      })
      const { page, complaints } = await visit(file, 1280)
      await page.evaluate(() => {
        location.hash = '#code=1'
      })
      await expectStatus(page, 'Code 1: 3 positions, in 2 items here.')
      const marked = await page.$$eval('#explorer .cover', covers =>
        covers.map(cover =>
          [...cover.querySelectorAll('rect')].map(rect =>
            [rect.getAttribute('x'), rect.getAttribute('y')].join(),
          ),
        ),
      )
      expect(marked).toEqual([['0,1'], ['1,0', '1,1']])
      await click(page, '.crumbs button')
      await expectStatus(page, 'All: 8 positions, in 2 items here.')
      const first = await page.$$eval('.tile', tiles =>
        tiles.map(tile =>
          [...tile.querySelectorAll('.patch')].map(p => (p as HTMLElement).style.backgroundPosition),
        ),
      )
      // Codes 0 and 1 three times each, code 2 twice.
      expect(first).toEqual([
        ['0% 0%', '0% 100%'],
        ['0% 100%', '100% 0%'],
        ['100% 0%', '0% 0%'],
      ])
      expect(complaints).toEqual([])
      await page.close()
    })

    test('of a comparison opens as quietly, and sorts what is missing last', async () => {
      const file = join(folder, 'comparison.html')
      const run = (
        name: string,
        bits: number,
        mse: number,
      ): { name: string; bits: number; metrics: { mse: number } } => ({
        name,
        bits,
        metrics: { mse },
      })
      await writeComparison(file, {
        title: 'Three runs',
        runs: [run('a', 8, 0.5), run('b', 16, Number.NaN), run(evil, 24, 0.25)],
        metrics: [{ name: 'mse', better: 'lower' }],
      })
      const { page, complaints } = await visit(file, 1280)
      await click(page, 'thead th:nth-child(3) button')
      await click(page, 'thead th:nth-child(3) button')
      expect(await textOf(page, 'tbody td:nth-child(3)')).toEqual(['0.25', '0.5', '–'])
      expect(await textOf(page, 'tbody th')).toEqual([`${evil} ★`, 'a ★', 'b'])
      expect(complaints).toEqual([])
      await page.close()
    })
  },
)
