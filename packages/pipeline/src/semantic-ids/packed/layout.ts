// The .vqids format, version 1, little-endian.
//
//   signature 8 bytes | version u32 | header bytes u32 | header: JSON, UTF-8 | CRC-32 of the header u32
//   blocks, one after another: payload bytes u32 | rows u32 | CRC-32 of the payload u32 | payload
//     payload: bits of each level, u8 each | codes, packed bit by bit | margins, float32 | bytes of each id, u32 | ids, UTF-8
//              with captions: bytes of each + 1, 0 for none, u32 | captions, UTF-8
//   footer: end of each block as f64, first to last | rows f64 | blocks u32 | CRC-32 of the footer so far u32 | signature 8 bytes
//
// All blocks but the last have as many rows as the header says, so that a row is found without reading those before it.

export const signature: Uint8Array = Uint8Array.of(0x89, 0x56, 0x51, 0x49, 0x44, 0x53, 0x0d, 0x0a)
export const endSignature: Uint8Array = Uint8Array.of(0x56, 0x51, 0x49, 0x44, 0x53, 0x45, 0x4e, 0x44)
export const version: number = 1
export const mostRows: number = 2 ** 16
export const largestHeader: number = 2 ** 24
/** Codes in one block. */
export const mostCodesInBlock: number = 2 ** 26
/** Of one block: more than any that is written. */
export const largestBlock: number = 2 ** 30

export interface PackedHeader {
  shape: readonly number[]
  codebookSizes?: readonly number[]
  metadata: Readonly<Record<string, string>>
  /** Of all blocks but the last. */
  rowsPerBlock: number
  captions: boolean
  /** Numbers of each item's margin, 0 for none. */
  margins: number
}
