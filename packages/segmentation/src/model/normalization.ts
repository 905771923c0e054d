import { tf } from '@vq/core'

export type Normalization = 'imagenet' | 'half' | 'none'

const by =
  (mean: readonly number[], deviation: readonly number[]) =>
  (images: tf.Tensor): tf.Tensor =>
    tf.div(tf.sub(images, tf.tensor1d([...mean])), tf.tensor1d([...deviation]))

/** Of images 0..1: torchvision's mean and deviation of ImageNet, −1..1 as of most Vision Transformers on the hub, or nothing. */
export const normalizations: Readonly<Record<Normalization, (images: tf.Tensor) => tf.Tensor>> = {
  imagenet: by([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
  half: by([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
  none: images => images,
}
