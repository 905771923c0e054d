/**
 * Floats of 8 bits and fewer, through tables: NVIDIA, Arm and Intel's FP8 (arXiv:2209.05433), Graphcore's FNUZ (arXiv:2206.02915)
 * and the Open Compute Project's microscaling types F4, F6 and E8M0 (OCP MX 1.0, 2023).
 */
export type SmallFloat =
  | 'F4'
  | 'F6_E2M3'
  | 'F6_E3M2'
  | 'F8_E4M3'
  | 'F8_E5M2'
  | 'F8_E4M3FNUZ'
  | 'F8_E5M2FNUZ'
  | 'F8_E8M0'

interface Format {
  bits: number
  exponent: number
  bias: number
  /** What is too large: an infinity or NaN of that code, or the largest number where there is none. As in PyTorch 2.13. */
  overflow?: number
  /** The code of a NaN; without one, NaN and infinities are refused. */
  nan?: number
}

const formats: Record<SmallFloat, Format> = {
  F4: { bits: 4, exponent: 2, bias: 1 },
  F6_E2M3: { bits: 6, exponent: 2, bias: 1 },
  F6_E3M2: { bits: 6, exponent: 3, bias: 3 },
  F8_E4M3: { bits: 8, exponent: 4, bias: 7, nan: 0x7f },
  F8_E5M2: { bits: 8, exponent: 5, bias: 15, nan: 0x7f, overflow: 0x7c },
  F8_E4M3FNUZ: { bits: 8, exponent: 4, bias: 8, nan: 0x80, overflow: 0x80 },
  F8_E5M2FNUZ: { bits: 8, exponent: 5, bias: 16, nan: 0x80, overflow: 0x80 },
  F8_E8M0: { bits: 8, exponent: 8, bias: 127, nan: 0xff, overflow: 0xff },
}

/** In a table of `narrowTable`: the type has nothing for it. */
const none = -1

export function isSmallFloat(dtype: string): dtype is SmallFloat {
  return Object.hasOwn(formats, dtype)
}

const wide = new Map<SmallFloat, Uint32Array>()
const narrow = new Map<SmallFloat, Int16Array>()

/** The float32 bits of every code. */
export function wideTable(dtype: SmallFloat): Uint32Array {
  let words = wide.get(dtype)
  if (words === undefined) {
    words = new Uint32Array(new Float32Array(2 ** formats[dtype].bits).buffer)
    const values = new Float32Array(words.buffer)
    for (let code = 0; code < words.length; code++) {
      values[code] = valueOfCode(dtype, code)
      // NaNs of different codes stay apart, and the first bit of a payload, the quiet one, is where PyTorch has it.
      if (dtype === 'F8_E5M2' && (code & 0x7f) > 0x7c)
        words[code] = ((code & 0x80) << 24) | 0x7f800000 | ((code & 3) << 21)
      else if (dtype === 'F8_E4M3' && (code & 0x7f) === 0x7f) words[code] = ((code & 0x80) << 24) | 0x7fc00000
    }
    wide.set(dtype, words)
  }
  return words
}

function valueOfCode(dtype: SmallFloat, code: number): number {
  const { bits, exponent, bias } = formats[dtype]
  if (dtype === 'F8_E8M0') return code === 255 ? Number.NaN : 2 ** (code - bias)
  const mantissa = bits - 1 - exponent
  const half = 1 << (bits - 1)
  if (dtype.endsWith('FNUZ') && code === half) return Number.NaN
  const size = code & (half - 1)
  const sign = code >= half ? -1 : 1
  const e = size >> mantissa
  const fraction = (size & ((1 << mantissa) - 1)) / (1 << mantissa)
  if (dtype === 'F8_E5M2' && e === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  if (dtype === 'F8_E4M3' && size === 127) return Number.NaN
  return sign * (e === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (e - bias))
}

/**
 * The code of every float32 by its upper 16 bits, of which the last says whether anything was below: no type here looks further.
 * `none` (below 0) where the type has no such value.
 */
export function narrowTable(dtype: SmallFloat): Int16Array {
  let table = narrow.get(dtype)
  if (table === undefined) {
    table = makeNarrow(dtype)
    narrow.set(dtype, table)
  }
  return table
}

function makeNarrow(dtype: SmallFloat): Int16Array {
  const { bits, exponent, bias, nan, overflow } = formats[dtype]
  const unsigned = dtype === 'F8_E8M0'
  const half = 1 << (bits - 1)
  const count = unsigned ? 256 : half
  const values = Array.from({ length: count }, (_, code) => valueOfCode(dtype, code))
  const finite = values.filter(Number.isFinite).length
  const most = finite - 1
  // The number that would come next decides what is too large.
  const step = 2 ** ((most >> (bits - 1 - exponent)) - bias - (bits - 1 - exponent))
  const next = unsigned ? 2 ** 128 : values[most] + step
  const table = new Int16Array(65536)
  const word = new Uint32Array(1)
  const float = new Float32Array(word.buffer)
  let below = 0
  for (let i = 0; i < 32768; i++) {
    word[0] = i << 16
    const value = i === 0x7f80 ? next : float[0]
    let code: number
    if (i > 0x7f80) code = dtype === 'F8_E5M2' ? 0x7c | ((i >> 5) & 3 || 3) : (nan ?? none)
    else {
      while (below < most && values[below + 1] <= value) below++
      const above = below === most ? next : values[below + 1]
      const middle = (values[below] + above) / 2
      // E8M0 has no last digit to be even: its ties go up, as the digit they round is the hidden one.
      const up = value > middle || (value === middle && (unsigned || (below & 1) === 1))
      code = below + (up ? 1 : 0)
      if (code > most) code = overflow ?? (i === 0x7f80 && nan === undefined ? none : most)
      if (i === 0x7f80 && unsigned) code = 255
    }
    table[i] = code
    table[i + 32768] = negative(dtype, code, i, half)
  }
  return table
}

function negative(dtype: SmallFloat, code: number, i: number, half: number): number {
  if (code === none) return none
  // E8M0 has no sign: a negative number would lose its own in silence. −0 is 0, and NaN has none anywhere.
  if (dtype === 'F8_E8M0') return i === 0 || i > 0x7f80 ? code : none
  if (dtype.endsWith('FNUZ')) return code === 0 || code === 0x80 ? code : code | half
  return code | half
}
