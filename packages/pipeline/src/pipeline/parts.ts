import { random, tf, VqConfigError } from '@vq/core'
import { Module } from '@vq/core/nn'
import { type BaseDecoder, mirrorDecoder, TextDecoder } from '@vq/encoders'
import { codecParts } from '../codec/build.js'
import { Codec } from '../codec/codec.js'
import type { PipelineConfig } from '../config/pipeline-config.js'
import { endsOf } from './tokens.js'
import { Tower } from './tower.js'

/** Everything of a pipeline that has weights. */
export class PipelineParts extends Module {
  readonly config: PipelineConfig
  readonly towers: readonly Tower[]
  readonly codec: Codec
  /** With the reconstruction objective. */
  readonly decoder: BaseDecoder | TextDecoder | undefined
  /** Of the codes of one item: [] for one embedding, [h, w] or [t] for codes per position. */
  readonly positions: readonly number[]

  private constructor(
    config: PipelineConfig,
    towers: readonly Tower[],
    made: Pick<PipelineParts, 'codec' | 'decoder' | 'positions'>,
  ) {
    super()
    this.config = config
    this.towers = towers
    this.positions = made.positions
    for (const [i, { encoder }] of towers.entries())
      if (encoder !== undefined) this.addModule(i === 0 ? 'encoder' : `encoder${i}`, encoder)
    this.codec = this.addModule('codec', made.codec)
    this.decoder = made.decoder === undefined ? undefined : this.addModule('decoder', made.decoder)
  }

  /** Weights are drawn from the configuration's seed, with which the global generator starts anew. */
  static async create(config: PipelineConfig): Promise<PipelineParts> {
    const { values } = config
    random.seed(values.training.seed)
    const towers: Tower[] = []
    try {
      for (const tower of config.towers) towers.push(await Tower.create(tower, values.embeddingDim))
      expectOneSpace(towers)
      const { dim, positions } = spaceOf(towers[0] as Tower, config)
      const places = positions.reduce((a, b) => a * b, 1)
      const codec = new Codec(codecParts(values, dim, values.batchSize * places))
      const decoder =
        config.objective === 'reconstruction'
          ? decoderOf(towers[0] as Tower, config, dim, positions)
          : undefined
      return new PipelineParts(config, towers, { codec, decoder, positions })
    } catch (error) {
      for (const tower of towers) tower.dispose()
      throw error
    }
  }
}

function expectOneSpace(towers: readonly Tower[]): void {
  const [first, second] = towers
  if (second === undefined || first?.embeddingDim === second.embeddingDim) return
  throw new VqConfigError({
    operation: 'VQPipeline',
    expected: 'encoders of both modalities with embeddings of one length',
    received: `${first?.embeddingDim} and ${second.embeddingDim} numbers`,
    remedy: 'Choose towers that belong together, as CLIP’s.',
  })
}

// What the encoder gives is learned by asking it: users' own have shapes of their own.
function spaceOf(tower: Tower, config: PipelineConfig): { dim: number; positions: number[] } {
  const { granularity } = config.values
  if (granularity === 'item') return { dim: tower.embeddingDim, positions: [] }
  return tf.tidy(() => {
    const isText = tower.modality === 'text'
    const shape = [1, ...tower.shape]
    const x = tf.zeros(shape, isText ? 'int32' : 'float32')
    const mask = isText ? { mask: tf.ones(shape, 'int32') } : {}
    tower.encoder?.eval()
    const z = tower.embed({ x, ...mask }, granularity, false)
    return { dim: z.shape[2] as number, positions: tower.positions(z.shape[1] as number) }
  })
}

function decoderOf(
  tower: Tower,
  config: PipelineConfig,
  dim: number,
  positions: readonly number[],
): BaseDecoder | TextDecoder {
  const { decoderConfig } = config.values
  const { outputActivation, hiddenDims, hiddenDim = 256, numLayers = 2, numHeads = 4 } = decoderConfig
  const { mlpDim = 4 * hiddenDim, dropout = 0.1 } = decoderConfig
  if (tower.modality === 'text') {
    const { tokenizer, config: values, shape } = tower
    // Ids of a tokenizer that is yet to be learned: its special tokens come first.
    const first = { padId: 0, startId: 2, endId: 3 }
    const ids = tokenizer === undefined ? first : { padId: tokenizer.padId, ...endsOf(tokenizer) }
    const vocabSize = Math.max(values.tokenizer.vocabSize, tokenizer?.vocabSize ?? 0)
    const sizes = { hiddenDim, numLayers, numHeads, mlpDim, dropout }
    return new TextDecoder({
      vocabSize,
      embeddingDim: dim,
      maxLength: (shape[0] as number) + 1,
      ...sizes,
      ...ids,
    })
  }
  if (tower.encoder === undefined)
    throw new VqConfigError({
      operation: 'VQPipeline',
      expected: "an encoder that is trained for the objective 'reconstruction'",
      received: 'vectors as they are',
      remedy: "Use the objective 'embedding': its codes decode to vectors.",
    })
  return mirrorDecoder(tower.encoder, {
    outputDim: tower.shape,
    latentDim: dim,
    ...(positions.length > 0 && { positions }),
    ...(hiddenDims !== undefined && { hiddenDims }),
    ...(outputActivation !== undefined && { outputActivation }),
  })
}
