import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, tf } from '@vq/core'
import { loadSafetensors } from '@vq/core/io'
import { type PipelineInput, VQPipeline } from '@vq/pipeline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const n = 300
let folder: string

beforeAll(async () => {
  expect(tf.getBackend()).toBe('vq-cpu')
  folder = await mkdtemp(join(tmpdir(), 'vq-margins-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

type Weights = Record<string, { shape: readonly number[]; data: ArrayLike<number> }>

interface Made {
  codes: Int32Array
  levels: number
  margins: Float32Array
  rows: number[][]
  weights: Weights
}

// Codes and margins of random rows, and the weights that they come from.
async function made(dim: number, config: Omit<PipelineInput, 'modality' | 'inputDim'>): Promise<Made> {
  const x = tf.tensor2d(new Random(5).fillNormal(new Float32Array(n * dim)), [n, dim])
  const pipeline = await VQPipeline.create({
    modality: 'vector',
    inputDim: dim,
    training: { quantizerEpochs: 2 },
    ...config,
  })
  await pipeline.fit(x, { progress: false })
  const { codes, margins, shape } = await pipeline.encodeToSemanticIds(x, { margins: true })
  await pipeline.savePipeline(folder)
  const { tensors } = await loadSafetensors(join(folder, 'model.safetensors'))
  pipeline.dispose()
  return {
    codes,
    levels: shape[1] as number,
    margins: margins as Float32Array,
    rows: x.arraySync(),
    weights: tensors as unknown as Weights,
  }
}

const list = ({ data }: { data: ArrayLike<number> }): number[] => Array.from(data, Number)

// What the quantizer sees of a row: (z − centre)/scale, and behind its own layer where it has one.
function seen(row: readonly number[], weights: Weights): number[] {
  const center = list(weights['codec.center'] as Weights[string])
  const [scale = 1] = list(weights['codec.scale'] as Weights[string])
  const y = row.map((v, d) => (v - (center[d] as number)) / scale)
  const weight = weights['codec.quantizer.project_in.weight']
  if (weight === undefined) return y
  const bias = list(weights['codec.quantizer.project_in.bias'] as Weights[string])
  const values = list(weight)
  return bias.map((b, o) => y.reduce((sum, v, d) => sum + v * (values[o * y.length + d] as number), b))
}

// d₂/d₁ − 1 over all points, in float64, and the nearest one's number.
function best(x: readonly number[], points: readonly (readonly number[])[]): { margin: number; at: number } {
  const all = points.map((p, at) => ({ d: Math.hypot(...p.map((v, i) => v - (x[i] as number))), at }))
  const [first, second] = all.sort((a, b) => a.d - b.d) as [(typeof all)[0], (typeof all)[0]]
  return { margin: second.d / first.d - 1, at: first.at }
}

const close = (found: number | undefined, expected: number): void =>
  expect(Math.abs((found as number) - expected)).toBeLessThan(2e-4 * (1 + expected))

describe('margins are the distance to the second nearest point over that to the nearest, less 1', () => {
  test.each([
    [[4, 3, 5, 2], 1],
    [[5, 5], 2],
    [[2, 2, 2, 2, 2], 1],
  ])(
    'of the lattice of FSQ with levels %j and %i codes, over all of its points',
    async (levels, numCodebooks) => {
      const width = levels.length
      const { rows, margins, codes, weights } = await made(width * numCodebooks, {
        vqMethod: 'fsq',
        vqConfig: { levels, numCodebooks },
      })
      // Appendix A.1 of the paper, in steps of one level.
      const half = levels.map(l => ((l - 1) * (1 - 1e-3)) / 2)
      const offset = levels.map(l => (l % 2 === 0 ? 0.5 : 0))
      const grid = levels.reduce<number[][]>(
        (all, l) => Array.from({ length: l }, (_, v) => all.map(p => [...p, v])).flat(),
        [[]],
      )
      const places = grid.map(p => p.map((v, d) => v / Math.floor((levels[d] as number) / 2) - 1))
      for (const [i, row] of rows.entries()) {
        const y = seen(row, weights)
        const each = Array.from({ length: numCodebooks }, (_, c) => {
          const bounded = levels.map((l, d) => {
            const [h, o] = [half[d] as number, offset[d] as number]
            return (Math.tanh((y[c * width + d] as number) + Math.tan(o / h)) * h - o) / Math.floor(l / 2)
          })
          const found = best(bounded, places)
          expect(codes[i * numCodebooks + c]).toBe(found.at)
          return found.margin
        })
        close(margins[i], Math.min(...each))
      }
    },
  )

  test.each([false, true])('of the signs of LFQ, spherical %s', async spherical => {
    const { rows, margins, weights } = await made(4, {
      vqMethod: 'lfq',
      numEmbeddings: 16,
      vqConfig: { spherical },
    })
    const scale = spherical ? 0.5 : 1
    const points = Array.from({ length: 16 }, (_, c) =>
      Array.from({ length: 4 }, (_, d) => (c & (1 << d) ? scale : -scale)),
    )
    for (const [i, row] of rows.entries()) {
      const y = seen(row, weights)
      const x = spherical ? y.map(v => v / Math.hypot(...y)) : y
      close(margins[i], best(x, points).margin)
    }
  })

  test('of residual levels behind a layer of their own, the least of all levels', async () => {
    const { rows, margins, codes, levels, weights } = await made(6, {
      vqMethod: 'rvq',
      numEmbeddings: 8,
      vqConfig: { codeDim: 3, numQuantizers: 2 },
    })
    const books = [0, 1].map(l => {
      const values = list(weights[`codec.quantizer.levels.${l}.codebook`] as Weights[string])
      return Array.from({ length: 8 }, (_, k) => values.slice(3 * k, 3 * k + 3))
    })
    for (const [i, row] of rows.entries()) {
      let rest = seen(row, weights)
      const each = books.map((book, l) => {
        const { margin, at } = best(rest, book)
        expect(codes[i * levels + l]).toBe(at)
        rest = rest.map((v, d) => v - (book[at]?.[d] as number))
        return margin
      })
      close(margins[i], Math.min(...each))
    }
  })
})
