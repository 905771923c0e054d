/**
 * Does `work` for every item, at most `limit` of them at a time, and gives the results in the order of the items. After a
 * failure or an abort nothing more is begun, what runs is waited for, and the failure of the first item in order is thrown.
 *
 * @example
 * const sizes = await mapBounded(files, 4, async file => (await stat(file)).size)
 */
export async function mapBounded<T, R>(
  items: ArrayLike<T>,
  limit: number,
  work: (item: T, index: number) => Promise<R>,
  signal?: AbortSignal,
): Promise<R[]> {
  const results = new Array<R>(items.length)
  const failures: { index: number; error: unknown }[] = []
  let next = 0
  async function worker(): Promise<void> {
    while (next < items.length && failures.length === 0) {
      const index = next++
      try {
        signal?.throwIfAborted()
        results[index] = await work(items[index], index)
      } catch (error) {
        failures.push({ index, error })
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
  if (failures.length > 0) throw failures.sort((a, b) => a.index - b.index)[0].error
  return results
}
