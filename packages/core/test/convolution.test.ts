import '@tensorflow/tfjs-backend-cpu'
import { conv2d, tf, VqConfigError } from '@vq/core'
import { Conv2d } from '@vq/core/nn'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { agree, drawn, Integers, kernel, Padding, runs } from './agreement.js'

// Convolution kernels against tfjs's plain backend over random shapes, strides, paddings and dilations.

const side = fc.integer({ min: 1, max: 8 })
const small = fc.integer({ min: 1, max: 3 })
const shape = fc.record({
  batch: fc.integer({ min: 0, max: 3 }),
  size: fc.tuple(side, side),
  inputs: fc.constantFrom(1, 2, 3, 16, 19),
  outputs: fc.constantFrom(1, 3, 4, 16, 21, 64),
  filter: fc.tuple(small, small),
  step: fc.tuple(small, small),
  dilated: fc.boolean(),
  pad: Padding,
  seed: Integers,
})

interface Geometry {
  size: number[]
  filter: number[]
  step: number[]
  dilated: boolean
  pad: unknown
}

// tfjs allows strides or dilations over 1, not both. A number as padding takes the filter for square.
const steps = ({ step, dilated }: Geometry) =>
  dilated ? { strides: [1, 1], dilations: step } : { strides: step, dilations: [1, 1] }
function fits(g: Geometry): boolean {
  const reach = g.filter.map((f, i) => (f - 1) * steps(g).dilations[i] + 1)
  if (typeof g.pad === 'number') return reach[0] === reach[1] && g.size.every((d, i) => d >= reach[i])
  return g.pad === 'same' || g.size.every((d, i) => d >= reach[i])
}
// Spatial axes of explicit padding lie elsewhere in NCHW.
const padOf = (pad: unknown, format: string): unknown =>
  Array.isArray(pad) && format === 'NCHW' ? [pad[0], pad[3], pad[1], pad[2]] : pad

function shapes(batch: number, size: number[], channels: number, format: string): number[] {
  return format === 'NHWC' ? [batch, ...size, channels] : [batch, channels, ...size]
}

test('2D convolution agrees with the plain backend in both formats', () => {
  fc.assert(
    fc.property(shape, fc.constantFrom('NHWC', 'NCHW'), (g, dataFormat) => {
      fc.pre(fits(g))
      const x = drawn(shapes(g.batch, g.size, g.inputs, dataFormat), g.seed)
      const filter = drawn([...g.filter, g.inputs, g.outputs], g.seed + 1)
      agree('Conv2D', { x, filter }, { ...steps(g), pad: padOf(g.pad, dataFormat), dataFormat }, 1e-4)
    }),
    runs,
  )
})

test('gradients of 2D convolution agree with the plain backend in both formats', () => {
  fc.assert(
    fc.property(shape, fc.constantFrom<'NHWC' | 'NCHW'>('NHWC', 'NCHW'), (given, dataFormat) => {
      const g = { ...given, dilated: false }
      fc.pre(fits(g))
      const x = drawn(shapes(g.batch, g.size, g.inputs, dataFormat), g.seed)
      const filter = drawn([...g.filter, g.inputs, g.outputs], g.seed + 1)
      const pad = padOf(g.pad, dataFormat)
      const format = tf.backend_util.convertConv2DDataFormat(dataFormat)
      const info = tf.backend_util.computeConv2DInfo(
        x.shape as never, filter.shape as never, g.step, 1, pad as never, undefined, false, format,
      ) // biome-ignore format: one call
      const dy = drawn(info.outShape, g.seed + 2)
      const attrs = { strides: g.step, pad, dataFormat }
      agree('Conv2DBackpropInput', { dy, filter }, { ...attrs, inputShape: x.shape }, 1e-4)
      agree('Conv2DBackpropFilter', { x, dy }, { ...attrs, filterShape: filter.shape }, 2e-4)
    }),
    runs,
  )
})

