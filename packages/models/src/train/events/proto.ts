// The little of protocol buffers that event files need: https://protobuf.dev/programming-guides/encoding/.
type Part = Uint8Array

function varint(value: bigint): Part {
  const bytes: number[] = []
  for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
    if (rest < 128n) return Uint8Array.of(...bytes, Number(rest))
    bytes.push(Number(rest & 127n) | 128)
  }
}

const key = (field: number, type: number): Part => varint(BigInt((field << 3) | type))

/** One message out of its fields. */
export function join(...parts: Part[]): Uint8Array {
  return Buffer.concat(parts)
}

/** As proto3 has it: a field that is 0 is left out. */
export function int(field: number, value: number): Part {
  return value === 0 ? new Uint8Array(0) : join(key(field, 0), varint(BigInt(value)))
}

/** As `int`. */
export function double(field: number, value: number): Part {
  if (value === 0) return new Uint8Array(0)
  const out = new Uint8Array(8)
  new DataView(out.buffer).setFloat64(0, value, true)
  return join(key(field, 1), out)
}

/** Of a choice of fields, which is written also where it is 0. */
export function float(field: number, value: number): Part {
  const out = new Uint8Array(4)
  new DataView(out.buffer).setFloat32(0, value, true)
  return join(key(field, 5), out)
}

/** A string, bytes, or a message within a message. */
export function bytes(field: number, value: string | Uint8Array): Part {
  const content = typeof value === 'string' ? new TextEncoder().encode(value) : value
  return join(key(field, 2), varint(BigInt(content.length)), content)
}

/** Numbers side by side, as `[packed=true]`. */
export function doubles(field: number, values: ArrayLike<number>): Part {
  const out = new DataView(new ArrayBuffer(8 * values.length))
  for (let i = 0; i < values.length; i++) out.setFloat64(8 * i, values[i], true)
  return bytes(field, new Uint8Array(out.buffer))
}

/** The fields of a message in their order: whole numbers as such, all else as bytes. Ends where a message is cut off. */
export function* fields(message: Uint8Array): Generator<{ field: number; value: number | Uint8Array }> {
  let at = 0
  const next = (): number => {
    let value = 0n
    for (let shift = 0n; at < message.length; shift += 7n) {
      const byte = message[at++]
      value |= BigInt(byte & 127) << shift
      if (byte < 128) break
    }
    return Number(BigInt.asIntN(64, value))
  }
  while (at < message.length) {
    const tag = next()
    const type = tag & 7
    if (type === 0) yield { field: tag >> 3, value: next() }
    else {
      const size = type === 2 ? next() : type === 1 ? 8 : 4
      yield { field: tag >> 3, value: message.subarray(at, at + size) }
      at += size
    }
  }
}
