import type { TensorInfo } from '@tensorflow/tfjs-core'
import { sizeOf } from '../data.js'
import type { Attributes, KernelTable } from '../kernel.js'
import { convInfo, convolutionArguments } from './convolution.js'

const rowsOf = (x: TensorInfo, channels: number): number => sizeOf(x.shape) / Math.max(1, channels)

/** Kernels behind the fused ops of `ops/`; other backends compose them. */
export const fused: KernelTable = {
  VqBatchNormTrain: ({ x, gamma, beta }, { epsilon, relu }, backend) => {
    const channels = gamma.shape[0]
    const y = backend.allocate(x.shape, 'float32')
    const mean = backend.allocate([channels], 'float32')
    const variance = backend.allocate([channels], 'float32')
    const sizes = [rowsOf(x, channels), channels, epsilon as number]
    backend.run('BatchNormTrain', ...sizes, relu as boolean, x, gamma, beta, y, mean, variance)
    return [y, mean, variance]
  },
  VqBatchNormTrainGrad: ({ x, gamma, beta, mean, variance, dy }, { epsilon, relu }, backend) => {
    const channels = gamma.shape[0]
    const dx = backend.allocate(x.shape, 'float32')
    const dgamma = backend.allocate([channels], 'float32')
    const dbeta = backend.allocate([channels], 'float32')
    const sizes = [rowsOf(x, channels), channels, epsilon as number]
    backend.run(
      'BatchNormTrainGrad',
      ...sizes,
      relu as boolean,
      x,
      gamma,
      beta,
      mean,
      variance,
      dy,
      dx,
      dgamma,
      dbeta,
    )
    return [dx, dgamma, dbeta]
  },
  VqBatchNormInfer: ({ x, gamma, beta, mean, variance }, { epsilon, relu }, backend) => {
    const channels = gamma.shape[0]
    const y = backend.allocate(x.shape, 'float32')
    const sizes = [rowsOf(x, channels), channels, epsilon as number]
    backend.run('BatchNormInfer', ...sizes, relu as boolean, x, gamma, beta, mean, variance, y)
    return y
  },
  VqConv2d: ({ x, filter, bias }, attrs, backend) => {
    const info = convInfo('VqConv2d', x.shape, filter.shape, convAttributes(attrs))
    const y = backend.allocate(info.outShape, 'float32')
    backend.run('Conv2D', ...convolutionArguments(info), false, x, filter, bias, y)
    return y
  },
  VqConv2dFilterGrad: ({ x, dy }, attrs, backend) => {
    const info = convInfo('VqConv2dFilterGrad', x.shape, attrs.filterShape as number[], convAttributes(attrs))
    const filter = backend.allocate(info.filterShape, 'float32')
    backend.run('Conv2DBackpropFilter', ...convolutionArguments(info), x, dy, filter)
    return filter
  },
  // Transposed convolution: the gradient by input of the convolution that goes the other way, plus a bias.
  VqConv2dTranspose: ({ x, filter, bias }, attrs, backend) => {
    const shape = attrs.outputShape as number[]
    const info = convInfo('VqConv2dTranspose', shape, filter.shape, convAttributes(attrs))
    const y = backend.allocate(info.inShape, 'float32')
    backend.run('Conv2DBackpropInput', ...convolutionArguments(info), x, filter, bias, y)
    return y
  },
}

// As tfjs's own kernels are told; padding is a number, or [before, after] of each axis of space.
function convAttributes({ stride, padding, dilation }: Attributes): Attributes {
  const pads = typeof padding === 'number' ? [0, 1].map(() => [padding, padding]) : (padding as number[][])
  return { strides: stride, dilations: dilation, pad: [[0, 0], ...pads, [0, 0]] }
}
