export * from './clouds.js'
export * from './curves.js'
export type { NoisyOptions, PointOptions, PointSet } from './points.js'
export * from './squares.js'
