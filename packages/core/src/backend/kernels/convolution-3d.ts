import { backend_util } from '@tensorflow/tfjs-core'
import { expectShape } from '../../check.js'
import type { Attributes, KernelTable } from '../kernel.js'
import { checkInfo, expectSize, onFloats, turnInto } from './windows.js'

type ConvInfo = backend_util.Conv3DInfo

function sizes(info: ConvInfo): number[] {
  const { padInfo: p } = info
  return [
    info.batchSize, info.inChannels, info.outChannels,
    info.inDepth, info.outDepth, info.filterDepth, info.strideDepth, info.dilationDepth, p.front, p.back,
    info.inHeight, info.outHeight, info.filterHeight, info.strideHeight, info.dilationHeight, p.top, p.bottom,
    info.inWidth, info.outWidth, info.filterWidth, info.strideWidth, info.dilationWidth, p.left, p.right,
  ] // biome-ignore format: rows of an axis each
}

function infoOf(
  operation: string,
  x: readonly number[],
  filter: readonly number[],
  attrs: Attributes,
): ConvInfo {
  expectShape(
    x.length === 5 && filter.length === 5 && x[4] === filter[3],
    `kernel ${operation} on vq-cpu`,
    'images [batch, depth, height, width, channels] and a filter [depth, height, width, channels in, channels out]',
    `images [${x}], filter [${filter}]`,
    'The filter takes as many channels as the images have.',
  )
  const info = backend_util.computeConv3DInfo(
    x as [number, number, number, number, number],
    filter as [number, number, number, number, number],
    attrs.strides as number,
    (attrs.dilations as number | undefined) ?? 1,
    attrs.pad as 'same',
  )
  return checkInfo(operation, info)
}

/** Three-dimensional convolution and its gradients. */
export const convolution3d: KernelTable = {
  Conv3D: ({ x, filter }, attrs, backend) => {
    const info = infoOf('Conv3D', x.shape, filter.shape, attrs)
    const y = onFloats(backend, [x, filter], ([image, w]) => {
      const out = backend.allocate(info.outShape, 'float32')
      backend.run('Conv3D', ...sizes(info), false, image, w, null, out)
      return out
    })
    return turnInto(backend, y, x.dtype)
  },
  Conv3DBackpropInputV2: ({ dy, filter }, attrs, backend) => {
    const info = infoOf('Conv3DBackpropInputV2', attrs.inputShape as number[], filter.shape, attrs)
    expectSize('Conv3DBackpropInputV2', 'dy', dy, info.outShape)
    return onFloats(backend, [dy, filter], ([given, w]) => {
      const out = backend.allocate(info.inShape, 'float32')
      backend.run('Conv3DBackpropInput', ...sizes(info), given, w, null, out)
      return out
    })
  },
  Conv3DBackpropFilterV2: ({ x, dy }, attrs, backend) => {
    const info = infoOf('Conv3DBackpropFilterV2', x.shape, attrs.filterShape as number[], attrs)
    expectSize('Conv3DBackpropFilterV2', 'dy', dy, info.outShape)
    return onFloats(backend, [x, dy], ([image, given]) => {
      const out = backend.allocate(info.filterShape, 'float32')
      backend.run('Conv3DBackpropFilter', ...sizes(info), image, given, out)
      return out
    })
  },
}