test.each([
  { size: [12, 270], inputs: 3, outputs: 64, filter: [7, 7], stride: 2, dilation: 1, pad: 3 },
  { size: [15, 140], inputs: 2, outputs: 70, filter: [3, 5], stride: [1, 3], dilation: [2, 1], pad: [2, 4] },
  { size: [9, 20], inputs: 15, outputs: 17, filter: [4, 1], stride: [3, 1], dilation: [2, 1], pad: [5, 0] },
  { size: [40, 9], inputs: 64, outputs: 64, filter: [1, 1], stride: 1, dilation: 1, pad: 0 },
  { size: [23, 30], inputs: 130, outputs: 200, filter: [1, 1], stride: 2, dilation: 1, pad: 0 },
] as const)('the gradient by the filter is the adjoint of the convolution, $size by $filter', g => {
  const { stride, dilation, pad } = g
  const options = { stride, dilation, padding: typeof pad === 'number' ? pad : pad.map(p => [p, p]) }
  const shapes = [
    [3, ...g.size, g.inputs],
    [...g.filter, g.inputs, g.outputs],
  ]
  tf.setBackend('vq-cpu')
  const tensor = (shape: number[], seed: number) => {
    const { data } = drawn(shape, seed)
    return tf.tensor4d(data as number[], shape as [number, number, number, number])
  }
  const inDouble = (a: tf.Tensor, b: tf.Tensor): number => {
    const other = b.dataSync<'float32'>()
    return a.dataSync<'float32'>().reduce((sum, v, i) => sum + v * (other[i] as number), 0)
  }
  tf.tidy(() => {
    const [x, w] = shapes.map(tensor) as [tf.Tensor4D, tf.Tensor4D]
    const y = conv2d(x, w, undefined, options as never)
    const dy = tensor(y.shape, 7)
    const dw = tf.grad(f => tf.sum(tf.mul(conv2d(x, f as tf.Tensor4D, undefined, options as never), dy)))(w)
    const scale = Math.sqrt(w.size * y.size)
    // One filter alone would not see elements swapped.
    for (let seed = 20; seed < 25; seed++) {
      const other = tensor(w.shape, seed)
      const expected = inDouble(conv2d(x, other, undefined, options as never), dy)
      expect(inDouble(other, dw) / scale).toBeCloseTo(expected / scale, 4)
    }
  })
})

test.each([
  { size: [28, 28], channels: [32, 48], dilation: [2, 2], batch: 2 },
  { size: [28, 56], channels: [64, 32], dilation: [4, 4], batch: 1 },
  { size: [24, 28], channels: [32, 32], dilation: [1, 2], batch: 3 },
  { size: [30, 28], channels: [32, 32], dilation: [3, 2], batch: 2 },
])('dilated convolution equals the one whose filter has the gaps written out, $dilation', g => {
  tf.setBackend('vq-cpu')
  const [inputs, outputs] = g.channels as [number, number]
  const [dh, dw] = g.dilation as [number, number]
  const tensor = (shape: number[], seed: number) =>
    tf.tensor4d(drawn(shape, seed).data as number[], shape as [number, number, number, number])
  tf.tidy(() => {
    const x = tensor([g.batch, ...g.size, inputs], 1)
    const w = tensor([3, 3, inputs, outputs], 2)
    const wide = (filter: tf.Tensor4D): tf.Tensor4D => {
      const rows = [0, 1, 2].map(i => {
        const taps = [0, 1, 2].map(j => tf.slice(filter, [i, j, 0, 0], [1, 1, inputs, outputs]))
        const gap = (n: number): tf.Tensor => tf.zeros([1, n, inputs, outputs])
        return tf.concat(dw === 1 ? taps : [taps[0]!, gap(dw - 1), taps[1]!, gap(dw - 1), taps[2]!], 1)
      })
      const gap = tf.zeros([Math.max(0, dh - 1), 2 * dw + 1, inputs, outputs])
      return tf.concat(dh === 1 ? rows : [rows[0]!, gap, rows[1]!, gap, rows[2]!], 0) as tf.Tensor4D
    }
    const padding = [
      [dh, dh],
      [dw, dw],
    ]
    const narrow = (x: tf.Tensor, w: tf.Tensor): tf.Tensor =>
      conv2d(x as tf.Tensor4D, w as tf.Tensor4D, undefined, { dilation: g.dilation, padding } as never)
    const plain = (x: tf.Tensor, w: tf.Tensor): tf.Tensor =>
      conv2d(x as tf.Tensor4D, wide(w as tf.Tensor4D), undefined, { padding } as never)
    const dy = tensor([g.batch, ...g.size, outputs], 3)
    const gradients = (op: typeof narrow): tf.Tensor[] =>
      tf.grads((x: tf.Tensor, w: tf.Tensor) => tf.sum(tf.mul(op(x, w), dy)))([x, w])
    const [mine, theirs] = [narrow, plain].map(op => [op(x, w), ...gradients(op)])
    for (const [i, t] of mine!.entries()) {
      const other = theirs![i]!
      expect(t.shape).toEqual(other.shape)
      const size = Math.sqrt(tf.mean(tf.square(other)).dataSync()[0]!)
      expect(tf.max(tf.abs(tf.sub(t, other))).dataSync()[0]! / size).toBeLessThan(1e-4)
    }
  })
})

