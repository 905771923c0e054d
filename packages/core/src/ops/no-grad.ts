import * as tf from '@tensorflow/tfjs-core'

/** Runs `f` with nothing recorded for gradients, as if it were the inside of a kernel. */
export function noGrad<T>(f: () => T): T {
  // The engine records only at depth 0; its own customGrad relies on the same counter.
  const { state } = tf.engine()
  state.kernelDepth++
  try {
    return f()
  } finally {
    state.kernelDepth--
  }
}

/** Whether what is computed now is recorded for gradients. */
export function recording(): boolean {
  const { gradientDepth, kernelDepth } = tf.engine().state
  return gradientDepth > 0 && kernelDepth === 0
}
