import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqFormatError } from '@vq/core'
import { loadTorchCheckpoint, openTorchCheckpoint, parsePickle, type StoredTensor } from '@vq/core/io'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { oracle } from './torch-oracle.js'
import { type Lie, zipWith } from './zip-lies.js'

let folder: string
let path: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-damage-'))
  path = join(folder, 'case.pt')
})
afterAll(() => rmSync(folder, { recursive: true }))

async function outcome(bytes: Uint8Array): Promise<VqFormatError | 'read'> {
  writeFileSync(path, bytes)
  try {
    await loadTorchCheckpoint(path)
    return 'read'
  } catch (error) {
    if (error instanceof VqFormatError) return error
    throw error
  }
}

async function refused(bytes: Uint8Array, reason: RegExp): Promise<void> {
  const error = await outcome(bytes)
  expect(error).toBeInstanceOf(VqFormatError)
  expect((error as VqFormatError).message).toMatch(reason)
}

describe.each(['views-legacy.pt', 'tensor.pt', 'view-legacy.pt', 'tar.pt'])('%s, damaged', file => {
  const bytes = readFileSync(join(oracle, file))

  it('is refused wherever it was cut', async () => {
    // Padding of the tar form, and nothing of the others, may be missing at the end.
    const needed = file === 'tar.pt' ? bytes.length - 2 * 512 : bytes.length
    const last = bytes.subarray(0, needed).findLastIndex(byte => byte !== 0) + 1
    const step = Math.max(1, Math.floor(bytes.length / 300))
    for (let length = 0; length < (file === 'tar.pt' ? last - 512 : needed); length += step)
      expect(await outcome(bytes.subarray(0, length)), `${length} bytes`).toBeInstanceOf(VqFormatError)
  })

  it('is refused or read with any byte changed', async () => {
    const counts = { read: 0, refused: 0 }
    const step = Math.max(1, Math.floor(bytes.length / 250))
    for (let at = 0; at < bytes.length; at += step) {
      const changed = Buffer.from(bytes)
      changed[at] ^= 1 << (at % 8)
      counts[(await outcome(changed)) === 'read' ? 'read' : 'refused']++
    }
    expect(counts.refused).toBeGreaterThan(0)
  })
})

const latin4 = (value: number): string => String.fromCharCode(value & 255, (value >> 8) & 255, 0, 0)
const latin = (text: string): Buffer => Buffer.from(text, 'latin1')
/** One member of a checkpoint whose pickle is this. */
const withPickle = (pickle: string, storages: Record<string, Uint8Array> = {}, more: Lie[] = []): Buffer =>
  zipWith([
    { name: 'a/data.pkl', data: latin(pickle) },
    ...Object.entries(storages).map(([key, data]) => ({ name: `a/data/${key}`, data })),
    ...more,
  ])
/** The pickle of a tensor over storage '0'. */
const tensor = (
  count: string,
  offset: string,
  shape: string,
  strides: string,
  type = 'FloatStorage',
): string =>
  `ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\n${type}\nX\x01\0\0\x000X\x03\0\0\0cpu${count}tQ${offset}${shape}${strides}\x89ccollections\nOrderedDict\n)RtR`
const long = (value: number): string => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64LE(BigInt(value))
  return `\x8a\x08${bytes.toString('latin1')}`
}

