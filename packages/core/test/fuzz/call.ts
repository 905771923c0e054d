import '@tensorflow/tfjs-backend-cpu'
import { tf, VqError } from '@vq/core'
import { expect } from 'vitest'
import type { Rng, Values } from './rng.js'
import { watched } from './watchdog.js'

/** One call of a kernel. */
export interface Call {
  inputs: Record<string, Values | Values[] | undefined>
  attrs?: Record<string, unknown>
}

/** How a kernel is fuzzed. */
export interface Fuzz {
  call: (r: Rng) => Call
  /** Largest error, relative above 1; 0 where every bit but the sign of zero must be right. */
  tolerance?: number
  /** No plain kernel to compare with, or none that is right; the reason. */
  alone?: string
  /** Whether the plain backend gets this call wrong. */
  plainIsWrong?: (call: Call) => boolean
  /** What is compared instead of the plain kernel of that name. */
  plain?: (inputs: Record<string, tf.Tensor>, attrs: Record<string, unknown>) => tf.Tensor | tf.Tensor[]
}
export type FuzzTable = Record<string, Fuzz>

export interface Result {
  shape: number[]
  dtype: string
  data: (number | string)[]
}
export type Outcome = { results: Result[] } | { error: Error }

export function tensorOf(v: Values): tf.Tensor {
  const { claims, ...honest } = v
  if (claims !== undefined) {
    // A tensor that says other things about its data than the backend knows.
    const { dataId } = tensorOf(honest)
    return { dataId, ...claims } as unknown as tf.Tensor
  }
  if (v.dtype === 'complex64') {
    const parts = [0, 1].map(k => v.data.filter((_, i) => i % 2 === k) as number[])
    return tf.complex(tf.tensor(parts[0], v.shape, 'float32'), tf.tensor(parts[1], v.shape, 'float32'))
  }
  return tf.tensor(v.data as number[], v.shape, v.dtype)
}

/** Runs a kernel; what it throws comes back as its outcome. */
export function outcome(
  backend: string,
  name: string,
  call: Call,
  plain?: Fuzz['plain'],
  take: (t: tf.Tensor) => Result = read,
): Outcome {
  tf.setBackend(backend)
  expect(tf.getBackend()).toBe(backend)
  tf.engine().startScope()
  const leave = watched(backend, name, call)
  try {
    const inputs = Object.fromEntries(
      Object.entries(call.inputs)
        .filter(([, v]) => v !== undefined)
        .map(([key, v]) => [key, Array.isArray(v) ? v.map(tensorOf) : tensorOf(v as Values)]),
    )
    const attrs = call.attrs ?? {}
    // Kernels of any number of tensors take them as a list.
    const numbered = Object.keys(inputs).length > 0 && Object.keys(inputs).every((key, i) => key === `${i}`)
    const given = numbered ? Object.values(inputs) : inputs
    const out =
      plain === undefined
        ? tf.engine().runKernel(name, given as never, attrs as never)
        : plain(given as never, attrs)
    return { results: ([out].flat() as tf.Tensor[]).map(take) }
  } catch (error) {
    return { error: error as Error }
  } finally {
    leave()
    tf.engine().endScope()
  }
}

export function read(t: tf.Tensor): Result {
  return { shape: t.shape.slice(), dtype: t.dtype, data: Array.from(t.dataSync() as Float32Array) }
}

/** Only how large a result is. */
export function measure(t: tf.Tensor): Result {
  return { shape: t.shape.slice(), dtype: t.dtype, data: { length: t.dataSync().length } as [] }
}

/** Ours, or one that tfjs-core's own checks throw; an engine's TypeError or RangeError is none. */
export function isTyped(error: Error): boolean {
  return error instanceof VqError || (error.constructor === Error && error.message.length > 0)
}

/** Why two outcomes differ, or undefined. */
export function difference(expected: Result[], got: Result[], tolerance: number): string | undefined {
  if (got.length !== expected.length) return `${got.length} results, not ${expected.length}`
  for (const [i, g] of got.entries()) {
    const e = expected[i]
    if (`${g.shape}` !== `${e.shape}` || g.dtype !== e.dtype)
      return `result ${i} is ${g.dtype} [${g.shape}], not ${e.dtype} [${e.shape}]`
    if (g.data.length !== e.data.length)
      return `result ${i} has ${g.data.length} values, not ${e.data.length}`
    for (const [j, v] of g.data.entries())
      if (!same(e.data[j], v, g.dtype === 'float32' || g.dtype === 'complex64' ? tolerance : 0))
        return `result ${i}[${j}] is ${v}, not ${e.data[j]}`
  }
  return undefined
}

function same(e: number | string, v: number | string, tolerance: number): boolean {
  if (e === v || typeof e === 'string' || typeof v === 'string') return e === v
  if (Number.isNaN(e)) return Number.isNaN(v)
  if (Math.abs(v - e) <= tolerance * Math.max(1, Math.abs(e))) return true
  // The largest numbers may or may not round to infinity.
  const most = 3.4028234e38 * (1 - tolerance)
  return tolerance > 0 && Math.abs(e) >= most && Math.abs(v) >= most && e > 0 === v > 0
}

export function show(call: Call): string {
  return JSON.stringify(call, (_, v) =>
    typeof v === 'number' && (!Number.isFinite(v) || Object.is(v, -0))
      ? Object.is(v, -0)
        ? '-0'
        : `${v}`
      : v,
  )
}
