import { expectConfig } from '@vq/core'

/** Throws VqConfigError unless there are at least `least` vectors of length dim. */
export function expectVectors(operation: string, vectors: Float32Array, dim: number, least: number): void {
  const rows = vectors.length / dim
  expectConfig(
    rows >= least,
    operation,
    `at least ${least} vectors`,
    rows,
    'Start from several batches together: `await quantizer.initialize(vectors)`.',
  )
}
