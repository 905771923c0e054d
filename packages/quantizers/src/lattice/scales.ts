import { expectConfig } from '@vq/core'

/** Throws VqConfigError where the last stage's scale, first / base^(stages − 1), leaves float32. */
export function expectScales(operation: string, base: number, stages: number, first = 1): void {
  expectConfig(
    first / base ** (stages - 1) >= 2 ** -100,
    operation,
    'stages that are not finer than float32',
    stages,
    'Pass a smaller numQuantizers: each stage is so much finer that a few reach the last bit.',
  )
}
