export {
  analyzeCodes,
  type CodeAnalysis,
  type Collisions,
  type Compression,
  compressionOf,
  entropyOf,
  type LevelUsage,
} from './codes.js'
export { type Bounds, codeDistances, codeRegions, type Region } from './geometry.js'
