import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, VqConfigError, VqShapeError } from '@vq/core'
import {
  codebookEvolution,
  codebookProjection,
  codebookUsage,
  codeMaps,
  convergence,
  imageGrid,
  interpolationGrid,
  latentScatter,
  reconstructionGrid,
  residualStages,
  sampleGrid,
  sensitivity,
  trainingCurves,
  traversalGrid,
  voronoiRegions,
} from '@vq/models/plot'
import sharp from 'sharp'
import { describe, expect, test } from 'vitest'
import { fontFamily, svgToPng } from '../src/image/sharp.js'
import { codeColors } from '../src/plot/code-colors.js'
import { principalComponents } from '../src/plot/project.js'

const decode = async (png: Buffer) => {
  const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  return {
    at: (x: number, y: number) => [...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3)],
    info,
  }
}

describe('the shipped font', () => {
  test('draws letters: an l is one upright stroke, an H two with a bar between', async () => {
    const letter = (content: string) =>
      `<svg xmlns="http://www.w3.org/2000/svg" width="60" height="60"><rect width="60" height="60" fill="#fff"/><text x="10" y="50" font-family="${fontFamily}" font-size="50">${content}</text></svg>`
    // Dark runs along a row, from the known shapes: missing text gives 0, a placeholder box gives 2 for both.
    const runs = async (content: string, y: number) => {
      const { at } = await decode(await svgToPng(letter(content), 1))
      const dark = Array.from({ length: 60 }, (_, x) => at(x, y)[0]! < 128)
      return dark.filter((d, x) => d && !dark[x - 1]).length
    }
    expect([await runs('l', 40), await runs('H', 40), await runs('H', 31)]).toEqual([1, 2, 1])
    // The H of DejaVu Sans spans 1493 of 2048 units upwards, starting 201 to the right.
    const { at } = await decode(await svgToPng(letter('H'), 1))
    expect(at(Math.round(10 + (50 * 290) / 2048), 48)[0]).toBeLessThan(60)
    expect(at(Math.round(10 + (50 * 290) / 2048), Math.round(50 - (50 * 1493) / 2048) - 3)[0]).toBe(255)
  })
})

describe('reconstructionGrid', () => {
  test('shows each original above its reconstruction, enlarged without blurring', async () => {
    const red = Float32Array.from({ length: 2 * 4 * 4 * 3 }, (_, i) => (i % 3 === 0 ? 1 : 0))
    const green = Float32Array.from({ length: 2 * 4 * 4 * 3 }, (_, i) => (i % 3 === 1 ? 0.5 : -0.2))
    const grid = await reconstructionGrid(red, green, { shape: [2, 4, 4, 3], subtitle: 'a < b & c' })
    const { at, info } = await decode(await grid.png())
    const colours = new Map<string, number[]>()
    for (let y = 0; y < info.height; y++)
      for (let x = 0; x < info.width; x++) {
        const key = at(x, y).join()
        const rows = colours.get(key)
        if (rows) rows.push(y)
        else colours.set(key, [y])
      }
    const [reds, greens] = [colours.get('255,0,0')!, colours.get('0,128,0')!]
    // Two tiles of 4·47 by 4·47 pixels each.
    expect([reds.length, greens.length]).toEqual([2 * 188 * 188, 2 * 188 * 188])
    expect(Math.max(...new Set(reds))).toBeLessThan(Math.min(...new Set(greens)))
    expect(grid.svg).toContain('a &lt; b &amp; c')
  })

  test('refuses images that do not fit their shape', async () => {
    const images = new Float32Array(12)
    await expect(reconstructionGrid(images, images, { shape: [1, 2, 2, 1] })).rejects.toThrow(VqShapeError)
    await expect(reconstructionGrid(images, images.subarray(1), { shape: [1, 2, 2, 3] })).rejects.toThrow(
      /received 11/,
    )
  })
})

/** How many pixels have each colour. */
const colorsOf = async (png: Buffer): Promise<Map<string, number>> => {
  const { at, info } = await decode(png)
  const colors = new Map<string, number>()
  for (let y = 0; y < info.height; y++)
    for (let x = 0; x < info.width; x++) {
      const key = at(x, y).join()
      colors.set(key, (colors.get(key) ?? 0) + 1)
    }
  return colors
}
const flat = (values: number[], each: number): Float32Array =>
  Float32Array.from({ length: values.length * each }, (_, i) => values[Math.floor(i / each)]!)

