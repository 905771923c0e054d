import { backend_util, type Tensor } from '@tensorflow/tfjs-core'
import { tf } from '@vq/core'
import type { Call, Fuzz, FuzzTable } from './call.js'
import { gentle, type Rng, sizeOf, type Values } from './rng.js'

/** Kernels of sliding windows: convolution, pooling, dilation; and the normalisations. */

interface Planar {
  x: number[]
  filter: number[]
  attrs: Record<string, unknown>
}

function padding(r: Rng): unknown {
  return r.pick(['same', 'valid', 'same', 'valid', 0, 1, 'list'])
}

function planar(r: Rng, first = true): Planar {
  const [h, w] = [r.int(1, 9), r.int(1, 9)]
  const channels = r.pick([1, 2, 3, 5, 8, 17])
  const pad = padding(r)
  const dilations = r.chance(0.2) ? r.pick([2, [2, 1], [1, 3]]) : 1
  const strides = dilations !== 1 ? 1 : r.pick([1, 1, 2, [2, 1], [1, 3]])
  const filter = [r.int(1, 4), r.int(1, 4), channels, r.pick([1, 2, 3, 7, 16])]
  const dataFormat = first && r.chance(0.2) ? 'NCHW' : 'NHWC'
  const batch = r.int(0, 3)
  const side = (): [number, number] => [r.int(0, 2), r.int(0, 2)]
  const list = dataFormat === 'NHWC' ? [[0, 0], side(), side(), [0, 0]] : [[0, 0], [0, 0], side(), side()]
  return {
    x: dataFormat === 'NHWC' ? [batch, h, w, channels] : [batch, channels, h, w],
    filter,
    attrs: {
      strides,
      pad: pad === 'list' ? list : pad,
      dilations,
      dataFormat,
      ...(typeof pad === 'string' && pad !== 'list' ? {} : { dimRoundingMode: 'floor' }),
    },
  }
}

function info2d(g: Planar, depthwise = false): backend_util.Conv2DInfo {
  const a = g.attrs as Record<string, never>
  return backend_util.computeConv2DInfo(
    g.x as never,
    g.filter as never,
    a.strides,
    a.dilations,
    a.pad,
    a.dimRoundingMode,
    depthwise,
    backend_util.convertConv2DDataFormat(a.dataFormat),
  )
}

/** Geometries whose result has no negative size. */
function fitting<T extends Planar | Spatial>(r: Rng, make: (r: Rng) => T, shape: (g: T) => number[]): T {
  for (;;) {
    const g = make(r)
    if (shape(g).every(d => d >= 0 && Number.isInteger(d))) return g
  }
}

const conv2d = (r: Rng, depthwise = false): Planar =>
  fitting(
    r,
    s => {
      const g = planar(s, !depthwise)
      if (depthwise) g.filter[3] = s.int(1, 3)
      return g
    },
    g => info2d(g, depthwise).outShape,
  )

interface Spatial {
  x: number[]
  filter: number[]
  attrs: { strides: number | number[]; dilations: number; pad: 'same' | 'valid' }
}
function spatial(r: Rng): Spatial {
  const channels = r.pick([1, 2, 3, 9])
  return {
    x: [r.int(0, 2), r.int(1, 5), r.int(1, 5), r.int(1, 5), channels],
    filter: [r.int(1, 3), r.int(1, 3), r.int(1, 3), channels, r.pick([1, 2, 8])],
    attrs: { strides: r.pick([1, 2, [1, 2, 1]]), dilations: 1, pad: r.pick(['same', 'valid']) },
  }
}
const info3d = (g: Spatial): backend_util.Conv3DInfo =>
  backend_util.computeConv3DInfo(
    g.x as never,
    g.filter as never,
    g.attrs.strides as never,
    g.attrs.dilations,
    g.attrs.pad,
  )
const conv3d = (r: Rng): Spatial => fitting(r, spatial, g => info3d(g).outShape)

