import { describe, device, tf, VqConfigError, VqFormatError } from '@vq/core'
import { TextDecoder } from '@vq/encoders'
import { analyzeIds, type IdAnalysis, type LevelFigures } from '../analysis/index.js'
import { PipelineConfig } from '../config/pipeline-config.js'
import type { Modality, PipelineInput } from '../config/values.js'
import { joined } from '../joined.js'
import type { FailedItem, Source } from '../sources/index.js'
import { memorySource } from '../sources/memory.js'
import { type ArtifactInfo, infoOf, loadPipeline, savePipeline } from './artifact.js'
import { type Embedded, embedItems, embedSource } from './embed.js'
import { captionsAsSource, type FitReport, fitParts, type PipelineFitOptions } from './fit.js'
import { PipelineParts } from './parts.js'
import type { Items, Tower } from './tower.js'

/** Codes of items. */
export interface SemanticCodes {
  /** [N, L] one after another, or per position [N, P, L]; −1 where a position is masked. */
  codes: Int32Array
  /** [N, L] or [N, P, L] */
  shape: number[]
  /** Distances to the second code over that to the first, less 1, the least of an item's codes; where asked for. */
  margins?: Float32Array
}

/** The codes of some items of a source. */
export interface EncodedBlock extends SemanticCodes {
  /** Numbers of the items in the source. */
  indices: Int32Array
  failed: readonly FailedItem[]
}

export interface EncodeSourceOptions {
  /** The item to begin with. Default 0. */
  from?: number
  /** Whether margins are given too. Default false. */
  margins?: boolean
  signal?: AbortSignal | undefined
}

/** How codes are used. */
export interface SemanticUsage {
  /** Different codes that occur, summed over the levels. */
  uniqueTokens: number
  /** Means over the levels: the share of codes that occur, their entropy in bits, and 2^entropy. */
  usageRatio: number
  entropy: number
  perplexity: number
  /** Items whose ID an earlier item has. */
  collisions: number
  levels: LevelFigures[]
}

/** What codes decode to. A type, not an interface: tf.tidy wants an index signature. */
export type DecodedItems = {
  /** [N, D], or [N, P, D] */
  embeddings: tf.Tensor
  /** With the objective 'reconstruction': images [N, H, W, C], videos [N, T, H, W, C]. */
  reconstructed?: tf.Tensor
  /** Of text. */
  texts?: string[]
}

/** Images, videos or vectors as a tensor [N, ...], token ids int32 [N, T], or texts. */
export type PipelineInputs = tf.Tensor | readonly string[]

/**
 * From images, texts, videos or vectors to semantic IDs, and back: encoder, quantizer and, where it is trained, the decoder of
 * one configuration.
 *
 * @example
 * const pipeline = await VQPipeline.create({ modality: 'image', encoderType: 'cnn', vqMethod: 'rq_vae', inputDim: [32, 32, 3] })
 * await pipeline.fit(await openSource('photos', { modality: 'image', shape: [32, 32, 3] }))
 * const { codes, shape } = await pipeline.encodeToSemanticIds(images)
 * await pipeline.savePipeline('runs/photos')
 */
export class VQPipeline {
  private readonly parts: PipelineParts
  private known: ArtifactInfo | undefined
  private isFitted: boolean

  private constructor(parts: PipelineParts, fitted: boolean) {
    this.parts = parts
    this.isFitted = fitted
  }

  /**
   * Weights are drawn from the configuration's seed, with which the global generator starts anew. Throws VqConfigError for
   * configurations that do not hold, VqFormatError for pretrained weights that are missing.
   */
  static async create(config: PipelineConfig | PipelineInput): Promise<VQPipeline> {
    const checked =
      config instanceof PipelineConfig ? config : PipelineConfig.parse(config, 'VQPipeline.create')
    const [tower] = checked.towers
    if (tower?.modality === 'vector' && tower.shape === undefined)
      throw new VqConfigError({
        operation: 'VQPipeline.create',
        expected: 'inputDim: the length of a vector',
        received: 'none',
        remedy: 'Set it; `vq train` takes it from the data.',
      })
    return new VQPipeline(await PipelineParts.create(checked), false)
  }

  get config(): PipelineConfig {
    return this.parts.config
  }

  get modalities(): Modality[] {
    return this.parts.towers.map(t => t.modality)
  }

  /** Whether there is something that was learned: `fit` was called, or an artifact was loaded that was. */
  get fitted(): boolean {
    return this.isFitted
  }

  /** Hashes, sizes of codebooks, positions. */
  get info(): ArtifactInfo {
    this.known ??= infoOf(this.parts, this.isFitted)
    return this.known
  }

