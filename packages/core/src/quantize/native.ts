/** The part of the addon that quantizes typed arrays. With `async` true a function returns a running call. */
export interface QuantizeCore {
  nearest(
    vectors: Float32Array,
    codebook: Float32Array,
    dim: number,
    metric: number,
    threads: number,
    async: boolean,
  ): unknown
  residualEncode(
    vectors: Float32Array,
    codebooks: Float32Array[],
    dim: number,
    beam: number,
    levelErrors: boolean,
    threads: number,
    async: boolean,
  ): unknown
  orderedLinear(
    x: Float32Array,
    weight: Float32Array,
    bias: Float32Array | null,
    inputs: number,
    outputs: number,
    threads: number,
    async: boolean,
  ): unknown
  nearestImplicitCode(
    z: Float32Array,
    shift: Float32Array,
    start: Float32Array,
    up: Float32Array,
    down: Float32Array,
    dim: number,
    hidden: number,
    threads: number,
    async: boolean,
  ): unknown
  emaUpdate(
    vectors: Float32Array,
    indices: Int32Array,
    codebook: Float32Array,
    counts: Float32Array,
    sums: Float32Array,
    dim: number,
    decay: number,
    epsilon: number,
    threads: number,
    async: boolean,
  ): unknown
  kmeans(
    vectors: Float32Array,
    options: NativeKmeansOptions,
    threads: number,
    async: boolean,
    progress?: (iteration: number, inertia: number) => void,
  ): unknown
  estimatorGradient(
    estimator: number,
    z: Float32Array,
    q: Float32Array,
    g: Float32Array,
    dim: number,
    threads: number,
  ): Float32Array
  /** what: 0 codes, 1 { indices, quantized }, 2 the bounded values. */
  fsqEncode(
    vectors: Float32Array,
    levels: number[],
    bound: number,
    what: number,
    threads: number,
    async: boolean,
  ): unknown
  fsqDecode(indices: Int32Array, levels: number[], bound: number, threads: number, async: boolean): unknown
  /** what: 0 codes, 1 { indices, quantized }. */
  lfqEncode(
    vectors: Float32Array,
    dim: number,
    scale: number,
    what: number,
    threads: number,
    async: boolean,
  ): unknown
  lfqDecode(indices: Int32Array, dim: number, scale: number, threads: number, async: boolean): unknown
  fsqGradient(
    z: Float32Array,
    g: Float32Array,
    levels: number[],
    bound: number,
    threads: number,
  ): Float32Array
  lfqEntropy(vectors: Float32Array, dim: number, group: number, kappa: number, threads: number): unknown
  lfqEntropyGradient(
    vectors: Float32Array,
    table: Float32Array,
    dim: number,
    group: number,
    kappa: number,
    byPerSample: number,
    byOfMean: number,
    threads: number,
  ): Float32Array
  /** The last four arrays before the threads are written to. */
  kmeansBlock(
    vectors: Float32Array,
    centroids: Float32Array,
    dim: number,
    assignments: Int32Array,
    sums: Float64Array,
    lanes: Float64Array,
    weight: Float64Array,
    threads: number,
  ): void
  /** Instruction sets of this machine, slowest first. Every one gives the same bits. */
  isaList(): string[]
  isa(): string
  /** Process-wide; 'auto' is the fastest. */
  setIsa(name: string): void
  /** Working memory of the typed-array calls: bytes in use, and the most since the last call of this function. */
  scratchBytes(): { now: number; peak: number }
}

export interface NativeKmeansOptions {
  dim: number
  k: number
  iterations: number
  tolerance: number
  init: number
  start: Float32Array | null
  seedLow: number
  seedHigh: number
  spherical: boolean
  weights: Float32Array | null
  leading?: readonly number[]
}

/** A call on another thread. */
export interface RunningCall {
  promise: Promise<unknown>
  abort(): void
}
