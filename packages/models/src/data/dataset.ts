/** Samples of one shape that can be fetched by number. */
export interface Dataset {
  readonly length: number
  /** Shape of one sample; of images [H, W, C]. */
  readonly shape: readonly number[]
  /** The samples of these numbers one after another, row-major; of images [N, H, W, C], values 0..1. */
  batch(indices: Int32Array): Float32Array | Promise<Float32Array>
  /** A name per item that stays the same from run to run. */
  readonly ids?: readonly string[]
  readonly captions?: readonly string[]
  readonly labels?: readonly string[]
}
