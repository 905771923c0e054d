export { loadTokenizer } from './load.js'
export {
  type EncodeBatchOptions,
  type EncodeTextOptions,
  type TextEncoding,
  type TokenBatch,
  Tokenizer,
} from './tokenizer.js'
export {
  type TrainTokenizerOptions,
  trainBytePairTokenizer,
  trainCharacterTokenizer,
  trainWordTokenizer,
} from './train.js'
