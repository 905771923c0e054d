import * as tf from '@tensorflow/tfjs-core'
import { describe, expectConfig, expectShape } from '../check.js'
import { VqValueError } from '../errors.js'
import { Random } from '../random.js'

/**
 * Throws VqConfigError unless options were passed at all, and where their `random` is no Random; `example` is what to pass to
 * `name`.
 */
export function expectOptions(name: string, options: unknown, example: string): asserts options is object {
  expectConfig(
    typeof options === 'object' && options !== null && !Array.isArray(options),
    name,
    'an object of options',
    options,
    `Pass ${example}.`,
  )
  const { random } = options as { random?: unknown }
  expectConfig(
    random === undefined || random instanceof Random,
    name,
    'random to be a generator',
    random,
    'Pass new Random(seed), or leave it out.',
  )
}

/** The options as they were given to a constructor, where `new Dropout(0.3)` has none. Throws VqConfigError. */
export function optionsOf<T extends object>(module: string, options: T): T {
  expectOptions(module, options, `{ … }: new ${module}({ name: value })`)
  return options
}

/** Throws unless `x`, which a forward was given, is a tensor of one of these types that has not been disposed of. */
export function expectTensor(
  operation: string,
  x: unknown,
  dtypes: readonly tf.DataType[] = ['float32'],
  name = 'x',
): asserts x is tf.Tensor {
  const expected = `${name} to be a tensor of ${dtypes.join(' or ')}`
  const isTensor = x instanceof tf.Tensor
  expectShape(
    isTensor && dtypes.includes(x.dtype),
    operation,
    expected,
    isTensor ? `a tensor [${x.shape.join(', ')}] of ${x.dtype}` : describe(x),
    isTensor ? `Convert it with tf.cast(x, '${dtypes[0]}').` : 'Pass a tensor.',
  )
  if (x.isDisposed)
    throw new VqValueError({
      operation,
      expected,
      received: `a tensor [${x.shape.join(', ')}] that was disposed of`,
      remedy: 'Dispose of it later, or keep it with tf.keep inside a tf.tidy.',
    })
}

/** Every type that tensors have. */
export const anyType: readonly tf.DataType[] = ['float32', 'int32', 'bool', 'complex64', 'string']
