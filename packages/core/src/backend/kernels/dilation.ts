import { backend_util, type TensorInfo } from '@tensorflow/tfjs-core'
import { dtypeCode } from '../data.js'
import type { Attributes, Kernel, KernelTable } from '../kernel.js'
import { cast } from './elementwise.js'
import { checkInfo, expectSize, onFloats, turnInto, windowArguments } from './windows.js'

function infoOf(
  operation: string,
  x: TensorInfo,
  filter: TensorInfo,
  { strides, pad, dilations }: Attributes,
): backend_util.Conv2DInfo {
  const info = backend_util.computeDilation2DInfo(
    x.shape as [number, number, number, number],
    filter.shape as [number, number, number],
    strides as number,
    pad as 'same',
    'NHWC',
    (dilations as number | undefined) ?? 1,
  )
  expectSize(operation, 'filter', filter, [info.filterHeight, info.filterWidth, info.inChannels])
  return checkInfo(operation, info)
}

/** Grayscale dilation: the largest sum of image and filter in each window. */
export const dilation: KernelTable = {
  Dilation2D: ({ x, filter }, attrs, backend) => {
    const info = infoOf('Dilation2D', x, filter, attrs)
    const dtype = x.dtype === 'float32' || filter.dtype === 'float32' ? 'float32' : 'int32'
    const [image, w] = [cast(backend, x, dtype), cast(backend, filter, dtype)]
    const out = backend.allocate(info.outShape, dtype)
    backend.run('Dilation2D', dtypeCode(dtype), ...windowArguments(info), image, w, out)
    backend.disposeData(image.dataId)
    backend.disposeData(w.dataId)
    return turnInto(backend, out, x.dtype)
  },
  Dilation2DBackpropInput: gradient('Dilation2DBackpropInput', 'x'),
  Dilation2DBackpropFilter: gradient('Dilation2DBackpropFilter', 'filter'),
}

/** The gradient by one of the two inputs, of that input's shape and dtype. */
function gradient(name: string, by: 'x' | 'filter'): Kernel {
  return (inputs, attrs, backend) => {
    const { x, filter, dy } = inputs
    const info = infoOf(name, x, filter, attrs)
    expectSize(name, 'dy', dy, info.outShape)
    const result = onFloats(backend, [x, filter, dy], ([image, w, given]) => {
      const out = backend.allocate(inputs[by].shape, 'float32')
      backend.run(name, ...windowArguments(info), image, w, given, out)
      return out
    })
    return turnInto(backend, result, inputs[by].dtype)
  }
}
