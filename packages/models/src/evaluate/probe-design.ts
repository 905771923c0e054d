// What a linear probe sees of its rows: [N, dim] numbers, or one-hot codes that are never written out.
import { expectConfig, expectInteger, expectShape, VqValueError } from '@vq/core'
import { codesOf, type LabelledCodes, type LabelledFeatures } from './labelled.js'
import { rowsOf } from './rows.js'

export interface Design {
  n: number
  /** Inputs of the classifier. */
  dim: number
  /** What a row was given as: numbers or codes. */
  rowLength: number
  /** out [n, C] = X·W + b for parameters [dim + 1, C], b the last row. */
  logits(parameters: Float64Array, count: number, out: Float64Array): void
  /** out [dim + 1, C] += Xᵀ·delta and Σ delta, for delta [n, C]. */
  gradient(delta: Float64Array, count: number, out: Float64Array): void
}

export function denseDesign(operation: string, name: string, samples: LabelledFeatures): Design {
  const { values, n, dim } = rowsOf(operation, name, samples)
  return {
    n,
    dim,
    rowLength: dim,
    logits: (parameters, count, out) => {
      for (let row = 0; row < n; row++) {
        for (let c = 0; c < count; c++) out[row * count + c] = parameters[dim * count + c]
        for (let d = 0; d < dim; d++) {
          const x = values[row * dim + d]
          for (let c = 0; c < count; c++) out[row * count + c] += x * parameters[d * count + c]
        }
      }
    },
    gradient: (delta, count, out) => {
      for (let row = 0; row < n; row++) {
        for (let d = 0; d < dim; d++) {
          const x = values[row * dim + d]
          for (let c = 0; c < count; c++) out[d * count + c] += x * delta[row * count + c]
        }
        for (let c = 0; c < count; c++) out[dim * count + c] += delta[row * count + c]
      }
    },
  }
}

export function oneHotDesign(
  operation: string,
  name: string,
  samples: LabelledCodes,
  codebookSize: number | readonly number[] | undefined,
): Design {
  const { codes, n, levels } = codesOf(operation, name, samples)
  const sizes = sizesOf(operation, codebookSize, levels)
  const dim = sizes.reduce((sum, size) => sum + size, 0)
  const places = placesOf(operation, name, codes, sizes)
  return {
    n,
    dim,
    rowLength: levels,
    logits: (parameters, count, out) => {
      for (let row = 0; row < n; row++) {
        for (let c = 0; c < count; c++) out[row * count + c] = parameters[dim * count + c]
        for (let l = 0; l < levels; l++) {
          const place = places[row * levels + l]
          if (place < 0) continue
          for (let c = 0; c < count; c++) out[row * count + c] += parameters[place * count + c]
        }
      }
    },
    gradient: (delta, count, out) => {
      for (let row = 0; row < n; row++) {
        for (let l = 0; l < levels; l++) {
          const place = places[row * levels + l]
          if (place < 0) continue
          for (let c = 0; c < count; c++) out[place * count + c] += delta[row * count + c]
        }
        for (let c = 0; c < count; c++) out[dim * count + c] += delta[row * count + c]
      }
    },
  }
}

function sizesOf(
  operation: string,
  codebookSize: number | readonly number[] | undefined,
  levels: number,
): readonly number[] {
  expectConfig(
    codebookSize !== undefined,
    operation,
    'codebookSize, for codes',
    codebookSize,
    'Pass K, or one per level.',
  )
  const sizes = typeof codebookSize === 'object' ? codebookSize : new Array<number>(levels).fill(codebookSize)
  for (const size of sizes) expectInteger(operation, 'codebookSize', size, 1, 2 ** 31 - 1)
  expectShape(
    sizes.length === levels,
    operation,
    `a codebookSize for each of ${levels} levels`,
    `${sizes.length}`,
    'Pass K, or one per level.',
  )
  return sizes
}

// Where in the one-hot row of all levels each code is; −1 where masked.
function placesOf(
  operation: string,
  name: string,
  codes: Int32Array,
  sizes: readonly number[],
): Float64Array {
  const levels = sizes.length
  const firsts = sizes.map((_, l) => sizes.slice(0, l).reduce((sum, size) => sum + size, 0))
  return Float64Array.from(codes, (code, i) => {
    const l = i % levels
    if (code < -1 || code >= sizes[l])
      throw new VqValueError({
        operation,
        expected: `codes from 0 to ${sizes[l] - 1} at level ${l}, or −1 where masked`,
        received: `${code} in row ${Math.floor(i / levels)} of ${name}`,
        remedy: 'Pass the size of the codebook that made the codes.',
      })
    return code < 0 ? -1 : firsts[l] + code
  })
}
