import { expectConfig } from '@vq/core'

/** Throws VqConfigError unless options were passed at all; `first` is one that must be among them. */
export function expectOptions(name: string, options: unknown, first: string): void {
  const given = typeof options === 'object' && options !== null
  expectConfig(given, name, 'options', options, `Pass { ${first}, … }.`)
}
