// What a checkpoint asks for and the encoders do not do is refused by name.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqConfigError, VqFormatError } from '@vq/core'
import { fromPretrained, loadTokenizer } from '@vq/encoders'
import { afterAll, expect, test } from 'vitest'

const oracle = join(import.meta.dirname, '../../../test/oracle/text-video')
const scratch = mkdtempSync(join(tmpdir(), 'vq-refusals-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

/** A copy of a checkpoint with one of its files of JSON changed. */
function changed(name: string, file: string, change: (value: never) => unknown): string {
  const at = mkdtempSync(join(scratch, 'case-'))
  cpSync(join(oracle, name), at, { recursive: true })
  const value = JSON.parse(readFileSync(join(at, file), 'utf8')) as never
  writeFileSync(join(at, file), JSON.stringify(change(value)))
  return at
}

const fields: [name: string, field: string, value: unknown][] = [
  ['bert', 'position_embedding_type', 'relative_key'],
  ['bert', 'is_decoder', true],
  ['bert', 'hidden_act', 'unheard_of'],
  ['bert', 'hidden_size', 'wide'],
  ['distilbert', 'n_heads', 0],
  ['clip-text', 'eos_token_id', [1, 2]],
  ['videomae', 'tubelet_size', 1.5],
  ['timesformer', 'attention_type', 'both'],
]
test.each(fields)('%s with %s %j', async (name, field, value) => {
  const at = changed(name, 'config.json', (config: object) => ({ ...config, [field]: value }))
  const error = await fromPretrained(at).catch((e: unknown) => e)
  expect(error).toBeInstanceOf(VqConfigError)
  expect((error as Error).message).toContain(field)
})

test('sizes that are not those of the weights', async () => {
  const at = changed('bert', 'config.json', (config: object) => ({ ...config, vocab_size: 25 }))
  const error = await fromPretrained(at).catch((e: unknown) => e)
  expect(error).toBeInstanceOf(VqFormatError)
  expect((error as Error).message).toContain('token_embed.weight')
})

test('modules of sentence-transformers beyond pooling and normalisation', async () => {
  const dense = { idx: 3, name: '3', path: '3_Dense', type: 'sentence_transformers.models.Dense' }
  const at = changed('minilm', 'modules.json', (modules: object[]) => [...modules, dense])
  await expect(fromPretrained(at)).rejects.toThrow(/Dense/)
})

test('several kinds of pooling at once', async () => {
  const at = changed('minilm', '1_Pooling/config.json', (config: object) => ({
    ...config,
    pooling_mode_max_tokens: true,
  }))
  await expect(fromPretrained(at)).rejects.toThrow(/mean and max/)
})

test('options that do not fit', async () => {
  await expect(fromPretrained(join(oracle, 'bert'), { pooling: 'most' })).rejects.toThrow(/pooling/)
  await expect(fromPretrained(join(oracle, 'bert'), { normalize: 1 })).rejects.toThrow(/normalize/)
  await expect(fromPretrained(join(oracle, 'bert'), { tower: 'vision' })).rejects.toThrow(/bert:vision/)
})

test('a folder without a tokenizer', async () => {
  await expect(loadTokenizer(join(oracle, 'bert'))).rejects.toThrow(/tokenizer.json/)
})
