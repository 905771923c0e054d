/** The tensor front of every VQ package. All packages import `tf` from `@vq/core`, so that it can be changed here. */
export * as tf from '@tensorflow/tfjs-core'
