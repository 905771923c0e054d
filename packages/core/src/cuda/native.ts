import type { NativeKmeansOptions } from '../quantize/native.js'
import type { CudaFound, CudaMissing } from './library.js'

/** An array for the addon: one that travels for the call, or the handle of memory on the device. */
export type Floats = Float32Array | number
export type Integers = Int32Array | number

/**
 * The part of the addon that computes on a CUDA device. With `stays` results are handles of new memory, else typed arrays;
 * with `async` true a function returns a running call.
 */
export interface CudaCore {
  readonly cudaInterfaceVersion: number
  cudaOpen(path: string): CudaFound | Pick<CudaMissing, 'code' | 'reason'>
  cudaMemory(device: number): DeviceFigures
  cudaUpload(device: number, values: Float32Array | Int32Array): number
  cudaRead(handle: number, into: Float32Array | Int32Array): void
  cudaRelease(handle: number): void
  cudaNearest(
    device: number,
    vectors: Floats,
    codebook: Floats,
    dim: number,
    metric: number,
    stays: boolean,
    async: boolean,
  ): unknown
  cudaResidualEncode(
    device: number,
    vectors: Floats,
    codebooks: Floats[],
    dim: number,
    beam: number,
    levelErrors: boolean,
    stays: boolean,
    async: boolean,
  ): unknown
  cudaEmaUpdate(
    device: number,
    vectors: Floats,
    indices: Integers,
    codebook: Floats,
    counts: Floats,
    sums: Floats,
    dim: number,
    decay: number,
    epsilon: number,
    stays: boolean,
    async: boolean,
  ): unknown
  cudaKmeans(
    device: number,
    vectors: Floats,
    options: NativeKmeansOptions,
    stays: boolean,
    async: boolean,
    progress?: (iteration: number, inertia: number) => void,
  ): unknown
  cudaEstimatorGradient(
    device: number,
    estimator: number,
    z: Floats,
    q: Floats,
    g: Floats,
    dim: number,
    stays: boolean,
  ): unknown
  /** what: as of fsqEncode. */
  cudaFsqEncode(
    device: number,
    vectors: Floats,
    levels: number[],
    bound: number,
    what: number,
    stays: boolean,
    async: boolean,
  ): unknown
  cudaFsqDecode(device: number, indices: Integers, levels: number[], bound: number, stays: boolean): unknown
  cudaFsqGradient(
    device: number,
    z: Floats,
    g: Floats,
    levels: number[],
    bound: number,
    stays: boolean,
  ): unknown
  cudaLfqEncode(
    device: number,
    vectors: Floats,
    dim: number,
    scale: number,
    what: number,
    stays: boolean,
    async: boolean,
  ): unknown
  cudaLfqDecode(device: number, indices: Integers, dim: number, scale: number, stays: boolean): unknown
  cudaLfqEntropy(
    device: number,
    vectors: Floats,
    dim: number,
    group: number,
    kappa: number,
    stays: boolean,
  ): unknown
  cudaLfqEntropyGradient(
    device: number,
    vectors: Floats,
    table: Floats,
    dim: number,
    group: number,
    kappa: number,
    byPerSample: number,
    byOfMean: number,
    stays: boolean,
  ): unknown
  /** codebook, counts and sums are handles, changed in place. */
  cudaReplaceRows(
    device: number,
    vectors: Floats,
    codes: Integers,
    rows: Integers,
    fresh: number,
    codebook: number,
    counts: number,
    sums: number | null,
    dim: number,
  ): void
}

/** Bytes on a device, and the arrays of this process there. */
export interface DeviceFigures {
  total: number
  free: number
  inUse: number
  peak: number
  buffers: number
}