const activations = ['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu', 'prelu']

test('fused 2D convolution agrees with the plain backend for every activation', () => {
  fc.assert(
    fc.property(
      shape,
      fc.constantFrom('NHWC', 'NCHW'),
      fc.constantFrom(...activations),
      fc.boolean(),
      fc.constantFrom('scalar', 'channel', 'full'),
      (g, dataFormat, activation, biased, alphas) => {
        fc.pre(fits(g) && !Array.isArray(g.pad))
        const x = drawn(shapes(g.batch, g.size, g.inputs, dataFormat), g.seed)
        const filter = drawn([...g.filter, g.inputs, g.outputs], g.seed + 1)
        const last = dataFormat === 'NHWC' ? [1, 1, g.outputs] : [g.outputs, 1, 1]
        const alphaShape = { scalar: [1], channel: [g.outputs], full: last }[alphas]
        const bias = drawn([g.outputs], g.seed + 2)
        const preluActivationWeights = drawn(alphaShape, g.seed + 3)
        const inputs = {
          x,
          filter,
          ...(biased ? { bias } : {}),
          ...(activation === 'prelu' ? { preluActivationWeights } : {}),
        }
        const attrs = { ...steps(g), pad: g.pad, dataFormat, activation, leakyreluAlpha: 0.3 }
        agree('FusedConv2D', inputs, attrs, 1e-4)
      },
    ),
    runs,
  )
})

const depthwise = fc.record({
  batch: fc.integer({ min: 0, max: 3 }),
  size: fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 })),
  channels: fc.constantFrom(1, 3, 4, 7, 16, 33),
  multiplier: fc.constantFrom(1, 1, 1, 2, 3),
  filter: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
  step: fc.tuple(small, small),
  dilated: fc.boolean(),
  pad: Padding,
  seed: Integers,
})

test('depthwise convolution, fused too, agrees with the plain backend', () => {
  fc.assert(
    fc.property(depthwise, fc.constantFrom(...activations), fc.boolean(), (g, activation, biased) => {
      fc.pre(fits(g))
      const x = drawn([g.batch, ...g.size, g.channels], g.seed)
      const filter = drawn([...g.filter, g.channels, g.multiplier], g.seed + 1)
      const attrs = { ...steps(g), pad: g.pad, dataFormat: 'NHWC' }
      agree('DepthwiseConv2dNative', { x, filter }, attrs)
      const out = g.channels * g.multiplier
      const inputs = {
        x,
        filter,
        ...(biased ? { bias: drawn([out], g.seed + 2) } : {}),
        ...(activation === 'prelu' ? { preluActivationWeights: drawn([out], g.seed + 3) } : {}),
      }
      agree('FusedDepthwiseConv2D', inputs, { ...attrs, activation, leakyreluAlpha: 0.2 })
    }),
    runs,
  )
})

