import { readFile } from 'node:fs/promises'
import { VqFormatError } from '@vq/core'
import type { HubOptions } from '../pretrained/environment.js'
import { type ModelFiles, openModel, readJson } from '../pretrained/model-files.js'
import type { Json } from './definition.js'
import { bytePairDefinition, wordPieceDefinition } from './legacy-files.js'
import { Tokenizer } from './tokenizer.js'

async function optional(files: ModelFiles, file: string): Promise<Record<string, unknown>> {
  return (await files.find(file)) === undefined ? {} : readJson(files, file)
}

/**
 * The tokenizer of a model: of a folder or of a model's name on Hugging Face's hub, as `fromPretrained` takes them. It is
 * read from tokenizer.json, or where there is none from vocab.txt (BERT) or vocab.json and merges.txt (GPT-2, RoBERTa, CLIP).
 * Throws VqFormatError that names missing and damaged files, VqConfigError for kinds that are not supported.
 *
 * @example
 * const tokenizer = await loadTokenizer('sentence-transformers/all-MiniLM-L6-v2')
 * const { ids, mask } = tokenizer.encodeBatch(['a cat', 'two dogs'])
 */
export async function loadTokenizer(idOrFolder: string, options: HubOptions = {}): Promise<Tokenizer> {
  const files = await openModel(idOrFolder, options)
  const config: Json = {
    ...(await optional(files, 'special_tokens_map.json')),
    ...(await optional(files, 'tokenizer_config.json')),
  }
  const sentences = (await optional(files, 'sentence_bert_config.json')).max_seq_length
  if (typeof sentences === 'number') config.model_max_length = sentences
  const source = `the tokenizer of '${files.name}'`
  if ((await files.find('tokenizer.json')) !== undefined)
    return new Tokenizer(await readJson(files, 'tokenizer.json'), config, source)
  const words = await files.find('vocab.txt')
  if (words !== undefined)
    return new Tokenizer(wordPieceDefinition(await readFile(words, 'utf8'), config), config, source)
  const merges = await files.find('merges.txt')
  if (merges === undefined || (await files.find('vocab.json')) === undefined)
    throw new VqFormatError({
      operation: `reading ${source}`,
      expected: 'tokenizer.json, vocab.txt, or vocab.json and merges.txt',
      received: 'none of them',
      remedy: 'Save the tokenizer with save_pretrained of transformers.',
    })
  const vocab = (await readJson(files, 'vocab.json')) as Record<string, number>
  const type = (await optional(files, 'config.json')).model_type
  const kind = `${config.tokenizer_class ?? ''} ${type ?? ''}`
  return new Tokenizer(bytePairDefinition(vocab, await readFile(merges, 'utf8'), config, kind), config, source) // biome-ignore format: one line
}
