import { expectConfig, VqConfigError } from '@vq/core'

/** What a field may hold. */
type Range = { least?: number; most?: number }

/**
 * A model's `config.json`, or a section of it, field by field. Each getter takes the default of the family; a field of another
 * type, or out of its range, is a VqConfigError that names it.
 */
export class ModelConfig {
  readonly values: Readonly<Record<string, unknown>>
  /** What errors call it. */
  readonly source: string

  constructor(values: Readonly<Record<string, unknown>>, source: string) {
    this.values = values
    this.source = source
  }

  /** A nested object; empty where there is none, as files leave out what is at its default. */
  section(name: string): ModelConfig {
    const value: unknown = this.values[name] ?? {}
    this.expect(typeof value === 'object' && !Array.isArray(value), name, 'an object', value)
    return new ModelConfig(value as Record<string, unknown>, `${this.source}, ${name}`)
  }

  has(name: string): boolean {
    return this.values[name] !== undefined && this.values[name] !== null
  }

  integer(name: string, fallback: number, { least = 1, most = 2 ** 24 }: Range = {}): number {
    const value: unknown = this.values[name] ?? fallback
    this.expect(isInteger(value, least, most), name, `a whole number from ${least} to ${most}`, value)
    return value
  }

  number(name: string, fallback: number, { least = 0, most = 1 }: Range = {}): number {
    const value: unknown = this.values[name] ?? fallback
    const fits = typeof value === 'number' && value >= least && value <= most
    this.expect(fits, name, `a number from ${least} to ${most}`, value)
    return value as number
  }

  flag(name: string, fallback: boolean): boolean {
    const value: unknown = this.values[name] ?? fallback
    this.expect(typeof value === 'boolean', name, 'true or false', value)
    return value
  }

  /** One of `known`. */
  choice<T extends string>(name: string, fallback: T, known: readonly T[]): T {
    const value: unknown = this.values[name] ?? fallback
    this.expect(known.includes(value as T), name, `one of ${known.join(', ')}`, value)
    return value as T
  }

  /** Whole numbers of at least 1. */
  integers(name: string, fallback: readonly number[]): number[] {
    const value: unknown = this.values[name] ?? fallback
    const fits = Array.isArray(value) && value.length > 0 && value.every(n => isInteger(n, 1, 2 ** 24))
    this.expect(fits, name, 'whole numbers of at least 1', value)
    return [...(value as number[])]
  }

  /** One number for both, or [height, width]. */
  pair(name: string, fallback: number): [number, number] {
    const value: unknown = this.values[name] ?? fallback
    if (isInteger(value, 1, 2 ** 24)) return [value, value]
    const fits = Array.isArray(value) && value.length === 2 && value.every(n => isInteger(n, 1, 2 ** 24))
    this.expect(fits, name, 'a whole number or [height, width]', value)
    return [...(value as [number, number])]
  }

  /** Throws where a field that changes the mathematics has a value that is not supported. */
  require(name: string, supported: unknown): void {
    const value = this.values[name]
    if (value === undefined || value === null || value === supported) return
    throw new VqConfigError({
      operation: `reading ${this.source}`,
      expected: `${name} to be ${JSON.stringify(supported)}`,
      received: JSON.stringify(value),
      remedy: 'Models with another value are not supported.',
    })
  }

  private expect(ok: boolean, name: string, expected: string, value: unknown): asserts ok {
    expectConfig(
      ok,
      `reading ${this.source}`,
      `${name} to be ${expected}`,
      value,
      `Use a model whose ${name} is of that kind.`,
    )
  }
}

function isInteger(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
}