test('gradients of depthwise convolution agree with the plain backend', () => {
  fc.assert(
    fc.property(depthwise, given => {
      const g = { ...given, dilated: false }
      fc.pre(fits(g))
      const x = drawn([g.batch, ...g.size, g.channels], g.seed)
      const filter = drawn([...g.filter, g.channels, g.multiplier], g.seed + 1)
      const info = tf.backend_util.computeConv2DInfo(
        x.shape as never, filter.shape as never, g.step, 1, g.pad as never, undefined, true,
      ) // biome-ignore format: one call
      const dy = drawn(info.outShape, g.seed + 2)
      const attrs = { strides: g.step, dilations: [1, 1], pad: g.pad }
      agree('DepthwiseConv2dNativeBackpropInput', { dy, filter }, { ...attrs, inputShape: x.shape })
      agree('DepthwiseConv2dNativeBackpropFilter', { x, dy }, { ...attrs, filterShape: filter.shape }, 1e-4)
    }),
    runs,
  )
})

const volume = fc.record({
  batch: fc.integer({ min: 0, max: 2 }),
  size: fc.tuple(side, side, side),
  inputs: fc.constantFrom(1, 3, 16),
  outputs: fc.constantFrom(1, 4, 17),
  filter: fc.tuple(small, small, small),
  step: fc.tuple(small, small, small),
  dilated: fc.boolean(),
  pad: fc.constantFrom('same', 'valid', 1),
  seed: Integers,
})

test('3D convolution agrees with the plain backend, negative padding included', () => {
  fc.assert(
    fc.property(volume, g => {
      fc.pre(fits(g))
      const x = drawn([g.batch, ...g.size, g.inputs], g.seed)
      const filter = drawn([...g.filter, g.inputs, g.outputs], g.seed + 1)
      const strides = g.dilated ? [1, 1, 1] : g.step
      const dilations = g.dilated ? g.step : [1, 1, 1]
      agree('Conv3D', { x, filter }, { strides, dilations, pad: g.pad }, 1e-4)
    }),
    runs,
  )
})

test('gradients of 3D convolution agree with the plain backend', () => {
  fc.assert(
    fc.property(volume, given => {
      const g = { ...given, dilated: false }
      fc.pre(fits(g))
      const x = drawn([g.batch, ...g.size, g.inputs], g.seed)
      const filter = drawn([...g.filter, g.inputs, g.outputs], g.seed + 1)
      const info = tf.backend_util.computeConv3DInfo(
        x.shape as never, filter.shape as never, g.step as never, 1, g.pad as never,
      ) // biome-ignore format: one call
      const dy = drawn(info.outShape, g.seed + 2)
      const attrs = { strides: g.step, pad: g.pad }
      agree('Conv3DBackpropInputV2', { dy, filter }, { ...attrs, inputShape: x.shape }, 1e-4)
      agree('Conv3DBackpropFilterV2', { x, dy }, { ...attrs, filterShape: filter.shape }, 2e-4)
    }),
    runs,
  )
})

const dilations = fc.record({ ...{ batch: fc.integer({ min: 0, max: 3 }) }, ...{ size: fc.tuple(side, side) },
  channels: fc.constantFrom(1, 3, 18), filter: fc.tuple(small, small), step: fc.tuple(small, small),
  dilated: fc.boolean(), pad: fc.constantFrom('same', 'valid'), seed: Integers }) // biome-ignore format: a record

