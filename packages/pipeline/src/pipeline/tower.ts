import { stat } from 'node:fs/promises'
import { tf, VqConfigError } from '@vq/core'
import {
  type BaseEncoder,
  createEncoder,
  fromPretrained,
  ImageProcessor,
  LearnedLinearEncoder,
  loadTokenizer,
  openModel,
  readJson,
  type Tokenizer,
} from '@vq/encoders'
import type { TowerConfig } from '../config/pipeline-config.js'
import type { Modality } from '../config/values.js'
import { expectFits, isTrained, makeTokenizer, type TokenRows, tokenRows } from './tokens.js'

const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
const framesOfPretrained = 16

/** What inputs become before an encoder sees them. A type, not an interface: tf.tidy wants an index signature. */
export type Batch = {
  x: tf.Tensor
  /** int32 [B, T] of text. */
  mask?: tf.Tensor
}

/** Items as a source gives them: numbers one after another, texts, or texts as tokens. */
export type Items = Float32Array | readonly string[] | TokenRows

/** One modality's way to embeddings: its encoder and what comes before it. */
export class Tower {
  readonly modality: Modality
  readonly config: TowerConfig
  /** Undefined where vectors go as they are. */
  readonly encoder: BaseEncoder | undefined
  /** Of one item: [H, W, C], [T, H, W, C], [D]; of text [tokens]. */
  readonly shape: readonly number[]
  readonly embeddingDim: number
  tokenizer: Tokenizer | undefined
  private readonly pixels: { mean: readonly number[]; std: readonly number[] } | undefined

  private constructor(
    config: TowerConfig,
    parts: Pick<Tower, 'encoder' | 'shape' | 'tokenizer' | 'embeddingDim'> & {
      pixels?: typeof imagenet | undefined
    },
  ) {
    this.config = config
    this.modality = config.modality
    this.encoder = parts.encoder
    this.shape = parts.shape
    this.embeddingDim = parts.embeddingDim
    this.tokenizer = parts.tokenizer
    this.pixels = parts.pixels
  }

  /** Throws VqConfigError for options that the encoder refuses, VqFormatError for files that are missing or damaged. */
  static async create(config: TowerConfig, embeddingDim: number): Promise<Tower> {
    const { modality, encoderType, encoderConfig, shape, pretrained, tokenizer: tokens } = config
    if (pretrained) return await Tower.pretrained(config)
    if (modality === 'text') {
      const maxLength = (encoderConfig.maxLength as number | undefined) ?? tokens.maxLength
      const table = encoderType === 'lstm' ? {} : { maxLength: Math.max(maxLength, tokens.maxLength) }
      const options = { vocabSize: tokens.vocabSize, embeddingDim, ...encoderConfig, ...table }
      const encoder = createEncoder({ type: encoderType, ...options } as never) as BaseEncoder
      const tokenizer = isTrained(tokens.type) ? undefined : await loadTokenizer(tokens.type)
      if (tokenizer !== undefined) expectFits(tokenizer, tokens.vocabSize)
      return new Tower(config, {
        encoder,
        shape: [tokens.maxLength],
        tokenizer,
        embeddingDim: encoder.embeddingDim,
      })
    }
    const inputDim = shape as readonly number[]
    if (encoderType === 'none')
      return new Tower(config, {
        encoder: undefined,
        shape: inputDim,
        tokenizer: undefined,
        embeddingDim: inputDim[0] as number,
      })
    const encoder =
      encoderType === 'linear'
        ? new LearnedLinearEncoder({ inputDim, embeddingDim })
        : (createEncoder({
            type: encoderType,
            inputDim,
            embeddingDim,
            ...encoderConfig,
          } as never) as BaseEncoder)
    return new Tower(config, {
      encoder,
      shape: inputDim,
      tokenizer: undefined,
      embeddingDim: encoder.embeddingDim,
    })
  }

  private static async pretrained(config: TowerConfig): Promise<Tower> {
    const { modality, encoderType, encoderConfig, tokenizer: tokens } = config
    const options = modality === 'text' ? { tower: 'text' as const, ...encoderConfig } : encoderConfig
    const encoder = await fromPretrained(encoderType, await withoutTower(encoderType, options))
    const { embeddingDim } = encoder
    if (modality === 'text') {
      const tokenizer = await loadTokenizer(isTrained(tokens.type) ? encoderType : tokens.type)
      const length = Math.min(tokens.maxLength, tokenizer.maxLength)
      return new Tower(config, { encoder, shape: [length], tokenizer, embeddingDim })
    }
    const isFile = (await stat(encoderType).catch(() => undefined))?.isFile() ?? false
    const processor = isFile ? undefined : await ImageProcessor.fromPretrained(encoderType)
    const { crop, resize, mean, std } = processor?.options ?? {
      crop: { height: 224, width: 224 },
      ...imagenet,
    }
    const [height, width] =
      crop !== undefined
        ? [crop.height, crop.width]
        : resize === undefined
          ? [224, 224]
          : 'shortestEdge' in resize
            ? [resize.shortestEdge, resize.shortestEdge]
            : [resize.height, resize.width]
    const frames = modality === 'video' ? [framesOfPretrained] : []
    const usual = [...frames, height, width, 3]
    // What the model itself fixes, such as its number of frames, goes first.
    const shape = config.shape ?? usual.map((n, i) => encoder.inputShape[i] ?? n)
    const pixels = mean !== undefined && std !== undefined ? { mean: [...mean], std: [...std] } : undefined
    return new Tower(config, { encoder, shape, tokenizer: undefined, embeddingDim, pixels })
  }

