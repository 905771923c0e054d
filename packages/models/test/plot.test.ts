import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqConfigError, VqShapeError } from '@vq/core'
import { codebookUsage, reconstructionGrid, trainingCurves } from '@vq/models/plot'
import sharp from 'sharp'
import { describe, expect, test } from 'vitest'
import { fontFamily, svgToPng } from '../src/image/sharp.js'

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
      /12 and 11/,
    )
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
