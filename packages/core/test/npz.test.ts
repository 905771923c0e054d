import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqConfigError, VqFormatError } from '@vq/core'
import { loadNpz, npyBytes, openNpz, type StateDict, saveNpz } from '@vq/core/io'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describeTree, expectedIn, oracle } from './torch-oracle.js'
import { type Lie, zipWith } from './zip-lies.js'

const python = process.env.VQ_PYTHON ?? 'python3'
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-npz-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function written(bytes: Uint8Array): string {
  const path = join(folder, 'case.npz')
  writeFileSync(path, bytes)
  return path
}

describe('.npz archives', () => {
  it.each(expectedIn(oracle).filter(([file]) => file.endsWith('.npz')))(
    '%s is what NumPy saved',
    async (file, tree) => {
      const arrays = await loadNpz(join(oracle, file))
      expect(describeTree(arrays)).toEqual(tree)
      const opened = await openNpz(join(oracle, file))
      try {
        expect([...opened.entries.keys()]).toEqual(Object.keys(arrays))
        for (const [name, entry] of opened.entries) {
          const tensor = await opened.read(name)
          expect(entry).toEqual({ dtype: tensor.dtype, shape: tensor.shape })
          expect(tensor).toEqual(arrays[name])
        }
        await expect(opened.read('f4.npy')).rejects.toThrow(VqConfigError)
      } finally {
        await opened.close()
      }
    },
  )

  it('come back as they were written, the same bytes every time', async () => {
    const tensors: StateDict = {
      'layer.weight': { dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, -0, Number.NaN, 4) },
      'a/b': { dtype: 'I64', shape: [], data: BigInt64Array.of(-(2n ** 63n)) },
      ünï: { dtype: 'C128', shape: [1], data: Float64Array.of(1, 2) },
      half: { dtype: 'F16', shape: [2], data: Float32Array.of(0.5, 65504) },
      none: { dtype: 'BOOL', shape: [0, 3], data: new Uint8Array(0) },
    }
    const path = join(folder, 'saved.npz')
    await saveNpz(path, tensors)
    expect(await loadNpz(path)).toEqual(Object.assign(Object.create(null), tensors))
    const first = readFileSync(path)
    await saveNpz(path, tensors)
    expect(readFileSync(path)).toEqual(first)
    for (const name of ['', '../a', '/a', 'a\\b', 'C:a'])
      await expect(saveNpz(path, { [name]: tensors.half })).rejects.toThrow(VqConfigError)
    expect(readFileSync(path)).toEqual(first)
    await saveNpz(path, {})
    expect(Object.keys(await loadNpz(path))).toEqual([])
  })

  it('hold more members than the end record can count', async () => {
    const path = join(folder, 'many.npz')
    const one = { dtype: 'U8', shape: [], data: Uint8Array.of(7) } as const
    await saveNpz(
      path,
      Object.fromEntries(Array.from({ length: 65_600 }, (_, i) => [`t${i}`, { ...one, shape: [] }])),
    )
    const file = await openNpz(path)
    try {
      expect(file.entries.size).toBe(65_600)
      expect((await file.read('t65599')).data).toEqual(Uint8Array.of(7))
    } finally {
      await file.close()
    }
  })

  it('are read by NumPy', context => {
    const path = join(oracle, 'arrays.npz')
    let seen: string
    try {
      seen = execFileSync(python, ['-c', 'import numpy; print(numpy.__name__)'], { encoding: 'utf8' })
    } catch {
      return context.skip('Python with NumPy was not found (VQ_PYTHON names one)')
    }
    expect(seen.trim()).toBe('numpy')
    return loadNpz(path).then(async arrays => {
      const copy = join(folder, 'copy.npz')
      await saveNpz(copy, arrays)
      const code = `import numpy as np, sys
a, b = (np.load(p) for p in sys.argv[1:3])
same = [a[k].dtype.newbyteorder('=') == b[k].dtype and a[k].shape == b[k].shape and np.array_equal(a[k], b[k]) for k in a.files]
print(a.files == b.files, all(same), len(same))`
      const answer = execFileSync(python, ['-c', code, path, copy], { encoding: 'utf8' })
      expect(answer.trim()).toBe(`True True ${Object.keys(arrays).length}`)
    })
  })
})

