import { Random, residualEncode, VqConfigError, VqValueError } from '@vq/core'
import { balancedStage, mostRows } from './balance.js'
import { type LloydProgress, type LloydStart, lloyd, type Stage } from './lloyd.js'
import { miniBatch } from './mini-batch.js'
import type { Resolved } from './options.js'
import { refit } from './refit.js'
import { RowStore } from './row-store.js'
import { blocksOf, type RowSource } from './source.js'
import { startStage } from './start.js'
import type { Turn } from './turn.js'

export interface FitProgress {
  /** From 0. */
  stage: number
  stages: number
  /** From 0, of nInit. */
  attempt: number
  /** Assignments of this attempt so far. */
  iteration: number
  /** Σ squared distance of what the stage quantizes to its centroids. */
  inertia: number
}

/** Where a fit stands; from here it goes on to the same result. */
export interface FitState {
  dim: number
  /** The stages that are done. */
  done: Stage[]
  /** Of the stage being fitted. */
  attempt: number
  next?: LloydStart
  /** Of the attempts before. */
  best?: Stage
}

export interface Fitted {
  dim: number
  books: Float32Array[]
  /** [N] per stage. */
  codes: Int32Array[]
  /** N */
  count: number
  /** Mean squared error per element of what is left after each stage. */
  stageErrors: number[]
}

export interface FitHooks {
  turn: Turn
  /** From where to go on. */
  from: FitState | undefined
  onProgress(progress: FitProgress): void
  /** Told where the fit stands after every iteration. */
  onState(state: FitState): Promise<void>
}

/** Fits all stages to the rows of a source. */
export async function fitStages(source: RowSource, options: Resolved, hooks: FitHooks): Promise<Fitted> {
  const { nStages, refit: rounds } = options
  const store = await ingest(source, options, hooks.turn)
  try {
    const { dim, count } = store.rest
    const { from } = hooks
    const rows = from?.done[0]?.codes.length ?? count
    if (from !== undefined && (from.dim !== dim || rows !== count))
      throw new VqConfigError({
        operation: 'RQKMeans.fit',
        expected: `${rows} rows of ${from.dim} numbers, as the checkpoint has`,
        received: `${count} rows of ${dim}`,
        remedy: 'Go on with the data that the fit began with.',
      })
    const done: Stage[] = []
    const stageErrors: number[] = []
    for (let s = 0; s < nStages; s++) {
      const here = from?.done.length === s ? from : undefined
      done.push(from?.done[s] ?? (await fitStage(store.rest, done, options, hooks, here)))
      stageErrors.push(await subtract(store.rest, done[s], hooks.turn))
    }
    const [books, codes] = [done.map(d => d.centroids), done.map(d => d.codes)]
    if (rounds > 0 && store.whole !== undefined)
      await refine(
        store as { rest: RowStore; whole: RowStore },
        books,
        codes,
        stageErrors,
        options,
        hooks.turn,
      )
    return { dim, books, codes, count, stageErrors }
  } finally {
    store.rest.close()
    store.whole?.close()
  }
}

// All rows, and a copy of them where codes will be found anew.
async function ingest(
  source: RowSource,
  { dim, nClusters, memoryLimit, refit: rounds }: Resolved,
  turn: Turn,
): Promise<{ rest: RowStore; whole?: RowStore }> {
  let stores: { rest: RowStore; whole?: RowStore } | undefined
  try {
    for await (const block of blocksOf('RQKMeans.fit', source, dim)) {
      await turn.pass()
      if (stores === undefined) {
        const limit = rounds > 0 ? memoryLimit / 2 : memoryLimit
        const make = (): RowStore => new RowStore(block.dim, limit)
        stores = rounds > 0 ? { rest: make(), whole: make() } : { rest: make() }
      }
      const { rest } = stores
      const bad = firstNotFinite(block.values)
      if (bad >= 0)
        throw new VqValueError({
          operation: 'RQKMeans.fit',
          expected: 'finite rows',
          received: `${block.values[bad]} in row ${rest.count + Math.floor(bad / block.dim)}`,
          remedy: 'Leave such rows out.',
        })
      rest.append(block.values)
      stores.whole?.append(block.values)
    }
    const rows = stores?.rest.count ?? 0
    if (stores === undefined || rows < nClusters)
      throw new VqConfigError({
        operation: 'RQKMeans.fit',
        expected: `at least ${nClusters} rows, one per cluster`,
        received: `${rows}`,
        remedy: 'Pass more rows, or a smaller nClusters.',
      })
    return stores
  } catch (error) {
    stores?.rest.close()
    stores?.whole?.close()
    throw error
  }
}