describe('checkpoints that lie', () => {
  const four = { 0: new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer) }

  it('are read where they do not', async () => {
    writeFileSync(path, withPickle(`${tensor('K\x04', 'K\x00', 'K\x02K\x02\x86', 'K\x01K\x02\x86')}.`, four))
    const { value, tensors } = await loadTorchCheckpoint(path)
    expect(value).toEqual({ dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, 3, 2, 4) })
    expect(tensors['']).toBe(value)
  })

  it.each<[string, string, RegExp]>([
    [
      'more elements than the storage',
      tensor('K\x04', 'K\x00', 'K\x05\x85', 'K\x01\x85'),
      /within the 16 bytes/,
    ],
    ['an offset beyond it', tensor('K\x04', 'K\x03', 'K\x02\x85', 'K\x01\x85'), /within the 16 bytes/],
    ['a stride beyond it', tensor('K\x04', 'K\x00', 'K\x02\x85', 'K\x04\x85'), /within the 16 bytes/],
    ['a negative stride', tensor('K\x04', 'K\x03', 'K\x02\x85', `${long(-1)}\x85`), /strides/],
    ['a negative size', tensor('K\x04', 'K\x00', `${long(-2)}\x85`, 'K\x01\x85'), /a shape/],
    ['a size that is no number', tensor('K\x04', 'K\x00', 'N\x85', 'K\x01\x85'), /a shape/],
    ['another number of strides', tensor('K\x04', 'K\x00', 'K\x02\x85', ')'), /a stride for each/],
    [
      '10^12 elements of one',
      tensor('K\x04', 'K\x00', `${long(1e6)}${long(1e6)}\x86`, 'K\x00K\x00\x86'),
      /at most 67108864 bytes/,
    ],
    [
      'sizes beyond all numbers',
      tensor('K\x04', 'K\x00', `${long(2 ** 52)}${long(2 ** 52)}\x86`, 'K\x00K\x00\x86'),
      /bytes/,
    ],
    [
      'a storage of another length',
      tensor('K\x05', 'K\x00', 'K\x02\x85', 'K\x01\x85'),
      /of 20 bytes, received 16/,
    ],
    ['a storage of no length', tensor(long(-4), 'K\x00', 'K\x02\x85', 'K\x01\x85'), /length of a storage/],
    [
      'a storage of 2^62 elements',
      tensor(long(2 ** 62), 'K\x00', 'K\x02\x85', 'K\x01\x85'),
      /length of a storage/,
    ],
    ['booleans of 2', tensor('K\x10', 'K\x00', 'K\x04\x85', 'K\x01\x85', 'BoolStorage'), /booleans/],
  ])('about %s', (_, pickle, reason) => refused(withPickle(`${pickle}.`, four), reason))

  it('about storages that are not there, or twice', async () => {
    const pickle = `${tensor('K\x04', 'K\x00', 'K\x02\x85', 'K\x01\x85')}.`
    await refused(withPickle(pickle), /'data\/0' of 16 bytes, received none/)
    await refused(withPickle(pickle, four, [{ name: 'a/data/0', data: four[0] }]), /two named/)
    await refused(withPickle(pickle, four, [{ name: 'b/data.pkl', data: latin('N.') }]), /one 'data\.pkl'/)
    await refused(withPickle(pickle, four, [{ name: 'a/byteorder', data: latin('middle') }]), /byte order/)
    await refused(withPickle(pickle, four, [{ name: 'a/version', data: latin('11\n') }]), /version 10/)
    await refused(zipWith([{ name: 'a/x', data: four[0] }]), /data\.pkl/)
  })

  it('with many views that come to more than the file, which can be read one at a time', async () => {
    const expanded = tensor('K\x04', 'K\x00', `${long(2 ** 22)}\x85`, 'K\x00\x85')
    const shorter = tensor('K\x04', 'K\x00', `${long(2 ** 22 - 1)}\x85`, 'K\x00\x85')
    const many = Array.from({ length: 17 }, (_, i) => expanded.replace(long(2 ** 22), long(2 ** 22 - i)))
    await refused(withPickle(`(${many.join('')}l.`, four), /one at a time/)
    writeFileSync(path, withPickle(`(${expanded}${expanded}${shorter}l.`, four))
    const { tensors } = await loadTorchCheckpoint(path)
    expect(tensors[0].data).toBe(tensors[1].data)
    expect([tensors[0].data.length, tensors[2].data.length, tensors[2].data[7]]).toEqual([
      2 ** 22,
      2 ** 22 - 1,
      1,
    ])
    const file = await openTorchCheckpoint(path)
    expect((await file.read('2')).data.length).toBe(2 ** 22 - 1)
    await file.close()
  })

  it('with tensors named exponentially often, or two at the same path', async () => {
    const laughs = (levels: number): string =>
      `${tensor('K\x04', 'K\x00', 'K\x04\x85', 'K\x01\x85')}q\x01${`](${'h\x01'.repeat(10)}eq\x01`.repeat(levels)}.`
    writeFileSync(path, withPickle(laughs(3), four))
    expect(Object.keys((await loadTorchCheckpoint(path)).tensors).length).toBe(1000)
    await refused(withPickle(laughs(7), four), /1048576 names/)
    await refused(withPickle(laughs(9), four), /share each other/)
    const one = tensor('K\x04', 'K\x00', 'K\x04\x85', 'K\x01\x85')
    await refused(
      withPickle(`}(X\x03\0\0\0a.b${one}X\x01\0\0\0a}X\x01\0\0\0b${one}su.`, four),
      /two tensors at 'a\.b'/,
    )
  })
})

