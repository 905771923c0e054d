import { expectConfig, expectInteger, expectNumber, expectOneOf } from '@vq/core'
import { expectOptions } from '../base/expect-options.js'
import { type StageStart, starts } from './start.js'

export interface RQKMeansOptions {
  /** K, the codes of a stage. Default 256. */
  nClusters?: number
  /** Q, the number of stages. Default 4. */
  nStages?: number
  /** Most updates of the centroids of a stage; with `batchSize` the number of batches. Default 300. */
  maxIter?: number
  /** A stage ends when its centroids' summed squared shift is at most this times the mean variance. Default 1e-4. */
  tol?: number
  /** Starts of a stage, of which the best counts. Default 1. */
  nInit?: number
  /** Where the centroids of a stage start: 'k-means++', 'progressive', or 'auto', the better of both. Default 'auto'. */
  init?: StageStart
  /** Fixes every draw. Default 0. */
  randomState?: number
  /** Length of a row, for typed arrays; tensors bring it along. */
  dim?: number
  /** Mini-batch k-means (Sculley 2010): this many random rows per update, and every row for the last. Default: every row. */
  batchSize?: number
  /** No code of a stage holds more than this share of the rows that are fitted, at least 1/K (rounded up to a row). Default 1. */
  maxShare?: number
  /**
   * Rounds of solving for all codebooks at once, the codes as they are, and finding the codes anew; with `maxShare` the codes stay.
   * Default 0.
   */
  refit?: number
  /** Paths that encoding keeps at each stage. Default 1. */
  beamSize?: number
  /** Bytes of rows held in memory while fitting; further ones go to a temporary file. Default 1 GiB. */
  memoryLimit?: number
  /** Writes a line per iteration to standard error. Default false. */
  verbose?: boolean
}

export type Resolved = Required<Omit<RQKMeansOptions, 'dim' | 'batchSize'>> &
  Pick<RQKMeansOptions, 'dim' | 'batchSize'>

export function resolve(options: RQKMeansOptions): Resolved {
  const name = 'RQKMeans'
  expectOptions(name, options, '{ nClusters: 256, nStages: 4 }')
  const { nClusters = 256, nStages = 4, maxIter = 300, tol = 1e-4, nInit = 1, randomState = 0 } = options
  const {
    dim,
    init = 'auto',
    batchSize,
    maxShare = 1,
    refit = 0,
    beamSize = 1,
    memoryLimit = 2 ** 30,
    verbose = false,
  } = options
  expectInteger(name, 'nClusters', nClusters, 1, 2 ** 31 - 1)
  expectInteger(name, 'nStages', nStages, 1, 1024)
  expectInteger(name, 'maxIter', maxIter, 1)
  expectNumber(name, 'tol', tol, 0, Number.MAX_VALUE)
  expectInteger(name, 'nInit', nInit, 1)
  expectOneOf(name, 'init', init, starts)
  expectInteger(name, 'randomState', randomState, 0)
  if (dim !== undefined) expectInteger(name, 'dim', dim, 1)
  if (batchSize !== undefined) expectInteger(name, 'batchSize', batchSize, 1)
  expectNumber(name, 'maxShare', maxShare, 1 / nClusters, 1)
  expectConfig(
    maxShare === 1 || batchSize === undefined,
    name,
    'maxShare without batchSize, since a share is one of all rows',
    maxShare,
    'Leave one of the two out.',
  )
  expectInteger(name, 'refit', refit, 0)
  expectInteger(name, 'beamSize', beamSize, 1, 1 << 20)
  expectNumber(name, 'memoryLimit', memoryLimit, 0, Number.MAX_SAFE_INTEGER)
  const all = {
    nClusters,
    nStages,
    maxIter,
    tol,
    nInit,
    init,
    randomState,
    maxShare,
    refit,
    beamSize,
    memoryLimit,
    verbose,
  }
  return { ...all, ...(dim === undefined ? {} : { dim }), ...(batchSize === undefined ? {} : { batchSize }) }
}
