/** Arrays one after another. */
export function joined<A extends Float32Array | Int32Array>(
  parts: readonly A[],
  make: new (length: number) => A,
): A {
  const all = new make(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