// A plain loop: ten times as fast as findIndex.
function firstNotFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i
  return -1
}

async function fitStage(
  store: RowStore,
  done: Stage[],
  options: Resolved,
  { turn, onProgress, onState }: FitHooks,
  from: FitState | undefined,
): Promise<Stage> {
  const { nClusters: k, nStages, nInit, init, maxIter, tol, maxShare, batchSize, randomState } = options
  const stage = done.length
  const most = mostRows(maxShare, store.count, k)
  // Only Lloyd's algorithm goes on in the middle of a stage.
  const plain = batchSize === undefined && most >= store.count
  let best = from?.best
  for (let attempt = from?.attempt ?? 0; attempt < nInit; attempt++) {
    const random = new Random(randomState, stage * 2 ** 20 + attempt)
    const onIteration = async ({ iteration, inertia, next }: LloydProgress): Promise<void> => {
      onProgress({ stage, stages: nStages, attempt, iteration, inertia })
      const state = { dim: store.dim, done: [...done], attempt }
      await onState({ ...state, ...(plain ? { next } : {}), ...(best === undefined ? {} : { best }) })
    }
    const own = { k, maxIter, tol, turn, onIteration }
    const resumed = from?.attempt === attempt ? from.next : undefined
    const start = resumed ?? { centroids: startStage(store, k, init, random), iteration: 0 }
    let found: Stage
    if (plain) found = await lloyd(store, start, own)
    else if (batchSize !== undefined) found = await miniBatch(store, start.centroids, own, batchSize, random)
    else found = await balancedStage(store, start.centroids, own, most)
    if (best === undefined || found.inertia < best.inertia) best = found
  }
  return best as Stage
}

// Takes the chosen centroids from the rows; the mean square of what is left.
async function subtract(store: RowStore, { centroids, codes }: Stage, turn: Turn): Promise<number> {
  const { dim } = store
  let error = 0
  for (let b = 0; b < store.blocks; b++) {
    await turn.pass()
    store.visit(b, (rows, first) => {
      let sum = 0
      for (let i = 0, at = 0; at < rows.length; i++) {
        const c = codes[first + i] * dim
        for (let d = 0; d < dim; d++, at++) {
          rows[at] -= centroids[c + d]
          sum += rows[at] * rows[at]
        }
      }
      error += sum
      return true
    })
  }
  return error / (store.count * dim)
}

// Rounds of solving for the codebooks and finding the codes anew; the best of all rounds stays.
async function refine(
  { rest, whole }: { rest: RowStore; whole: RowStore },
  books: Float32Array[],
  codes: Int32Array[],
  stageErrors: number[],
  { refit: rounds, beamSize, maxShare, nClusters }: Resolved,
  turn: Turn,
): Promise<void> {
  const { dim, count } = rest
  // Codes found anew would forget the share.
  const held = mostRows(maxShare, count, nClusters) < count
  let error = stageErrors.at(-1) as number
  const now = { books: books.map(b => b.slice()), codes: codes.map(c => c.slice()) }
  for (let round = 0; round < rounds; round++) {
    await refit(rest, now.books, now.codes, turn)
    const errors = new Float64Array(books.length)
    for (let b = 0; b < whole.blocks; b++) {
      await turn.pass()
      whole.visit(b, (rows, first) => {
        const q = now.books.length
        const found = held
          ? Int32Array.from(
              { length: (rows.length / dim) * q },
              (_, i) => codes[i % q][first + Math.floor(i / q)],
            )
          : residualEncode(rows, now.books, { dim, beam: beamSize }).codes
        rest.visit(b, left => {
          left.set(rows)
          for (const [l, book] of now.books.entries())
            for (let i = 0, at = 0; at < left.length; i++) {
              const c = found[i * now.books.length + l]
              now.codes[l][first + i] = c
              for (let d = 0; d < dim; d++, at++) {
                left[at] -= book[c * dim + d]
                errors[l] += left[at] * left[at]
              }
            }
          return true
        })
        return false
      })
    }
    const mean = errors.map(e => e / (rest.count * dim))
    if (mean[mean.length - 1] >= error) return
    error = mean[mean.length - 1]
    for (let l = 0; l < books.length; l++) {
      books[l] = now.books[l].slice()
      codes[l] = now.codes[l].slice()
      stageErrors[l] = mean[l]
    }
  }
}