  /** Learns the tokenizer where the configuration says so and none is there yet. */
  async learnTokens(texts: Iterable<string>): Promise<void> {
    if (this.modality !== 'text' || this.tokenizer !== undefined) return
    const { tokenizer: values } = this.config
    const learned = await makeTokenizer(values, texts)
    expectFits(learned, values.vocabSize)
    this.tokenizer = learned
  }

  /** Texts as tokens; other items as they are. */
  prepared(items: Items): Float32Array | TokenRows {
    if (!Array.isArray(items)) return items as Float32Array | TokenRows
    if (this.tokenizer === undefined)
      throw new VqConfigError({
        operation: 'VQPipeline',
        expected: 'a tokenizer',
        received: 'none yet',
        remedy:
          'Fit the pipeline first: its tokenizer is learned from the texts. Or name one as tokenizer.type.',
      })
    return tokenRows(this.tokenizer, items, this.shape[0] as number)
  }

  /** As tensors, padded to `rows` items where there are fewer. */
  batch(items: Items, count: number, rows: number = count): Batch {
    const given = this.prepared(items)
    return tf.tidy(() => {
      const shape = [rows, ...this.shape]
      if (given instanceof Float32Array) return { x: tf.tensor(padded(given, count, rows), shape) }
      const mask = padded(given.mask, count, rows)
      // Padding at the end still needs a token that counts.
      for (let i = count; i < rows; i++) mask[i * given.length] = 1
      return {
        x: tf.tensor(padded(given.ids, count, rows), shape, 'int32'),
        mask: tf.tensor(mask, shape, 'int32'),
      }
    })
  }

  /** What the encoder makes of a batch: [B, D], or a vector per position [B, T, D']. */
  embed({ x, mask }: Batch, granularity: 'item' | 'position', normalize: boolean): tf.Tensor {
    return tf.tidy(() => {
      const { encoder, pixels } = this
      if (encoder === undefined) return unit(x, normalize)
      const input =
        pixels === undefined
          ? x
          : tf.div(tf.sub(x, tf.tensor1d([...pixels.mean])), tf.tensor1d([...pixels.std]))
      const options = mask !== undefined && encoder.takesMask ? { mask } : {}
      const { embedding, sequence } = encoder.forward(input, options)
      if (granularity === 'item') return unit(embedding, normalize)
      if (sequence !== undefined) return unit(this.places(sequence), normalize)
      throw new VqConfigError({
        operation: 'VQPipeline',
        expected: `an encoder with a vector per position for granularity 'position'`,
        received: encoder.constructor.name,
        remedy: "Use granularity 'item', or an encoder that gives `sequence`.",
      })
    })
  }

  /** Of the positions of one item: [h, w] of images, [t] of videos and texts. */
  positions(total: number): number[] {
    if (this.modality !== 'image') return [total]
    const [height = 1, width = 1] = this.shape
    const patch = (this.encoder as { patchSize?: readonly number[] } | undefined)?.patchSize
    if (patch !== undefined)
      return [Math.floor(height / (patch[0] ?? 1)), Math.floor(width / (patch[1] ?? 1))]
    const rows = Math.max(1, Math.round(Math.sqrt((total * height) / width)))
    return [rows, Math.round(total / rows)]
  }

  // Class tokens stand in front of the places and are none.
  private places(sequence: tf.Tensor3D): tf.Tensor {
    if (this.modality !== 'image') return sequence
    const [b, total, d] = sequence.shape
    const grid = this.positions(total).reduce((a, n) => a * n, 1)
    return grid >= total ? sequence : tf.slice(sequence, [0, total - grid, 0], [b, grid, d])
  }

  dispose(): void {
    this.encoder?.dispose()
  }
}

// Only models with two towers know the option.
async function withoutTower(id: string, options: Record<string, unknown>): Promise<Record<string, unknown>> {
  if (options.tower === undefined) return options
  const isFile = (await stat(id).catch(() => undefined))?.isFile() ?? false
  const type = isFile ? undefined : (await readJson(await openModel(id), 'config.json')).model_type
  const { tower, ...rest } = options
  return type === 'clip' ? { tower, ...rest } : rest
}

function unit(z: tf.Tensor, normalize: boolean): tf.Tensor {
  if (!normalize) return z
  const length = tf.sqrt(tf.sum(tf.square(z), -1, true))
  return tf.div(z, tf.maximum(length, 1e-12))
}

function padded<V extends Float32Array | Int32Array>(values: V, count: number, rows: number): V {
  if (rows === count) return values
  const size = values.length / Math.max(1, count)
  const all = new (values.constructor as new (n: number) => V)(rows * size)
  all.set(values as never)
  return all
}
