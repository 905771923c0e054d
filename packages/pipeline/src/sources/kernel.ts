// What every kind of items has in common, on top of what reads one kind.
import { VqAbortError, VqConfigError, VqFormatError, VqValueError } from '@vq/core'
import type { Dataset } from '@vq/models/data'
import type { FailedItem, Modality, ReadResult, SkippedItem, Source, SourceOptions } from './source.js'

/** Items of one kind. */
export interface Kernel {
  readonly modality: Modality
  readonly length: number
  readonly shape: readonly number[]
  id(index: number): string
  /** By item. */
  readonly labels?: readonly string[] | undefined
  readonly captions?: readonly string[] | undefined
  readonly skipped: readonly SkippedItem[]
  /** Items that `check` reads at once. */
  readonly checkedAtOnce: number
  /** Every number is one of an item. */
  read(indices: Int32Array, signal: AbortSignal | undefined): Promise<ReadResult>
  /** From now on what was decoded is kept. */
  keep?(): void
  /** Items will be read in any order, again and again. */
  load?(): void
  close(): Promise<void>
}

/** Calls `onSkip` once for each id. */
export function reporter(options: SourceOptions): (bad: SkippedItem) => void {
  const told = new Set<string>()
  return ({ id, reason }) => {
    if (options.onSkip === undefined || told.has(id)) return
    told.add(id)
    options.onSkip(id, reason)
  }
}

/** The error of a bad item in a strict source. */
export function badItem({ id, reason }: SkippedItem): VqFormatError {
  return new VqFormatError({
    operation: 'openSource',
    expected: `${id} to be an item that can be used`,
    received: reason,
    remedy: 'Repair or remove it, or pass strict: false to skip bad items.',
  })
}

/** A source of the kernel's items, or of the chosen ones. */
export function sourceOf(kernel: Kernel, options: SourceOptions, report: (bad: SkippedItem) => void): Source {
  return selected(kernel, options, report, undefined, [])
}

function selected(
  kernel: Kernel,
  options: SourceOptions,
  report: (bad: SkippedItem) => void,
  chosen: Int32Array | undefined,
  bad: readonly SkippedItem[],
): Source {
  const { modality, shape } = kernel
  const length = chosen?.length ?? kernel.length
  const at = (index: number): number => chosen?.[index] ?? index
  const all = <T>(of: (item: number) => T): T[] => Array.from({ length }, (_, i) => of(at(i)))
  const pick = (values: readonly string[]): readonly string[] => (chosen ? all(i => values[i]) : values)
  let ids: readonly string[] | undefined

  const read = async (indices: ArrayLike<number>, signal = options.signal): Promise<ReadResult> => {
    const wanted = checked(indices, length)
    if (signal?.aborted) throw new VqAbortError('Source.read', signal.reason)
    const result = await kernel.read(chosen ? wanted.map(at) : wanted, signal)
    for (const failed of result.failed) {
      if (options.strict) throw badItem(failed)
      report(failed)
    }
    if (chosen === undefined) return result
    const back = new Map(Array.from(wanted, index => [at(index), index]))
    const own = (item: number): number => back.get(item) as number
    return {
      values: result.values,
      indices: result.indices.map(own),
      failed: result.failed.map(failed => ({ ...failed, index: own(failed.index) })),
    }
  }

  return {
    modality,
    length,
    shape,
    get ids() {
      ids ??= all(i => kernel.id(i))
      return ids
    },
    ...(kernel.labels && { labels: pick(kernel.labels) }),
    ...(kernel.captions && { captions: pick(kernel.captions) }),
    skipped: [...kernel.skipped, ...bad],
    read: (indices, { signal } = {}) => read(indices, signal),
    check: async ({ signal, onProgress } = {}) => {
      kernel.keep?.()
      const failed: FailedItem[] = []
      for (let from = 0; from < length; from += kernel.checkedAtOnce) {
        const count = Math.min(kernel.checkedAtOnce, length - from)
        const part = await read(
          Int32Array.from({ length: count }, (_, i) => from + i),
          signal,
        )
        failed.push(...part.failed)
        onProgress?.(from + count, length)
      }
      const lost = new Set(failed.map(({ index }) => index))
      const kept = Int32Array.from({ length }, (_, i) => i)
        .filter(i => !lost.has(i))
        .map(at)
      const more = [...bad, ...failed.map(({ id, reason }) => ({ id, reason }))]
      if (kept.length === 0) throw nothing(modality, [...kernel.skipped, ...more])
      return selected(kernel, options, report, kept.length === kernel.length ? undefined : kept, more)
    },
    dataset: () =>
      datasetOf(
        kernel,
        length,
        read,
        {
          labels: kernel.labels && pick(kernel.labels),
          captions: kernel.captions && pick(kernel.captions),
        },
        () => all(i => kernel.id(i)),
      ),
    close: () => kernel.close(),
  }
}

