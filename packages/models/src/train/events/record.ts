import { maskedCrc32c } from './crc32c.js'

const [head, tail] = [12, 4]

/** A TFRecord: uint64 length, its masked CRC, the data, its masked CRC, little-endian. */
export function frame(data: Uint8Array): Uint8Array {
  const out = new Uint8Array(head + data.length + tail)
  const view = new DataView(out.buffer)
  view.setBigUint64(0, BigInt(data.length), true)
  view.setUint32(8, maskedCrc32c(out.subarray(0, 8)), true)
  out.set(data, head)
  view.setUint32(head + data.length, maskedCrc32c(data), true)
  return out
}

/** The data of every whole record, up to the first one that is cut off or damaged, and where each ends in the file. */
export function* records(file: Uint8Array): Generator<{ data: Uint8Array; end: number }> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  for (let at = 0; at + head + tail <= file.length; ) {
    const length = view.getBigUint64(at, true)
    if (view.getUint32(at + 8, true) !== maskedCrc32c(file.subarray(at, at + 8))) return
    if (length > BigInt(file.length - at - head - tail)) return
    const data = file.subarray(at + head, at + head + Number(length))
    if (view.getUint32(at + head + data.length, true) !== maskedCrc32c(data)) return
    at += head + data.length + tail
    yield { data, end: at }
  }
}
