import { expectConfig, expectShape, tf, VqValueError } from '@vq/core'
import { expectOptions, Module } from '@vq/core/nn'

// A type, not an interface: tf.tidy wants an index signature.
export type EncoderOutput = {
  /** [B, embeddingDim] */
  embedding: tf.Tensor2D
  /** One vector per position (patch, token, frame), [B, T, D], of encoders that have them. */
  sequence?: tf.Tensor3D
}

export interface EncodeOptions {
  /** bool or int32 [B, T] over the first axis of each input (its tokens, its frames): 0 leaves a position out. */
  mask?: tf.Tensor
  /** Instead of a mask: how many positions of each input count, the first ones; B whole numbers from 0 to T. */
  lengths?: ArrayLike<number>
}

/**
 * The base of every encoder. A subclass says what goes in and what comes out, and implements `encode`; shapes, types and
 * masks are checked here, once for all. Images are [B, H, W, C], videos [B, T, H, W, C], text int32 [B, T].
 *
 * @example
 * class Means extends BaseEncoder {
 *   readonly inputShape = [null, 3]
 *   readonly embeddingDim = 3
 *   protected encode(x: tf.Tensor): EncoderOutput { return { embedding: tf.mean(x, 1) as tf.Tensor2D } }
 * }
 */
export abstract class BaseEncoder extends Module {
  /** Shape of one input, null where any size goes. */
  abstract readonly inputShape: readonly (number | null)[]
  /** Length of the embedding. */
  abstract readonly embeddingDim: number
  /** Type of the input: 'int32' for ids of tokens. */
  readonly inputType: 'float32' | 'int32' = 'float32'
  /** Whether `encode` takes a mask into account; where not, passing one is refused. */
  readonly takesMask: boolean = false

  /** x is of the promised shape and type, a mask of shape [B, T]. */
  protected abstract encode(x: tf.Tensor, options: EncodeOptions): EncoderOutput

  /** Shape of one embedding. */
  get outputShape(): number[] {
    return [this.embeddingDim]
  }

  /** Throws unless `x` and `options` are what `method` takes; the name of the operation, for errors. */
  protected expectInput(method: string, x: tf.Tensor, options: EncodeOptions = {}): string {
    const operation = `${this.constructor.name}.${method}`
    expectShape(
      isTensor(x) && fitsShape(x.shape, this.inputShape) && x.dtype === this.inputType,
      operation,
      `${this.inputType} inputs ${shapeText(this.inputShape)}`,
      isTensor(x) ? `a tensor [${x.shape.join(', ')}] of ${x.dtype}` : 'no tensor, or one disposed of',
      'Pass a batch of inputs, channels last.',
    )
    expectOptions(operation, options, '{ mask } or { lengths }')
    const { mask, lengths } = options
    expectConfig(
      (mask === undefined || isTensor(mask)) && (lengths === undefined || isList(lengths)),
      operation,
      'mask to be a tensor, lengths to be a list of numbers',
      lengths ?? mask,
      'Leave out what there is none of.',
    )
    return operation
  }

  /** Throws VqShapeError for inputs of another shape or type, and where `encode` breaks its promise. */
  forward(x: tf.Tensor, options: EncodeOptions = {}): EncoderOutput {
    const operation = this.expectInput('forward', x, options)
    const { mask, lengths } = options
    expectShape(
      lengths === undefined || (mask === undefined && this.takesMask),
      operation,
      this.takesMask ? 'a mask or lengths' : 'no lengths',
      mask === undefined ? `lengths of ${lengths?.length} inputs` : 'both',
      this.takesMask ? 'Leave one out.' : 'This encoder looks at every position.',
    )
    expectShape(
      mask === undefined || (this.takesMask && tf.util.arraysEqual(mask.shape, x.shape.slice(0, 2))),
      operation,
      this.takesMask ? `a mask [${x.shape.slice(0, 2).join(', ')}]` : 'no mask',
      `a mask [${mask?.shape.join(', ')}]`,
      this.takesMask ? 'Pass one flag per position.' : 'This encoder looks at every position.',
    )
    return tf.tidy(() => {
      const flags = lengths === undefined ? mask : maskOfLengths(operation, lengths, x.shape[0]!, x.shape[1]!)
      const output = this.encode(x, flags === undefined ? options : { ...options, mask: flags })
      const { embedding } = output
      expectShape(
        tf.util.arraysEqual(embedding.shape, [x.shape[0], this.embeddingDim]),
        `${this.constructor.name}.encode`,
        `to give embeddings [${x.shape[0]}, ${this.embeddingDim}]`,
        `[${embedding.shape.join(', ')}]`,
        'Make embeddingDim the length of what encode gives.',
      )
      return output
    })
  }
}

function isTensor(x: unknown): x is tf.Tensor {
  return x instanceof tf.Tensor && !x.isDisposed
}

function isList(value: unknown): boolean {
  return Array.isArray(value) || ArrayBuffer.isView(value)
}

/** Whether `shape` is a batch of samples of shape `one`. */
export function fitsShape(shape: readonly number[], one: readonly (number | null)[]): boolean {
  return shape.length === one.length + 1 && one.every((n, i) => n === null || n === shape[i + 1])
}

/** For example "[B, any, 3]". */
export function shapeText(one: readonly (number | null)[]): string {
  return `[${['B', ...one.map(n => n ?? 'any')].join(', ')}]`
}

/** The mask [B, T] of lengths. */
export function maskOfLengths(
  operation: string,
  lengths: ArrayLike<number>,
  batch: number,
  steps: number,
): tf.Tensor2D {
  const counts = Array.from(lengths)
  const bad = counts.find(n => !(Number.isInteger(n) && n >= 0 && n <= steps))
  if (counts.length !== batch || bad !== undefined)
    throw new VqValueError({
      operation,
      expected: `${batch} whole lengths from 0 to ${steps}`,
      received: bad === undefined ? `${counts.length} lengths` : `a length of ${bad}`,
      remedy: 'Pass one length per input, none longer than the input.',
    })
  const flags = Int32Array.from({ length: batch * steps }, (_, i) =>
    i % steps < counts[Math.floor(i / steps)]! ? 1 : 0,
  )
  return tf.tensor2d(flags, [batch, steps], 'int32')
}
