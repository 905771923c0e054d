export { type ImageMaskFolderOptions, imageMaskFolder } from './image-masks.js'
export {
  ignoredClass,
  type MaskedImages,
  type MaskedImagesOptions,
  type MaskedItem,
  type MaskMeaning,
  maskedImages,
} from './masked-images.js'
export { type Border, type OxfordPetOptions, oxfordPet, trimapMeaning } from './pets.js'