function datasetOf(
  kernel: Kernel,
  length: number,
  read: (indices: ArrayLike<number>) => Promise<ReadResult>,
  { labels, captions }: { labels: readonly string[] | undefined; captions: readonly string[] | undefined },
  ids: () => readonly string[],
): Dataset {
  if (kernel.modality === 'text')
    throw new VqConfigError({
      operation: 'Source.dataset',
      expected: 'images, videos or vectors',
      received: 'texts',
      remedy: 'Read the texts and give them to a tokenizer.',
    })
  kernel.keep?.()
  kernel.load?.()
  const classes = [...new Set(labels ?? [])].sort((a, b) => (a < b ? -1 : 1))
  const numbers = new Map(classes.map((name, number) => [name, number]))
  return {
    length,
    shape: kernel.shape,
    get ids() {
      return ids()
    },
    ...(labels && { labels }),
    ...(captions && { captions }),
    batch: async indices => {
      const { values, failed } = await read(indices)
      if (failed.length > 0) throw badItem(failed[0])
      return values as Float32Array
    },
    ...(labels &&
      classes.length > 1 && {
        extras: indices => {
          const of = Array.from(checked(indices, length), i => numbers.get(labels[i]) as number)
          return { label: { values: Int32Array.from(of), shape: [indices.length] } }
        },
      }),
  }
}

function checked(indices: ArrayLike<number>, length: number): Int32Array {
  for (let n = 0; n < indices.length; n++) {
    const index = indices[n]
    if (Number.isInteger(index) && index >= 0 && index < length) continue
    throw new VqConfigError({
      operation: 'Source.read',
      expected: `numbers of items from 0 to ${length - 1}`,
      received: `${index} at place ${n}`,
      remedy: 'Ask for items that the source has.',
    })
  }
  return indices instanceof Int32Array ? indices : Int32Array.from(indices)
}

/** The error where nothing is left. */
export function nothing(modality: Modality, skipped: readonly SkippedItem[]): VqConfigError {
  const few = skipped.slice(0, 3).map(({ id, reason }) => `${id}: ${reason}`)
  return new VqConfigError({
    operation: 'openSource',
    expected: `at least one ${modality} that can be used`,
    received:
      few.length === 0
        ? 'none'
        : `${skipped.length} that cannot (${few.join('; ')}${skipped.length > few.length ? '; …' : ''})`,
    remedy: 'Check the path, the column and the modality; folders are searched with their sub-folders.',
  })
}

/**
 * Ids of which none is twice: the second of a kind gets `~2`, the third `~3`, in the order of the items. Throws VqValueError for one
 * where `strict`.
 */
export function unique(ids: readonly string[], strict: boolean): string[] {
  const seen = new Set(ids)
  if (seen.size === ids.length) return [...ids]
  const taken = new Set<string>()
  const next = new Map<string, number>()
  return ids.map(id => {
    if (!taken.has(id)) {
      taken.add(id)
      return id
    }
    if (strict)
      throw new VqValueError({
        operation: 'openSource',
        expected: 'ids of which none is twice',
        received: `${JSON.stringify(id)} more than once`,
        remedy: 'Give each item its own id, or pass strict: false, which calls the second ‘id~2’.',
      })
    let number = next.get(id) ?? 2
    while (seen.has(`${id}~${number}`) || taken.has(`${id}~${number}`)) number++
    next.set(id, number + 1)
    taken.add(`${id}~${number}`)
    return `${id}~${number}`
  })
}
