export { type Activation, type GeluOptions, gelu, silu } from './activation.js'
export * from './adam.js'
export { type AttentionOptions, scaledDotProductAttention } from './attention.js'
export * from './batch-norm.js'
export { conv1d, conv2d } from './conv.js'
export { conv2dTranspose } from './conv-transpose.js'
export { conv3d, conv3dTranspose } from './conv3d.js'
export type { ConvOptions, ConvTransposeOptions, PerAxis } from './convolution-geometry.js'

import './convolution-gradients.js'

export * from './custom-gradient.js'
export {
  canDecode,
  DecoderCache,
  type DecoderLayer,
  type DecoderNorm,
  type DecoderProduct,
  type DecoderWeights,
  decode,
} from './decode.js'
export * from './detach.js'
export { type DrawOptions, drawTokens } from './draw-tokens.js'
export * from './ema-update.js'
export { embedding } from './embedding.js'
export { estimatorGradientTensors } from './estimator-gradient.js'
export { type FsqTensorOptions, fsqBounded, fsqQuantize, fsqValues } from './fsq.js'
export * from './group-norm.js'
export { type GumbelSoftmaxOptions, gumbelSoftmax } from './gumbel-softmax.js'
export * from './layer-norm.js'
export { lfqEntropies, lfqQuantize, lfqValues } from './lfq.js'
export * from './linear.js'
export { type LstmOptions, type LstmResult, type LstmState, type LstmWeights, lstm } from './lstm.js'
export * from './mean-squared-error.js'
export { nearestCode } from './nearest-code.js'
export { type ImplicitCodebook, nearestImplicitCode } from './nearest-implicit-code.js'
export * from './no-grad.js'
export { orderedLinear } from './ordered-linear.js'
export {
  bernoulli,
  type DropoutOptions,
  dropout,
  type RandomOptions,
  randomNormal,
  randomUniform,
  truncatedNormal,
} from './random.js'
export * from './sgd.js'
export * from './softmax.js'
export { type CrossEntropyOptions, softmaxCrossEntropy } from './softmax-cross-entropy.js'
