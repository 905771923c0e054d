import { expectConfig } from '@vq/core'

/** Throws VqConfigError unless `options` is an object. */
export function expectOptions(operation: string, options: unknown, example: string): void {
  expectConfig(
    typeof options === 'object' && options !== null,
    operation,
    'options',
    options,
    `Pass ${example}.`,
  )
}
