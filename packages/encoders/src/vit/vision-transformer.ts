import { expectShape, tf } from '@vq/core'
import { Conv2d, Dropout, init, LayerNorm, Linear, ModuleList } from '@vq/core/nn'
import { BaseEncoder, type EncoderOutput } from '../base/encoder.js'
import { type ActivationName, activated, EncoderLayer } from '../transformer/index.js'
import { type CheckedOptions, checkedOptions, type VisionTransformerOptions } from './options.js'
import { resampledPositions } from './positions.js'

/**
 * The Vision Transformer, images [B, H, W, C] → an embedding [B, embeddingDim] and the normalised tokens [B, T, hiddenDim]:
 * class token first, then registers, then patches row by row. Layers normalise what they read. Images of other sizes are
 * taken too: positions are interpolated (bicubic), pixels that fill no patch at the right and lower edge are left out.
 * Throws VqConfigError for options out of range, VqShapeError for images of other channels or smaller than a patch.
 * Source: Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929, section 3.1; registers: Darcet et al. 2023,
 * https://arxiv.org/abs/2309.16588, section 2.2.
 *
 * @example
 * const encoder = new VisionTransformerEncoder({ inputDim: [64, 64, 3], patchSize: 8, embeddingDim: 256 })
 * const { embedding, sequence } = encoder.forward(images)   // [B, 256], [B, 65, 256]
 */
export class VisionTransformerEncoder extends BaseEncoder {
  readonly inputShape: readonly (number | null)[]
  readonly embeddingDim: number
  /** Width of the tokens. */
  readonly hiddenDim: number
  readonly patchSize: readonly [number, number]
  /** Patches along height and width of the images that positions were learned for. */
  readonly grid: readonly [number, number]
  readonly numRegisters: number
  readonly pooling: 'cls' | 'mean'
  readonly blocks: ModuleList<EncoderLayer>
  private readonly patches: Conv2d
  private readonly classToken: tf.Variable<tf.Rank.R3>
  private readonly positions: tf.Variable<tf.Rank.R3>
  private readonly registers: tf.Variable<tf.Rank.R3> | undefined
  private readonly normPre: LayerNorm | undefined
  private readonly norm: LayerNorm
  private readonly normsSequence: boolean
  private readonly head: Linear | undefined
  private readonly headActivation: ActivationName
  private readonly drop: Dropout
  private readonly antialias: boolean

  constructor(options: VisionTransformerOptions) {
    super()
    const o = checkedOptions('VisionTransformerEncoder', options)
    const { hiddenDim, grid, numRegisters, random, epsilon } = o
    const generator = random === undefined ? {} : { random }
    this.inputShape = [null, null, o.inputDim[2]]
    this.embeddingDim = o.embeddingDim
    this.hiddenDim = hiddenDim
    this.patchSize = o.patchSize
    this.grid = grid
    this.numRegisters = numRegisters
    this.pooling = o.pooling
    this.normsSequence = o.finalNorm === 'sequence'
    this.headActivation = o.headActivation
    this.antialias = o.antialiasPositions
    const tokens = (name: string, count: number): tf.Variable<tf.Rank.R3> =>
      this.addParameter(
        name,
        init.truncatedNormal<tf.Rank.R3>([1, count, hiddenDim], { deviation: 0.02, ...generator }),
      )
    this.classToken = tokens('cls_token', 1)
    this.positions = tokens('pos_embed', 1 + grid[0] * grid[1])
    this.registers = numRegisters > 0 ? tokens('register_tokens', numRegisters) : undefined
    this.patches = this.addModule(
      'patch_embed',
      new Conv2d({
        inChannels: o.inputDim[2],
        outChannels: hiddenDim,
        kernelSize: o.patchSize,
        stride: o.patchSize,
        bias: o.patchBias,
        ...generator,
      }),
    )
    const layerNorm = (): LayerNorm => new LayerNorm({ numFeatures: hiddenDim, epsilon })
    if (o.preNorm) this.normPre = this.addModule('norm_pre', layerNorm())
    this.blocks = this.addModule(
      'blocks',
      new ModuleList(Array.from({ length: o.numLayers }, () => layerOf(o))),
    )
    this.norm = this.addModule('norm', layerNorm())
    if (o.head)
      this.head = this.addModule(
        'head',
        new Linear({ inFeatures: hiddenDim, outFeatures: o.embeddingDim, bias: o.headBias, ...generator }),
      )
    this.drop = this.addModule('drop', new Dropout({ rate: o.dropout, ...generator }))
  }