  /** Of one item, as a source should give them; [] for text. */
  get itemShape(): readonly number[] {
    const [tower] = this.parts.towers as [Tower]
    return tower.modality === 'text' ? [] : tower.shape
  }

  /** Of the embeddings that are quantized. */
  get dim(): number {
    return this.parts.codec.dim
  }

  /** Learns from a source, or from items that are in memory. With `image_text` the source's captions are the texts. */
  async fit(data: Source | PipelineInputs, options: PipelineFitOptions = {}): Promise<FitReport> {
    this.known = undefined
    const report = await fitParts(this.parts, this.sourceOf(data), options)
    this.isFitted = true
    return report
  }

  /**
   * One pass over a batch, as in training but without learning: embeddings, what their codes stand for, the codes, the codec's
   * loss and, where there is a decoder of images or videos, the reconstruction.
   */
  forward(
    batch: tf.Tensor,
    { mask }: { mask?: tf.Tensor } = {},
  ): {
    embedding: tf.Tensor
    quantized: tf.Tensor
    indices: tf.Tensor
    loss: tf.Scalar
    perplexity: tf.Scalar
    reconstructed?: tf.Tensor
  } {
    const { codec, decoder } = this.parts
    const [tower] = this.parts.towers as [Tower]
    const { granularity } = this.config.values
    return tf.tidy(() => {
      const embedding = tower.embed(
        mask === undefined ? { x: batch } : { x: batch, mask },
        granularity,
        this.config.normalize,
      )
      const places = granularity === 'position' && mask !== undefined ? { mask } : {}
      const { quantized, indices, loss, perplexity } = codec.forward(embedding, places)
      const output = { embedding, quantized, indices, loss, perplexity }
      if (decoder === undefined || decoder instanceof TextDecoder) return output
      return { ...output, reconstructed: decoder.forward(quantized) }
    })
  }

  /** Embeddings [N, D], or per position [N, P, D], in evaluation mode and in batches of one size. */
  async embed(data: PipelineInputs, { modality }: { modality?: Modality } = {}): Promise<tf.Tensor> {
    const tower = this.towerOf(modality)
    const { items, count } = this.itemsOf(tower, data)
    const { values } = await embedItems(this.parts, tower, items, count)
    return tf.tensor(values, [count, ...this.placeShape(), this.dim])
  }

  /** The codes of items. The same item has the same codes whatever is encoded beside it. */
  async encodeToSemanticIds(
    data: PipelineInputs,
    { modality, margins = false }: { modality?: Modality; margins?: boolean } = {},
  ): Promise<SemanticCodes> {
    this.expectFitted('encodeToSemanticIds')
    const tower = this.towerOf(modality)
    const { items, count } = this.itemsOf(tower, data)
    return this.codesOf(await embedItems(this.parts, tower, items, count), count, margins)
  }

  /** The codes of a source's items, block by block, in order; what cannot be read is named beside them. */
  async *encodeSource(source: Source, options: EncodeSourceOptions = {}): AsyncGenerator<EncodedBlock> {
    this.expectFitted('encodeSource')
    const { from = 0, margins = false, signal } = options
    const tower = this.towerOf(source.modality)
    for await (const block of embedSource(this.parts, tower, source, { from, signal })) {
      const { indices, failed } = block
      yield { ...this.codesOf(block, indices.length, margins), indices, failed }
    }
  }

  /** The embeddings of a source's items, block by block, in order. */
  async *embedSource(
    source: Source,
    options: Pick<EncodeSourceOptions, 'from' | 'signal'> = {},
  ): AsyncGenerator<{ values: Float32Array; indices: Int32Array; failed: readonly FailedItem[] }> {
    const tower = this.towerOf(source.modality)
    for await (const { values, indices, failed } of embedSource(this.parts, tower, source, options))
      yield { values, indices, failed }
  }

  /** A source of the captions of another: the texts of `image_text`. */
  static captions(source: Source): Source {
    return captionsAsSource(source)
  }