for (const dtype of ['float32', 'int32'] as const)
  test(`grayscale dilation of ${dtype} and its gradients agree with the plain backend`, () => {
    fc.assert(
      fc.property(dilations, g => {
        fc.pre(fits(g))
        const x = drawn([g.batch, ...g.size, g.channels], g.seed, dtype)
        const filter = drawn([...g.filter, g.channels], g.seed + 1, dtype)
        const attrs = { ...steps(g), pad: g.pad }
        agree('Dilation2D', { x, filter }, attrs)
        fc.pre(g.batch > 0) // the plain backend cannot nest empty arrays
        const y = kernel('vq-cpu', 'Dilation2D', { x, filter }, attrs)[0]
        const dy = drawn(y.shape, g.seed + 2, dtype)
        agree('Dilation2DBackpropInput', { x, filter, dy }, attrs)
        agree('Dilation2DBackpropFilter', { x, filter, dy }, attrs)
      }),
      runs,
    )
  })

test('explicit negative padding drops the edge', () => {
  const x = drawn([2, 6, 7, 3], 1)
  const filter = drawn([2, 2, 3, 4], 2)
  const pad = [[0, 0], [-2, 1], [1, -3], [0, 0]] // biome-ignore format: pairs
  agree('Conv2D', { x, filter }, { strides: 1, dilations: 1, pad, dataFormat: 'NHWC' })
  const dy = drawn([2, 4, 4, 4], 3)
  const attrs = { strides: 1, pad, dataFormat: 'NHWC' }
  agree('Conv2DBackpropInput', { dy, filter }, { ...attrs, inputShape: x.shape })
  agree('Conv2DBackpropFilter', { x, dy }, { ...attrs, filterShape: filter.shape })
})

test('shapes that do not belong together are typed errors', () => {
  tf.setBackend('vq-cpu')
  expect(tf.getBackend()).toBe('vq-cpu')
  const run = (name: string, inputs: Record<string, number[]>, attrs: object) => () =>
    tf.tidy(() =>
      tf
        .engine()
        .runKernel(
          name,
          Object.fromEntries(Object.entries(inputs).map(([k, s]) => [k, tf.zeros(s)])) as never,
          attrs as never,
        ),
    )
  const attrs = { strides: 1, pad: 'valid', dataFormat: 'NHWC', dilations: 1 }
  expect(run('Conv2D', { x: [1, 4, 4, 3], filter: [2, 2, 5, 1] }, attrs)).toThrow(/a filter for 3 channels/)
  expect(run('Conv2D', { x: [1, 4, 4, 3], filter: [9, 9, 3, 1] }, attrs)).toThrow(/whole sizes/)
  expect(run('Conv2D', { x: [1, 4, 4, 3], filter: [2, 2, 3, 1] }, { ...attrs, dilations: 0 })).toThrow(
    /whole sizes/,
  )
  const input = { ...attrs, inputShape: [1, 4, 4, 3] }
  expect(run('Conv2DBackpropInput', { dy: [1, 9, 9, 1], filter: [2, 2, 3, 1] }, input)).toThrow(
    /dy of shape \[1,3,3,1\].*received \[1,9,9,1\]/,
  )
  expect(
    run('DepthwiseConv2dNative', { x: [1, 4, 4, 3], filter: [2, 2, 3, 1] }, { ...attrs, dataFormat: 'NCHW' }),
  ).toThrow(/dataFormat 'NHWC'/)
  expect(run('Conv3D', { x: [1, 4, 4, 4, 3], filter: [2, 2, 2, 4, 1] }, attrs)).toThrow(
    /The filter takes as many/,
  )
})

test('a convolution into what is no normalisation is refused by name', () => {
  const conv = new Conv2d({ inChannels: 2, outChannels: 3, kernelSize: 1 })
  expect(() => conv.forwardInto(5 as never, tf.zeros([1, 3, 3, 2]))).toThrow(VqConfigError)
})
