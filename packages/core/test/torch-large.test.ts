import { mkdtempSync, rmSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqFormatError } from '@vq/core'
import { openTorchCheckpoint } from '@vq/core/io'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const full = process.env.VQ_TEST_FULL === '1'
const large = 4_500_000_000

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-large-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const latin = (text: string): Buffer => Buffer.from(text, 'latin1')

function tensor(key: string, count: number, offset: number, size: number): string {
  const long = (value: number): string => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(BigInt(value))
    return `\x8a\x08${bytes.toString('latin1')}`
  }
  return `ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0${key}X\x03\0\0\0cpu${long(count)}tQ${long(offset)}${long(size)}\x85K\x01\x85\x89NtR`
}

/** A header of ZIP64, before the data or in the directory. Checksums are left out, as PyTorch can be told to. */
function header(name: string, size: number, at: number, local: boolean): Buffer {
  const fixed = Buffer.alloc(local ? 30 : 46)
  fixed.writeUInt32LE(local ? 0x04034b50 : 0x02014b50, 0)
  const extra = Buffer.alloc(local ? 20 : 28)
  extra.writeUInt16LE(1, 0)
  extra.writeUInt16LE(extra.length - 4, 2)
  const numbers = local ? [size, size] : [size, size, at]
  for (const [i, value] of numbers.entries()) extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i)
  const sizes = local ? 18 : 20
  fixed.writeUInt32LE(0xffffffff, sizes)
  fixed.writeUInt32LE(0xffffffff, sizes + 4)
  fixed.writeUInt16LE(name.length, sizes + 8)
  fixed.writeUInt16LE(extra.length, sizes + 10)
  if (!local) fixed.writeUInt32LE(0xffffffff, 42)
  return Buffer.concat([fixed, Buffer.from(name), extra])
}

/** Writes members, of which holes take no room on the disk. */
async function sparseZip(
  file: FileHandle,
  members: readonly [name: string, size: number, data: Buffer][],
): Promise<void> {
  let at = 0
  const directory: Buffer[] = []
  for (const [name, size, data] of members) {
    const head = header(name, size, at, true)
    await file.write(head, 0, head.length, at)
    // The data are the end of the member.
    await file.write(data, 0, data.length, at + head.length + size - data.length)
    directory.push(header(name, size, at, false))
    at += head.length + size
  }
  const all = Buffer.concat(directory)
  const end = Buffer.alloc(98)
  end.writeUInt32LE(0x06064b50, 0)
  end.writeBigUInt64LE(44n, 4)
  for (const field of [24, 32]) end.writeBigUInt64LE(BigInt(members.length), field)
  end.writeBigUInt64LE(BigInt(all.length), 40)
  end.writeBigUInt64LE(BigInt(at), 48)
  end.writeUInt32LE(0x07064b50, 56)
  end.writeBigUInt64LE(BigInt(at + all.length), 64)
  end.writeUInt32LE(1, 72)
  end.writeUInt32LE(0x06054b50, 76)
  for (const field of [84, 86]) end.writeUInt16LE(0xffff, field)
  for (const field of [88, 92]) end.writeUInt32LE(0xffffffff, field)
  await file.write(Buffer.concat([all, end]), 0, undefined, at)
}

describe.skipIf(!full)('a checkpoint of more than 4 GB (VQ_TEST_FULL=1)', () => {
  it('opens, and gives single tensors in little memory', async () => {
    const path = join(folder, 'large.pt')
    const elements = large / 4
    const pickle = latin(
      `}(X\x05\0\0\0whole${tensor('0', elements, 0, elements)}X\x03\0\0\0end${tensor('0', elements, elements - 3, 3)}X\x05\0\0\0after${tensor('1', 2, 0, 2)}u.`,
    )
    const floats = (...values: number[]): Buffer => Buffer.from(Float32Array.from(values).buffer)
    const file = await open(path, 'w')
    await sparseZip(file, [
      ['big/data.pkl', pickle.length, pickle],
      ['big/data/0', large, floats(1, 2, 3)],
      ['big/data/1', 8, floats(4, 5)],
    ])
    await file.close()
    const before = process.memoryUsage()
    const opened = await openTorchCheckpoint(path)
    try {
      expect(opened.entries.get('whole')).toEqual({ dtype: 'F32', shape: [elements] })
      expect((await opened.read('end')).data).toEqual(Float32Array.of(1, 2, 3))
      expect((await opened.read('after')).data).toEqual(Float32Array.of(4, 5))
      const after = process.memoryUsage()
      expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(16 << 20)
      expect(after.rss - before.rss).toBeLessThan(200 << 20)
      // It has more bytes than one array of JavaScript can.
      await expect(opened.read('whole')).rejects.toThrow(VqFormatError)
    } finally {
      await opened.close()
    }
  })
})
