import { expectInteger, expectNumber } from '@vq/core'

export interface SamplingOptions {
  /** Divides the logits; 0 takes the likeliest token. Default 1. */
  temperature?: number
  /** Draws among this many of the likeliest tokens. Default: all. */
  topK?: number
  /** Draws among the likeliest tokens that together have at least this probability (nucleus), in (0, 1]. Default 1. */
  topP?: number
  /** Classifier-free guidance w: logits are l₀ + w·(l − l₀), with l₀ those without the condition. Default 1: none. */
  guidance?: number
  /** Seeds what is drawn. Default: the global generator goes on. */
  seed?: number
}

/** Throws VqConfigError for options out of range. */
export function expectSampling(operation: string, options: SamplingOptions): void {
  const { temperature = 1, topK = 1, topP = 1, guidance = 1, seed = 0 } = options
  expectNumber(operation, 'temperature', temperature, 0, 1e6)
  expectInteger(operation, 'topK', topK, 1)
  expectNumber(operation, 'topP', topP, 1e-9, 1)
  expectNumber(operation, 'guidance', guidance, 0, 1e3)
  expectInteger(operation, 'seed', seed, 0)
}
