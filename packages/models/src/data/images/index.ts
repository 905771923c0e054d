export { type ByteImagesOptions, byteImages, type LabeledDataset } from './byte-images.js'
export { type Cifar100Options, type CifarOptions, cifar10, cifar10Classes, cifar100 } from './cifar.js'
export { fashionClasses, fashionMnist, type MnistFiles, type MnistOptions, mnist } from './mnist.js'
export { type PickledImages, pickledImages } from './pickled.js'