  /**
   * What codes stand for. codes: what `encodeToSemanticIds` gave, or a tensor int32 [N, L] or [N, P, L]; fewer levels than there
   * are give the coarser vectors of residual methods. `vectorsOnly` leaves the decoder out. Throws VqShapeError, VqValueError for codes out of range.
   */
  async decodeFromSemanticIds(
    codes: SemanticCodes | tf.Tensor,
    { maxLength, vectorsOnly = false }: { maxLength?: number; vectorsOnly?: boolean } = {},
  ): Promise<DecodedItems> {
    this.expectFitted('decodeFromSemanticIds')
    const { codec, decoder, towers } = this.parts
    const indices = codes instanceof tf.Tensor ? codes : tf.tensor(codes.codes, codes.shape, 'int32')
    try {
      const embeddings = codec.decode(indices)
      if (decoder === undefined || vectorsOnly) return { embeddings }
      if (!(decoder instanceof TextDecoder))
        return { embeddings, reconstructed: tf.tidy(() => decoder.forward(embeddings)) }
      const [tower] = towers as [Tower]
      const written = tf.tidy(() =>
        decoder.generate(embeddings as tf.Tensor2D, {
          maxLength: Math.min(maxLength ?? 64, tower.shape[0] as number),
        }),
      )
      const [n, t] = written.shape
      const ids = written.dataSync() as Int32Array
      written.dispose()
      const { tokenizer } = tower
      const texts = Array.from({ length: n as number }, (_, i) => {
        const row = Array.from(ids.subarray(i * (t as number), (i + 1) * (t as number)))
        const end = row.indexOf(decoder.endId ?? -1)
        // The decoder's table may be larger than what the tokenizer has learned.
        const known = (end < 0 ? row : row.slice(0, end)).filter(id => id < (tokenizer?.vocabSize ?? 0))
        return tokenizer?.decode(known).trim() ?? ''
      })
      return { embeddings, texts }
    } finally {
      if (indices !== codes) indices.dispose()
    }
  }

  /** The codes of the quantizer as vectors, [K, d], or [levels, K, d]. */
  getCodebook(): tf.Tensor {
    return this.parts.codec.codebook()
  }

  /** Writes the artifact: config.json, model.safetensors, tokenizers. Each file appears whole or not at all. */
  async savePipeline(folder: string): Promise<void> {
    await savePipeline(folder, this.parts, this.isFitted)
  }

  /** Reads what `savePipeline` wrote. Throws VqFormatError for other folders, and where a codebook is not what its hash says. */
  static async loadPipeline(folder: string): Promise<VQPipeline> {
    const { parts, info } = await loadPipeline(folder)
    const pipeline = new VQPipeline(parts, info.fitted)
    pipeline.known = info
    return pipeline
  }

  /**
   * How the codes of some items are used: of a source, or of batches such as a DataLoader of tensors' values gives. See `analyzeIds`
   * for labels, neighbours and what codes lose.
   */
  async analyzeSemanticUsage(
    data:
      | Source
      | PipelineInputs
      | AsyncIterable<{ values: Float32Array | Int32Array; shape: readonly number[] }>,
  ): Promise<SemanticUsage> {
    const parts: Int32Array[] = []
    let [items, places] = [0, 1]
    const levels = this.info.codebookSizes.length
    const take = ({ codes, shape }: SemanticCodes): void => {
      parts.push(codes)
      items += shape[0] as number
      if (shape.length === 3) places = shape[1] as number
    }
    if (!(data instanceof tf.Tensor) && !Array.isArray(data) && Symbol.asyncIterator in data)
      for await (const { values, shape } of data) {
        const batch = tf.tensor(values, [...shape], values instanceof Int32Array ? 'int32' : 'float32')
        take(await this.encodeToSemanticIds(batch))
        batch.dispose()
      }
    else
      for await (const block of this.encodeSource(this.sourceOf(data as Source | PipelineInputs))) take(block)
    const codes = joined(parts, Int32Array)
    const ids = Array.from({ length: items }, (_, i) => String(i))
    const analysis = analyzeIds({
      ids,
      codes,
      positions: places,
      levels,
      codebookSizes: this.info.codebookSizes,
    })
    const mean = (of: (level: IdAnalysis['levels'][number]) => number): number =>
      analysis.levels.reduce((sum, level) => sum + of(level), 0) / levels
    return {
      uniqueTokens: analysis.levels.reduce((sum, level) => sum + level.uniqueTokens, 0),
      usageRatio: mean(l => l.usageRatio),
      entropy: mean(l => l.entropy),
      perplexity: mean(l => l.perplexity),
      collisions: analysis.items - analysis.ids.unique,
      levels: analysis.levels,
    }
  }

  /** What files of IDs say of where they come from. */
  idMetadata(): Record<string, string> {
    const { codebookHash, encoderHash, codebookSizes, positions } = this.info
    const [own] = device.list().filter(d => d.name === tf.getBackend())
    return {
      codebook_hash: codebookHash,
      encoder_hash: encoderHash,
      codebook_sizes: codebookSizes.join(','),
      positions: positions.join('x'),
      device: tf.getBackend(),
      instruction_set: own !== undefined && 'isa' in own ? String(own.isa) : 'none',
    }
  }

