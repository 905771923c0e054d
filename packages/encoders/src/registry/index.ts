export {
  createEncoder,
  type EncoderFactory,
  encoderConfig,
  encoderNames,
  registerEncoder,
} from './registry.js'
export type { EncoderConfig, EncoderOf, EncoderTypes } from './types.js'
