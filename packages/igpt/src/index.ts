export { loadMultimodal, type Multimodal, saveMultimodal } from './artifact.js'
export { codesOf, drawData, drawn } from './figures.js'
export { sampleTokens } from './generate/behind.js'
export { type Generated, imagesForTexts, textsForImages, unconditional } from './generate/generate.js'
export type { SamplingOptions } from './generate/sample.js'
export {
  codebooksOf,
  type ImageModel,
  type ImageModelOptions,
  imagesOfCodes,
  loadImageModel,
  makeImageModel,
} from './images/image-model.js'
export * from './model/index.js'
export {
  type DrawnImages,
  generateFromImage,
  generateFromText,
  generateUnconditional,
} from './multimodal.js'
export { TextTokenizer } from './tokens/text-tokenizer.js'
export { Vocabulary, type VocabularyOptions } from './tokens/vocabulary.js'
export {
  type ImageEncoder,
  type ImageTokens,
  imageTokens,
  pairSequences,
  type SequenceOptions,
} from './train/tokens.js'
export {
  type Captioned,
  type ImageModelOf,
  type ImageStageOptions,
  type PairModel,
  type PairStageOptions,
  type StageOptions,
  type StageResult,
  trainImageModel,
  trainPairModel,
} from './train/two-stage.js'
