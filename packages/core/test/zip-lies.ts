import { crc32, deflateRawSync } from 'node:zlib'

/** A member of an archive, with what its headers are to say in place of the truth. */
export interface Lie {
  name: string
  data: Uint8Array
  deflated?: boolean
  method?: number
  flags?: number
  size?: number
  packed?: number
  sum?: number
  /** Where the directory says that it begins. */
  offset?: number
  /** What the header before the data says, where that is another thing. */
  localName?: string
  localSize?: number
}

export interface LieOfAll {
  /** How many members the end record counts. */
  count?: number
  /** Where it says that the directory begins, relative to the truth. */
  shift?: number
  comment?: Uint8Array
  commentLength?: number
}

/** A zip archive, and any untruth about it. */
export function zipWith(members: readonly Lie[], lies: LieOfAll = {}): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const lie of members) {
    const { name, data, deflated = false } = lie
    const bytes = deflated ? deflateRawSync(data) : Buffer.from(data)
    const { method = deflated ? 8 : 0, flags = 0, packed = bytes.length, size = data.length } = lie
    const { sum = crc32(data), offset = at, localName = name, localSize = size } = lie
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50, 0)
    const central = Buffer.alloc(46)
    central.writeUInt32LE(0x02014b50, 0)
    for (const [header, start, text, length] of [
      [local, 4, localName, localSize],
      [central, 6, name, size],
    ] as const) {
      header.writeUInt16LE(20, start)
      header.writeUInt16LE(flags, start + 2)
      header.writeUInt16LE(method, start + 4)
      header.writeUInt32LE(sum, start + 10)
      header.writeUInt32LE(packed, start + 14)
      header.writeUInt32LE(length, start + 18)
      header.writeUInt16LE(Buffer.byteLength(text), start + 22)
    }
    central.writeUInt32LE(offset, 42)
    directory.push(central, Buffer.from(name))
    parts.push(local, Buffer.from(localName), bytes)
    at += 30 + Buffer.byteLength(localName) + bytes.length
  }
  const { count = members.length, shift = 0, comment = new Uint8Array(0) } = lies
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(count, 8)
  end.writeUInt16LE(count, 10)
  end.writeUInt32LE(Buffer.concat(directory).length, 12)
  end.writeUInt32LE(at + shift, 16)
  end.writeUInt16LE(lies.commentLength ?? comment.length, 20)
  return Buffer.concat([...parts, ...directory, end, comment])
}
