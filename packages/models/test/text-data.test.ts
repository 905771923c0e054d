import { existsSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { VqConfigError, VqFormatError, VqValueError } from '@vq/core'
import { csvText, textFile } from '@vq/models/data'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { Utf8Check } from '../src/data/text/utf8.js'
import { keepsContract, realData, temporaryFolder, upTo } from './data-fixture.js'

const folder = temporaryFolder()
let count = 0
const file = (content: string | Uint8Array, ending = 'txt'): string => {
  const path = join(folder, `${count++}.${ending}`)
  writeFileSync(path, content)
  return path
}
const poem = file('The sea\r\n\n  \nüber alles 🦉\nlast line', 'txt')

describe('textFile by lines', () => {
  keepsContract('textFile', { make: () => textFile(poem, { length: 6 }), range: [0, 255] })
  keepsContract('textFile from the disk', { make: () => textFile(poem, { length: 6, memoryBytes: 0 }) })

  it.each([1 << 20, 0])('gives lines without their ends, in memory or not (%i)', async memoryBytes => {
    const data = await textFile(poem, { memoryBytes })
    expect(await data.texts(upTo(3))).toEqual(['The sea', 'über alles 🦉', 'last line'])
    const all = await textFile(poem, { memoryBytes, keepEmpty: true })
    expect(await all.texts(upTo(5))).toEqual(['The sea', '', '  ', 'über alles 🦉', 'last line'])
  })

  it('splits as JavaScript does, whatever the text', async () => {
    const piece = fc.constantFrom('a', 'é', '🦉', '\n', '\r\n', ' ', '\r', '\t', '﻿')
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 40 }), async pieces => {
        const text = `x${pieces.join('')}`
        const path = file(text)
        const want = text.replaceAll('\r\n', '\n').split('\n')
        const blank = /^[\t\n\v\f\r ]*$/
        const lines = await textFile(path, { memoryBytes: 0 })
        expect(await lines.texts(upTo(lines.length))).toEqual(want.filter(l => !blank.test(l)))
      }),
      { numRuns: 60 },
    )
  })

  it('tokenizes, cuts and pads, and says which ids are tokens', async () => {
    const tokenize = (text: string): number[] => text.split(' ').map(word => word.length)
    const data = await textFile(poem, { tokenize, length: 2, padId: 9 })
    expect(data.dtype).toBe('int32')
    expect([...(await data.batch(upTo(3)))]).toEqual([3, 3, 4, 5, 4, 4])
    const one = await textFile(poem, { tokenize: text => [text.length], length: 2, padId: 9 })
    const { mask, length } = await one.extras(upTo(2))
    expect([...(await one.batch(upTo(2)))]).toEqual([7, 9, 13, 9])
    expect([mask.shape, [...mask.values], length.shape, [...length.values]]).toEqual([
      [2, 2],
      [1, 0, 1, 0],
      [2],
      [1, 1],
    ])
  })

  it('leaves out a byte order mark', async () => {
    const data = await textFile(file('﻿first\nsecond'))
    expect(await data.texts(upTo(2))).toEqual(['first', 'second'])
  })

  it('refuses what is not UTF-8, empty, missing, changed, or not tokenized to ids', async () => {
    await expect(textFile(file(Uint8Array.of(97, 0xff, 98)))).rejects.toThrow(VqFormatError)
    await expect(textFile(file(Uint8Array.of(97, 0xc3)))).rejects.toThrow(VqFormatError)
    await expect(textFile(file('\n \n'))).rejects.toThrow(/at least one line/)
    await expect(textFile(join(folder, 'none'))).rejects.toThrow(VqConfigError)
    await expect((await textFile(poem, { tokenize: () => [-1] })).batch(Int32Array.of(0))).rejects.toThrow(
      VqValueError,
    )
    const path = file('a\nb\n')
    const data = await textFile(path, { memoryBytes: 0 })
    writeFileSync(path, 'c\nd\n')
    utimesSync(path, 1, 1)
    await expect(data.texts(Int32Array.of(0))).rejects.toThrow(/as it was when it was opened/)
  })
})

describe('textFile by windows', () => {
  const abc = file('abcäbcd')
  const options = { unit: 'characters', length: 3 } as const
  keepsContract('textFile by characters', { make: () => textFile(abc, options) })
  keepsContract('textFile by bytes', {
    make: () => textFile(abc, { unit: 'bytes', length: 4, memoryBytes: 0 }),
    range: [0, 255],
  })

  it('numbers characters by code point, and takes the numbers of another text', async () => {
    const data = await textFile(abc, { ...options, stride: 2 })
    expect(data.vocabulary).toEqual(['a', 'b', 'c', 'd', 'ä'])
    expect([data.total, data.length]).toEqual([7, 3])
    expect([...(await data.batch(upTo(3)))]).toEqual([0, 1, 2, 2, 4, 1, 1, 2, 3])
    const vocabulary = data.vocabulary as string[]
    const other = await textFile(file('dad'), { ...options, vocabulary })
    expect([...(await other.batch(upTo(1)))]).toEqual([3, 0, 3])
    await expect(textFile(file('dax'), { ...options, vocabulary })).rejects.toThrow(/"x" at character 2/)
  })

  it('gives bytes, and tokens of whole lines', async () => {
    const bytes = await textFile(abc, { unit: 'bytes', length: 4 })
    expect([...(await bytes.batch(upTo(2)))]).toEqual([...Buffer.from('abcäbcd')])
    const lines = file('one two\nthree\n')
    const seen: string[] = []
    const tokenize = (text: string): number[] => {
      seen.push(text)
      return text
        .split(/\s+/)
        .filter(Boolean)
        .map(w => w.length)
    }
    const tokens = await textFile(lines, { unit: 'tokens', length: 3, tokenize })
    expect(seen.join('')).toBe('one two\nthree\n')
    expect([...(await tokens.batch(upTo(1)))]).toEqual([3, 3, 5])
  })

  it('characters survive any cut of the file into pieces', async () => {
    const text = `${'🦉é'.repeat(300_000)}\nend`
    const data = await textFile(file(text), { unit: 'characters', length: 600_004 })
    expect(data.vocabulary?.join('')).toBe('\ndené🦉')
    const ids = await data.batch(upTo(1))
    expect(Array.from(ids, id => (data.vocabulary as string[])[id]).join('')).toBe(text)
  })

  it('refuses texts that are too short and options that are missing', async () => {
    await expect(textFile(abc, { ...options, length: 8 })).rejects.toThrow(VqConfigError)
    await expect(textFile(abc, { unit: 'tokens' })).rejects.toThrow(/tokenize/)
  })

  test.skipIf(!existsSync(join(realData, 'text')))(
    'tiny Shakespeare has its 65 characters (skipped where ../shared/data is absent)',
    async () => {
      const data = await textFile(join(realData, 'text/tinyshakespeare.txt'), options)
      expect([data.total, data.vocabulary?.length]).toEqual([1115394, 65])
      const lines = await textFile(join(realData, 'text/tinyshakespeare.txt'))
      expect(await lines.texts(Int32Array.of(0))).toEqual(['First Citizen:'])
    },
  )
})

