import { expectConfig, Random } from '@vq/core'

/** Throws VqConfigError unless options were passed at all, and where `random` is no generator; `example` is what to pass. */
export function expectOptions(name: string, options: unknown, example: string): void {
  const given = typeof options === 'object' && options !== null && !Array.isArray(options)
  expectConfig(given, name, 'an object of options', options, `Pass ${example}.`)
  const { random } = options as { random?: unknown }
  const drawn = random === undefined || random instanceof Random
  expectConfig(drawn, name, 'random to be a generator', random, 'Pass new Random(seed), or leave it out.')
}
