import { describe, VqConfigError } from '@vq/core'
import type { AnyQuantizer } from './types.js'

const trained = ['forward', 'encode', 'decode', 'codebook', 'usage', 'train', 'eval', 'stateDict', 'dispose']
const fitted = ['fit', 'getCodes', 'transform', 'reconstructFromCodes']

/** Throws VqConfigError, naming what lacks, unless `value` does what quantizers do; it need not share their base class. */
export function expectQuantizer(operation: string, value: unknown): asserts value is AnyQuantizer {
  const has = (name: string): boolean =>
    typeof value === 'object' && value !== null && typeof Reflect.get(value, name) === 'function'
  if (trained.every(has) || fitted.every(has)) return
  const missing = trained.filter(name => !has(name))
  throw new VqConfigError({
    operation,
    expected: 'its factory to give a quantizer',
    received: `${describe(value)}${missing.length < trained.length ? ` without ${missing.join(', ')}` : ''}`,
    remedy: 'Return an instance of a class that extends BaseQuantizer (not a promise of one).',
  })
}
