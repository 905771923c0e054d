import { type Activation, activationCode, gradientNeedsInput } from '../../ops/activation.js'
import { sizeOf } from '../data.js'
import type { KernelTable } from '../kernel.js'

const code = (attrs: Record<string, unknown>): number => activationCode(attrs.activation as Activation)

/** Activations and linear layers that end in one. */
export const linearLayer: KernelTable = {
  VqActivation: ({ x }, attrs, backend) => {
    const y = backend.allocate(x.shape, 'float32')
    backend.run('Activation', code(attrs), sizeOf(x.shape), x, y)
    return y
  },
  VqActivationGrad: ({ z, dy }, attrs, backend) => {
    const dx = backend.allocate(z.shape, 'float32')
    backend.run('ActivationGrad', code(attrs), sizeOf(z.shape), z, dy, dx)
    return dx
  },
  // y, and what the gradient needs besides it: x·W + b.
  VqLinear: ({ x, weight, bias }, attrs, backend) => {
    const [inputs, outputs] = weight.shape
    const shape = [...x.shape.slice(0, -1), outputs]
    const y = backend.allocate(shape, 'float32')
    const z = gradientNeedsInput(attrs.activation as Activation)
      ? backend.allocate(shape, 'float32')
      : undefined
    backend.run('Linear', code(attrs), sizeOf(x.shape.slice(0, -1)), inputs, outputs, x, weight, bias, z, y)
    return z === undefined ? [y] : [y, z]
  },
  VqLinearGrad: ({ x, weight, z, dy }, attrs, backend) => {
    const [inputs, outputs] = weight.shape
    const rows = sizeOf(x.shape.slice(0, -1))
    let dz = dy
    if (attrs.activation !== 'linear') {
      dz = backend.allocate(dy.shape, 'float32')
      backend.run('ActivationGrad', code(attrs), sizeOf(dy.shape), z, dy, dz)
    }
    const dx = backend.allocate(x.shape, 'float32')
    backend.run('MatMul', 1, 1, 1, rows, inputs, outputs, false, true, dz, weight, dx)
    const dweight = backend.allocate(weight.shape, 'float32')
    backend.run('MatMul', 1, 1, 1, inputs, outputs, rows, true, false, x, dz, dweight)
    const gradients = [dx, dweight]
    if (attrs.bias === true) {
      const dbias = backend.allocate([outputs], 'float32')
      backend.run('Sum', 0, 1, rows, outputs, 1, dz, dbias)
      gradients.push(dbias)
    }
    if (dz !== dy) backend.disposeData(dz.dataId)
    return gradients
  },
}