  /** Throws VqFormatError where IDs were made with other codebooks. */
  expectSameCodebook(metadata: Readonly<Record<string, string>>, file: string): void {
    const { codebook_hash: found } = metadata
    if (found === undefined || found === this.info.codebookHash) return
    throw new VqFormatError({
      operation: `reading ${file}`,
      expected: `IDs of the codebooks ${this.info.codebookHash.slice(0, 16)}…`,
      received: `IDs of ${found.slice(0, 16)}…`,
      remedy: 'Pass the model that wrote them, or encode again with this one.',
    })
  }

  dispose(): void {
    this.parts.dispose()
  }

  private codesOf({ values, mask }: Embedded, count: number, wantsMargins: boolean): SemanticCodes {
    const { codec } = this.parts
    const places = this.placeShape()
    const levels = codec.codebookSizes.length
    const shape = [count, ...places, levels]
    if (count === 0) return { codes: new Int32Array(0), shape }
    const result: SemanticCodes = { codes: new Int32Array(0), shape }
    // Not given back by the tidy, which would look at every number.
    tf.tidy(() => {
      const z = tf.tensor(values, [count, ...places, this.dim])
      const known = mask === undefined ? {} : { mask: tf.tensor(mask, [count, ...places], 'int32') }
      result.codes = codec.encode(z, known).dataSync<'int32'>().slice()
      if (!wantsMargins) return
      const rows = codec.margins(tf.reshape(z, [-1, this.dim]) as tf.Tensor2D)
      const each = rows.length / count
      result.margins = Float32Array.from({ length: count }, (_, i) => {
        let least = Number.POSITIVE_INFINITY
        for (let p = i * each; p < (i + 1) * each; p++)
          if (mask === undefined || mask[p] !== 0) least = Math.min(least, rows[p] as number)
        return least
      })
    })
    return result
  }

  private placeShape(): number[] {
    if (this.config.values.granularity === 'item') return []
    return [this.parts.positions.reduce((a, b) => a * b, 1)]
  }

  private towerOf(modality: Modality | undefined): Tower {
    const { towers } = this.parts
    const found = modality === undefined ? towers[0] : towers.find(t => t.modality === modality)
    if (found !== undefined) return found
    throw new VqConfigError({
      operation: 'VQPipeline',
      expected: `inputs of ${this.modalities.join(' or ')}`,
      received: String(modality),
      remedy: 'Use a pipeline of that modality.',
    })
  }

  private itemsOf(tower: Tower, data: PipelineInputs): { items: Items; count: number } {
    if (Array.isArray(data) && tower.modality === 'text')
      return { items: data as readonly string[], count: data.length }
    const shape = data instanceof tf.Tensor ? data.shape : []
    const fits =
      shape.length === tower.shape.length + 1 &&
      tower.shape.every((n, i) => n === shape[i + 1] || tower.modality === 'text')
    if (!(data instanceof tf.Tensor) || !fits)
      throw new VqConfigError({
        operation: 'VQPipeline',
        expected:
          tower.modality === 'text'
            ? 'texts, or token ids [N, T]'
            : `a tensor of ${tower.modality}s [N, ${tower.shape.join(', ')}]`,
        received: data instanceof tf.Tensor ? `a tensor [${shape.join(', ')}]` : describe(data),
        remedy: 'Resize first: openSource does it.',
      })
    const count = shape[0] as number
    if (tower.modality !== 'text') return { items: Float32Array.from(data.dataSync()), count }
    return { items: this.tokensOf(tower, data), count }
  }

  // Ids of a tensor, cut or padded to the length that the encoder sees.
  private tokensOf(tower: Tower, data: tf.Tensor): Items {
    const [n, t] = data.shape as [number, number]
    const length = tower.shape[0] as number
    const given = data.dataSync()
    const pad = tower.tokenizer?.padId ?? 0
    const ids = new Int32Array(n * length).fill(pad)
    const mask = new Int32Array(n * length)
    for (let row = 0; row < n; row++)
      for (let i = 0; i < Math.min(t, length); i++) {
        ids[row * length + i] = given[row * t + i] as number
        mask[row * length + i] = 1
      }
    return { ids, mask, length }
  }

  private sourceOf(data: Source | PipelineInputs): Source {
    if (!(data instanceof tf.Tensor) && !Array.isArray(data)) return data as Source
    const [tower] = this.parts.towers as [Tower]
    return memorySource(data as PipelineInputs, { modality: tower.modality, shape: tower.shape })
  }

  private expectFitted(operation: string): void {
    if (this.isFitted) return
    throw new VqConfigError({
      operation: `VQPipeline.${operation}`,
      expected: 'a pipeline that was fitted',
      received: 'one whose codes mean nothing yet',
      remedy: 'Call `await pipeline.fit(data)` first, or load one that was saved after it.',
    })
  }
}
