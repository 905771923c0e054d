import { kmeansInitSync } from './kmeans.js'
import { rdGaussianInit, waterFillingInit } from './rate-distortion.js'
import type { InitializerOptions } from './uniform.js'

export { waterLevel } from '@vq/core'
export { type KmeansInitOptions, kmeansInit, kmeansInitSync } from './kmeans.js'
export { rdGaussianInit, waterFillingInit } from './rate-distortion.js'
export { type Initializer, type InitializerOptions, uniformInit } from './uniform.js'

/** Names of the starts that are made from data. */
export type DataInitializer = 'kmeans' | 'rd-gaussian' | 'water-filling'

/** Each makes codes [K, D] from vectors [N, D], row by row. `spherical`: codes and vectors by their direction. */
export const dataInitializers: Readonly<
  Record<
    DataInitializer,
    (vectors: Float32Array, options: InitializerOptions, kind: { spherical: boolean }) => Float32Array
  >
> = { kmeans: kmeansInitSync, 'rd-gaussian': rdGaussianInit, 'water-filling': waterFillingInit }