describe('pickles that abuse', () => {
  const parse = (text: string, most?: number): unknown => parsePickle(latin(text), 'a pickle', { most })
  const spoilt = (text: string, reason: RegExp, most?: number): void => {
    let error: unknown
    try {
      parse(text, most)
    } catch (caught) {
      error = caught
    }
    expect(error, text.slice(0, 60)).toBeInstanceOf(VqFormatError)
    expect((error as Error).message).toMatch(reason)
  }

  it('the stack, marks and the memo', () => {
    spoilt('.', /empty stack/)
    spoilt('0.', /mark/)
    spoilt('1.', /mark/)
    spoilt('t.', /mark/)
    spoilt('N\x86.', /empty stack/)
    spoilt('q\x00N.', /empty stack/)
    spoilt('h\x00.', /memo index 0/)
    spoilt('g-1\n.', /index into the memo/)
    spoilt('N(a.', /empty stack/)
    spoilt('NNa.', /list to append to/)
    spoilt('}(NNNu.', /in pairs/)
    spoilt(']]]s.', /dictionary/)
    spoilt('}]Ns.', /do not change/)
    spoilt('}]\x85Ns.', /do not change/)
    spoilt('\x8f(]\x90.', /do not change/)
    spoilt('N', /1 more bytes/)
    spoilt('', /1 more bytes/)
  })

  it('lengths, numbers, text and frames', () => {
    spoilt('X\xff\xff\xff\xff.', /4294967295 more bytes/)
    spoilt('\x8d\xff\xff\xff\xff\xff\xff\xff\xff.', /a length/)
    spoilt('\x8e\0\0\0\0\0\0\x10\0.', /more bytes/)
    spoilt('\x96\0\0\0\0\xff\0\0\0.', /more bytes/)
    spoilt('\x8b\xff\xff\xff\x7f.', /more bytes/)
    spoilt(`\x8b\0\x10\0\0${'a'.repeat(4096)}.`, /up to 2048 bytes/)
    spoilt(`I${'9'.repeat(5000)}\n.`, /line of at most/)
    spoilt('Ix\n.', /digits/)
    spoilt('F1_0\n.', /a number/)
    spoilt("S'a\n.", /quoted/)
    spoilt("S'\\x4'\n.", /escapes/)
    spoilt('V\\Uffffffff\n.', /Unicode/)
    spoilt('X\x01\0\0\0\xff.', /UTF-8/)
    spoilt('\x95\x05\0\0\0\0\0\0\0N.', /more bytes/)
    spoilt('\x95\x0b\0\0\0\0\0\0\0\x95\x01\0\0\0\0\0\0\0N..', /frame after the last/)
    spoilt('\x80\x06N.', /protocol 6/)
    spoilt('\xffN.', /opcode 0xff/)
    expect(parse('\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f.')).toBe(2n ** 63n - 1n)
    expect(parse('\x8a\x01\xff.')).toBe(-1)
  })

  it('names and what they make', () => {
    spoilt('cos\nsystem\n(X\x02\0\0\0idtR.', /os\.system.*nothing of it was run/)
    spoilt('X\x02\0\0\0osX\x06\0\0\0system\x93.', /os\.system/)
    spoilt('cbuiltins\neval\n.', /builtins\.eval/)
    spoilt('cbuiltins\n__import__\n.', /__import__/)
    spoilt('ccollections\nOrderedDict.x\n.', /OrderedDict\.x/)
    spoilt('(ios\nsystem\n.', /opcode 0x69/)
    spoilt('(cos\nsystem\no.', /os\.system/)
    spoilt('\x82\x01.', /opcode 0x82/)
    spoilt('\x97.', /opcode 0x97/)
    spoilt('Nq\0Q.', /persistent/)
    spoilt('N)R.', /constructor/)
    spoilt('cbuiltins\nint\nX\x01\0\0\0a\x85R.', /constructor/)
    spoilt('cbuiltins\nset\nN\x85R.', /arguments that set takes/)
    spoilt('ccollections\nOrderedDict\nN\x85R.', /OrderedDict/)
    spoilt('cbuiltins\nset\n]R.', /tuple/)
    spoilt('NNb.', /state of/)
    spoilt('cnumpy\nndarray\n)R.', /constructor/)
    spoilt(
      'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85C\x01btR.',
      /array with its values/,
    )
    spoilt('cnumpy\ndtype\nX\x02\0\0\0O8\x85R)b.', /byte order/)
    spoilt(
      'cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\0\0\0O8\x85RC\x01b\x86R.',
      /elements of type 'O8'/,
    )
    spoilt('cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\0\0\0f8\x85RC\x01b\x86R.', /1 bytes/)
  })

  it('depth, cycles, and sharing', () => {
    expect(parse(`${'('.repeat(300)}${'l'.repeat(300)}.`)).toBeInstanceOf(Array)
    spoilt(`${'('.repeat(600)}${'l'.repeat(600)}.`, /500 containers/)
    spoilt(`N${'\x85'.repeat(100_000)}.`, /500 containers/)
    spoilt(']q\0h\0a.', /cycle/)
    spoilt('}q\0X\x01\0\0\0ah\0s.', /cycle/)
    spoilt('](q\0\x85.', /empty stack|cycle|mark/)
    const laughs = (levels: number): string => `]q\x01${`](${'h\x01'.repeat(10)}eq\x01`.repeat(levels)}.`
    expect((parse(laughs(3)) as unknown[]).length).toBe(10)
    spoilt(laughs(40), /share each other/)
    spoilt(`X\x00\x00\x01\x00${'a'.repeat(65536)}q\0](${'h\0'.repeat(3000)}e.`, /share each other/)
  })

  it('more values than there may be', () => {
    spoilt('}'.repeat(1000), /at most 160000 bytes of memory/, 10_000)
    spoilt('('.repeat(20_000), /at most 160000 bytes of memory/, 10_000)
    spoilt(
      `N${Array.from({ length: 200 }, (_, i) => `q${String.fromCharCode(i)}`).join('')}`,
      /at most 1600 bytes/,
      100,
    )
  })

  it('constructors that copy one value again and again', () => {
    const thousand = 'N'.repeat(1000)
    for (const [made, value] of [
      ['builtins\nlist', `](${thousand}e`],
      ['builtins\ntuple', `](${thousand}e`],
      ['builtins\nset', `](${Array.from({ length: 1000 }, (_, i) => `J${latin4(i)}`).join('')}e`],
      ['collections\nOrderedDict', `}(${Array.from({ length: 1000 }, (_, i) => `J${latin4(i)}N`).join('')}u`],
      ['builtins\nbytearray', `B\x00\x40\x00\x00${'a'.repeat(0x4000)}`],
    ]) {
      const pickle = (times: number): string =>
        `c${made}\nq\0${value}\x85q\x01(${'h\0h\x01R'.repeat(times)}l.`
      expect((parse(pickle(10)) as unknown[]).length).toBe(10)
      // 50 KB, of which the copies would be hundreds of megabytes.
      spoilt(pickle(30_000), /at most \d+ bytes of memory/)
    }
    const text = `X\x00\x40\x00\x00${'a'.repeat(0x4000)}X\x06\0\0\0latin1\x86q\x01`
    spoilt(`c_codecs\nencode\nq\0${text}(${'h\0h\x01R'.repeat(30_000)}l.`, /bytes of memory/)
    const array = `(B\x00\x40\x00\x00${'a'.repeat(0x4000)}cnumpy\ndtype\nX\x02\0\0\0u1\x85RM\x00\x40\x85X\x01\0\0\0Ctq\x01`
    spoilt(`cnumpy.core.numeric\n_frombuffer\nq\0${array}(${'h\0h\x01R'.repeat(30_000)}l.`, /bytes of memory/)
  })

  it('containers of one byte each, in proportion to the file', () => {
    for (const code of [']', '}', '\x8f']) spoilt(`(${code.repeat(2_000_000)}l.`, /bytes of memory/)
    // What is honest is read: empty tuples are one, small lists cost little.
    expect((parse(`(${')'.repeat(2_000_000)}l.`) as unknown[]).length).toBe(2_000_000)
    const pairs = parse(`](${'](K\x01K\x02e'.repeat(300_000)}e.`) as unknown[]
    expect([pairs.length, pairs[299_999]]).toEqual([300_000, [1, 2]])
    const [one, other] = parse(')q\0h\0\x86.') as unknown[][]
    one.push(1)
    expect(other).toEqual([])
  })

  it('memo indexes in any order', () => {
    expect(
      parse('(K\x01r\xff\xff\xff\xffK\x02q\x00K\x03q\x02Nq\x01j\xff\xff\xff\xffh\x00h\x02h\x01l.'),
    ).toEqual([1, 2, 3, null, 1, 2, 3, null])
    expect(parse('\x80\x04(K\x01\x94K\x02\x94h\x01h\x00l.')).toEqual([1, 2, 2, 1])
    spoilt('Nq\x00h\x01.', /memo index 1/)
  })

  it('no prototype: keys are keys', () => {
    const tree = parse('}X\x09\0\0\0__proto__}X\x01\0\0\0aK\x01ss.') as Record<string, unknown>
    expect(Object.entries(tree)).toEqual([['__proto__', Object.assign(Object.create(null), { a: 1 })]])
    expect((Object.prototype as Record<string, unknown>).a).toBeUndefined()
  })

  it('NumPy arrays of every order', () => {
    const array = parse(
      'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85C\x01btR(K\x01K\x02K\x02\x86cnumpy\ndtype\nX\x02\0\0\0i2\x85R(K\x03X\x01\0\0\0>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x88C\x08\0\x01\0\x02\0\x03\0\x04tb.',
    ) as StoredTensor
    expect(array).toEqual({ dtype: 'I16', shape: [2, 2], data: Int16Array.of(1, 3, 2, 4) })
  })

  it('not the memory of whoever passes bytes', () => {
    const bytes = Buffer.concat([latin('\x96\x02\0\0\0\0\0\0\0ab.'), latin('C\x02ab.')])
    for (const part of [bytes.subarray(0, 12), bytes.subarray(12)]) {
      const value = parsePickle(part, 'bytes') as Uint8Array
      expect(value).toEqual(Uint8Array.of(97, 98))
      value.fill(0)
    }
    expect(bytes.toString('latin1')).toMatch(/ab.*ab/s)
  })
})
