export { type ActivationName, activate, activated, activationNames } from './activation.js'
export { type AttentionInputs, SelfAttention, type SelfAttentionOptions } from './attention.js'
export { EncoderLayer, type EncoderLayerOptions } from './encoder-layer.js'
export { FeedForward, type FeedForwardOptions, SwiGLU } from './feed-forward.js'
