import { DecoderCache, type DecoderWeights, expectShape, tf, VqValueError } from '@vq/core'
import { KeyValueCache } from '@vq/core/nn'

/**
 * Keys and values of each layer for the tokens that were seen; `dispose` it when a batch of sequences is done. Where the backend
 * decodes in one piece they are written in place into room for all tokens, else they are tensors that grow.
 */
export class IGPTCache {
  private room: DecoderCache | undefined
  private readonly layers: readonly KeyValueCache[]
  private owner: object | undefined

  constructor(layers: number) {
    this.layers = Array.from({ length: layers }, () => new KeyValueCache())
  }

  /** Tokens held. */
  get length(): number {
    return this.room?.length ?? this.layers[0]?.length ?? 0
  }

  /** Throws unless what is held, if anything, came from this model, which has this many layers. */
  expectOf(model: object, layers: number): void {
    expectShape(
      this.layers.length === layers,
      'IGPT.logits',
      `a cache of ${layers} layers`,
      `one of ${this.layers.length}`,
      'Take it from cache() of the model.',
    )
    if (this.length > 0 && this.owner !== model)
      throw new VqValueError({
        operation: 'IGPT.logits',
        expected: "a cache that is empty or holds this model's keys",
        received: 'one that holds those of another model',
        remedy: 'Take a cache from cache() for each model and each batch of sequences.',
      })
    this.owner = model
  }

  /** Room for all tokens, unless some were kept apart before. */
  inPlace(weights: DecoderWeights, batch: number, capacity: number): DecoderCache | undefined {
    if (this.length > 0) return this.room
    this.room?.dispose()
    this.room = undefined
    this.room = new DecoderCache(weights, batch, capacity)
    return this.room
  }

  /** Keys and values layer by layer, from now on. */
  apart(): readonly KeyValueCache[] {
    const { room, layers } = this
    if (room !== undefined && room.length > 0)
      for (const [i, layer] of layers.entries()) {
        const entries = room.entries(i)
        layer.append(...entries)
        tf.dispose(entries)
      }
    this.room = undefined
    room?.dispose()
    return layers
  }

  dispose(): void {
    this.room?.dispose()
    this.room = undefined
    for (const layer of this.layers) layer.dispose()
  }
}
