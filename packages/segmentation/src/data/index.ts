export { type AugmentMaskedOptions, augmentMasked } from './augment.js'
export { ImageMaskDataModule, type ImageMaskDataOptions } from './folder.js'
export { BaseDataModule, MaskDataModule, type MaskDataOptions, type Split, splits } from './module.js'
export { OxfordPetDataModule, type OxfordPetDataOptions } from './pets.js'
