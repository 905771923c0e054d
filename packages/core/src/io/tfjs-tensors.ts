import * as tf from '@tensorflow/tfjs-core'
import { VqFormatError, VqValueError } from '../errors.js'
import { isFloat, type StoredTensor, type StoredType } from './stored-tensor.js'

const typesOf: Readonly<Record<string, StoredType>> = {
  float32: 'F32',
  int32: 'I32',
  bool: 'BOOL',
  complex64: 'C64',
}

/** A tfjs tensor's values outside of its backend. float32 → F32, int32 → I32, bool → BOOL, complex64 → C64. */
export function fromTensor(tensor: tf.Tensor): StoredTensor {
  const dtype = typesOf[tensor.dtype]
  if (dtype === undefined)
    throw new VqFormatError({
      operation: 'saveSafetensors',
      expected: 'float32, int32, bool or complex64 tensors',
      received: tensor.dtype,
      remedy: 'Cast the tensor first.',
    })
  return { dtype, shape: [...tensor.shape], data: tensor.dataSync() as StoredTensor['data'] }
}

/**
 * A tfjs tensor of stored values: floats → float32, F64 rounded; integers → int32; BOOL → bool; complex numbers → complex64, C128
 * rounded. Throws VqValueError where an integer does not fit 32 bits.
 */
export function toTensor({ dtype, shape, data }: StoredTensor): tf.Tensor {
  if (isFloat(dtype)) return tf.tensor(new Float32Array(data as Float32Array), shape, 'float32')
  if (dtype === 'BOOL') return tf.tensor((data as Uint8Array).slice(), shape, 'bool')
  if (dtype === 'C64' || dtype === 'C128') return toComplex(data as Float32Array | Float64Array, shape)
  const values = new Int32Array(data.length)
  for (let i = 0; i < values.length; i++) {
    values[i] = Number(data[i])
    if (values[i] !== Number(data[i]))
      throw new VqValueError({
        operation: 'toTensor',
        expected: `${dtype} values that fit 32 bits`,
        received: String(data[i]),
        remedy: `Read \`data\` itself, a ${data.constructor.name}.`,
      })
  }
  return tf.tensor(values, shape, 'int32')
}

function toComplex(data: Float32Array | Float64Array, shape: number[]): tf.Tensor {
  const [real, imaginary] = [0, 1].map(part => {
    const values = new Float32Array(data.length / 2)
    for (let i = 0; i < values.length; i++) values[i] = data[2 * i + part]
    return tf.tensor(values, shape, 'float32')
  })
  const whole = tf.complex(real, imaginary)
  tf.dispose([real, imaginary])
  return whole
}
