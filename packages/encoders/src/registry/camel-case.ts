import { VqConfigError } from '@vq/core'

/** The options with names such as `patch_size` as `patchSize`. Throws VqConfigError where both are given. */
export function camelCased(operation: string, options: Record<string, unknown>): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(options)) {
    const camel = name.replace(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
    if (Object.hasOwn(result, camel))
      throw new VqConfigError({
        operation,
        expected: `${camel} once`,
        received: 'two spellings of it',
        remedy: 'Leave one out.',
      })
    result[camel] = value
  }
  return result
}
