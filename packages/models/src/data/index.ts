export { type AugmentOptions, augment } from './augment.js'
export {
  BaseDataset,
  type Dataset,
  type Extras,
  expectIndices,
  type Field,
  type Values,
} from './dataset.js'
export * from './digits/index.js'
export * from './download/index.js'
export { mapBounded } from './files/bounded.js'
export * from './gaussian/index.js'
export { type ImageFolder, type ImageFolderOptions, imageFolder } from './image-folder.js'
export * from './images/index.js'
export * from './loader.js'
export * from './masks/index.js'
export { type RandomCropsOptions, randomCrops } from './random-crops.js'
export type { Skipped } from './scan.js'
export { splitDataset, subset } from './split.js'
export * from './text/index.js'
export * from './toys/index.js'
export { type VectorsOptions, vectors } from './vectors.js'
export * from './video/index.js'
