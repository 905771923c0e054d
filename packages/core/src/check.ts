import { VqConfigError, VqShapeError } from './errors.js'

/** "a Float32Array of length 12", "the number -3", "null": how error messages name a value. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'string') return `the string ${JSON.stringify(value)}`
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
    return `the ${typeof value} ${value}`
  if (Array.isArray(value)) return `an array of length ${value.length}`
  if (ArrayBuffer.isView(value))
    return `a ${value.constructor.name} of length ${(value as { length?: number }).length ?? value.byteLength}`
  if (typeof value === 'function') return `the function ${value.name || '(anonymous)'}`
  return `a ${(value as object).constructor?.name ?? 'value'}`
}

/** Throws a VqConfigError unless `ok`. */
export function expectConfig(
  ok: boolean,
  operation: string,
  expected: string,
  received: unknown,
  remedy: string,
): asserts ok {
  if (!ok) throw new VqConfigError({ operation, expected, received: describe(received), remedy })
}

/** Throws a VqShapeError unless `ok`; `received` is text. */
export function expectShape(
  ok: boolean,
  operation: string,
  expected: string,
  received: string,
  remedy: string,
): asserts ok {
  if (!ok) throw new VqShapeError({ operation, expected, received, remedy })
}

/** A whole number in [least, most]. */
export function expectInteger(
  operation: string,
  name: string,
  value: unknown,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): asserts value is number {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
  expectConfig(
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most,
    operation,
    `${name} to be a whole number ${range}`,
    value,
    `Pass ${name} in that range.`,
  )
}

/** A finite number in [least, most]. */
export function expectNumber(
  operation: string,
  name: string,
  value: unknown,
  least: number,
  most: number,
): asserts value is number {
  expectConfig(
    typeof value === 'number' && Number.isFinite(value) && value >= least && value <= most,
    operation,
    `${name} to be a number from ${least} to ${most}`,
    value,
    `Pass ${name} in that range.`,
  )
}

/** One of a few strings. */
export function expectOneOf<T extends string>(
  operation: string,
  name: string,
  value: unknown,
  choices: readonly T[],
): asserts value is T {
  expectConfig(
    choices.includes(value as T),
    operation,
    `${name} to be one of ${choices.map(c => `'${c}'`).join(', ')}`,
    value,
    'Pass one of these.',
  )
}
