/**
 * Half precision and bfloat16, by bits: NaNs keep their payloads both ways, as far as these fit. Narrowing rounds to the
 * nearest, ties to even, and what is too large becomes an infinity (IEEE 754-2019, 4.3.1).
 */

let halves: Uint32Array | undefined

// The float32 bits of all 65,536 halves.
function halfTable(): Uint32Array {
  if (halves !== undefined) return halves
  const bits = new Uint32Array(65536)
  const values = new Float32Array(bits.buffer)
  for (let h = 0; h < 65536; h++) {
    const sign = h & 0x8000
    const exponent = (h >> 10) & 31
    const fraction = h & 1023
    if (exponent === 0) values[h] = (sign === 0 ? 1 : -1) * fraction * 2 ** -24
    else bits[h] = sign * 65536 + (exponent === 31 ? 255 : exponent + 112) * 2 ** 23 + fraction * 8192
  }
  halves = bits
  return bits
}

/** IEEE half precision to float32, exactly. */
export function fromHalf(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const table = halfTable()
  const words = new Uint32Array(bits.length)
  for (let i = 0; i < words.length; i++) words[i] = table[bits[i]]
  return new Float32Array(words.buffer)
}

/** bfloat16 to float32, exactly: the upper half of its bits. */
export function fromBrain(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(bits.length)
  for (let i = 0; i < words.length; i++) words[i] = bits[i] << 16
  return new Float32Array(words.buffer)
}

/** Bits of float32 to those of half precision. */
export function toHalf(words: Uint32Array): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(words.length)
  for (let i = 0; i < out.length; i++) {
    const word = words[i]
    const size = word & 0x7fffffff
    let half: number
    if (size >= 0x38800000 && size < 0x47800000)
      // Half a unit, less one where the last bit that stays is even; a carry moves into the exponent.
      half = (size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13
    else if (size < 0x33000000) half = 0
    else if (size < 0x38800000) half = subnormalHalf(size)
    else half = size <= 0x7f800000 ? 0x7c00 : 0x7c00 | narrowPayload(size & 0x7fffff, 13, 0x200)
    out[i] = ((word >>> 16) & 0x8000) | half
  }
  return out
}

function subnormalHalf(size: number): number {
  const shift = 126 - (size >>> 23) // 14 to 24: from 24 bits of significand to units of 2^-24
  const significand = (size & 0x7fffff) | 0x800000
  const whole = significand >>> shift
  const rest = significand & ((1 << shift) - 1)
  const tie = 1 << (shift - 1)
  return rest > tie || (rest === tie && (whole & 1) === 1) ? whole + 1 : whole
}

/** Bits of float32 to those of bfloat16. */
export function toBrain(words: Uint32Array): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(words.length)
  for (let i = 0; i < out.length; i++) {
    const word = words[i]
    out[i] =
      (word & 0x7fffffff) > 0x7f800000
        ? ((word >>> 16) & 0xff80) | narrowPayload(word & 0x7fffff, 16, 0x40)
        : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
  }
  return out
}

// A NaN whose payload lies in the lost bits must not become an infinity.
function narrowPayload(fraction: number, shift: number, quiet: number): number {
  const kept = fraction >>> shift
  return kept === 0 ? quiet : kept
}

/**
 * The float32 bits of float64 values, rounded to odd where they are not exact: rounding these to a type narrower by two bits or
 * more gives what rounding the float64 at once would give (Boldo and Melquiond, Emulation of FMA, 2008).
 */
export function oddWords(values: Float64Array): Uint32Array<ArrayBuffer> {
  const nearest = new Float32Array(values)
  const words = new Uint32Array(nearest.buffer)
  for (let i = 0; i < words.length; i++) {
    const value = values[i]
    const near = nearest[i]
    if (near === value || Number.isNaN(value)) continue
    if (Math.abs(near) > Math.abs(value)) words[i]--
    words[i] |= 1
  }
  return words
}
