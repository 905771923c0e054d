import { type Factory, Registry, type TypedConfig } from '@vq/core'
import type { BaseEncoder } from '../base/encoder.js'
import { builtInEncoders } from './built-in.js'
import { camelCased } from './camel-case.js'
import type { EncoderConfig, EncoderOf, EncoderTypes } from './types.js'

/** Makes an encoder of the options of a configuration, `type` aside. It is the factory that checks them. */
export type EncoderFactory = Factory<BaseEncoder>

const registry = new Registry<BaseEncoder>({
  kind: 'encoder',
  example: 'cnn',
  builtIn: Object.fromEntries(
    Object.entries(builtInEncoders).map(([type, make]) => [
      type,
      options => (make as unknown as EncoderFactory)(camelCased('createEncoder', options)),
    ]),
  ),
  methods: [['forward', 'train', 'eval', 'stateDict', 'loadStateDict', 'dispose']],
})

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
  registry.register('registerEncoder', name, factory, replace)
}

/** The names that configurations may use, sorted. */
export function encoderNames(): string[] {
  return registry.names
}

/**
 * The encoder that a configuration describes, its `type` a name of {@link encoderNames}, the rest its options, whose names
 * may also be written with underscores (`patch_size`). Throws VqConfigError for an unknown name, telling the nearest known one, and
 * where a factory of one's own gives no encoder.
 *
 * @example
 * createEncoder({ type: 'cnn', inputDim: [32, 32, 3], embeddingDim: 256 })
 */
export function createEncoder<T extends keyof EncoderTypes>(config: EncoderConfig<T>): EncoderOf<T>
export function createEncoder<T extends string>(
  config: { type: T extends keyof EncoderTypes ? never : T } & Record<string, unknown>,
): BaseEncoder
export function createEncoder(config: { type: string } & Record<string, unknown>): BaseEncoder {
  return registry.create('createEncoder', config)
}

/** The configuration of which `createEncoder` made this encoder; undefined for one that was made by `new`. */
export function encoderConfig(encoder: BaseEncoder): TypedConfig | undefined {
  return registry.configOf(encoder)
}
