import assert from 'node:assert/strict'
import * as tf from '@tensorflow/tfjs-core'
import { VqError } from '../errors.js'
import type { StateDict } from '../io/stored-tensor.js'
import { Random } from '../random.js'

/** One promise of a contract. `run` throws an AssertionError where it is broken. */
export interface ContractCheck {
  name: string
  run: () => Promise<void>
}

/**
 * Runs checks one after another, for use without a test runner; throws an AggregateError that holds what was broken. With
 * a test runner: `for (const { name, run } of checks) test(name, run)`.
 */
export async function runContract(checks: readonly ContractCheck[]): Promise<void> {
  const failures: Error[] = []
  for (const { name, run } of checks)
    await run().catch(error =>
      failures.push(new Error(`${name}: ${(error as Error).message}`, { cause: error })),
    )
  if (failures.length > 0)
    throw new AggregateError(
      failures,
      `${failures.length} of ${checks.length} promises are broken:\n${failures.map(f => `- ${f.message}`).join('\n')}`,
    )
}

/** What owns tensors. */
export interface Disposable {
  dispose(): void
}

/**
 * A check that makes an instance, tests it within `tf.tidy` and disposes of it; afterwards there must be as many tensors as
 * before.
 */
export function checkOn<T extends Disposable>(
  make: () => T,
  name: string,
  test: (instance: T) => void,
): ContractCheck {
  return {
    name,
    run: async () => {
      const before = tf.memory().numTensors
      const instance = make()
      try {
        tf.tidy(() => test(instance))
      } finally {
        instance.dispose()
      }
      assert.equal(tf.memory().numTensors - before, 0, 'tensors are left behind after dispose()')
    },
  }
}

export function valuesOf(x: tf.Tensor): number[] {
  return Array.from(x.dataSync())
}

/** A copy of all state, to compare with one of later. */
export function snapshot(module: { stateDict(): StateDict }): unknown {
  return Object.entries(module.stateDict()).map(([name, { dtype, shape, data }]) => ({
    name,
    dtype,
    shape: [...shape],
    values: Array.from(data as ArrayLike<number | bigint>, String),
  }))
}

/** float32 of N(0, 1), or int32 from 0 to `below` − 1. */
export function sample(shape: readonly number[], seed = 1, below?: number): tf.Tensor {
  const size = shape.reduce((a, b) => a * b, 1)
  const random = new Random(seed)
  if (below !== undefined) {
    const values = Int32Array.from({ length: size }, () => random.integer(below))
    return tf.tensor(values, [...shape], 'int32')
  }
  return tf.tensor(random.fillNormal(new Float32Array(size)), [...shape])
}

/** Asserts that `call` throws an error of VQ's, with a message that matches. */
export function throwsTyped(call: () => unknown, type: typeof VqError = VqError, message?: RegExp): void {
  assert.throws(call, error => {
    assert.ok(error instanceof type, `a ${type.name} is expected, ${error} came`)
    if (message !== undefined) assert.match((error as Error).message, message)
    return true
  })
}

/** Asserts that two lists of numbers agree to `tolerance` times the largest. */
export function assertClose(
  got: readonly number[],
  wanted: readonly number[],
  tolerance: number,
  what: string,
): void {
  assert.equal(got.length, wanted.length, `${what}: number of values`)
  const scale = wanted.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-6)
  for (const [i, v] of got.entries())
    assert.ok(
      Math.abs(v - wanted[i]) <= tolerance * scale,
      `${what}: value ${i} is ${v} instead of ${wanted[i]} (largest ${scale})`,
    )
}

export function assertFinite(x: tf.Tensor, what: string): void {
  const at = valuesOf(x).findIndex(v => !Number.isFinite(v))
  assert.equal(at, -1, `${what}: value ${at} is not finite`)
}
