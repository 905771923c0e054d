/** Images (or other fixed-size arrays) by index. */
export interface Dataset {
  readonly length: number
  /** Of one item: `[H, W, C]`. */
  readonly shape: number[]
  /** The items at `indices`, one after another: `[N, H, W, C]`, values 0..1. */
  batch(indices: Int32Array): Float32Array | Promise<Float32Array>
  /** A name per item that stays the same from run to run. */
  readonly ids?: readonly string[]
  readonly captions?: readonly string[]
  readonly labels?: readonly string[]
}
