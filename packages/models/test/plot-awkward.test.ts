// Figures of inputs that nobody plans for: long and wide texts, one point, nothing above 0, equal vectors.
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqConfigError, VqFormatError, VqShapeError, VqValueError } from '@vq/core'
import {
  codebookProjection,
  codebookUsage,
  codeMaps,
  convergence,
  type Figure,
  imageGrid,
  latentScatter,
  sampleGrid,
  sensitivity,
  trainingCurves,
  voronoiRegions,
} from '@vq/models/plot'
import sharp from 'sharp'
import { expect, test } from 'vitest'
import { fontFamily, svgToPng } from '../src/image/sharp.js'
import { textWidth, wrapText } from '../src/plot/text.js'

const long =
  'A title that goes on about the reconstruction of held-out images by a residual quantizer of 4 levels'
const sizeOf = async (figure: Figure): Promise<{ width: number; height: number }> => {
  const { width, height } = await sharp(await figure.png(1)).metadata()
  return { width, height }
}
/** The texts of a figure with the x range that each takes. */
const textsOf = ({ svg }: Figure): { text: string; from: number; to: number; y: number }[] =>
  [
    ...svg.matchAll(
      /<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)"[^>]*font-size="(\d+)"[^>]*>([^<]*)</g,
    ),
  ].map(([, x, y, anchor, size, text]) => {
    const width = textWidth(text, Number(size))
    const from = Number(x) - { start: 0, middle: width / 2, end: width }[anchor]!
    return { text, from, to: from + width, y: Number(y) }
  })

