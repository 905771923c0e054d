import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, VqConfigError, VqShapeError } from '@vq/core'
import {
  analyzeIds,
  bestRuns,
  type ComparedRun,
  comparisonFigure,
  comparisonMarkdown,
  type IdTable,
  writeReport,
} from '@vq/pipeline'
import fc from 'fast-check'
import sharp from 'sharp'
import { afterAll, describe, expect, test } from 'vitest'
import { inline } from '../src/report/figures.js'
import { evil, smallReport } from './report-input.js'

const folder = mkdtempSync(join(tmpdir(), 'vq-report-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const file = join(folder, 'report.html')

interface Data {
  items: number
  tree: { n: number; k: { c: number; n: number; l: number[] }[] }
  sample: { ids: string[]; codes: number[]; labels: number[]; pictures: number[]; texts: string[] }
  pictures: string[]
}

function dataOf(html: string): Data {
  const [, json] = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(html)!
  return JSON.parse(json)
}

describe('a report', () => {
  test('is one file that names no other, in which text from data cannot end an element', async () => {
    const summary = await writeReport(file, { ...(await smallReport('image')), reconstructions: [] })
    const html = readFileSync(file, 'utf8')
    expect(summary).toEqual({
      bytes: Buffer.byteLength(html),
      items: 60,
      pictures: 60,
      unreadable: 0,
      leftOut: 0,
    })
    expect(html).toContain('default-src &#39;none&#39;; img-src data:; style-src &#39;sha256-')
    expect(html).not.toContain(evil)
    expect(html.match(/<\/script>/g)).toHaveLength(2)
    const markup = html.replace(/<script>.*?<\/script>/s, '')
    const loads = /<(?:link|iframe|object|embed)\b|\bsrc="(?!data:)|\bhref="(?!#)|@import|url\((?!#)/g
    expect(markup.match(loads)).toBe(null)
    // Addresses are names of XML's languages only.
    const addresses = [...html.matchAll(/https?:\/\/[^"' )<]+/g)].map(match => match[0])
    expect(addresses.filter(address => !address.startsWith('http://www.w3.org/'))).toEqual([])
  })

  test('holds every item, code and label as they were', async () => {
    const input = await smallReport('image')
    await writeReport(file, input)
    const { sample, tree, items } = dataOf(readFileSync(file, 'utf8'))
    expect(items).toBe(60)
    expect(sample.ids).toEqual(input.table.ids)
    expect(sample.codes).toEqual(Array.from(input.table.codes))
    expect(sample.texts[7]).toBe(evil)
    expect(tree.n).toBe(60)
    expect(tree.k.map(({ c, n }) => [c, n])).toEqual([
      [0, 20],
      [1, 15],
      [2, 10],
      [3, 8],
      [4, 5],
      [5, 2],
    ])
    // Class and count: of the first code 19 are early, one is odd.
    expect(tree.k[0].l).toEqual([0, 19, 1, 1])
  })

  test('is the same, byte for byte, from the same input, and holds a picture once', async () => {
    const input = await smallReport('image')
    const one = await sharp({ create: { width: 80, height: 80, channels: 3, background: 'red' } })
      .png()
      .toBuffer()
    const alike = { ...input, reconstructions: [], preview: () => ({ kind: 'image' as const, bytes: one }) }
    const summary = await writeReport(file, alike)
    const first = readFileSync(file)
    await writeReport(file, alike)
    expect(summary.pictures).toBe(1)
    expect(readFileSync(file).equals(first)).toBe(true)
    const [picture] = dataOf(first.toString()).pictures
    const { width, height, format } = await sharp(Buffer.from(picture.split(',')[1], 'base64')).metadata()
    expect([width, height, format]).toEqual([64, 64, 'webp'])
  })

  test('counts pictures that cannot be read, and says so', async () => {
    const input = await smallReport('image')
    const broken = { kind: 'image' as const, bytes: Uint8Array.of(1, 2, 3) }
    const preview = (row: number) => (row < 5 ? broken : input.preview!(row, ''))
    const summary = await writeReport(file, { ...input, reconstructions: [], preview })
    expect(summary).toMatchObject({ pictures: 55, unreadable: 5 })
    expect(readFileSync(file, 'utf8')).toContain('5 pictures could not be read.')
  })

  test('leaves the old file where it fails on the way', async () => {
    const input = await smallReport('text')
    const old = join(folder, 'old.html')
    writeFileSync(old, 'the old one')
    const preview = (row: number) => {
      if (row === 50) throw new Error('disk on fire')
      return undefined
    }
    await expect(writeReport(old, { ...input, preview })).rejects.toThrow('disk on fire')
    expect(readFileSync(old, 'utf8')).toBe('the old one')
  })

  test('draws whatever was measured while training, and nothing where nothing was', async () => {
    const input = await smallReport('text')
    const titles = async (metrics: NonNullable<typeof input.metrics>): Promise<string[]> => {
      const { rates, codebooks, ...rest } = input
      expect([rates, codebooks]).not.toContain(undefined)
      await writeReport(file, { ...rest, metrics })
      const captions = readFileSync(file, 'utf8').matchAll(/<figcaption>([^<]*)<\/figcaption>/g)
      return [...captions].map(match => match[1]).filter(text => / by (training )?step\.$/.test(text))
    }
    expect(await titles([])).toEqual([])
    expect(await titles([{ step: 1, split: 'train', loss: Number.NaN }])).toEqual([])
    const steps = [1, 2].map(step => ({
      step,
      split: 'train' as const,
      loss: 1 / step,
      codeLoss: step,
      once: 3,
    }))
    const { once, ...second } = steps[1]
    expect(once).toBe(3)
    expect(await titles([steps[0], second])).toEqual([
      'How training went: losses and, where measured, quality and codes in use by step.',
      'codeLoss by training step.',
    ])
  })

  test('refuses an analysis of something else', async () => {
    const input = await smallReport('text')
    const other = join(folder, 'other.html')
    const { labels, ...unlabelled } = input
    const half = { ...input.table, ids: input.table.ids.slice(30), codes: input.table.codes.slice(60) }
    await expect(writeReport(other, { ...input, table: half })).rejects.toThrow(VqShapeError)
    await expect(writeReport(other, unlabelled)).rejects.toThrow(VqConfigError)
    expect(labels).toHaveLength(60)
    expect(existsSync(other)).toBe(false)
  })

  test('of 10,000 items with pictures stays below 5 MB, and shows every first code', async () => {
    const n = 10_000
    const random = new Random(5)
    const codes = Int32Array.from({ length: 4 * n }, (_, i) =>
      // A first code of very many items, others of few.
      i % 4 === 0 ? Math.floor(64 * random.uniform() ** 3) : random.integer(64),
    )
    const table: IdTable = {
      ids: Array.from({ length: n }, (_, i) => `a/rather/long/folder/name/item-${i}.jpeg`),
      codes,
      positions: 1,
      levels: 4,
      codebookSizes: [64, 64, 64, 64],
    }
    // Noise: no picture takes more bytes. Each stands for four items; those count once.
    const noise = await Promise.all(
      Array.from({ length: 2500 }, () => {
        const pixels = Uint8Array.from({ length: 48 * 48 * 3 }, () => random.bits() & 255)
        return sharp(pixels, { raw: { width: 48, height: 48, channels: 3 } })
          .png({ compressionLevel: 1 })
          .toBuffer()
      }),
    )
    const preview = (row: number) => ({ kind: 'image' as const, bytes: noise[row >> 2] })
    const summary = await writeReport(file, { title: 'Large', table, analysis: analyzeIds(table), preview })
    expect(summary.bytes).toBeLessThan(5_000_000)
    expect(summary.leftOut).toBeGreaterThan(0)
    const { sample, tree } = dataOf(readFileSync(file, 'utf8'))
    expect(summary.items).toBe(sample.ids.length)
    expect(sample.ids.length).toBeGreaterThan(3900)
    const firsts = new Map<number, number>()
    for (let i = 0; i < sample.codes.length; i += 4)
      firsts.set(sample.codes[i], (firsts.get(sample.codes[i]) ?? 0) + 1)
    // No code has more than one item over what a smaller one could have given.
    const part = Math.max(...firsts.values())
    for (const { c, n } of tree.k) expect(firsts.get(c)).toBe(Math.min(n, part))
  })

  test('of very many items and positions shows only so many', async () => {
    const [n, positions] = [5000, 64]
    const random = new Random(6)
    const table: IdTable = {
      ids: Array.from({ length: n }, (_, i) => `${i}`),
      codes: Int32Array.from({ length: n * positions }, () => random.integer(512)),
      positions,
      levels: 1,
      codebookSizes: [512],
    }
    const summary = await writeReport(file, {
      title: 'Patches',
      table,
      analysis: analyzeIds(table),
      grid: [8, 8],
    })
    expect(summary.items).toBe(Math.floor(250_000 / 64))
    expect(summary.bytes).toBeLessThan(5_000_000)
  })
})

test('a figure keeps the digits of its labels and cuts those of its places', () => {
  const svg = '<svg width="1.23456"><text x="0.98765">0.00025</text></svg>'
  const page = inline({ svg } as never, 'Rate', 'f').html
  expect(page).toContain('width="1.23"><text x="0.98">0.00025</text>')
})

describe('a comparison', () => {
  const run = (name: string, bits: number, mse: number): ComparedRun => ({ name, bits, metrics: { mse } })

  test('stars the runs that no other beats in both', () => {
    const runs = [
      run('a', 8, 0.5),
      run('b', 8, 0.4),
      run('c', 16, 0.4),
      run('d', 16, 0.1),
      run('e', 4, Number.NaN),
    ]
    expect(bestRuns(runs, { name: 'mse', better: 'lower' }).map(r => r.name)).toEqual(['b', 'd'])
    expect(bestRuns(runs, { name: 'mse', better: 'higher' }).map(r => r.name)).toEqual(['a'])
  })

  test('stars just the runs that none dominates, of any', () => {
    const some = fc.array(fc.tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 })), {
      minLength: 1,
      maxLength: 12,
    })
    fc.assert(
      fc.property(some, points => {
        const runs = points.map(([bits, mse], i) => run(`${i}`, bits, mse))
        const good = bestRuns(runs, { name: 'mse', better: 'lower' })
        const dominated = ([bits, mse]: [number, number]): boolean =>
          points.some(([b, m]) => b <= bits && m <= mse && (b < bits || m < mse))
        const wanted = new Set(points.filter(p => !dominated(p)).map(p => p.join()))
        expect(new Set(good.map(r => `${r.bits},${r.metrics.mse}`))).toEqual(wanted)
      }),
    )
  })

  test('is a Markdown table with the best in bold, and a figure of all runs', async () => {
    const runs = [run('a|b', 8, 0.5), run('c', 16, 0.25), run('failed', 4, Number.NaN)]
    expect(comparisonMarkdown(runs, [{ name: 'mse', title: 'error', better: 'lower' }])).toBe(
      '| run | bits | error |\n| --- | ---: | ---: |\n| a\\|b | 8 | 0.5 |\n| c | 16 | **0.25** |\n| failed | 4 | – |\n',
    )
    const { svg } = await comparisonFigure(runs, { name: 'mse', better: 'lower' })
    expect(svg).toContain('bits of an item')
    expect(svg).toContain('a|b')
    await expect(async () => comparisonFigure([], { name: 'mse', better: 'lower' })).rejects.toThrow(
      VqShapeError,
    )
    await expect(async () =>
      comparisonFigure([run('a', 1, 1), run('a', 2, 1)], { name: 'mse', better: 'lower' }),
    ).rejects.toThrow(VqConfigError)
  })
})