describe('image grids', () => {
  const [h, w] = [4, 4]
  test('grey images are grey, and large ones are made smaller', async () => {
    const grid = await imageGrid([{ images: flat([0.2, 0.6], h * w) }], { shape: [2, h, w, 1] })
    const colors = await colorsOf(await grid.png())
    expect([colors.get('51,51,51'), colors.get('153,153,153')]).toEqual([188 * 188, 188 * 188])
    const large = await imageGrid([{ images: flat([0.4], 400 * 800) }], { shape: [1, 400, 800, 1] })
    expect((await colorsOf(await large.png())).get('102,102,102')).toBe(188 * 94)
  })

  test('rows go on below, with their labels and captions again', async () => {
    const images = flat([0, 0.2, 0.4, 0.6, 0.8], h * w)
    const captions = ['a', 'b', 'c', 'd', 'one two three four five six']
    const rows = [
      { label: 'first', images },
      { label: 'second', images, captions },
    ]
    const { svg } = await imageGrid(rows, { shape: [5, h, w, 1], columns: 2, title: 'T & U' })
    expect(svg.match(/<image /g)).toHaveLength(10)
    expect(svg.match(/>first</g)).toHaveLength(3)
    expect(svg).toContain('>T &amp; U<')
    // Wrapped, since an image is 94 wide.
    expect(svg).toContain('>one two three<')
    expect(svg).toContain('>four five six<')
  })

  test('stages of residual reconstructions, interpolations and traversals are named', async () => {
    const images = flat([0.5, 0.5], h * w)
    const stages = await residualStages(images, [images, images], { shape: [2, h, w, 1] })
    expect(stages.svg).toMatch(/>original<[\s\S]*>1 level<[\s\S]*>2 levels</)
    const three = flat([0, 0.5, 1], h * w)
    const between = await interpolationGrid(three, { shape: [1, 3, h, w, 1] })
    expect(between.svg).toMatch(/>0\.00<[\s\S]*>0\.50<[\s\S]*>1\.00</)
    const moved = await traversalGrid(three, { shape: [1, 3, h, w, 1], values: [-2, 0, 2], dimensions: [7] })
    expect(moved.svg).toMatch(/>−2\.0<[\s\S]*>0\.0<[\s\S]*>2\.0<[\s\S]*>latent 7</)
    expect((await sampleGrid(three, { shape: [3, h, w, 1] })).svg).toContain('>Samples<')
  })

  test('a code map has one colour per code, as large as its share of the image', async () => {
    const codes = Int32Array.of(0, 1, 1, 2)
    const map = await codeMaps(flat([0], 8 * 8), codes, {
      shape: [1, 8, 8, 1],
      grid: [2, 2],
      numEmbeddings: 3,
    })
    const colors = await colorsOf(await map.png())
    // Images of 8 pixels are drawn 24 times as large: codes fill 96 × 96 blocks.
    const blocks = codeColors(3).map(color =>
      colors.get(color.map(v => Math.round(255 * Math.fround(v))).join()),
    )
    expect(blocks).toEqual([96 * 96, 2 * 96 * 96, 96 * 96])
    expect(map.svg).toContain('3 of 3 codes in these images')
    const wrong = { shape: [1, 8, 8, 1], grid: [2, 2] as const, numEmbeddings: 2 }
    expect(() => codeMaps(flat([0], 64), codes, wrong)).toThrow(/2 in image 0/)
    expect(() => codeMaps(flat([0], 64), codes.subarray(1), wrong)).toThrow(VqShapeError)
  })

  test('codes that lie near each other have like colours', () => {
    const random = new Random(3)
    const codebook = random.fillNormal(new Float32Array(40 * 6))
    codebook.copyWithin(6, 0, 6)
    codebook[6] += 1e-3
    const colors = codeColors(40, codebook)
    const apart = (a: number, b: number): number =>
      Math.hypot(...[0, 1, 2].map(c => colors[a]![c]! - colors[b]![c]!))
    const others = Array.from({ length: 38 }, (_, k) => apart(0, k + 2))
    expect(apart(0, 1)).toBeLessThan(Math.min(...others))
    expect(colors.flat().every(v => v >= 0 && v <= 1)).toBe(true)
  })

  test('images that do not fit, or are not numbers, are refused', async () => {
    await expect(imageGrid([{ images: flat([0], 4) }], { shape: [1, 2, 2, 2] })).rejects.toThrow(VqShapeError)
    await expect(imageGrid([], { shape: [1, 2, 2, 1] })).rejects.toThrow(VqShapeError)
    await expect(imageGrid([{ images: flat([Number.NaN], 4) }], { shape: [1, 2, 2, 1] })).rejects.toThrow(
      /NaN/,
    )
    const one = [{ images: flat([0], 4), captions: ['a', 'b'] }]
    await expect(imageGrid(one, { shape: [1, 2, 2, 1] })).rejects.toThrow(VqConfigError)
    expect(() => interpolationGrid(flat([0], 4), { shape: [1, 2, 2, 1] })).toThrow(VqShapeError)
  })
})

