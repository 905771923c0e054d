import type { TensorInfo } from '@tensorflow/tfjs-core'
import { VqShapeError } from '../../errors.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { binary, elementwise } from './elementwise.js'

const kernels: Record<string, string> = {
  relu: 'Relu',
  relu6: 'Relu6',
  elu: 'Elu',
  sigmoid: 'Sigmoid',
  leakyrelu: 'LeakyRelu',
}

/** Applies a named activation of tfjs's fused kernels; x is disposed unless it is the result. */
export function activate(
  backend: VqCpuBackend,
  x: TensorInfo,
  attrs: Record<string, unknown>,
  alpha?: TensorInfo,
): TensorInfo {
  const name = attrs.activation as string | undefined
  if (name === undefined || name === null || name === 'linear') return x
  const known = name in kernels || (name === 'prelu' && alpha !== undefined && alpha !== null)
  if (!known)
    throw new VqShapeError({
      operation: 'fused kernel on vq-cpu',
      expected: `an activation of ${Object.keys(kernels).join(', ')}, or prelu with its weights`,
      received: `'${name}'${alpha ? ' with weights' : ''}`,
      remedy: 'Apply the activation as an operation of its own.',
    })
  const out =
    name === 'prelu'
      ? binary(backend, 'Prelu', x, alpha as TensorInfo)
      : (elementwise[kernels[name]]({ x }, { alpha: attrs.leakyreluAlpha }, backend) as TensorInfo)
  backend.disposeData(x.dataId)
  return out
}
