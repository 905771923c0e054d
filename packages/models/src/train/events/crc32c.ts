// CRC-32C (Castagnoli), reflected: RFC 3720, appendix B.4. TFRecord files mask it, so that a checksum of data that holds
// checksums stays sound: TensorFlow's lib/hash/crc32c.h.
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let c = byte
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1
  return c
})

export function crc32c(bytes: Uint8Array): number {
  let c = 0xffffffff
  for (const byte of bytes) c = table[(c ^ byte) & 255] ^ (c >>> 8)
  return ~c >>> 0
}

/** The checksum as TFRecord files hold it: turned right by 15 bits, plus a constant. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const c = crc32c(bytes)
  return (((c >>> 15) | (c << 17)) + 0xa282ead8) >>> 0
}
