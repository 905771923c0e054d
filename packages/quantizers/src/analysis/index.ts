export { analyzeCodes, type CodeAnalysis, type Collisions } from './codes.js'
export { type Compression, compressionOf } from './compression.js'
export { type Bounds, codeDistances, codeRegions, type Region } from './geometry.js'
export { entropyOf, type LevelUsage } from './level-usage.js'