describe('the plane', () => {
  test('principal components: variances along the axes, and other vectors on the same axes', () => {
    // Rows along (3, 4, 0)/5 with variance 25·(2/3), along (0, 0, 1) with 2/3, around (1, 1, 1).
    const rows = [-1, 0, 1].flatMap(a => [-1, 0, 1].flatMap(b => [1 + 3 * a, 1 + 4 * a, 1 + b]))
    const { points, shares, apply } = principalComponents('test', Float32Array.from(rows), 3, 2)
    expect(shares[0]).toBeCloseTo(25 / 26, 6)
    expect(shares[1]).toBeCloseTo(1 / 26, 6)
    expect(Array.from(points, Math.abs).filter((_, i) => i % 2 === 0)).toEqual(
      [5, 5, 5, 0, 0, 0, 5, 5, 5].map(v => expect.closeTo(v, 5)),
    )
    expect(Array.from(apply(Float32Array.of(4, 5, 1)), Math.abs)).toEqual(
      [5, 0].map(v => expect.closeTo(v, 5)),
    )
    expect(Array.from(principalComponents('test', Float32Array.of(2, 3), 1, 2).points)).toEqual([2, 0, 3, 0])
    expect(() => principalComponents('test', Float32Array.of(1, Number.NaN, 2), 3, 2)).toThrow(/row 0/)
  })

  test('latents carry the names of their classes, and axes their share of the variance', async () => {
    const latents = new Random(1).fillNormal(new Float32Array(300 * 5))
    const labels = Array.from({ length: 300 }, (_, i) => ['cat', 'dog', 'bird'][i % 3]!)
    const { svg } = await latentScatter(latents, { dim: 5, labels })
    for (const name of ['cat', 'dog', 'bird']) expect(svg).toContain(`>${name}<`)
    expect(svg).toMatch(/principal component 1 \(\d\d % of variance\)/)
    expect(svg).not.toMatch(/NaN|undefined/)
    expect(() => latentScatter(latents, { dim: 5, labels: ['a'] })).toThrow(VqShapeError)
    expect(() => latentScatter(latents, { dim: 7 })).toThrow(VqShapeError)
  })

  test('the projection of a codebook tells how many codes were chosen', async () => {
    const codebook = new Random(2).fillNormal(new Float32Array(12 * 4))
    const counts = Array.from({ length: 12 }, (_, k) => (k < 9 ? k + 1 : 0))
    const { svg } = await codebookProjection(codebook, { dim: 4, counts, vectors: codebook })
    expect(svg).toContain('9 chosen, larger where more often · 3 never chosen, hollow')
    expect(() => codebookProjection(codebook, { dim: 4, counts: [1] })).toThrow(VqShapeError)
  })

  test('regions: one polygon per code within the bounds', async () => {
    const codebook = Float32Array.of(0, 0, 2, 0, 0, 2, 2, 2)
    const points = new Random(4).fillNormal(new Float32Array(100), 1, 1)
    const bounds = { x: [-1, 3] as [number, number], y: [-1, 3] as [number, number] }
    const quarters = await voronoiRegions(codebook, { counts: [1, 2, 3, 4], bounds })
    // Four shades of a quarter of 520 × 520 units each, at two pixels a unit.
    const areas = [...(await colorsOf(await quarters.png()))].sort((a, b) => b[1] - a[1]).slice(1, 5)
    for (const [, area] of areas) expect(Math.abs(area / 520 ** 2 - 1)).toBeLessThan(0.03)
    expect(new Set(areas.map(([color]) => color)).size).toBe(4)
    const { svg } = await voronoiRegions(codebook, { points })
    expect(svg).toContain('>4 codes<')
    expect(svg).not.toMatch(/NaN|undefined/)
    expect(() => voronoiRegions(codebook, { counts: [1] })).toThrow(VqShapeError)
    expect(() => voronoiRegions(codebook.subarray(1))).toThrow(VqShapeError)
  })

  test('the evolution of a codebook is an animated image, one frame per snapshot', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'vq-plot-'))
    for (const dim of [2, 5]) {
      const snapshots = [0, 10, 20].map(step => ({
        step,
        codebook: new Random(step).fillNormal(new Float32Array(6 * dim)),
      }))
      const vectors = new Random(1).fillNormal(new Float32Array(40 * dim))
      const evolution = await codebookEvolution(snapshots, { dim, vectors, delay: 100 })
      expect(evolution.frames).toHaveLength(3)
      expect(evolution.frames[2]!.svg).toContain('step 20 · 6 codes')
      for (const kind of ['gif', 'webp'] as const) {
        await evolution.save(join(folder, `a.${kind}`))
        const { pages, delay, format } = await sharp(join(folder, `a.${kind}`), { pages: -1 }).metadata()
        expect({ pages, delay, format }).toEqual({ pages: 3, delay: [100, 100, 500], format: kind })
      }
      await expect(evolution.save(join(folder, 'a.png'))).rejects.toThrow(VqConfigError)
    }
    await expect(codebookEvolution([], { dim: 2 })).rejects.toThrow(VqShapeError)
    rmSync(folder, { recursive: true })
  })
})