  /** What enters the first layer and what each layer gives, [B, T, hiddenDim] each; the last is not normalised yet. */
  hiddenStates(images: tf.Tensor): tf.Tensor3D[] {
    this.expectInput('hiddenStates', images)
    return tf.tidy(() => {
      const states = [this.embedded(images)]
      for (const block of this.blocks) states.push(block.forward(states.at(-1)!))
      return states
    })
  }

  /** The patches' tokens where they lie, [B, H / patch, W / patch, hiddenDim]: what dense tasks read. */
  featureMap(images: tf.Tensor): tf.Tensor4D {
    return tf.tidy(() => {
      const { sequence } = this.forward(images)
      const [height, width] = this.gridOf(images)
      const first = 1 + this.numRegisters
      const patches = tf.slice(sequence!, [0, first, 0], [-1, height * width, -1])
      return tf.reshape(patches, [images.shape[0]!, height, width, this.hiddenDim])
    })
  }

  protected encode(images: tf.Tensor): EncoderOutput {
    let x = this.embedded(images)
    for (const block of this.blocks) x = block.forward(x)
    const sequence = (this.normsSequence ? this.norm.forward(x) : x) as tf.Tensor3D
    const pooled = this.pooled(sequence)
    const normal = this.normsSequence ? pooled : this.norm.forward(pooled)
    const embedding = this.head === undefined ? normal : activated(this.head, normal, this.headActivation)
    return { embedding: embedding as tf.Tensor2D, sequence }
  }

  private pooled(sequence: tf.Tensor3D): tf.Tensor2D {
    const [b, t, d] = sequence.shape
    if (this.pooling === 'cls') return tf.reshape(tf.slice(sequence, [0, 0, 0], [b, 1, d]), [b, d])
    const first = 1 + this.numRegisters
    return tf.mean(tf.slice(sequence, [0, first, 0], [b, t - first, d]), 1) as tf.Tensor2D
  }

  private embedded(images: tf.Tensor): tf.Tensor3D {
    const [b] = images.shape as [number]
    const [height, width] = this.gridOf(images)
    const d = this.hiddenDim
    const patches = tf.reshape(this.patches.forward(images), [b, height * width, d])
    const positions = this.positionsOf([height, width]) // [1, 1 + height·width, D]
    const tokens = tf.add(tf.concat([tf.tile(this.classToken, [b, 1, 1]), patches], 1), positions)
    let x = this.training && this.drop.rate > 0 ? this.drop.forward(tokens) : tokens
    if (this.registers !== undefined) {
      const [first, rest] = tf.split(x, [1, height * width], 1)
      x = tf.concat([first!, tf.tile(this.registers, [b, 1, 1]), rest!], 1)
    }
    return (this.normPre?.forward(x) ?? x) as tf.Tensor3D
  }

  private positionsOf([height, width]: readonly [number, number]): tf.Tensor {
    if (height === this.grid[0] && width === this.grid[1]) return this.positions
    const [first, rest] = tf.split(this.positions, [1, this.grid[0] * this.grid[1]], 1)
    const there = resampledPositions(rest as tf.Tensor3D, this.grid, [height, width], this.antialias)
    return tf.concat([first!, there], 1)
  }

  private gridOf(images: tf.Tensor): [number, number] {
    const [height, width] = this.patchSize.map((p, i) => Math.floor((images.shape[i + 1] ?? 0) / p)) as [
      number,
      number,
    ]
    expectShape(
      height > 0 && width > 0,
      'VisionTransformerEncoder.forward',
      `images of at least ${this.patchSize.join(' × ')} pixels`,
      `a tensor [${images.shape.join(', ')}]`,
      'Use larger images or smaller patches.',
    )
    return [height, width]
  }
}

function layerOf(o: CheckedOptions): EncoderLayer {
  const { numHeads, mlpDim, activation, epsilon, qkvBias, dropout, attentionDropout, mlpDropout, swiglu } = o
  return new EncoderLayer({
    embedDim: o.hiddenDim,
    ...{ numHeads, mlpDim, activation, epsilon, qkvBias, dropout, attentionDropout, mlpDropout, swiglu },
    ...(o.layerScale === undefined ? {} : { layerScale: o.layerScale }),
    ...(o.random === undefined ? {} : { random: o.random }),
  })
}
