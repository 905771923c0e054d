import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { VqAbortError, VqConfigError, VqFormatError, VqValueError } from '@vq/core'
import { npyBytes, saveNpz, saveSafetensors, saveVecs } from '@vq/core/io'
import { imageFolder } from '@vq/models/data'
import { openSource, type SourceOptions } from '@vq/pipeline'
import fc from 'fast-check'
import { ByteWriter, ParquetWriter, parquetWriteBuffer } from 'hyparquet-writer'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'vq-sources-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const at = (name: string): string => join(folder, name)
function put(name: string, content: string | Uint8Array): string {
  mkdirSync(dirname(at(name)), { recursive: true })
  writeFileSync(at(name), content)
  return at(name)
}
const all = (length: number): number[] => Array.from({ length }, (_, i) => i)
const image: SourceOptions = { modality: 'image', shape: [8, 8, 3] }
const solid = (red: number, width = 8, height = 8): Promise<Buffer> =>
  sharp({ create: { width, height, channels: 3, background: { r: red, g: 10, b: 200 } } })
    .png()
    .toBuffer()

describe('images', () => {
  beforeAll(async () => {
    put('photos/a/1.png', await solid(10))
    put('photos/a/2.png', await solid(20, 16, 8))
    put('photos/b/deep/3.png', await solid(30, 9, 31))
    put('photos/4.png', await solid(40))
    put('photos/bad/empty.jpg', '')
    put('photos/bad/text.jpg', 'this is no picture')
    const jpeg = await sharp(await solid(99, 64, 64))
      .jpeg()
      .toBuffer()
    put('photos/bad/cut.jpg', jpeg.subarray(0, jpeg.length >> 1))
    put('photos/notes.txt', 'no image')
    symlinkSync('..', at('photos/b/loop'))
    symlinkSync('nowhere', at('photos/b/broken.png'))
  })

  test('of a folder have its paths as ids, its folders as labels, and the pixels of imageFolder', async () => {
    const source = await openSource(at('photos'), image)
    expect(source.ids).toEqual([
      '4.png',
      'a/1.png',
      'a/2.png',
      'b/deep/3.png',
      'bad/cut.jpg',
      'bad/empty.jpg',
      'bad/text.jpg',
    ])
    expect(source.labels).toEqual(['', 'a', 'a', 'b/deep', 'bad', 'bad', 'bad'])
    expect(source.skipped).toEqual([
      { id: 'b/broken.png', reason: 'a broken link' },
      { id: 'b/loop/', reason: 'a link to a folder that was already read' },
      { id: 'notes.txt', reason: 'not named as a JPEG, PNG or WebP file' },
    ])
    const { values, indices, failed } = await source.read([6, 3, 5, 4, 0])
    expect([...indices]).toEqual([3, 0])
    expect(failed.map(({ index, id }) => [index, id])).toEqual([
      [6, 'bad/text.jpg'],
      [5, 'bad/empty.jpg'],
      [4, 'bad/cut.jpg'],
    ])
    expect(failed.map(({ reason }) => reason)).toEqual([
      'not an image that can be read',
      'empty file',
      expect.stringMatching(/^corrupt or unreadable/),
    ])
    const same = await imageFolder(at('photos'), { size: 8 })
    expect(same.ids).toEqual(source.ids.slice(0, 4))
    expect(values).toEqual(await same.batch(Int32Array.of(3, 0)))
  })

  test('are checked once, and are a data set then', async () => {
    const told: string[] = []
    const source = await openSource(at('photos'), { ...image, onSkip: id => told.push(id) })
    const checked = await source.check()
    expect(checked.ids).toEqual(['4.png', 'a/1.png', 'a/2.png', 'b/deep/3.png'])
    expect(checked.labels).toEqual(['', 'a', 'a', 'b/deep'])
    expect(checked.skipped.length).toBe(6)
    expect(told.sort()).toEqual(checked.skipped.map(({ id }) => id).sort())
    const data = checked.dataset()
    expect([data.length, data.shape, data.ids]).toEqual([4, [8, 8, 3], checked.ids])
    const [red, green, blue] = await data.batch(Int32Array.of(3))
    expect([red, green, blue].map(v => Math.round(255 * v!))).toEqual([30, 10, 200])
    expect((await data.extras!(Int32Array.of(0, 3, 2))).label!.values).toEqual(Int32Array.of(0, 2, 1))
    expect([...(await checked.read([3, 1])).indices]).toEqual([3, 1])
    await expect(source.dataset().batch(Int32Array.of(6))).rejects.toThrow(/bad\/text\.jpg/)
    await checked.close()
  })

  test('come from patterns, several folders and single files, each once', async () => {
    const cases: [string[], string[]][] = [
      [['photos/**/*.png'], ['4.png', 'a/1.png', 'a/2.png', 'b/deep/3.png']],
      [['photos/{a,b}/*.png'], ['a/1.png', 'a/2.png']],
      [['photos/a/2.png'], ['2.png']],
      [
        ['photos/a', 'photos/b/deep', 'photos/a/1.png'],
        ['1.png', '2.png', '3.png'],
      ],
    ]
    for (const [paths, ids] of cases) expect((await openSource(paths.map(at), image)).ids).toEqual(ids)
    put('twins/x/1.png', await solid(1))
    const source = await openSource([at('photos/a'), at('twins/x')], image)
    expect(source.ids).toEqual(['1.png', '2.png', '1.png~2'])
    const { values } = await source.read([2])
    expect(Math.round(255 * (values[0] as number))).toBe(1)
    const strict = { ...image, strict: true }
    await expect(openSource([at('photos/a'), at('twins/x')], strict)).rejects.toThrow(VqValueError)
  })

  test('of a strict source stop at the first bad one, which is named', async () => {
    rmSync(at('photos/b/broken.png'))
    const source = await openSource(at('photos'), { ...image, strict: true })
    await expect(source.read(all(source.length))).rejects.toThrow(/bad\/(empty|cut|text)\.jpg/)
    await expect(source.check()).rejects.toThrow(VqFormatError)
    symlinkSync('nowhere', at('photos/b/broken.png'))
    await expect(openSource(at('photos'), { ...image, strict: true })).rejects.toThrow(/broken\.png/)
  })

  test('become grey, and any rectangle', async () => {
    const source = await openSource(at('photos/4.png'), { modality: 'image', shape: [4, 6, 1] })
    const { values } = await source.read([0])
    expect(values.length).toBe(24)
    expect(Math.round(255 * (values[7] as number))).toBe(Math.round(0.299 * 40 + 0.587 * 10 + 0.114 * 200))
  })

  test('of a table lie beside it; rows without one are named', async () => {
    put(
      'photos/list.csv',
      'file,name,kind,say\na/1.png,one,x,first\n"b/deep/3.png",two,y,"a, b"\n,three,x,c\nnone.png,four,y,d\n4.png\n',
    )
    const source = await openSource(at('photos/list.csv'), {
      ...image,
      column: 'file',
      idColumn: 'name',
      labelColumn: 'kind',
      captionColumn: 'say',
    })
    expect(source.ids).toEqual(['one', 'two', 'four'])
    expect(source.labels).toEqual(['x', 'y', 'y'])
    expect(source.captions).toEqual(['first', 'a, b', 'd'])
    const usable = await source.check()
    expect(usable.captions).toEqual(['first', 'a, b'])
    expect(usable.dataset().captions).toEqual(['first', 'a, b'])
    expect(usable.dataset().labels).toEqual(['x', 'y'])
    expect(source.skipped).toEqual([
      { id: 'row-2', reason: 'no path' },
      { id: 'row-4', reason: 'no id in the column name' },
    ])
    const { indices, failed } = await source.read([0, 1, 2])
    expect([...indices]).toEqual([0, 1])
    expect(failed).toEqual([{ index: 2, id: 'four', reason: 'it vanished' }])
    rmSync(at('photos/list.csv'))
  })

  test('may lie in a Parquet file themselves, as bytes or as bytes with a path', async () => {
    const pngs = await Promise.all([11, 22, 33].map(red => solid(red)))
    const cells = [...pngs.map(bytes => new Uint8Array(bytes)), new Uint8Array(0)]
    const column = { name: 'bytes', type: 'BYTE_ARRAY', repetition_type: 'OPTIONAL' } as const
    const nested = [
      { name: 'schema', num_children: 1 },
      { name: 'image', repetition_type: 'OPTIONAL', num_children: 1 } as const,
      column,
    ]
    const flat = [
      { name: 'schema', num_children: 1 },
      { ...column, name: 'image' },
    ]
    for (const [schema, data] of [
      [flat, cells],
      [nested, cells.map(bytes => ({ bytes }))],
    ] as const) {
      const columnData = [{ name: 'image', data: [...data] }]
      put(
        'packed.parquet',
        new Uint8Array(parquetWriteBuffer({ schema: [...schema], columnData, rowGroupSize: 2 })),
      )
      const source = await openSource(at('packed.parquet'), image)
      const { values, failed } = await source.read([2, 0, 3, 1])
      expect([0, 1, 2].map(n => Math.round(255 * (values[n * 192] as number)))).toEqual([33, 11, 22])
      expect(failed).toEqual([{ index: 3, id: 'row-3', reason: 'empty file' }])
      await source.close()
    }
  })

  test('refuse what makes no sense with typed errors', async () => {
    const cases: [string | string[], SourceOptions, RegExp][] = [
      ['missing', image, /nothing there/],
      ['photos/*.gif', image, /no file that fits/],
      ['photos', { ...image, shape: [3, 8, 8] }, /Channels come last/],
      ['photos', { modality: 'image' }, /the shape of a image \[H, W, C\]/],
      ['photos', { ...image, modality: 'sound' as never }, /one of 'image'/],
      [[], image, /a path or several/],
      ['photos/bad/../notes.txt', image, /at least one image/],
    ]
    mkdirSync(at('hollow'), { recursive: true })
    cases.push(['hollow', image, /at least one image that can be used, received none/])
    for (const [paths, options, message] of cases) {
      const places = typeof paths === 'string' ? at(paths) : paths.map(at)
      await expect(openSource(places, options)).rejects.toThrow(message)
      await expect(openSource(places, options)).rejects.toThrow(VqConfigError)
    }
    const source = await openSource(at('photos'), image)
    await expect(source.read([0, 7])).rejects.toThrow(/from 0 to 6/)
    await expect(source.read([0], { signal: AbortSignal.abort() })).rejects.toThrow(VqAbortError)
    await expect(openSource(at('photos'), { ...image, signal: AbortSignal.abort() })).rejects.toThrow(
      VqAbortError,
    )
  })
})