describe('comparisons', () => {
  test('sensitivity: values that were measured at the axis, logarithmic over a wide range', async () => {
    const points = [16, 64, 256, 1024].flatMap(value =>
      [0, 1, 2].flatMap(seed =>
        ['VQ', 'RVQ'].map(series => ({ value, result: Math.log2(value) + seed, series })),
      ),
    )
    const { svg } = await sensitivity(points, { parameter: 'codes', result: 'PSNR (dB)' })
    for (const text of ['16', '64', '256', '1024', 'VQ', 'RVQ', 'codes', 'PSNR (dB) by codes'])
      expect(svg).toContain(`>${text}<`)
    // On a logarithmic axis equal factors are equally far apart.
    const at = ['16', '64', '256'].map(t =>
      Number(new RegExp(`translate\\(([\\d.]+),[\\d.]+\\)"[^>]*>${t}<`).exec(svg)![1]),
    )
    expect(at[1]! - at[0]!).toBeCloseTo(at[2]! - at[1]!, 0)
    const named = await sensitivity(
      ['rotation', 'straight-through'].map(value => ({ value, result: 1 })),
      { parameter: 'estimator', result: 'error' },
    )
    expect(named.svg).toContain('>straight-through<')
    const legend = await sensitivity(
      ['a', 'b'].flatMap(value => ['VQ', 'RVQ'].map(series => ({ value, series, result: 1 }))),
      { parameter: 'estimator', result: 'error' },
    )
    const symbols = legend.svg.split('role-legend-symbol').slice(1)
    expect(symbols.map(text => /fill="(#\w+)"/.exec(text)?.[1])).toEqual(['#0072b2', '#d55e00'])
    // Equal results of several series stand beside each other.
    const placed = [
      ...legend.svg.matchAll(/aria-roledescription="point"[^>]*transform="translate\(([\d.]+),/g),
    ].map(m => Number(m[1]))
    expect(placed.length).toBe(4)
    expect(new Set(placed).size).toBe(4)
    // Close to one another, the first is named, and what lies apart is too; single points have points in the legend, in one line.
    const rates = await sensitivity(
      [8, 7.9, 8, 32, 4096].map((value, i) => ({ value, result: 1 + i, series: `q${i}` })),
      { parameter: 'bits', result: 'IoU' },
    )
    const named7 = /class="mark-text role-axis-label"[\s\S]*?<\/g>/.exec(rates.svg)![0]
    const shown = [...named7.matchAll(/<text[^>]*?>([^<]+)</g)].filter(m => !/opacity="0"/.test(m[0]))
    expect(shown.map(m => m[1])).toEqual(['7.9', '32', '4096'])
    expect(
      rates.svg
        .split('role-legend-symbol')
        .slice(1)
        .every(text => /fill="#\w+"/.test(text)),
    ).toBe(true)
    const lines = [...rates.svg.matchAll(/translate\([\d.]+,([\d.]+)\)"[^>]*>q\d</g)].map(m => m[1])
    expect([lines.length, new Set(lines).size]).toEqual([5, 1])
    expect(() => sensitivity([{ value: 1, result: Number.NaN }], { parameter: 'a', result: 'b' })).toThrow(
      VqShapeError,
    )
  })

  test('convergence: a line and a name per run', async () => {
    const runs = ['uniform', 'k-means', 'rows'].map((name, j) => ({
      name,
      points: Array.from({ length: 50 }, (_, i) => ({ step: i, value: (j + 1) * Math.exp(-i / 10) })),
    }))
    const { svg } = await convergence(runs, { metric: 'error' })
    for (const { name } of runs) expect(svg).toContain(`>${name}<`)
    expect(svg).toContain('error (log)')
    expect(svg).toContain('>training step<')
    expect((await convergence(runs, { metric: 'error', step: 'epoch' })).svg).toContain('>epoch<')
    expect(svg).not.toMatch(/NaN|undefined/)
    expect(() => convergence([], { metric: 'error' })).toThrow(VqShapeError)
  })
})

describe('charts', () => {
  test('codebook usage tells the figures that follow from the counts', async () => {
    const { svg } = await codebookUsage([3, 0, 1, 0, 0, 0, 0, 4])
    // Shares 1/2, 3/8, 1/8: 1.406 bits, 2^1.406 = 2.65 codes.
    expect(svg).toContain('3 of 8 codes used (37.5 %) · perplexity 2.6 · 1.41 of 3.00 bits · 8 tokens')
    expect(svg).toContain('equal use: 13 %')
    expect(() => codebookUsage([0, 0])).toThrow(VqShapeError)
  })

  test('training curves draw a panel for what was measured and none for what was not', async () => {
    const history = Array.from({ length: 200 }, (_, i) => ({
      step: i + 1,
      reconstructionLoss: 1 / (i + 1),
      vqLoss: i === 3 ? Number.NaN : 0,
      ...(i % 50 === 49 && { validationPsnr: 20 + i / 50 }),
    }))
    const curves = await trainingCurves(history, { title: 'A run' })
    expect(curves.svg).toContain('A run')
    expect(curves.svg).toContain('held-out PSNR (dB)')
    expect(curves.svg).toContain('>reconstruction<')
    expect(curves.svg).not.toContain('commitment')
    expect(curves.svg).not.toContain('perplexity')
    expect(curves.svg).not.toMatch(/NaN|undefined/)
    expect(() => trainingCurves([])).toThrow(VqShapeError)
    // One measurement is the only mark of its axis.
    const once = await trainingCurves([{ step: 1, reconstructionLoss: 1, validationPsnr: 20.685124 }])
    expect(once.svg).toContain('>20.69<')
    expect(once.svg).not.toContain('20.685124<')
  })

  test('training curves of the history of a run', async () => {
    const metrics = Array.from({ length: 20 }, (_, i) => [
      { step: i + 1, split: 'train' as const, loss: 2, reconstructionLoss: 1, klLoss: 0.5, learningRate: 1 },
      { step: i + 1, split: 'validation' as const, loss: 2, reconstructionLoss: 1.5, psnr: 20 + i },
    ]).flat()
    const { svg } = await trainingCurves(metrics)
    for (const text of ['reconstruction', 'KL divergence', 'held out', 'held-out PSNR (dB)'])
      expect(svg).toContain(`>${text}<`)
    expect(svg).not.toContain('>loss<')
    const plain = await trainingCurves([{ step: 1, split: 'train', loss: 1 }])
    expect(plain.svg).toContain('>loss<')
  })

  test('a figure is saved as its name says', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'vq-plot-'))
    const chart = await codebookUsage([1, 1])
    await chart.save(join(folder, 'a.svg'))
    await chart.save(join(folder, 'a.png'))
    expect(readFileSync(join(folder, 'a.svg'), 'utf8')).toBe(chart.svg)
    const meta = await sharp(join(folder, 'a.png')).metadata()
    expect(meta.format).toBe('png')
    expect(meta.width).toBeGreaterThan(1400)
    await expect(chart.save(join(folder, 'a.gif'))).rejects.toThrow(VqConfigError)
    rmSync(folder, { recursive: true })
  })
})
