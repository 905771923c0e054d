import { VqConfigError } from '@vq/core'

export type { Dataset, Extras } from '@vq/models/data'

/** Throws VqConfigError unless every number is one of an item. */
export function expectIndices(
  operation: string,
  { length }: { readonly length: number },
  indices: Int32Array,
): void {
  const bad = indices.findIndex(i => !(i >= 0 && i < length))
  if (bad >= 0)
    throw new VqConfigError({
      operation,
      expected: `numbers of items from 0 to ${length - 1}`,
      received: `${indices[bad]} at place ${bad}`,
      remedy: 'Ask for items that the data set has.',
    })
}
