import { DecoderCache, type DecoderWeights, tf } from '@vq/core'
import { KeyValueCache } from '@vq/core/nn'

/**
 * Keys and values of each layer for the tokens that were seen; `dispose` it when a batch of sequences is done. Where the backend
 * decodes in one piece they are written in place into room for all tokens, else they are tensors that grow.
 */
export class IGPTCache {
  private room: DecoderCache | undefined
  private readonly layers: readonly KeyValueCache[]

  constructor(layers: number) {
    this.layers = Array.from({ length: layers }, () => new KeyValueCache())
  }

  /** Tokens held. */
  get length(): number {
    return this.room?.length ?? this.layers[0]?.length ?? 0
  }

  /** Room for all tokens, unless some were kept apart before. */
  inPlace(weights: DecoderWeights, batch: number, capacity: number): DecoderCache | undefined {
    if (this.room === undefined && this.length === 0) this.room = new DecoderCache(weights, batch, capacity)
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
