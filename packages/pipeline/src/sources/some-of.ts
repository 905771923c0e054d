import type { Source } from './source.js'

/** The items of these numbers, each at most once, as a source of their own. `close` of either closes both. */
export function someOf(source: Source, numbers: ArrayLike<number>): Source {
  const kept = Int32Array.from(numbers)
  const back = new Map(Array.from(kept, (number, at) => [number, at]))
  const pick = (all: readonly string[]): string[] => Array.from(kept, i => all[i] as string)
  return {
    modality: source.modality,
    length: kept.length,
    shape: source.shape,
    skipped: source.skipped,
    ids: pick(source.ids),
    ...(source.captions && { captions: pick(source.captions) }),
    ...(source.labels && { labels: pick(source.labels) }),
    read: async (indices, options) => {
      const asked = Int32Array.from(indices, i => kept[i] as number)
      const { values, indices: found, failed } = await source.read(asked, options)
      return {
        values,
        indices: found.map(i => back.get(i) as number),
        failed: failed.map(item => ({ ...item, index: back.get(item.index) as number })),
      }
    },
    check: () => source.check(),
    dataset: () => source.dataset(),
    close: () => source.close(),
  }
}
