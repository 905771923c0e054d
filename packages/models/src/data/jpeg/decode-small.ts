// Small plain JPEGs without a library: of the half millisecond that a 32×32 image takes there, nine tenths go into setting it up.
import { inverseDct } from './inverse-dct.js'
import { type Component, type Frame, parseSegments, zigzag } from './segments.js'
import { enlarge, type Plane, widen } from './upsample.js'

class Odd extends Error {}

// From here on 16 bits might not hold what comes out of a column, and libraries differ: 4 · √2 · cos(π/16) · 5900 < 2¹⁵.
const mostInBlock = 5900

/**
 * RGB bytes [height, width, 3] of a plain JPEG of just this size, the same bit for bit as libjpeg gives. Undefined for any other
 * image and wherever something looks odd: those are for the library, which knows more kinds and has better words.
 */
export function decodeSmallJpeg(bytes: Uint8Array, height: number, width: number): Uint8Array | undefined {
  const frame = parseSegments(bytes)
  if (frame === undefined || frame.width !== width || frame.height !== height) return undefined
  const planes = layout(frame)
  if (planes === undefined) return undefined
  try {
    decodeUnits(bytes, frame, planes)
  } catch (error) {
    if (error instanceof Odd) return undefined
    throw error
  }
  return toRgb(frame, planes)
}

// Grey, 4:4:4, 4:2:2 and 4:2:0, where the chroma is wide enough for libjpeg's filters.
function layout({ width, height, components }: Frame): Plane[] | undefined {
  const [first, ...rest] = components
  const [across, down] = [first.across, first.down]
  if (components.length === 1) {
    first.across = first.down = 1
    return [planeOf(width, height, 1, 1, 1, 1)]
  }
  const kind = across * 10 + down
  if ((kind !== 11 && kind !== 21 && kind !== 22) || rest.some(part => part.across !== 1 || part.down !== 1))
    return undefined
  if (kind !== 11 && Math.ceil(width / 2) <= 2) return undefined
  return components.map(part => planeOf(width, height, across, down, part.across, part.down))
}

function planeOf(width: number, height: number, across: number, down: number, h: number, v: number): Plane {
  const stride = Math.ceil(width / (8 * across)) * 8 * h
  const rows = Math.ceil(height / (8 * down)) * 8 * v
  return {
    samples: new Uint8ClampedArray(stride * rows),
    width: Math.ceil((width * h) / across),
    height: Math.ceil((height * v) / down),
    stride,
  }
}

/** Bits of the coded data, without the zero bytes that follow 0xff. */
class Bits {
  at: number
  private held = 0
  private count = 0
  private readonly bytes: Uint8Array

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes
    this.at = at
  }

  // Behind the data come ones: a code that needs them is odd, which `end` finds out.
  private fill(): void {
    while (this.count <= 16) {
      let byte = this.bytes[this.at]
      if (byte === 0xff) {
        if (this.bytes[this.at + 1] === 0) this.at += 2
        else this.missing += 8
      } else if (byte === undefined) {
        byte = 0xff
        this.missing += 8
      } else this.at++
      this.held = ((this.held << 8) | byte) & 0xffffff
      this.count += 8
    }
  }
  private missing = 0

  code(table: Component['dc']): number {
    if (this.count < 16) this.fill()
    const short = table.short[(this.held >> (this.count - 8)) & 0xff]
    if (short !== 0) {
      this.count -= short >> 8
      return short & 0xff
    }
    for (let length = 9; length <= 16; length++) {
      const code = (this.held >> (this.count - length)) & ((1 << length) - 1)
      if (code > table.largest[length]) continue
      this.count -= length
      return table.values[code + table.shift[length]]
    }
    throw new Odd()
  }

  /** A number of `size` bits, of which a leading 0 says that it is negative. */
  number(size: number): number {
    if (size === 0) return 0
    if (this.count < size) this.fill()
    this.count -= size
    const bits = (this.held >> this.count) & ((1 << size) - 1)
    return bits < 1 << (size - 1) ? bits - (1 << size) + 1 : bits
  }

  /** Goes behind the marker that must follow. */
  end(isMarker: (marker: number) => boolean): void {
    // What was made up must not have been used, and less than a byte may be left.
    if (this.count < this.missing || this.count - this.missing > 7) throw new Odd()
    if (this.bytes[this.at] !== 0xff || !isMarker(this.bytes[this.at + 1])) throw new Odd()
    this.at += 2
    this.held = this.count = this.missing = 0
  }
}