describe('csvText', () => {
  const news = file('"3","Title, one","said ""so""\nand so"\r\n"1","Zwei","Tür"\n\n"3","c","d"\n', 'csv')
  const options = { label: 0, text: [1, 2], length: 8 } as const
  keepsContract('csvText', { make: () => csvText(news, options), range: [0, 255] })
  keepsContract('csvText from the disk', { make: () => csvText(news, { ...options, memoryBytes: 0 }) })

  it.each([1 << 20, 0])(
    'reads quotes, line ends within them, and classes, in memory or not (%i)',
    async memoryBytes => {
      const data = await csvText(news, { ...options, memoryBytes, classes: ['World', 'Business'] })
      expect(await data.texts(Int32Array.of(1, 0, 2))).toEqual([
        'Zwei Tür',
        'Title, one said "so"\nand so',
        'c d',
      ])
      expect([data.labels, data.classes, [...(data.labelIds ?? [])]]).toEqual([
        ['Business', 'World', 'Business'],
        ['World', 'Business'],
        [1, 0, 1],
      ])
      const { label, mask } = await data.extras(Int32Array.of(1, 2))
      expect([[...label.values], mask.shape]).toEqual([
        [0, 1],
        [2, 8],
      ])
      expect([...mask.values]).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
    },
  )

  it('reads tabs without quotes, and columns by name', async () => {
    const sst = file('sentence\tlabel\nshe said "no\t1\nfine\t0\n', 'tsv')
    const data = await csvText(sst, { header: true, text: 'sentence', label: 'label' })
    expect(await data.texts(upTo(2))).toEqual(['she said "no', 'fine'])
    expect([...(data.labelIds ?? [])]).toEqual([1, 0])
    await expect(csvText(sst, { header: true, text: 'text' })).rejects.toThrow(/sentence, label/)
    await expect(csvText(sst, { text: 2 })).rejects.toThrow(VqConfigError)
    await expect(csvText(sst, { text: 0, label: 1, classes: ['a'] })).rejects.toThrow(VqConfigError)
  })

  it('refuses rows of other lengths, open quotes, what is not UTF-8, and empty tables', async () => {
    await expect(csvText(file('a,b\nc\n', 'csv'))).rejects.toThrow(VqFormatError)
    await expect(csvText(file('a,"b\nc\n', 'csv'))).rejects.toThrow(VqFormatError)
    await expect(csvText(file(Uint8Array.of(97, 0xff, 10), 'csv'))).rejects.toThrow(/UTF-8/)
    await expect(csvText(file('a,b\n', 'csv'), { header: true })).rejects.toThrow(/at least one row/)
    await expect(csvText(join(folder, 'none.csv'))).rejects.toThrow(VqConfigError)
  })

  test.skipIf(!existsSync(join(realData, 'text')))(
    'AG News and SST-2 have their sizes (skipped where ../shared/data is absent)',
    async () => {
      const data = await csvText(join(realData, 'text/ag_news_test.csv'), { label: 0, text: [1, 2] })
      expect([data.length, data.classes]).toEqual([7600, ['1', '2', '3', '4']])
      for (let c = 0; c < 4; c++) expect(data.labelIds?.filter(id => id === c).length).toBe(1900)
      const streamed = await csvText(join(realData, 'text/ag_news_test.csv'), {
        label: 0,
        text: [1, 2],
        memoryBytes: 0,
      })
      const some = Int32Array.of(7599, 0, 3456)
      expect(await streamed.texts(some)).toEqual(await data.texts(some))
      const sst = await csvText(join(realData, 'text/sst2_dev.tsv'), { text: 0, label: 1 })
      expect([sst.length, sst.classes]).toEqual([872, ['0', '1']])
    },
  )
})

it('UTF-8 is checked over the borders of pieces', () => {
  const bytes = Buffer.from('aé🦉')
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 7 }), fc.boolean(), (cut, spoil) => {
      const check = new Utf8Check('x')
      const run = (): void => {
        check.add(bytes.subarray(0, cut))
        check.add(bytes.subarray(cut))
        if (spoil) check.add(Uint8Array.of(0x80))
        check.end()
      }
      if (spoil) expect(run).toThrow(VqFormatError)
      else run()
    }),
  )
})
