// First: the bundle of gradients holds classes of its own, and whichever comes first makes the tensors.
import '@tensorflow/tfjs-core'
import '#gradients'
import './gradients/index.js'
import { registerCpuBackend } from './backend/register.js'

registerCpuBackend()

export * from './check.js'
export { DeviceArray } from './cuda/device-array.js'
export * from './device.js'
export * from './doctor.js'
export * from './errors.js'
export { type NativeCore, native, nativeFailure, tryNative } from './native.js'
export * from './ops/index.js'
export * from './quantize/index.js'
export * from './random.js'
export { tf } from './tf.js'
