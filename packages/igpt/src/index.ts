export { loadMultimodal, type Multimodal, saveMultimodal } from './artifact.js'
export { sampleTokens } from './generate/behind.js'
export { type Generated, imagesForTexts, textsForImages, unconditional } from './generate/generate.js'
export type { SamplingOptions } from './generate/sample.js'
export * from './model/index.js'
export { TextTokenizer } from './tokens/text-tokenizer.js'
export { Vocabulary, type VocabularyOptions } from './tokens/vocabulary.js'
export { type ImageEncoder, type ImageTokens, imageTokens, pairSequences } from './train/tokens.js'
export {
  type Captioned,
  type PairModel,
  type StageOptions,
  type StageResult,
  trainImageModel,
  trainPairModel,
} from './train/two-stage.js'
