import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

/**
 * Why a library file would end the process when it is loaded, as a truncated one does: the loader maps what its header
 * promises, and reading behind the end of the file is a bus error. Undefined where nothing speaks against it; what is no
 * file or no 64-bit ELF file is left to the loader, which refuses it by itself.
 */
export function truncation(path: string): string | undefined {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch {
    return undefined
  }
  try {
    const { size } = fstatSync(file)
    const header = Buffer.alloc(64)
    const elf64 = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1])
    if (readSync(file, header, 0, 64, 0) < 64 || !header.subarray(0, 6).equals(elf64)) return undefined
    // The table of sections stands last.
    const needed = Number(header.readBigUInt64LE(40)) + header.readUInt16LE(58) * header.readUInt16LE(60)
    return needed <= size ? undefined : `the file ends after ${size} of ${needed} bytes`
  } catch {
    return undefined
  } finally {
    closeSync(file)
  }
}