/** Bias, activation and its weights of the fused kernels. */
function finish(
  r: Rng,
  channels: number,
): { inputs: Record<string, Values | undefined>; attrs: Record<string, unknown> } {
  const activation = r.pick(['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu', 'prelu'])
  return {
    inputs: {
      bias: r.chance(0.6) ? r.tensor([channels]) : undefined,
      preluActivationWeights: activation === 'prelu' ? r.tensor([channels]) : undefined,
    },
    attrs: { activation, ...(activation === 'leakyrelu' ? { leakyreluAlpha: 0.3 } : {}) },
  }
}

const fusedConv =
  (depthwise: boolean): Fuzz['call'] =>
  r => {
    const g = conv2d(r, depthwise)
    const first = g.attrs.dataFormat
    g.attrs.dataFormat = 'NHWC'
    if (first !== 'NHWC') {
      g.x = [1, 5, 4, g.filter[2]]
      g.attrs.pad = 'same'
      delete g.attrs.dimRoundingMode
    }
    const more = finish(r, depthwise ? g.filter[2] * g.filter[3] : g.filter[3])
    return {
      inputs: { x: r.tensor(g.x), filter: r.tensor(g.filter), ...more.inputs },
      attrs: { ...g.attrs, ...more.attrs },
    }
  }

function pool2d(r: Rng): { shape: number[]; out: number[]; attrs: Record<string, unknown> } {
  for (;;) {
    const shape = [r.int(0, 3), r.int(1, 9), r.int(1, 9), r.pick([1, 2, 3, 5, 19])]
    const attrs: Record<string, unknown> = {
      filterSize: [r.int(1, 4), r.int(1, 4)],
      strides: [r.int(1, 3), r.int(1, 3)],
      pad: r.pick(['same', 'valid', 1]),
    }
    if (attrs.pad === 1) attrs.dimRoundingMode = 'floor'
    const a = attrs as Record<string, never>
    const info = backend_util.computePool2DInfo(
      shape as never,
      a.filterSize,
      a.strides,
      1,
      a.pad,
      a.dimRoundingMode,
    )
    if (info.outShape.every(d => d >= 0)) return { shape, out: info.outShape, attrs }
  }
}
function pool3d(r: Rng): { shape: number[]; out: number[]; attrs: Record<string, unknown> } {
  for (;;) {
    const shape = [r.int(0, 2), r.int(1, 5), r.int(1, 5), r.int(1, 5), r.pick([1, 2, 9])]
    const attrs = {
      filterSize: [r.int(1, 3), r.int(1, 3), r.int(1, 3)],
      strides: [r.int(1, 2), r.int(1, 2), r.int(1, 2)],
      pad: r.pick(['same', 'valid']),
      dataFormat: 'NDHWC',
    }
    const a = attrs as unknown as Record<string, never>
    const info = backend_util.computePool3DInfo(
      shape as never,
      a.filterSize,
      a.strides,
      1,
      a.pad,
      undefined,
      'NDHWC',
    )
    if (info.outShape.every(d => d >= 0)) return { shape, out: info.outShape, attrs }
  }
}
const pooling = (make: typeof pool2d): Fuzz['call'] => {
  return r => {
    const { shape, attrs } = make(r)
    return {
      inputs: { x: r.tensor(shape, r.pick(['float32', 'float32', 'int32']), r.pick([0, 0.1]), gentle) },
      attrs,
    }
  }
}
/** Distinct values: which of equal ones counts is a convention that other tests hold. */
function distinct(r: Rng, shape: number[]): Values {
  const data = r.shuffle(Array.from({ length: sizeOf(shape) }, (_, i) => i / 8 - 3))
  return { shape, dtype: 'float32', data }
}
const poolGradient = (make: typeof pool2d): Fuzz['call'] => {
  return r => {
    const { shape, out, attrs } = make(r)
    const input = distinct(r, shape)
    return { inputs: { dy: r.tensor(out), input, output: r.tensor(out) }, attrs }
  }
}
const padded = ({ attrs }: Call): boolean => attrs?.pad !== 'valid'