describe('texts', () => {
  const text: SourceOptions = { modality: 'text' }
  const texts = async (paths: string | string[], options: Partial<SourceOptions> = {}) => {
    const source = await openSource(typeof paths === 'string' ? at(paths) : paths.map(at), {
      ...text,
      ...options,
    })
    const { values } = await source.read(all(source.length))
    return { source, values }
  }

  test('of a file are its lines by their numbers; those that are not UTF-8 are named', async () => {
    put(
      'lines.txt',
      Buffer.concat([Buffer.from('\ufeffone\r\n\n  \ntwo ü\n'), Buffer.of(0xff, 10), Buffer.from('last')]),
    )
    for (const memoryBytes of [0, 1000]) {
      const { source, values } = await texts('lines.txt', { memoryBytes })
      expect(source.ids).toEqual(['line-1', 'line-4', 'line-6'])
      expect(values).toEqual(['one', 'two ü', 'last'])
      expect(source.skipped).toEqual([{ id: 'line-5', reason: 'not UTF-8' }])
      expect((await source.read([2, 0])).values).toEqual(['last', 'one'])
    }
  })

  test('of a folder are its files, with folders as labels; lines where they are asked for', async () => {
    put('docs/x/1.txt', 'first\nsecond')
    put('docs/y/2.txt', 'third')
    put('docs/y/void.txt', ' \n')
    const whole = await texts('docs')
    expect(whole.source.ids).toEqual(['x/1.txt', 'y/2.txt'])
    expect(whole.source.labels).toEqual(['x', 'y'])
    expect(whole.source.skipped).toEqual([{ id: 'y/void.txt', reason: 'an empty text' }])
    expect(whole.values).toEqual(['first\nsecond', 'third'])
    expect((await texts('docs', { memoryBytes: 0 })).values).toEqual(whole.values)
    const lines = await texts('docs', { textUnit: 'line' })
    expect(lines.source.ids).toEqual(['x/1.txt#line-1', 'x/1.txt#line-2', 'y/2.txt#line-1'])
  })

  test('of CSV, TSV, JSON Lines and Parquet come by column, with ids, labels and captions', async () => {
    const rows = [
      { id: 'p', text: 'one, "two"', label: 'x', n: 1 },
      { id: 'q', text: 'three ü', label: 'y', n: 2 },
    ]
    put('t.csv', 'id,text,label\np,"one, ""two""",x\nq,three ü,y\n')
    put('t.tsv', 'id\ttext\tlabel\np\tone, "two"\tx\nq\tthree ü\ty\n')
    put('t.jsonl', rows.map(row => JSON.stringify(row)).join('\n'))
    const columnData = ['id', 'text', 'label'].map(name => ({
      name,
      data: rows.map(row => row[name as 'id']),
    }))
    put('t.parquet', new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize: 1 })))
    for (const name of ['t.csv', 't.tsv', 't.jsonl', 't.parquet'])
      for (const memoryBytes of [0, 1e6]) {
        const options = { memoryBytes, idColumn: 'id', labelColumn: 'label' }
        const { source, values } = await texts(name, options)
        expect([name, source.ids, source.labels, values]).toEqual([
          name,
          ['p', 'q'],
          ['x', 'y'],
          rows.map(r => r.text),
        ])
        const plain = await texts(name, { memoryBytes, column: ['label', 'text'] })
        expect(plain.source.ids).toEqual(['row-0', 'row-1'])
        expect(plain.values).toEqual(rows.map(r => `${r.label} ${r.text}`))
        await expect(openSource(at(name), { ...text, column: 'txet' })).rejects.toThrow(
          /columns id, text, label.*Did you mean "text"/s,
        )
      }
    const two = await texts(['t.csv', 't.tsv'])
    expect(two.source.ids).toEqual(['t.csv#row-0', 't.csv#row-1', 't.tsv#row-0', 't.tsv#row-1'])
  })

  test('without a header have numbered columns', async () => {
    put('bare.csv', '1,Headline,"Body, long"\n2,Other,Text\n')
    const { source, values } = await texts('bare.csv', { column: ['1', '2'], labelColumn: '0' })
    expect(source.labels).toEqual(['1', '2'])
    expect(values).toEqual(['Headline Body, long', 'Other Text'])
    await expect(openSource(at('bare.csv'), text)).rejects.toThrow(/numbered from 0/)
  })

  test('may have other signs between fields, a byte order mark and Windows line ends', async () => {
    put('euro.csv', '\ufeffid;text;label\r\na;"1,5; or so";x\r\nb;two, three;y\r\n')
    put('tabs.csv', 'id\ttext\nq\t"said"\n')
    put('pipes.csv', 'id|text\nq|a;b\n')
    for (const memoryBytes of [0, 1e6]) {
      const euro = await texts('euro.csv', { memoryBytes, idColumn: 'id', labelColumn: 'label' })
      expect([euro.source.ids, euro.values, euro.source.labels]).toEqual([
        ['a', 'b'],
        ['1,5; or so', 'two, three'],
        ['x', 'y'],
      ])
      expect((await texts('tabs.csv', { memoryBytes })).values).toEqual(['"said"'])
      expect((await texts('pipes.csv', { memoryBytes, delimiter: '|' })).values).toEqual(['a;b'])
    }
  })

  test('of bad rows are skipped one by one, and double ids told apart', async () => {
    put(
      'bad.csv',
      Buffer.concat([
        Buffer.from('id,text\na,good\na,also\nb\nc,'),
        Buffer.of(0xe9),
        Buffer.from('\nd,""\na~2,fine\n'),
      ]),
    )
    put(
      'bad.jsonl',
      '{"text":"good"}\n{"text":\n[1]\n{"other":1}\n{"text":null}\n{"text":7}\n{"text":{"a":1}}\n',
    )
    const csv = await texts('bad.csv', { idColumn: 'id' })
    expect(csv.source.ids).toEqual(['a', 'a~3', 'a~2'])
    expect(csv.source.skipped).toEqual([
      { id: 'row-2', reason: 'nothing in the column text' },
      { id: 'row-3', reason: 'not UTF-8' },
      { id: 'row-4', reason: 'an empty text' },
    ])
    const jsonl = await texts('bad.jsonl')
    expect(jsonl.values).toEqual(['good', '7'])
    expect(jsonl.source.skipped.map(({ id, reason }) => `${id} ${reason}`)).toEqual([
      'row-1 not JSON',
      'row-2 not a JSON object',
      'row-3 nothing in the column text',
      'row-4 nothing in the column text',
      'row-6 no text',
    ])
    await expect(openSource(at('bad.jsonl'), { ...text, strict: true })).rejects.toThrow(/row-1/)
    put('noise.parquet', 'PAR1 nothing of the kind PAR1')
    await expect(openSource(at('noise.parquet'), text)).rejects.toThrow(VqConfigError)
    const both = await texts(['noise.parquet', 'bad.jsonl'])
    expect(both.source.skipped[0]!.id).toBe('noise.parquet')
  })

  test('of lines without end are named, not read', async () => {
    put(
      'endless.txt',
      Buffer.concat([Buffer.from('short\n'), Buffer.alloc(2 ** 24 + 1, 'x'), Buffer.from('\nlast')]),
    )
    const { source, values } = await texts('endless.txt')
    expect(values).toEqual(['short', 'last'])
    expect(source.skipped).toEqual([{ id: 'line-2', reason: 'a line of 16777217 bytes' }])
    rmSync(at('endless.txt'))
  })

  test('ids are unique, stable, and keep what was unique', () => {
    const check = async (ids: string[]): Promise<void> => {
      put('ids.jsonl', ids.map(id => JSON.stringify({ id, text: 'x' })).join('\n'))
      const { source } = await texts('ids.jsonl', { idColumn: 'id' })
      expect(new Set(source.ids).size).toBe(ids.length)
      for (const [i, id] of source.ids.entries()) expect(id.startsWith(ids[i]!)).toBe(true)
      for (const [i, id] of ids.entries()) if (ids.indexOf(id) === i) expect(source.ids[i]).toBe(id)
    }
    return fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('a', 'b', 'a~2', 'a~3', 'b~2', 'a~2~2'), { minLength: 1, maxLength: 12 }),
        check,
      ),
      { numRuns: 40 },
    )
  })
})

