import { layers } from '@tensorflow/tfjs-layers'
import { expectConfig, expectShape, tf } from '@vq/core'
import type { BaseQuantizer, QuantizeOptions } from '../base/quantizer.js'
import {
  extraStateOf,
  type LayerOptions,
  layerArguments,
  loadExtraState,
  plainOptions,
  quantizerOptions,
} from './options.js'
import { PendingLosses } from './pending-losses.js'
import { weightsOf } from './quantizer-weight.js'

expectConfig(
  layers.Layer.prototype instanceof tf.serialization.Serializable,
  '@vq/quantizers/layers',
  'one @tensorflow/tfjs-core for @vq/core and @tensorflow/tfjs-layers',
  layers.Layer,
  'Install one version of both: npm ls @tensorflow/tfjs-core shows who brings another.',
)

/** What the last batch gave, in training or not. */
export interface LastBatch {
  /** The sum of `losses`. */
  loss: number
  losses: Record<string, number>
  /** exp of the entropy (in nats) of the codes chosen in the batch, 1 … K. */
  perplexity: number
}

/**
 * A quantizer as a `tf.layers.Layer`: vectors [..., D] become their codes' vectors, of the same shape. `layer.quantizer` has
 * the rest: `encode`, `decode`, `codebook`, `usage`. A layer of a quantizer of one's own extends this class.
 *
 * In `fit` (wherever a model is called with `training: true`) the codebook moves by its own rule and the quantizer's loss
 * joins the model's, with its gradients. `predict` and `evaluate` change nothing; as with tfjs-layers' regularizers, the loss
 * that `evaluate` and `val_loss` give is without it: `layer.metric('loss')` shows it in both. Masks of earlier layers are
 * respected.
 *
 * `layer.trainable = false` freezes the quantizer as a whole. A model's `trainable = false` does so too where tfjs-layers
 * hands it down; it does not for a model that is the first layer of a Sequential, whose moving averages then go on.
 *
 * In a loop of one's own: `layer.apply(z, { training: true })`, then `layer.calculateLosses()`, both inside of the function
 * whose gradient is taken.
 */
export abstract class QuantizerLayer<Q extends BaseQuantizer> extends layers.Layer {
  /** In evaluation mode, except within a training call. */
  readonly quantizer: Q
  private readonly plain: Record<string, unknown>
  private readonly pending = new PendingLosses()
  private last: LastBatch | undefined

  protected constructor(options: object & LayerOptions, Quantizer: new (options: never) => Q) {
    const name = `${Quantizer.name}Layer`
    expectConfig(
      typeof options === 'object' && options !== null,
      name,
      'options',
      options,
      'Pass those of the quantizer.',
    )
    super(layerArguments(options))
    this.supportsMasking = true
    this.quantizer = new Quantizer(quantizerOptions(name, options) as never)
    this.quantizer.eval()
    if (!this.trainable) this.quantizer.freeze()
    if (options.extraState !== undefined) loadExtraState(this.quantizer, options.extraState)
    this.plain = plainOptions(options)
    this.addLoss(() => this.pending.take())
  }

  /** Throws VqShapeError unless the last axis is the quantizer's length. */
  override computeOutputShape(inputShape: (number | null)[] | (number | null)[][]): (number | null)[] {
    const shape = (Array.isArray(inputShape[0]) ? inputShape[0] : inputShape) as (number | null)[]
    const { dim } = this.quantizer
    expectShape(
      shape.length >= 1 && shape[shape.length - 1] === dim,
      this.name,
      `vectors [..., ${dim}]`,
      `[${shape.map(String).join(', ')}]`,
      'Put the channels last, and give the quantizer their number.',
    )
    return shape
  }

  override build(inputShape: (number | null)[] | (number | null)[][]): void {
    this.computeOutputShape(inputShape)
    this.trainableWeights = weightsOf(this.quantizer, on => this.quantizer.freeze(on || !this.trainable))
    super.build(inputShape as (number | null)[])
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Record<string, unknown>): tf.Tensor {
    const z = Array.isArray(inputs) ? inputs[0] : inputs
    const { mask: given, training = false } = kwargs ?? {}
    const mask = Array.isArray(given) ? given[0] : given
    const options: QuantizeOptions = mask instanceof tf.Tensor ? { mask } : {}
    return tf.tidy(() => {
      this.quantizer.train(training === true)
      try {
        const { quantized, loss, losses, perplexity } = this.quantizer.forward(z, options)
        if (training === true) this.pending.add(loss)
        const value = (t: tf.Scalar): number => t.dataSync()[0]
        const parts = Object.entries(losses).map(([name, t]): [string, number] => [name, value(t)])
        this.last = {
          loss: value(loss),
          losses: Object.fromEntries(parts),
          perplexity: value(perplexity),
        }
        return quantized
      } finally {
        this.quantizer.eval()
      }
    })
  }

  /** Undefined before the first batch. A layer that a model holds several times tells of its last call. */
  get lastBatch(): LastBatch | undefined {
    return this.last
  }

  /**
   * A metric for `model.compile({ metrics: [layer.metric('perplexity')] })`: 'loss', 'perplexity', or one of the quantizer's
   * losses by its name. Logs call it by the layer's name and its own: `vq_perplexity`.
   */
  metric(of: string): (yTrue: tf.Tensor, yPred: tf.Tensor) => tf.Tensor {
    const metric = (): tf.Tensor => {
      const { loss, perplexity, losses } = this.last ?? {}
      const value = { loss, perplexity, ...losses }[of]
      expectConfig(
        value !== undefined,
        `${this.name}.metric`,
        this.last === undefined
          ? 'a batch to have passed the layer'
          : `'loss', 'perplexity' or one of the losses (${Object.keys(losses ?? {}).join(', ')})`,
        of,
        'Compile the metric with the model that holds the layer.',
      )
      return tf.scalar(value)
    }
    Object.defineProperty(metric, 'name', { value: `${this.name}_${of}` })
    return metric
  }

  override get trainable(): boolean {
    return super.trainable
  }

  override set trainable(on: boolean) {
    super.trainable = on
    this.quantizer.freeze(!on)
  }

  /** Arguments that make the same layer, as plain JSON: the options, and what is not in the weights but goes on from them. */
  override getConfig(): tf.serialization.ConfigDict {
    const extraState = extraStateOf(this.quantizer)
    return { ...super.getConfig(), ...this.plain, ...(extraState.length > 0 ? { extraState } : {}) } as never
  }

  protected override disposeWeights(): number {
    const disposed = super.disposeWeights()
    this.pending.clear()
    this.quantizer.dispose()
    return disposed
  }

  /** Frees the quantizer, also of a layer that was never used. */
  override dispose(): ReturnType<layers.Layer['dispose']> {
    if (this.built && this._refCount !== null) return super.dispose()
    return { refCountAfterDispose: 0, numDisposedVariables: this.disposeWeights() }
  }
}
