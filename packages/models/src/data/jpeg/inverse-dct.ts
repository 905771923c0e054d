// The accurate integer transform of Loeffler, Ligtenberg and Moschytz (1989) with libjpeg's constants and roundings (jidctint.c), so
// that the result is the one that every library built on libjpeg gives, bit for bit.
const workspace = new Int32Array(64)

/** Coefficients [8, 8], dequantized, as samples 0..255 in `out` at `at`, rows `stride` apart. */
export function inverseDct(block: Int32Array, out: Uint8ClampedArray, at: number, stride: number): void {
  const w = workspace
  for (let c = 0; c < 8; c++) {
    const b1 = block[8 + c]
    const b2 = block[16 + c]
    const b3 = block[24 + c]
    const b4 = block[32 + c]
    const b5 = block[40 + c]
    const b6 = block[48 + c]
    const b7 = block[56 + c]
    if ((b1 | b2 | b3 | b4 | b5 | b6 | b7) === 0) {
      const dc = block[c] << 2
      for (let r = 0; r < 64; r += 8) w[r + c] = dc
      continue
    }
    transform(block[c], b1, b2, b3, b4, b5, b6, b7, 11, w, c, 8)
  }
  for (let r = 0; r < 8; r++) {
    const i = 8 * r
    transform(w[i], w[i + 1], w[i + 2], w[i + 3], w[i + 4], w[i + 5], w[i + 6], w[i + 7], 18, w, i, 1)
    const to = at + r * stride
    for (let c = 0; c < 8; c++) {
      out[to + c] = w[i + c] + 128
    }
  }
}

function transform(
  s0: number,
  s1: number,
  s2: number,
  s3: number,
  s4: number,
  s5: number,
  s6: number,
  s7: number,
  bits: number,
  out: Int32Array,
  at: number,
  step: number,
): void {
  const round = 1 << (bits - 1)
  const e = (s2 + s6) * 4433
  const e2 = e - s6 * 15137
  const e3 = e + s2 * 6270
  const sum = (s0 + s4) * 8192
  const difference = (s0 - s4) * 8192
  const e10 = sum + e3 + round
  const e13 = sum - e3 + round
  const e11 = difference + e2 + round
  const e12 = difference - e2 + round
  const z5 = (s7 + s3 + s5 + s1) * 9633
  const z1 = (s7 + s1) * -7373
  const z2 = (s5 + s3) * -20995
  const z3 = (s7 + s3) * -16069 + z5
  const z4 = (s5 + s1) * -3196 + z5
  const o0 = s7 * 2446 + z1 + z3
  const o1 = s5 * 16819 + z2 + z4
  const o2 = s3 * 25172 + z2 + z3
  const o3 = s1 * 12299 + z1 + z4
  out[at] = (e10 + o3) >> bits
  out[at + 7 * step] = (e10 - o3) >> bits
  out[at + step] = (e11 + o2) >> bits
  out[at + 6 * step] = (e11 - o2) >> bits
  out[at + 2 * step] = (e12 + o1) >> bits
  out[at + 5 * step] = (e12 - o1) >> bits
  out[at + 3 * step] = (e13 + o0) >> bits
  out[at + 4 * step] = (e13 - o0) >> bits
}
