// A reader of scalars in TensorBoard's event files, written from the formats' descriptions and sharing nothing with the
// writer: TFRecord framing with its checksums, and of protocol buffers what events need.

export interface Scalar {
  step: number
  tag: string
  value: number
}

/** Bit by bit, as the polynomial x^32 + x^28 + x^27 + … + 1 is divided. */
function crc32c(bytes: Uint8Array): number {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (0x82f63b78 & -(crc & 1))
  }
  return ~crc >>> 0
}

function check(stored: number, bytes: Uint8Array): void {
  const rotated = (stored - 0xa282ead8) >>> 0
  const plain = ((rotated << 15) | (rotated >>> 17)) >>> 0
  if (plain !== crc32c(bytes)) throw new Error(`checksum ${stored}`)
}

/** Every scalar of a file; throws where a checksum is wrong, the version is missing or the file ends within a record. */
export function readScalars(file: Buffer): Scalar[] {
  const scalars: Scalar[] = []
  for (let at = 0, count = 0; at < file.length; count++) {
    const length = Number(file.readBigUInt64LE(at))
    check(file.readUInt32LE(at + 8), file.subarray(at, at + 8))
    const data = file.subarray(at + 12, at + 12 + length)
    check(file.readUInt32LE(at + 12 + length), data)
    at += 16 + length
    const event = parse(data)
    if (count === 0 && String(event[3]?.[0]) !== 'brain.Event:2') throw new Error('no version first')
    const step = Number(event[2]?.[0] ?? 0)
    for (const summary of event[5] ?? [])
      for (const raw of parse(summary as Buffer)[1] ?? []) {
        const value = parse(raw as Buffer)
        if (value[2] !== undefined)
          scalars.push({ step, tag: String(value[1]?.[0]), value: (value[2][0] as Buffer).readFloatLE(0) })
      }
  }
  return scalars
}

function parse(message: Buffer): Record<number, (Buffer | number)[]> {
  const fields: Record<number, (Buffer | number)[]> = {}
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++]!
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const key = varint()
    const field = key >> 3
    const size = { 1: 8, 5: 4 }[key & 7] ?? 0
    let value: Buffer | number
    if ((key & 7) === 0) value = varint()
    else {
      const length = (key & 7) === 2 ? varint() : size
      value = message.subarray(at, at + length)
      at += length
    }
    fields[field] = [...(fields[field] ?? []), value]
  }
  return fields
}
