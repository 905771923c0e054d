// Source: ITU-T T.81 (JPEG), annexes B and F.

/** A part of a plane: 8×8 blocks of one colour. */
export interface Component {
  /** Blocks in a unit. */
  across: number
  down: number
  quantization: Int32Array
  dc: Huffman
  ac: Huffman
}

export interface Frame {
  width: number
  height: number
  components: Component[]
  /** Units between restarts, 0 for none. */
  restart: number
  /** Where the coded units begin. */
  data: number
}

/** Codes of up to 8 bits by a table, longer ones by their length. */
export interface Huffman {
  /** By the next 8 bits: length << 8 | value, 0 where the code is longer. */
  short: Int32Array
  /** By length: the largest code, −1 for none, and what is added to a code for its place in `values`. */
  largest: Int32Array
  shift: Int32Array
  values: Uint8Array
}

const zigzag: Uint8Array = Uint8Array.of(
  ...[
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28,
  ],
  ...[
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60,
    61, 54, 47, 55, 62, 63,
  ],
)

export { zigzag }

/**
 * The segments of a plain JPEG: baseline, 8 bits, one scan, grey or YCbCr, without EXIF data or a colour profile. Undefined for every
 * other one, and where anything looks odd.
 */
export function parseSegments(bytes: Uint8Array): Frame | undefined {
  const quantization: (Int32Array | undefined)[] = []
  const tables: { dc: (Huffman | undefined)[]; ac: (Huffman | undefined)[] } = { dc: [], ac: [] }
  let size:
    | { width: number; height: number; parts: { id: number; across: number; down: number; table: number }[] }
    | undefined
  let restart = 0
  let jfif = false
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return undefined
  for (let at = 2; at + 4 <= bytes.length; ) {
    if (bytes[at] !== 0xff) return undefined
    const marker = bytes[at + 1]
    const end = at + 2 + ((bytes[at + 2] << 8) | bytes[at + 3])
    const body = bytes.subarray(at + 4, end)
    if (end > bytes.length || end < at + 4) return undefined
    at = end
    if (marker === 0xe0) jfif ||= body[0] === 0x4a && body[1] === 0x46 && body[2] === 0x49 && body[3] === 0x46
    else if (marker === 0xdb) {
      for (let i = 0; i < body.length; i += 65) {
        if (body[i] > 3 || i + 65 > body.length) return undefined
        const table = new Int32Array(64)
        for (let k = 0; k < 64; k++) table[zigzag[k]] = body[i + 1 + k]
        quantization[body[i]] = table
      }
    } else if (marker === 0xc0) {
      if (size !== undefined || body[0] !== 8 || body.length !== 6 + 3 * body[5]) return undefined
      const parts = Array.from({ length: body[5] }, (_, i) => {
        const [id, sampling, table] = body.subarray(6 + 3 * i)
        return { id, across: sampling >> 4, down: sampling & 15, table }
      })
      size = { height: (body[1] << 8) | body[2], width: (body[3] << 8) | body[4], parts }
      if (parts.some(({ across, down }) => across < 1 || across > 4 || down < 1 || down > 4)) return undefined
    } else if (marker === 0xc4) {
      for (let i = 0; i < body.length; ) {
        const count = body.subarray(i + 1, i + 17).reduce((a, b) => a + b, 0)
        const kind = body[i] >> 4
        const table = huffmanOf(body.subarray(i + 1, i + 17), body.subarray(i + 17, i + 17 + count))
        if (
          kind > 1 ||
          (kind === 0 && table?.values.some(value => value > 15)) ||
          (body[i] & 15) > 3 ||
          i + 17 + count > body.length ||
          table === undefined
        )
          return undefined
        tables[kind === 0 ? 'dc' : 'ac'][body[i] & 15] = table
        i += 17 + count
      }
    } else if (marker === 0xdd) {
      if (body.length !== 2) return undefined
      restart = (body[0] << 8) | body[1]
    } else if (marker === 0xda) {
      if (size === undefined || size.width === 0 || size.height === 0) return undefined
      const { parts } = size
      const ids = parts.map(({ id }) => id)
      // As libjpeg tells YCbCr from other colours.
      const colours = parts.length === 3 && (jfif ? new Set(ids).size === 3 : ids.join() === '1,2,3')
      if (parts.length !== 1 && !colours) return undefined
      if (body.length !== 4 + 2 * parts.length || body[0] !== parts.length) return undefined
      // One scan of everything.
      if (body.at(-3) !== 0 || body.at(-2) !== 63 || body.at(-1) !== 0) return undefined
      const components: Component[] = []
      for (const [i, { id, across, down, table }] of parts.entries()) {
        const [q, dc, ac] = [
          quantization[table],
          tables.dc[body[2 + 2 * i] >> 4],
          tables.ac[body[2 + 2 * i] & 15],
        ]
        if (body[1 + 2 * i] !== id || !q || !dc || !ac) return undefined
        components.push({ across, down, quantization: q, dc, ac })
      }
      return { width: size.width, height: size.height, components, restart, data: at }
    } else if (marker !== 0xfe) return undefined
  }
  return undefined
}

function huffmanOf(lengths: Uint8Array, values: Uint8Array): Huffman | undefined {
  const table = {
    short: new Int32Array(256),
    largest: new Int32Array(17).fill(-1),
    shift: new Int32Array(17),
    values,
  }
  let [code, place] = [0, 0]
  for (let length = 1; length <= 16; length++) {
    const count = lengths[length - 1]
    table.shift[length] = place - code
    for (let i = 0; i < count; i++, code++, place++) {
      if (length > 8) continue
      const first = code << (8 - length)
      if (first >= 256) return undefined
      table.short.fill((length << 8) | values[place], first, first + (1 << (8 - length)))
    }
    if (count > 0) table.largest[length] = code - 1
    // No code is all ones.
    if (count > 0 && code >= 1 << length) return undefined
    code <<= 1
  }
  return table
}