describe('archives that lie', () => {
  const data = npyBytes({ dtype: 'F32', shape: [64], data: new Float32Array(64).fill(1) })
  const member: Lie = { name: 'a.npy', data }
  const other: Lie = { name: 'b.npy', data }
  const refused = async (bytes: Uint8Array, reason: RegExp): Promise<void> => {
    const error = await loadNpz(written(bytes)).then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(error).toBeInstanceOf(VqFormatError)
    expect((error as Error).message).toMatch(reason)
  }

  it('are read where they do not lie', async () => {
    for (const deflated of [false, true])
      expect((await loadNpz(written(zipWith([{ ...member, deflated }])))).a.data).toEqual(
        new Float32Array(64).fill(1),
      )
  })

  it.each<[string, Lie[], RegExp]>([
    ['twice the same name', [member, member], /two named 'a\.npy'/],
    ['a path upwards', [{ ...member, name: '../a.npy' }], /invalid relative path/],
    ['an absolute path', [{ ...member, name: '/a.npy' }], /absolute path/],
    ['a backslash', [{ ...member, name: 'x\\a.npy' }], /invalid characters/],
    ['no name', [{ ...member, name: '' }], /to have a name/],
    ['an encrypted member', [{ ...member, flags: 1, packed: data.length + 12 }], /unencrypted/],
    ['another method', [{ ...member, method: 14 }], /method 14/],
    ['a stored member of another size', [{ ...member, size: data.length + 1 }], /mismatch/],
    ['a checksum of other bytes', [{ ...member, sum: 1 }], /checksum/],
    ['a checksum of 0', [{ ...member, sum: 0 }], /checksum/],
    ['two members in the same place', [member, { ...other, offset: 0 }], /same name|to end before/],
    [
      'a member inside of another',
      [{ ...member, packed: 4 * data.length, size: 4 * data.length }, other],
      /to end before|overflows file bounds/,
    ],
    ['a member beyond the end', [{ ...member, offset: 1e6 }], /bytes at|EOF/],
    ['another name before the data', [{ ...member, localName: 'z.npy' }], /both of its headers/],
    ['another size before the data', [{ ...member, localSize: 5 }], /both of its headers/],
    [
      'a ratio that deflate cannot reach',
      [{ ...member, deflated: true, size: 1e9, localSize: 1e9 }],
      /1032 times/,
    ],
    [
      'less than it unpacks to',
      [{ ...member, deflated: true, size: data.length - 4 }],
      /384|to unpack to|380/,
    ],
    [
      'more than it unpacks to',
      [{ ...member, deflated: true, size: data.length + 4 }],
      /unpack to 388 bytes/,
    ],
    ['a member of another kind', [{ ...member, name: 'readme.txt' }], /end in '\.npy'/],
    [
      'two that differ in their ending alone',
      [
        { ...member, name: 'a.npy.npy' },
        { ...member, name: 'a' },
      ],
      /end in '\.npy'/,
    ],
  ])('%s', (_, members, reason) => refused(zipWith(members), reason))

  it('in their end record', async () => {
    await refused(zipWith([member, other], { count: 1 }), /directory to end/)
    await refused(zipWith([member], { count: 2 }), /46 bytes at/)
    await refused(zipWith([member], { count: 0xffff }), /a count of 65535/)
    await refused(zipWith([member], { shift: 1 }), /signature/)
    await refused(zipWith([member], { shift: -46 }), /signature/)
    await refused(
      zipWith([member], { comment: Buffer.from('PK\x05\x06aaaaaaaaaaaaaaaaaa\x01\x00') }),
      /comment length|zip archive/,
    )
    await refused(zipWith([member], { commentLength: 9 }), /comment length/)
    await refused(Buffer.concat([zipWith([member]), zipWith([other])]), /./)
    await refused(new Uint8Array(0), /zip archive/)
  })

  it('with a header that claims more or less than the member unpacks to, before more is unpacked', async () => {
    const zeros = new Uint8Array(200 << 20)
    for (const values of [10, 1e9]) {
      const head = npyBytes({ dtype: 'U8', shape: [0], data: new Uint8Array(0) })
      const text = Buffer.from(head)
        .toString('latin1')
        .replace(/\(0,\), \} *\n/, all => `${`(${values},), }`.padEnd(all.length - 1)}\n`)
      zeros.set(Buffer.from(text, 'latin1').subarray(0, head.length))
      const bomb = zipWith([{ name: 'a.npy', data: zeros, deflated: true }])
      const before = process.memoryUsage().arrayBuffers
      await refused(bomb, /bytes of U8 for shape/)
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50 << 20)
    }
  })

  it('with honest bombs, unless they are asked for', async () => {
    const zeros = (60 << 20) as number
    const array = npyBytes({ dtype: 'U8', shape: [zeros], data: new Uint8Array(zeros) })
    const bomb = zipWith(
      ['a', 'b', 'c', 'd', 'e'].map(name => ({ name: `${name}.npy`, data: array, deflated: true })),
    )
    expect(bomb.length).toBeLessThan(400_000)
    await refused(bomb, /maxBytes/)
    const path = written(bomb)
    const file = await openNpz(path, { maxBytes: 1 << 30 })
    expect((await file.read('e')).data.length).toBe(zeros)
    await file.close()
    expect(statSync(path).size).toBe(bomb.length)
  })
})