test('widths of texts are those of the shipped font', async () => {
  for (const text of ['WWWWWWWWWW', 'iiiiiiiiii', 'mean squared error (dB), 0.125', 'Ünïcödé']) {
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="400" height="60"><rect width="400" height="60" fill="#fff"/><text x="10" y="40" font-family="${fontFamily}" font-size="20">${text}</text></svg>`
    const { info } = await sharp(await svgToPng(svg, 1))
      .trim()
      .toBuffer({ resolveWithObject: true })
    // Ink ends at most a side bearing before the advance does.
    expect(textWidth(text, 20) - info.width).toBeGreaterThan(-1)
    expect(textWidth(text, 20) - info.width).toBeLessThan(text.startsWith('Ü') ? 14 : 5)
  }
})

test('viewers without the font are told of another', async () => {
  const images = new Float32Array(4)
  for (const { svg } of [await codebookUsage([1, 2]), await sampleGrid(images, { shape: [1, 2, 2, 1] })])
    for (const [, family] of svg.matchAll(/font-family="([^"]*)"/g))
      expect(family).toMatch(/^DejaVu Sans, .*sans-serif$/)
})

test('lines are at most as wide as they may be, and hold all letters', () => {
  for (const text of [
    long,
    'Supercalifragilisticexpialidocious',
    'WWWWWWWWWWWWWWWW a',
    '日本語の字幕が長い',
    '',
  ])
    for (const width of [20, 94, 300]) {
      const lines = wrapText(text, width)
      for (const line of lines) expect(textWidth(line)).toBeLessThanOrEqual(width)
      expect(lines.join('').replaceAll(' ', '')).toBe(text.replaceAll(' ', ''))
    }
})

test('texts of image grids neither overlap nor leave the page', async () => {
  const count = 6
  const captions = [
    'Supercalifragilisticexpialidocious',
    'WWWWMMMMWWWW',
    '日本語の字幕が長い',
    'bright red 7',
    '',
    long,
  ]
  const images = new Float32Array(count * 4)
  const shape = [count, 2, 2, 1]
  const titles = { title: long, subtitle: 'W'.repeat(90) }
  for (const grid of [
    await sampleGrid(images, { shape, captions, ...titles }),
    await imageGrid([{ images, label: long }], { shape, columnLabels: captions, ...titles }),
    await imageGrid([{ images: images.subarray(4 * (count - 1)), label: 'one' }], {
      shape: [1, 2, 2, 1],
      ...titles,
    }),
  ]) {
    const { width } = await sizeOf(grid)
    expect(width).toBeLessThan(900)
    const texts = textsOf(grid)
    for (const { from, to } of texts) {
      expect(from).toBeGreaterThanOrEqual(0)
      expect(to).toBeLessThanOrEqual(width)
    }
    for (const [i, a] of texts.entries())
      for (const b of texts.slice(i + 1))
        if (Math.abs(a.y - b.y) < 10)
          expect(a.from >= b.to || b.from >= a.to, `${a.text} | ${b.text}`).toBe(true)
  }
})

test('a long title makes a chart higher, not wider', async () => {
  const points = [1, 2, 3].map(step => ({ step, loss: 1 / step }))
  const plain = await sizeOf(await trainingCurves(points))
  const titled = await sizeOf(await trainingCurves(points, { title: `${long} ${long}`, subtitle: long }))
  expect(titled.width / plain.width).toBeLessThan(1.16)
  expect(titled.height).toBeGreaterThan(plain.height + 30)
  const parameter = `${long} ${long}`
  const compared = await sizeOf(
    await sensitivity([{ value: 1, result: 1 }], { parameter, result: parameter }),
  )
  expect(compared.width).toBeLessThan(900)
})

test('losses below 0 are drawn, on a linear axis; a history without numbers is refused', async () => {
  const curves = await trainingCurves([1, 2, 3].map(step => ({ step, loss: 1 - step })))
  expect(curves.svg).toContain('>loss<')
  expect(curves.svg).not.toContain('(log)')
  // All three measurements: the last at the bottom of the axis, −2.
  expect(curves.svg).toContain('>−2<')
  expect(() => trainingCurves([{ step: 1, loss: Number.NaN }])).toThrow(VqShapeError)
})

test('a single measurement is a dot', async () => {
  const blue = async (figure: Figure): Promise<number> => {
    const { data } = await sharp(await figure.png())
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true })
    let count = 0
    for (let i = 0; i < data.length; i += 3)
      if (data[i] < 40 && data[i + 1] > 90 && data[i + 2] > 150) count++
    return count
  }
  const runs = (n: number) => [
    { name: 'a', points: Array.from({ length: n }, (_, i) => ({ step: i + 1, value: 5 + i })) },
  ]
  // A dot of 28 square units, at four pixels each, less its rim.
  expect(await blue(await convergence(runs(1), { metric: 'loss' }))).toBeGreaterThan(60)
  expect(await blue(await convergence(runs(2), { metric: 'loss' }))).toBeGreaterThan(600)
})

test('steps and ranks of codes are whole numbers', async () => {
  // Labels of the lower axis stand under it, in the middle.
  for (const { svg } of [
    await codebookUsage([5, 0]),
    await trainingCurves([{ step: 1, loss: 1 }]),
    await convergence([{ name: 'a', points: [{ step: 2, value: 1 }] }], { metric: 'm' }),
  ])
    for (const [, label] of svg.matchAll(/<text text-anchor="middle"[^>]*>([^<]*)</g))
      if (/^[\d.,]+$/.test(label)) expect(label).toMatch(/^\d+$/)
  expect((await codebookUsage([5])).svg).toContain('equal use: 100 %')
})

test('runs of one name, and what a logarithmic axis cannot show, are refused', async () => {
  const points = [{ step: 0, value: 0 }]
  const twice = [1, 2].map(() => ({ name: 'a', points }))
  expect(() => convergence(twice, { metric: 'm' })).toThrow(VqConfigError)
  expect(() => convergence([{ name: 'a', points }], { metric: 'm', scale: 'log' })).toThrow(VqShapeError)
  const values = (...of: number[]) => of.map(value => ({ value, result: 1 }))
  const options = { parameter: 'p', result: 'r' }
  expect(() => sensitivity(values(0, 1), { ...options, scale: 'log' })).toThrow(VqValueError)
  expect(() => sensitivity(values(1, Number.POSITIVE_INFINITY), options)).toThrow(VqValueError)
  expect((await sensitivity(values(-1, 0), options)).svg).toContain('>−1<')
})

test('names of many methods slant where they do not fit', async () => {
  const points = Array.from({ length: 9 }, (_, i) => ({ value: `a method of some length ${i}`, result: i }))
  const { svg } = await sensitivity(points, { parameter: 'method', result: 'r' })
  for (const { value } of points) expect(svg).toContain(`>${value}<`)
  expect(svg.match(/rotate\((-35|325)\)/g)).toHaveLength(9)
})

test('rounding is not drawn as variance', async () => {
  const equal = await latentScatter(new Float32Array(80).fill(3.3), { dim: 8 })
  expect(equal.svg).toContain('(0 % of variance)')
  const codes = await codebookProjection(Float32Array.of(1.1, 2.2, 3.3, -4.4, 0.5, 6.7), { dim: 3 })
  for (const { svg } of [equal, codes]) expect(svg).not.toMatch(/>[^<]*e-\d|0\.00000/)
  const huge = Float32Array.from({ length: 20 }, (_, i) => (i - 10) * 1e30)
  expect((await latentScatter(huge, { dim: 2 })).svg).not.toContain('…')
  expect((await voronoiRegions(Float32Array.of(5, 5))).svg).toContain('>1 code<')
})

test('control characters and halves of letters in labels do not spoil a figure', async () => {
  const label = 'a\u0001b\u001b\ud83d\nc'
  for (const figure of [
    await codebookUsage([1, 2], { title: label }),
    await sampleGrid(new Float32Array(4), { shape: [1, 2, 2, 1], captions: [label] }),
    await latentScatter(Float32Array.of(1, 2, 3, 4), { dim: 2, labels: [label, '<&>'] }),
  ]) {
    expect(figure.svg).toMatch(/a\ufffdb\ufffd\ufffd ?c?/)
    expect((await sizeOf(figure)).width).toBeGreaterThan(100)
  }
})

test('a scale that gives no picture is refused', async () => {
  const figure = await codebookUsage([1, 2])
  for (const scale of [0, -1, Number.NaN, 1e4]) await expect(figure.png(scale)).rejects.toThrow(VqConfigError)
})

test('counts that are none are refused', () => {
  for (const bad of [Number.NaN, -1, Number.POSITIVE_INFINITY])
    expect(() => codebookUsage([1, bad])).toThrow(/for code 1/)
})

test('code maps say which of images and codebook does not fit', () => {
  const shape = [1, 4, 4, 3]
  const rest = { grid: [2, 2] as const, numEmbeddings: 4 }
  const codes = new Int32Array(4)
  expect(() => codeMaps(new Float32Array(10), codes, { ...rest, shape })).toThrow(/codeMaps: .*10 numbers/)
  expect(() => codeMaps(new Float32Array(32), codes, { ...rest, shape: [1, 4, 4, 2] })).toThrow(VqShapeError)
  const codebook = new Float32Array(7)
  expect(() => codeMaps(new Float32Array(48), codes, { ...rest, shape, codebook })).toThrow(/\[4, dim\]/)
})

test('a figure is saved into a folder that is not there yet, and nowhere by another name', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'vq-figure-'))
  const drawn = await codebookUsage(Float64Array.of(1, 2, 3))
  await drawn.save(join(folder, 'a', 'b', 'usage.png'))
  expect((await sharp(join(folder, 'a', 'b', 'usage.png')).metadata()).width).toBeGreaterThan(100)
  await expect(drawn.save(join(folder, 'usage.pdf'))).rejects.toThrow(/\.svg or \.png/)
  await expect(drawn.save(join(folder, 'a', 'b', 'usage.png', 'c.png'))).rejects.toThrow(VqFormatError)
})
