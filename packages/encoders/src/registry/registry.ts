import { describe, expectConfig, VqConfigError } from '@vq/core'
import type { BaseEncoder } from '../base/encoder.js'
import { builtInEncoders } from './built-in.js'
import { camelCased } from './camel-case.js'
import type { EncoderConfig, EncoderOf, EncoderTypes } from './types.js'

/** Makes an encoder of the options of a configuration, `type` aside. It is the factory that checks them. */
export type EncoderFactory = (options: Record<string, unknown>) => BaseEncoder

// A table, not calls of registerEncoder: bundlers drop those where nothing of their modules is used.
const factories = new Map<string, EncoderFactory>(
  Object.entries(builtInEncoders) as unknown as [string, EncoderFactory][],
)
const configs = new WeakMap<BaseEncoder, Readonly<{ type: string; [option: string]: unknown }>>()

/**
 * Lets configurations name an encoder of one's own. Throws VqConfigError where the name is taken, unless `replace` is set.
 *
 * @example
 * registerEncoder('mine', options => new MyEncoder(options as MyOptions))
 * const encoder = createEncoder({ type: 'mine', embeddingDim: 64 })
 */
export function registerEncoder(
  name: string,
  factory: EncoderFactory,
  { replace = false }: { replace?: boolean } = {},
): void {
  const operation = 'registerEncoder'
  expectConfig(
    typeof name === 'string' && name.trim() === name && name !== '',
    operation,
    'a name without blanks around it',
    name,
    "Pass one such as 'my_encoder'.",
  )
  expectConfig(
    typeof factory === 'function',
    operation,
    `a function that makes '${name}' of its options`,
    factory,
    'Pass options => new MyEncoder(options).',
  )
  expectConfig(
    replace === true || !factories.has(name),
    operation,
    'a name that is not taken',
    name,
    'Choose another, or pass { replace: true } as third argument.',
  )
  factories.set(name, factory)
}

/** The names that configurations may use, sorted. */
export function encoderNames(): string[] {
  return [...factories.keys()].sort()
}

/**
 * The encoder that a configuration describes, its `type` a name of {@link encoderNames}, the rest its options, whose names
 * may also be written with underscores (`patch_size`). Throws VqConfigError for an unknown name, and where a factory of one's own
 * gives no encoder.
 *
 * @example
 * createEncoder({ type: 'cnn', inputDim: [32, 32, 3], embeddingDim: 256 })
 */
export function createEncoder<T extends keyof EncoderTypes>(config: EncoderConfig<T>): EncoderOf<T>
export function createEncoder<T extends string>(
  config: { type: T extends keyof EncoderTypes ? never : T } & Record<string, unknown>,
): BaseEncoder
export function createEncoder(config: { type: string } & Record<string, unknown>): BaseEncoder {
  const operation = 'createEncoder'
  const isObject = typeof config === 'object' && config !== null
  expectConfig(
    isObject && typeof config.type === 'string',
    operation,
    'a configuration with the type of the encoder',
    isObject ? config.type : config,
    `Pass { type: 'cnn', … }; types are ${encoderNames().join(', ')}.`,
  )
  const { type, ...options } = config
  const factory = factories.get(type)
  if (factory === undefined)
    throw new VqConfigError({
      operation,
      expected: `a type among ${encoderNames().join(', ')}`,
      received: `'${type}'`,
      remedy: 'registerEncoder adds names of your own.',
    })
  const made: unknown = factory(
    Object.hasOwn(builtInEncoders, type) ? camelCased(operation, options) : options,
  )
  expectEncoder(`${operation}, type '${type}'`, made)
  configs.set(made, Object.freeze({ ...config }))
  return made
}

/** The configuration of which `createEncoder` made this encoder; undefined for one that was made by `new`. */
export function encoderConfig(
  encoder: BaseEncoder,
): Readonly<{ type: string; [option: string]: unknown }> | undefined {
  return configs.get(encoder)
}

const methods = ['forward', 'train', 'eval', 'stateDict', 'loadStateDict', 'dispose']

/** It need not share the base class. */
function expectEncoder(operation: string, value: unknown): asserts value is BaseEncoder {
  const has = (name: string): boolean =>
    typeof value === 'object' && value !== null && typeof Reflect.get(value, name) === 'function'
  const missing = methods.filter(name => !has(name))
  if (missing.length === 0) return
  throw new VqConfigError({
    operation,
    expected: 'its factory to give an encoder',
    received: `${describe(value)}${missing.length < methods.length ? ` without ${missing.join(', ')}` : ''}`,
    remedy: 'Return an instance of a class that extends BaseEncoder (not a promise of one).',
  })
}
