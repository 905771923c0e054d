// Tokenizers that Python's library trained and what it makes of texts, written by test/oracle/text-tokenizers.py.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tf } from '@vq/core'
import { afterAll, describe, expect, test } from 'vitest'
import {
  loadTokenizer,
  Tokenizer,
  trainBytePairTokenizer,
  trainCharacterTokenizer,
  trainWordTokenizer,
} from '../src/index.js'

interface Expected {
  ids: number[][]
  pairs: number[][]
  types: number[][]
  truncated: number[][]
  decoded: string[]
}

const oracle = join(import.meta.dirname, '../../../test/oracle')
const folder = join(oracle, 'tokenizers')
const json = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), 'utf8'))
const texts = json('texts.json') as string[]
const expected = json('expected.json') as Record<string, Expected> & { merges: unknown }
const kinds = ['wordpiece', 'roberta', 'unigram', 'metaspace', 'clip', 'words']
const scratch = mkdtempSync(join(tmpdir(), 'vq-tokenizers-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

describe.each(kinds)('a tokenizer.json of the kind %s', kind => {
  const tokenizer = new Tokenizer(json(`${kind}.json`))
  const { ids, pairs, types, truncated, decoded } = expected[kind]!

  test('gives the ids of the Python library for every text', () => {
    for (const [i, text] of texts.entries()) expect(tokenizer.encode(text).ids, text).toEqual(ids[i])
  })

  test('gives its ids and kinds of tokens for pairs, and cuts texts as it does', () => {
    for (let i = 0; i < 20; i++) {
      const [text, pair] = [texts[i]!, texts[i + 20]!]
      const both = tokenizer.encode(text, { pair })
      expect(both.ids).toEqual(pairs[i])
      expect(both.tokenTypes).toEqual(types[i])
      expect(tokenizer.encode(text, { pair, maxLength: 12 }).ids).toEqual(truncated[i])
      expect(tokenizer.encode(text, { maxLength: 12 }).ids).toEqual(truncated[i + 20])
    }
  })

  // Python's leaves the ends of words in CLIP's texts; here they become blanks.
  test.skipIf(kind === 'clip')('gives its texts for ids', () => {
    for (const [i, text] of decoded.entries()) expect(tokenizer.decode(ids[i]!)).toBe(text)
  })
})

test('vocab.txt without tokenizer.json gives the same ids', async () => {
  const { vocab } = (json('wordpiece.json') as { model: { vocab: Record<string, number> } }).model
  const lines = Object.keys(vocab).sort((a, b) => vocab[a]! - vocab[b]!)
  const at = mkdtempSync(join(scratch, 'bert-'))
  writeFileSync(join(at, 'vocab.txt'), `${lines.join('\n')}\n`)
  const tokenizer = await loadTokenizer(at)
  for (const [i, text] of texts.entries())
    expect(tokenizer.encode(text).ids, text).toEqual(expected.wordpiece!.ids[i])
})

test.each(['roberta', 'clip'])('vocab.json and merges.txt of %s give the same ids', async kind => {
  const { vocab, merges } = (json(`${kind}.json`) as { model: { vocab: object; merges: string[][] } }).model
  const at = mkdtempSync(join(scratch, `${kind}-`))
  writeFileSync(join(at, 'vocab.json'), JSON.stringify(vocab))
  writeFileSync(join(at, 'merges.txt'), `#version: 0.2\n${merges.map(m => m.join(' ')).join('\n')}\n`)
  writeFileSync(join(at, 'config.json'), JSON.stringify({ model_type: kind }))
  const tokenizer = await loadTokenizer(at)
  for (const [i, text] of texts.entries())
    expect(tokenizer.encode(text).ids, text).toEqual(expected[kind]!.ids[i])
})

test('learns the merges that the Python library learns', () => {
  const tokenizer = trainBytePairTokenizer(texts, { vocabSize: 700 })
  expect(tokenizer.definition.model.merges).toEqual(expected.merges)
})

test('batches are int32 tensors with masks, padded on the side that the configuration says', () => {
  const batch = (config: object) =>
    new Tokenizer(json('wordpiece.json'), config as Record<string, unknown>).encodeBatch(texts.slice(0, 2))
  const { ids, mask, tokenTypes } = batch({ pad_token: '[PAD]' })
  const [a, b] = [expected.wordpiece!.ids[0]!, expected.wordpiece!.ids[1]!]
  const t = Math.max(a.length, b.length)
  const zeros = (n: number): number[] => new Array<number>(n).fill(0)
  expect(ids.dtype).toBe('int32')
  expect(ids.arraySync()).toEqual([a, b].map(row => [...row, ...zeros(t - row.length)]))
  expect(mask.arraySync()).toEqual([a, b].map(row => [...row.map(() => 1), ...zeros(t - row.length)]))
  expect(tokenTypes.arraySync()).toEqual([zeros(t), zeros(t)])
  const left = batch({ pad_token: '[PAD]', padding_side: 'left' })
  expect(left.ids.arraySync()).toEqual([a, b].map(row => [...zeros(t - row.length), ...row]))
  expect(tf.getBackend()).toBe('vq-cpu')
  tf.dispose([ids, mask, tokenTypes, left])
})

describe('beside Python, on whole files', () => {
  const python = process.env.VQ_PYTHON ?? ''
  const data = join(import.meta.dirname, '../../../../shared/data/text')
  const has = python !== '' && spawnSync(python, ['-c', 'import tokenizers'], { cwd: '/' }).status === 0
  const ready =
    has && existsSync(join(data, 'tinyshakespeare.txt')) && existsSync(join(data, 'ag_news_test.csv'))
  const why = ready ? '' : ' (skipped: needs ../shared/data/text and VQ_PYTHON with the package tokenizers)'
  const lines = (): string[] =>
    ['tinyshakespeare.txt', 'ag_news_test.csv'].flatMap(name =>
      readFileSync(join(data, name), 'utf8').split('\n'),
    )
  const idsOf = (path: string, given: readonly string[]): number[][] =>
    execFileSync(python, [join(oracle, 'text-tokenizers.py'), '--ids', path], {
      input: given.map(line => JSON.stringify(line)).join('\n'),
      maxBuffer: 2 ** 30,
    })
      .toString()
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as number[])

  test.skipIf(!ready).each(kinds)(`%s gives Python's ids${why}`, kind => {
    const all = lines()
    const tokenizer = new Tokenizer(json(`${kind}.json`))
    const wanted = idsOf(join(folder, `${kind}.json`), all)
    for (const [i, line] of all.entries())
      if (String(tokenizer.encode(line).ids) !== String(wanted[i]))
        expect(tokenizer.encode(line).ids, line).toEqual(wanted[i])
  })

  test.skipIf(!ready)(`what is trained here is read by Python and gives the same ids${why}`, async () => {
    const all = lines().slice(0, 20_000)
    const trained = [
      trainWordTokenizer(all, { vocabSize: 2000, lowercase: true }),
      trainCharacterTokenizer(all),
      trainBytePairTokenizer(all, { vocabSize: 1500 }),
    ]
    for (const tokenizer of trained) {
      const at = mkdtempSync(join(scratch, 'trained-'))
      await tokenizer.save(at)
      const given = [...all.slice(0, 3000), ...texts]
      expect(given.map(line => tokenizer.encode(line).ids)).toEqual(idsOf(join(at, 'tokenizer.json'), given))
    }
  })
})
