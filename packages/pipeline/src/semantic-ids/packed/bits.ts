/** Bits that the codes below `size` need: ceil(log2 size). */
export function bitsFor(size: number): number {
  return size <= 1 ? 0 : 32 - Math.clz32(size - 1)
}

/** Bytes of `rows` items whose codes have these bits each. */
export function packedBytes(rows: number, perItem: number): number {
  return Math.ceil((rows * perItem) / 8)
}

/** Codes bit by bit, the lowest first, each as wide as its level; `widths` repeat. Gives the position after the last byte. */
export function packCodes(
  codes: ArrayLike<number>,
  widths: ArrayLike<number>,
  out: Uint8Array,
  at: number,
): number {
  let [held, count] = [0, 0]
  for (let i = 0, level = 0; i < codes.length; i++, level = level + 1 === widths.length ? 0 : level + 1) {
    let [code, left] = [codes[i], widths[level]]
    while (left > 0) {
      const take = Math.min(left, 8 - count)
      held |= (code & ((1 << take) - 1)) << count
      code >>>= take
      left -= take
      count += take
      if (count === 8) {
        out[at++] = held
        held = count = 0
      }
    }
  }
  if (count > 0) out[at++] = held
  return at
}

/** The way back: fills `codes` from `at` on. */
export function unpackCodes(
  bytes: Uint8Array,
  at: number,
  widths: ArrayLike<number>,
  codes: Int32Array,
): void {
  let bit = 0
  for (let i = 0, level = 0; i < codes.length; i++, level = level + 1 === widths.length ? 0 : level + 1) {
    const width = widths[level]
    let code = 0
    for (let have = 0; have < width; ) {
      const take = Math.min(width - have, 8 - bit)
      code |= ((bytes[at] >>> bit) & ((1 << take) - 1)) << have
      have += take
      bit += take
      if (bit === 8) {
        bit = 0
        at++
      }
    }
    codes[i] = code
  }
}
