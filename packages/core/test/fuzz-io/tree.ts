import { ok } from 'node:assert'

/** The arrays in what a pickle became, each once. Throws where a value is none of those that there may be, or the tree is endless. */
export function arraysIn(root: unknown): ArrayBufferView[] {
  const seen = new Set<unknown>()
  const arrays: ArrayBufferView[] = []
  const open = [{ value: root, depth: 0 }]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { value, depth } = next
    ok(depth < 520, 'nested too deep')
    if (typeof value !== 'object' || value === null) {
      ok(
        value === null || ['string', 'number', 'bigint', 'boolean'].includes(typeof value),
        `a ${typeof value}`,
      )
      continue
    }
    if (seen.has(value)) continue
    seen.add(value)
    if (ArrayBuffer.isView(value)) {
      arrays.push(value)
      continue
    }
    const plain = [null, Array.prototype, Map.prototype, Set.prototype, Object.prototype]
    ok(plain.includes(Object.getPrototypeOf(value)), 'an object of another class')
    const children =
      value instanceof Map ? [...value].flat() : value instanceof Set ? [...value] : Object.values(value)
    for (const child of children) open.push({ value: child, depth: depth + 1 })
  }
  return arrays
}
