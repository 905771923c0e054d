import './backend/start.js'

export * from './check.js'
export { DeviceArray } from './cuda/device-array.js'
export * from './device.js'
export * from './doctor.js'
export * from './errors.js'
export {
  type Covariance,
  covarianceOf,
  nearestOrthogonal,
  type SymmetricEigen,
  symmetricEigen,
} from './linear-algebra.js'
export { type NativeCore, native, nativeFailure, tryNative } from './native.js'
export * from './ops/index.js'
export * from './quantize/index.js'
export * from './random.js'
export { closest } from './registry/closest.js'
export { type Factory, Registry, type RegistryOptions, type TypedConfig } from './registry/registry.js'
export { tf } from './tf.js'
export { waterLevel } from './water-level.js'