function decodeUnits(bytes: Uint8Array, frame: Frame, planes: readonly Plane[]): void {
  const { components, restart, width, height } = frame
  const unitsAcross = Math.ceil(width / (8 * components[0].across))
  const units = unitsAcross * Math.ceil(height / (8 * components[0].down))
  const bits = new Bits(bytes, frame.data)
  const block = new Int32Array(64)
  const last = new Int32Array(components.length)
  for (let unit = 0; unit < units; unit++) {
    if (restart > 0 && unit > 0 && unit % restart === 0) {
      const expected = 0xd0 + ((unit / restart - 1) & 7)
      bits.end(marker => marker === expected)
      last.fill(0)
    }
    const [row, column] = [Math.floor(unit / unitsAcross), unit % unitsAcross]
    for (let part = 0; part < components.length; part++) {
      const { across, down, quantization, dc, ac } = components[part]
      const { samples, stride } = planes[part]
      for (let v = 0; v < down; v++)
        for (let h = 0; h < across; h++) {
          block.fill(0)
          const size = bits.code(dc)
          if (size > 11) throw new Odd()
          last[part] += bits.number(size)
          block[0] = last[part] * quantization[0]
          let total = Math.abs(block[0])
          for (let k = 1; k < 64; k++) {
            const code = bits.code(ac)
            const run = code >> 4
            if ((code & 15) === 0) {
              if (run < 15) {
                if (run > 0) throw new Odd()
                break
              }
              k += 15
              continue
            }
            k += run
            if (k > 63 || (code & 15) > 10) throw new Odd()
            const place = zigzag[k]
            block[place] = bits.number(code & 15) * quantization[place]
            total += Math.abs(block[place])
          }
          if (total > mostInBlock) throw new Odd()
          inverseDct(block, samples, (row * down + v) * 8 * stride + (column * across + h) * 8, stride)
        }
    }
  }
  bits.end(marker => marker === 0xd9)
}

const half = 1 << 15
const table = (factor: number, round: number): Int32Array =>
  Int32Array.from({ length: 256 }, (_, v) => Math.floor(factor * 65536 + 0.5) * (v - 128) + round)
const redOfCr = table(1.402, half).map(v => v >> 16)
const blueOfCb = table(1.772, half).map(v => v >> 16)
const greenOfCr = table(0.71414, 0).map(v => -v)
const greenOfCb = table(0.34414, 0).map(v => half - v)

function toRgb({ width, height, components }: Frame, planes: readonly Plane[]): Uint8Array {
  const out = new Uint8ClampedArray(width * height * 3)
  const [luma, ...chroma] = planes
  if (chroma.length === 0) {
    for (let y = 0, to = 0; y < height; y++)
      for (let x = 0; x < width; x++, to += 3) out.fill(luma.samples[y * luma.stride + x], to, to + 3)
    return new Uint8Array(out.buffer)
  }
  const { across, down } = components[0]
  const [blue, red] = chroma.map(plane =>
    down === 2
      ? { samples: enlarge(plane, width, height), stride: width }
      : across === 2
        ? { samples: widen(plane, width), stride: width }
        : plane,
  )
  const [light, cb, cr] = [luma.samples, blue.samples, red.samples]
  for (let y = 0, to = 0; y < height; y++) {
    const [at, blueAt, redAt] = [y * luma.stride, y * blue.stride, y * red.stride]
    for (let x = 0; x < width; x++, to += 3) {
      const value = light[at + x]
      const b = cb[blueAt + x]
      const r = cr[redAt + x]
      out[to] = value + redOfCr[r]
      out[to + 1] = value + ((greenOfCb[b] + greenOfCr[r]) >> 16)
      out[to + 2] = value + blueOfCb[b]
    }
  }
  return new Uint8Array(out.buffer)
}