describe('vectors', () => {
  const dim = 5
  const rows = all(40).map(i => Float32Array.from({ length: dim }, (_, d) => Math.fround(i + d / 10)))
  const flat = Float32Array.from(rows.flatMap(row => [...row]))
  const vector: SourceOptions = { modality: 'vector' }

  beforeAll(async () => {
    put('v.npy', npyBytes({ dtype: 'F32', shape: [40, dim], data: flat }))
    put('d.npy', npyBytes({ dtype: 'F64', shape: [40, dim], data: Float64Array.from(flat) }))
    await saveVecs(at('v.fvecs'), { data: flat, dim })
    await saveNpz(at('v.npz'), {
      emb: { dtype: 'F32', shape: [40, dim], data: flat },
      n: { dtype: 'F32', shape: [1], data: Float32Array.of(1) },
    })
    await saveSafetensors(at('v.safetensors'), { emb: { dtype: 'F32', shape: [40, dim], data: flat } })
    put('v.jsonl', rows.map((row, i) => JSON.stringify({ id: `v${i}`, embedding: [...row] })).join('\n'))
    const writer = new ByteWriter()
    const parquet = new ParquetWriter({
      writer,
      schema: [
        { name: 'schema', num_children: 2 },
        { name: 'id', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' },
        { name: 'embedding', converted_type: 'LIST', repetition_type: 'REQUIRED', num_children: 1 },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        { name: 'element', type: 'FLOAT', repetition_type: 'REQUIRED' },
      ],
    })
    const columnData = [
      { name: 'id', data: rows.map((_, i) => `v${i}`) },
      { name: 'embedding', data: rows.map(row => [...row]) },
    ]
    parquet.write({ columnData, rowGroupSize: 15 })
    parquet.finish()
    put('v.parquet', new Uint8Array(writer.getBytes()))
  })

  test.each(['v.npy', 'd.npy', 'v.fvecs', 'v.npz', 'v.safetensors', 'v.jsonl', 'v.parquet'])(
    'of %s are the same in any order and company',
    async name => {
      const source = await openSource(at(name), vector)
      expect([source.length, source.shape, source.ids[39]]).toEqual([40, [dim], 'row-39'])
      await fc.assert(
        fc.asyncProperty(fc.array(fc.nat(39), { maxLength: 30 }), async indices => {
          const { values, indices: got, failed } = await source.read(indices)
          expect(failed).toEqual([])
          expect([...got]).toEqual(indices)
          expect(values).toEqual(Float32Array.from(indices.flatMap(i => [...rows[i]!])))
        }),
        { numRuns: 25 },
      )
      const again = await openSource([at(name), at('v.npy')], vector)
      expect(again.length).toBe(name === 'v.npy' ? 40 : 80)
      await again.close()
      await source.close()
    },
  )

  test('of bytes and of a longer kind are named and left out', async () => {
    const bad = flat.slice()
    bad[7] = Number.NaN
    bad[3 * dim] = Number.POSITIVE_INFINITY
    put('nan.npy', npyBytes({ dtype: 'F32', shape: [40, dim], data: bad }))
    const source = await openSource(at('nan.npy'), vector)
    const { values, indices, failed } = await source.read(all(5))
    expect([...indices]).toEqual([0, 2, 4])
    expect(values).toEqual(Float32Array.from([0, 2, 4].flatMap(i => [...rows[i]!])))
    expect(failed).toEqual([
      { index: 1, id: 'row-1', reason: 'NaN at 2' },
      { index: 3, id: 'row-3', reason: 'Infinity at 0' },
    ])
    const checked = await source.check()
    expect([checked.length, checked.ids[1]]).toEqual([38, 'row-2'])
    expect(await checked.dataset().batch(Int32Array.of(1))).toEqual(rows[2])

    put('mixed.jsonl', '{"v":[1,2]}\n{"v":[1]}\n{"v":"x"}\n{"v":[1,"2"]}\n{}\n{"v":[3,4]}\n')
    const lists = await openSource(at('mixed.jsonl'), { ...vector, column: 'v' })
    const read = await lists.read(all(6))
    expect(read.values).toEqual(Float32Array.of(1, 2, 3, 4))
    expect(read.failed.map(({ reason }) => reason)).toEqual([
      '1 numbers where 2 are needed',
      'no list of numbers',
      'no number at 1 of the list',
      'nothing in the column v',
    ])
    const other = await openSource([at('v.npy'), at('mixed.jsonl')], { ...vector, column: 'v' })
    expect(other.shape).toEqual([dim])
    put('three.npy', npyBytes({ dtype: 'F32', shape: [2, 2, 2], data: new Float32Array(8) }))
    await expect(openSource(at('three.npy'), vector)).rejects.toThrow(/Reshape/)
    put('cut.npy', npyBytes({ dtype: 'F32', shape: [40, dim], data: flat }).subarray(0, 300))
    await expect(openSource(at('cut.npy'), vector)).rejects.toThrow(VqConfigError)
    const both = await openSource(
      [at('cut.npy'), at('three.npy'), at('v.npy')].filter(p => !p.includes('three')),
      vector,
    )
    expect([both.length, both.skipped[0]!.id]).toEqual([40, 'cut.npy'])
    const longer = await openSource([at('v.npy'), at('mixed.npy')].slice(0, 1), {
      ...vector,
      shape: [7],
    }).catch(e => e)
    expect(longer).toBeInstanceOf(VqConfigError)
  })

  test('are a data set, in memory or not, alone and from several files', async () => {
    for (const [names, memoryBytes] of [
      [['v.npy'], 0],
      [['v.npy'], 1e6],
      [['v.fvecs', 'd.npy'], 0],
      [['v.fvecs', 'd.npy'], 1e6],
    ] as const) {
      const source = await openSource(names.map(at), { ...vector, memoryBytes })
      const data = source.dataset()
      expect([data.length, data.shape]).toEqual([40 * names.length, [dim]])
      const wanted = Int32Array.of(39, 0, 17, 17, data.length - 1)
      for (let again = 0; again < 2; again++)
        expect(await data.batch(wanted)).toEqual(
          Float32Array.from([...wanted].flatMap(i => [...rows[i % 40]!])),
        )
    }
  })

  test('of one damaged record among many lose that one alone', async () => {
    await saveVecs(at('broken.fvecs'), { data: flat, dim })
    const { readFileSync } = await import('node:fs')
    const bytes = readFileSync(at('broken.fvecs'))
    bytes.writeInt32LE(4, 3 * (4 + 4 * dim))
    writeFileSync(at('broken.fvecs'), bytes)
    const { indices, failed } = await (await openSource(at('broken.fvecs'), vector)).read(all(6))
    expect([...indices]).toEqual([0, 1, 2, 4, 5])
    expect(failed[0]!.id).toBe('row-3')
  })

  test('by name come out of archives with several; a wrong name is answered with those there are', async () => {
    const tensors = {
      left: { dtype: 'F32' as const, shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
      right: { dtype: 'F32' as const, shape: [1, 2], data: Float32Array.of(5, 6) },
    }
    await saveSafetensors(at('two.safetensors'), tensors)
    await saveNpz(at('two.npz'), tensors)
    for (const name of ['two.safetensors', 'two.npz']) {
      const source = await openSource(at(name), { ...vector, column: 'right' })
      expect((await source.read([0])).values).toEqual(Float32Array.of(5, 6))
      await source.close()
      await expect(openSource(at(name), vector)).rejects.toThrow(/left \[2, 2\], right \[1, 2\]/)
      await expect(openSource(at(name), { ...vector, column: 'rihgt' })).rejects.toThrow(
        /Did you mean 'right'/,
      )
    }
    await expect(openSource(at('two.npz'), { ...vector, column: 'left', memoryBytes: 4 })).rejects.toThrow(
      /npz/,
    )
  })

  test('have ids of a column', async () => {
    for (const name of ['v.jsonl', 'v.parquet']) {
      const source = await openSource(at(name), { ...vector, idColumn: 'id' })
      expect(source.ids[17]).toBe('v17')
      expect((await source.read([17])).values).toEqual(rows[17])
    }
  })
})

describe('videos', () => {
  const video: SourceOptions = { modality: 'video', shape: [4, 8, 8, 3] }
  const reds = (values: ArrayLike<number>, frames: number): number[] =>
    all(frames).map(t => Math.round(255 * values[t * 8 * 8 * 3]!))
  beforeAll(async () => {
    for (const i of [1, 2, 10]) put(`films/clip/${i}.png`, await solid(i))
    for (const i of all(5)) put(`films/deep/long/f${i}.png`, await solid(50 + i))
    put('films/void.gif', 'GIF89a nothing')
  })

  test('are folders of frames; the last frame of a short one is repeated', async () => {
    const source = await openSource(at('films'), video)
    expect(source.ids).toEqual(['clip', 'deep/long', 'void.gif'])
    expect(source.labels).toEqual(['', 'deep', ''])
    const { values, indices, failed } = await source.read([0, 1, 2])
    expect([...indices]).toEqual([0, 1])
    expect(failed.map(({ id }) => id)).toEqual(['void.gif'])
    expect(reds(values as Float32Array, 8)).toEqual([1, 2, 10, 10, 50, 51, 52, 53])
    const strided = await openSource(at('films'), { ...video, frameStride: 2 })
    expect(reds((await strided.read([1])).values as Float32Array, 4)).toEqual([50, 52, 54, 54])
    const whole = await (await openSource(at('films'), { ...video, shortVideos: 'skip' })).check()
    expect(whole.ids).toEqual(['deep/long'])
    expect(whole.skipped[0]).toEqual({ id: 'clip', reason: '3 frames at stride 1 where 4 are needed' })
  })

  test('of a folder with nothing but images are that folder, and tables name them', async () => {
    const one = await openSource(at('films/clip'), video)
    expect(one.ids).toEqual(['clip'])
    put(
      'films/index.jsonl',
      '{"video":"clip","kind":"a"}\n{"video":"deep/long","kind":"b"}\n{"video":"none.mp4","kind":"b"}\n',
    )
    const source = await openSource(at('films/index.jsonl'), { ...video, labelColumn: 'kind' })
    expect([source.ids, source.labels]).toEqual([
      ['row-0', 'row-1'],
      ['a', 'b'],
    ])
    expect(source.skipped).toEqual([{ id: 'row-2', reason: 'none.mp4: ENOENT' }])
    expect(reds((await source.read([1])).values as Float32Array, 4)).toEqual([50, 51, 52, 53])
  })

  test('that were decoded before come from an array of bytes', async () => {
    const data = Uint8Array.from({ length: 3 * 4 * 8 * 8 * 3 }, (_, i) => i % 251)
    put('clips.npy', npyBytes({ dtype: 'U8', shape: [3, 4, 8, 8, 3], data }))
    const source = await openSource(at('clips.npy'), video)
    expect([source.length, source.modality]).toEqual([3, 'video'])
    const { values } = await source.read([2])
    expect(values[5]).toBe(Math.fround(data[2 * 768 + 5]! / 255))
    await expect(openSource(at('clips.npy'), { ...video, shape: [4, 4, 8, 3] })).rejects.toThrow(
      /3 items of shape/,
    )
  })
})
