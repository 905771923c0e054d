import { tf } from '@vq/core'
import fc from 'fast-check'
import { expect } from 'vitest'
import { uniform } from './draw.js'

/** What the property tests of kernels share: random inputs, and one kernel on two backends. */

export const runs = { numRuns: 60, seed: 20 }
export const Integers = fc.integer({ min: 1, max: 1e6 })
export const Padding = fc.constantFrom<'same' | 'valid' | number | [number, number][]>(
  'same',
  'valid',
  1,
  [[0, 0], [1, 0], [0, 1], [0, 0]],
  [[0, 0], [0, 2], [1, 1], [0, 0]],
) // biome-ignore format: a list

export interface Values {
  shape: number[]
  dtype: 'float32' | 'int32' | 'bool'
  data: number[]
}

/** Values in [-2, 2), whole ones in [-4, 4) for int32. */
export function drawn(shape: number[], seed: number, dtype: Values['dtype'] = 'float32'): Values {
  const next = uniform(seed)
  const data = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => {
    const v = next()
    return dtype === 'bool'
      ? Number(v > 0.5)
      : dtype === 'int32'
        ? Math.floor(v * 8) - 4
        : Math.fround(v * 4 - 2)
  })
  return { shape, dtype, data }
}

interface Result {
  shape: number[]
  dtype: string
  data: number[]
}

/** Runs one kernel on one backend; a thrown error comes back as such. */
export function kernel(
  backend: string,
  name: string,
  inputs: Record<string, Values>,
  attrs: Record<string, unknown>,
): Result[] {
  tf.setBackend(backend)
  expect(tf.getBackend()).toBe(backend)
  return tf.tidy(() => {
    const tensors = Object.fromEntries(
      Object.entries(inputs).map(([key, v]) => [key, tf.tensor(v.data, v.shape, v.dtype)]),
    )
    const out = tf.engine().runKernel(name, tensors as never, attrs as never)
    return ([out].flat() as tf.Tensor[]).map(t => ({
      shape: t.shape.slice(),
      dtype: t.dtype,
      data: Array.from(t.dataSync()),
    }))
  })
}

/** Asserts that vq-cpu answers what tfjs's plain backend answers, shapes and dtypes included. */
export function agree(
  name: string,
  inputs: Record<string, Values>,
  attrs: Record<string, unknown>,
  tolerance = 2e-5,
): void {
  const expected = kernel('cpu', name, inputs, attrs)
  const got = kernel('vq-cpu', name, inputs, attrs)
  expect(got.map(t => [t.shape, t.dtype])).toEqual(expected.map(t => [t.shape, t.dtype]))
  for (const [i, { data }] of got.entries())
    for (const [j, v] of data.entries()) {
      const e = expected[i].data[j]
      if (!(Math.abs(v - e) <= tolerance * Math.max(1, Math.abs(e))))
        expect(v, `${name}, output ${i}, element ${j}`).toBe(e)
    }
}
