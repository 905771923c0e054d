import type * as tf from '@tensorflow/tfjs-core'
import { VqValueError } from '../errors.js'
import { nativeFailure } from '../native.js'
import { quantizeError } from '../quantize/call.js'

const told = new Set<string>()

/** Says once per operation that its codes come from tfjs's ops and may differ in near-ties from the native ones. */
export function composedWarning(operation: string): void {
  if (told.has(operation)) return
  told.add(operation)
  console.warn(
    `${operation} is computed with TensorFlow.js operations, because the native core is absent: near-ties may come out ` +
      `differently than with it. ${nativeFailure()?.message ?? ''}`,
  )
}

/** A tensor's values as the native calls want them; a backend may keep whole numbers in another type. */
export function valuesOf(x: tf.Tensor): Float32Array {
  const values = x.dataSync()
  return values instanceof Float32Array ? values : Float32Array.from(values)
}

/** An error of the native core under the name of the operation that the user called. */
export function namedAs(operation: string, error: unknown): unknown {
  const native = error instanceof VqValueError ? error.cause : undefined
  return native === undefined ? error : quantizeError(operation, native)
}
