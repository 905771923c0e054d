import type { Module } from '@vq/core/nn'

/** What `f` gives while every part of `module` is in evaluation mode; each part's own mode is put back afterwards. */
export function inEvaluation<T>(module: Module, f: () => T): T {
  const modes = module.namedModules().map(([, part]) => [part, part.training] as const)
  module.eval()
  try {
    return f()
  } finally {
    for (const [part, training] of modes) part.training = training
  }
}