function dilation(r: Rng): { x: number[]; filter: number[]; out: number[]; attrs: Record<string, unknown> } {
  for (;;) {
    const channels = r.pick([1, 2, 5])
    const x = [r.int(0, 2), r.int(1, 7), r.int(1, 7), channels]
    const filter = [r.int(1, 3), r.int(1, 3), channels]
    const attrs = {
      strides: r.pick([1, 2, [1, 2]]),
      pad: r.pick(['same', 'valid']),
      dilations: r.pick([1, 1, 2]),
    }
    const info = backend_util.computeDilation2DInfo(
      x as never,
      filter as never,
      attrs.strides as never,
      attrs.pad as 'same',
      'NHWC',
      attrs.dilations,
    )
    if (info.outShape.every(d => d >= 0)) return { x, filter, out: info.outShape, attrs }
  }
}

const near = 2e-5
// It does not look at the dilations of depthwise gradients.
const dilated = ({ attrs }: Call): boolean => attrs?.dilations !== 1
export const windows: FuzzTable = {
  Conv2D: {
    call: r => {
      const g = conv2d(r)
      return { inputs: { x: r.tensor(g.x), filter: r.tensor(g.filter) }, attrs: g.attrs }
    },
    tolerance: near,
  },
  Conv2DBackpropInput: {
    call: r => {
      const g = conv2d(r)
      const attrs = { ...g.attrs, dilations: 1, inputShape: g.x }
      const dy = r.tensor(info2d({ ...g, attrs }).outShape)
      return { inputs: { dy, filter: r.tensor(g.filter) }, attrs }
    },
    tolerance: near,
  },
  Conv2DBackpropFilter: {
    call: r => {
      const g = conv2d(r)
      const attrs = { ...g.attrs, dilations: 1, filterShape: g.filter }
      const dy = r.tensor(info2d({ ...g, attrs }).outShape)
      return { inputs: { x: r.tensor(g.x), dy }, attrs }
    },
    tolerance: near,
  },
  FusedConv2D: { call: fusedConv(false), tolerance: near },
  DepthwiseConv2dNative: {
    call: r => {
      const g = conv2d(r, true)
      return { inputs: { x: r.tensor(g.x), filter: r.tensor(g.filter) }, attrs: g.attrs }
    },
    tolerance: near,
  },
  DepthwiseConv2dNativeBackpropInput: {
    call: r => {
      const g = conv2d(r, true)
      const attrs = { ...g.attrs, inputShape: g.x }
      return { inputs: { dy: r.tensor(info2d(g, true).outShape), filter: r.tensor(g.filter) }, attrs }
    },
    tolerance: near,
    plainIsWrong: dilated,
  },
  DepthwiseConv2dNativeBackpropFilter: {
    call: r => {
      const g = conv2d(r, true)
      const attrs = { ...g.attrs, filterShape: g.filter }
      return { inputs: { x: r.tensor(g.x), dy: r.tensor(info2d(g, true).outShape) }, attrs }
    },
    tolerance: near,
    plainIsWrong: dilated,
  },
  FusedDepthwiseConv2D: { call: fusedConv(true), tolerance: near },
  Conv3D: {
    call: r => {
      const g = conv3d(r)
      return { inputs: { x: r.tensor(g.x), filter: r.tensor(g.filter) }, attrs: { ...g.attrs } }
    },
    tolerance: near,
  },
  Conv3DBackpropInputV2: {
    call: r => {
      const g = conv3d(r)
      const attrs = { ...g.attrs, inputShape: g.x }
      return { inputs: { dy: r.tensor(info3d(g).outShape), filter: r.tensor(g.filter) }, attrs }
    },
    tolerance: near,
  },
  Conv3DBackpropFilterV2: {
    call: r => {
      const g = conv3d(r)
      const attrs = { ...g.attrs, filterShape: g.filter }
      return { inputs: { x: r.tensor(g.x), dy: r.tensor(info3d(g).outShape) }, attrs }
    },
    tolerance: near,
  },
  MaxPool: { call: pooling(pool2d) },
  AvgPool: { call: pooling(pool2d), tolerance: near },
  MaxPool3D: { call: pooling(pool3d) },
  AvgPool3D: { call: pooling(pool3d), tolerance: near },
  MaxPoolWithArgmax: {
    call: r => {
      const { shape, attrs } = pool2d(r)
      const { filterSize, strides, pad } = attrs
      const includeBatchInIndex = r.chance(0.5)
      return {
        inputs: { x: distinct(r, shape) },
        attrs: { filterSize, strides, pad: pad === 1 ? 'same' : pad, includeBatchInIndex },
      }
    },
  },
  MaxPoolGrad: { call: poolGradient(pool2d), tolerance: near },
  MaxPool3DGrad: {
    call: poolGradient(pool3d),
    tolerance: near,
    // It numbers the pixels of a window by the filter's height where its width belongs.
    plainIsWrong: ({ attrs }) => {
      const [, h, w] = (attrs as { filterSize: number[] }).filterSize
      return h !== w
    },
  },
  // The plain backend divides by the whole window where its forward kernel counts the pixels inside the image.
  AvgPoolGrad: { call: poolGradient(pool2d), tolerance: near, plainIsWrong: padded },
  AvgPool3DGrad: { call: poolGradient(pool3d), tolerance: near, plainIsWrong: padded },
  Dilation2D: {
    call: r => {
      const g = dilation(r)
      return { inputs: { x: r.tensor(g.x), filter: r.tensor(g.filter) }, attrs: g.attrs }
    },
    tolerance: near,
  },
  ...Object.fromEntries(
    ['Dilation2DBackpropInput', 'Dilation2DBackpropFilter'].map((name): [string, Fuzz] => [
      name,
      {
        call: r => {
          const g = dilation(r)
          return {
            inputs: { x: r.tensor(g.x), filter: r.tensor(g.filter), dy: r.tensor(g.out) },
            attrs: g.attrs,
          }
        },
        tolerance: near,
      },
    ]),
  ),
  FusedBatchNorm: {
    call: r => {
      const shape = r.shape(1)
      const channels = shape.slice(-1)
      return {
        inputs: {
          x: r.tensor(shape),
          mean: r.tensor(channels),
          variance: r.floats(channels, 0, 3),
          scale: r.chance(0.6) ? r.tensor(channels) : undefined,
          offset: r.chance(0.6) ? r.tensor(channels) : undefined,
        },
        attrs: { varianceEpsilon: r.pick([0.001, 1e-5, 1]) },
      }
    },
    tolerance: 1e-4,
  },
  LRN: {
    call: r => ({
      inputs: { x: r.tensor([r.size(), r.int(1, 4), r.int(1, 4), r.size(false)]) },
      attrs: response(r),
    }),
    tolerance: near,
  },
  LRNGrad: {
    call: r => {
      const shape = [r.size(), r.int(1, 4), r.int(1, 4), r.size(false)]
      return { inputs: { x: r.tensor(shape), y: r.tensor(shape), dy: r.tensor(shape) }, attrs: response(r) }
    },
    tolerance: 1e-4,
  },
  VqConv2d: {
    call: r => {
      const [c, o] = [r.pick([1, 3, 8]), r.pick([1, 5, 16])]
      const size = r.int(4, 8)
      const plain = { stride: r.int(1, 2), padding: r.int(0, 2) }
      const padding = [0, 1].map(() => [r.int(1, 3), r.int(2, 3)])
      const uneven = { stride: [r.int(1, 3), r.int(1, 2)], padding, dilation: [r.int(1, 2), r.int(1, 2)] }
      return {
        inputs: {
          x: r.tensor([r.int(0, 3), size, size, c]),
          filter: r.tensor([r.int(1, 4), r.int(1, 4), c, o]),
          bias: r.tensor([o]),
        },
        attrs: r.pick([plain, uneven]),
      }
    },
    tolerance: near,
    plain: ({ x, filter, bias }, { stride, padding, dilation }) => {
      const pad = typeof padding === 'number' ? edges(padding) : [[0, 0], ...(padding as number[][]), [0, 0]]
      const attrs = {
        strides: stride,
        pad,
        dilations: dilation ?? 1,
        dataFormat: 'NHWC',
        dimRoundingMode: 'floor',
      }
      return tf.add(tf.engine().runKernel('Conv2D', { x, filter } as never, attrs as never) as Tensor, bias)
    },
  },
  VqConv2dNorm: {
    call: r => {
      const g = conv2d(r)
      const [padding, stride, size] = [r.int(0, 1), r.int(1, 2), r.int(4, 8)]
      const [x, o] = [[r.int(0, 3), size, size, g.filter[2]], g.filter[3]]
      const y = info2d({ x, filter: g.filter, attrs: convAttributes(stride, padding) }).outShape
      const norm = {
        gamma: r.tensor([o]),
        beta: r.tensor([o]),
        mean: r.tensor([o]),
        variance: r.floats([o], 0.1, 2),
      }
      return {
        inputs: {
          x: r.tensor(x),
          filter: r.tensor(g.filter),
          bias: r.chance(0.5) ? r.tensor([o]) : undefined,
          ...norm,
          added: r.chance(0.5) ? r.tensor(y) : undefined,
        },
        attrs: { stride, padding, epsilon: 1e-5, relu: r.chance(0.5) },
      }
    },
    tolerance: 1e-4,
    plain: ({ x, filter, bias, gamma, beta, mean, variance, added }, { stride, padding, epsilon, relu }) => {
      const attrs = convAttributes(stride, padding)
      let y = tf.engine().runKernel('Conv2D', { x, filter } as never, attrs as never) as Tensor
      if (bias !== undefined) y = tf.add(y, bias)
      const scale = tf.div(gamma, tf.sqrt(tf.add(variance, epsilon as number)))
      y = tf.add(tf.mul(tf.sub(y, mean), scale), beta)
      if (added !== undefined) y = tf.add(y, added)
      return relu === true ? tf.relu(y) : y
    },
  },
  VqConv2dFilterGrad: {
    call: r => {
      const g = conv2d(r)
      const [padding, stride, size] = [r.int(0, 1), r.int(1, 2), r.int(4, 8)]
      const x = [r.int(0, 3), size, size, g.filter[2]]
      const attrs = convAttributes(stride, padding)
      const dy = info2d({ x, filter: g.filter, attrs }).outShape
      return {
        inputs: { x: r.tensor(x), dy: r.tensor(dy) },
        attrs: { stride, padding, filterShape: g.filter },
      }
    },
    tolerance: near,
    plain: ({ x, dy }, { stride, padding, filterShape }) =>
      tf.engine().runKernel(
        'Conv2DBackpropFilter',
        { x, dy } as never,
        {
          strides: stride,
          pad: edges(padding),
          dataFormat: 'NHWC',
          dimRoundingMode: 'floor',
          filterShape,
        } as never,
      ) as Tensor,
  },
  VqConv2dTranspose: {
    call: r => {
      const g = conv2d(r)
      const [padding, stride, size] = [r.int(0, 1), r.int(1, 2), r.int(4, 8)]
      const outputShape = [r.int(0, 3), size, size, g.filter[2]]
      const attrs = convAttributes(stride, padding)
      const x = info2d({ x: outputShape, filter: g.filter, attrs }).outShape
      return {
        inputs: { x: r.tensor(x), filter: r.tensor(g.filter), bias: r.tensor([g.filter[2]]) },
        attrs: { stride, padding, outputShape },
      }
    },
    tolerance: near,
    plain: ({ x, filter, bias }, { stride, padding, outputShape }) =>
      tf.add(
        tf.engine().runKernel(
          'Conv2DBackpropInput',
          { dy: x, filter } as never,
          {
            strides: stride,
            pad: edges(padding),
            dataFormat: 'NHWC',
            dimRoundingMode: 'floor',
            inputShape: outputShape,
          } as never,
        ) as Tensor,
        bias,
      ),
  },
}

function convAttributes(strides: unknown, padding: unknown): Record<string, unknown> {
  return { strides, dilations: 1, pad: edges(padding), dataFormat: 'NHWC', dimRoundingMode: 'floor' }
}

function edges(padding: unknown): never {
  const p = padding as number
  return [[0, 0], [p, p], [p, p], [0, 0]] as never // biome-ignore format: pairs
}

function response(r: Rng): Record<string, number> {
  return {
    depthRadius: r.int(0, 6),
    bias: r.pick([1, 2]),
    alpha: r.pick([1, 0.1]),
    beta: r.pick([0.5, 0.75, 1.3]),
  }
}
