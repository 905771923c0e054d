import type { TensorInfo } from '@tensorflow/tfjs-core'
import { sizeOf } from '../data.js'
import type { Attributes, Inputs, KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { convInfo, convolutionArguments } from './convolution.js'
import { expectSize } from './windows.js'

const rowsOf = (x: TensorInfo, channels: number): number => sizeOf(x.shape) / Math.max(1, channels)

function trained(backend: VqCpuBackend, inputs: Inputs, { epsilon, relu }: Attributes): TensorInfo[] {
  const { x, gamma, beta, added } = inputs
  const channels = gamma.shape[0]
  const y = backend.allocate(x.shape, 'float32')
  const mean = backend.allocate([channels], 'float32')
  const variance = backend.allocate([channels], 'float32')
  const sizes = [rowsOf(x, channels), channels, epsilon as number]
  backend.run('BatchNormTrain', ...sizes, relu as boolean, x, gamma, beta, y, mean, variance, added)
  return [y, mean, variance]
}

function trainedGradient(
  backend: VqCpuBackend,
  { x, gamma, beta, mean, variance, dy }: Inputs,
  { epsilon, relu }: Attributes,
  y?: TensorInfo,
): TensorInfo[] {
  const channels = gamma.shape[0]
  const dx = backend.allocate(x.shape, 'float32')
  const dgamma = backend.allocate([channels], 'float32')
  const dbeta = backend.allocate([channels], 'float32')
  const dadded = y && backend.allocate(x.shape, 'float32')
  const sizes = [rowsOf(x, channels), channels, epsilon as number]
  const read = [x, gamma, beta, mean, variance, dy]
  backend.run('BatchNormTrainGrad', ...sizes, relu as boolean, ...read, dx, dgamma, dbeta, y, dadded)
  return dadded === undefined ? [dx, dgamma, dbeta] : [dx, dgamma, dbeta, dadded]
}

/** Kernels behind the fused ops of `ops/`; other backends compose them. */
export const fused: KernelTable = {
  VqBatchNormTrain: ({ x, gamma, beta }, attrs, backend) => trained(backend, { x, gamma, beta }, attrs),
  VqBatchNormTrainGrad: (inputs, attrs, backend) => trainedGradient(backend, inputs, attrs),
  // With a tensor of x's shape added before the ReLU, as at the end of residual blocks.
  VqBatchNormAddTrain: ({ x, gamma, beta, added }, { epsilon }, backend) => {
    expectSize('VqBatchNormAddTrain', 'added', added, x.shape)
    return trained(backend, { x, gamma, beta, added }, { epsilon, relu: true })
  },
  VqBatchNormAddTrainGrad: ({ x, gamma, beta, mean, variance, y, dy }, { epsilon }, backend) => {
    expectSize('VqBatchNormAddTrainGrad', 'y', y, x.shape)
    const inputs = { x, gamma, beta, mean, variance, dy }
    return trainedGradient(backend, inputs, { epsilon, relu: true }, y)
  },
  VqBatchNormFollow: ({ mean, variance, batchMean, batchVariance }, { share, factor }, backend) => {
    const next = [mean, variance].map(({ shape }) => backend.allocate(shape, 'float32'))
    const numbers = [sizeOf(mean.shape), share as number, factor as number]
    backend.run('BatchNormFollow', ...numbers, mean, variance, batchMean, batchVariance, ...next)
    return next
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
  // A convolution, then normalisation by given statistics, then what is added.
  VqConv2dNorm: ({ x, filter, bias, gamma, beta, mean, variance, added }, attrs, backend) => {
    const info = convInfo('VqConv2dNorm', x.shape, filter.shape, convAttributes(attrs))
    if (added !== undefined) expectSize('VqConv2dNorm', 'added', added, info.outShape)
    const y = backend.allocate(info.outShape, 'float32')
    const numbers = [...convolutionArguments(info), attrs.epsilon as number]
    const norm = [gamma, beta, mean, variance]
    backend.run('Conv2DNorm', ...numbers, attrs.relu as boolean, x, filter, bias, ...norm, added, y)
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
