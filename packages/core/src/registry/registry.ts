import { describe, expectConfig } from '../check.js'
import { VqConfigError } from '../errors.js'
import { closest } from './closest.js'

/** Makes something of the options of a configuration, `type` aside. It is the factory that checks them. */
export type Factory<T> = (options: Record<string, unknown>) => T

/** What something was made of. */
export type TypedConfig = Readonly<{ type: string; [option: string]: unknown }>

export interface RegistryOptions<T extends object> {
  /** What it makes, in small letters, such as 'encoder'. */
  kind: string
  /** A type of it for the remedies of errors. */
  example: string
  builtIn: Readonly<Record<string, Factory<T>>>
  /** Methods that what is made must have: those of one of these lists. It need not share a base class. */
  methods: readonly (readonly string[])[]
}

/**
 * Makes things of configurations by the name of their type, a user's own among them: what `createQuantizer` and `createEncoder`
 * are made of.
 */
export class Registry<T extends object> {
  private readonly options: RegistryOptions<T>
  private readonly factories: Map<string, Factory<T>>
  private readonly configs = new WeakMap<T, TypedConfig>()

  constructor(options: RegistryOptions<T>) {
    this.options = options
    // A table, not calls of register: bundlers drop those where nothing of their modules is used.
    this.factories = new Map(Object.entries(options.builtIn))
  }

  /** Adds a name. Throws VqConfigError where it is taken, unless `replace` is set. */
  register(operation: string, name: string, factory: Factory<T>, replace: boolean): void {
    const { kind } = this.options
    const own = `My${kind[0].toUpperCase()}${kind.slice(1)}`
    expectConfig(
      typeof name === 'string' && name.trim() === name && name !== '',
      operation,
      'a name without blanks around it',
      name,
      `Pass one such as 'my_${kind}'.`,
    )
    expectConfig(
      typeof factory === 'function',
      operation,
      `a function that makes '${name}' of its options`,
      factory,
      `Pass options => new ${own}(options).`,
    )
    expectConfig(
      replace === true || !this.factories.has(name),
      operation,
      'a name that is not taken',
      name,
      'Choose another, or pass { replace: true } as third argument.',
    )
    this.factories.set(name, factory)
  }

  /** Sorted. */
  get names(): string[] {
    return [...this.factories.keys()].sort()
  }

  /** Throws VqConfigError for an unknown type, telling the nearest known one, and where a factory gives something else. */
  create(operation: string, config: { type: string } & Record<string, unknown>): T {
    const { kind, example } = this.options
    const isObject = typeof config === 'object' && config !== null
    expectConfig(
      isObject && typeof config.type === 'string',
      operation,
      `a configuration with the type of the ${kind}`,
      isObject ? config.type : config,
      `Pass { type: '${example}', … }; types are ${this.names.join(', ')}.`,
    )
    const { type, ...options } = config
    const factory = this.factories.get(type)
    if (factory === undefined)
      throw new VqConfigError({
        operation,
        expected: `a type among ${this.names.join(', ')}`,
        received: `'${type}'`,
        remedy: `Did you mean '${closest(type, this.names)}'? Names of your own are registered first.`,
      })
    const made: unknown = factory(options)
    this.expectMade(`${operation}, type '${type}'`, made)
    this.configs.set(made, Object.freeze({ ...config }))
    return made
  }

  /** Of what `create` made it; undefined for what was made otherwise. */
  configOf(made: T): TypedConfig | undefined {
    return this.configs.get(made)
  }

  private expectMade(operation: string, value: unknown): asserts value is T {
    const { kind, methods } = this.options
    const has = (name: string): boolean =>
      typeof value === 'object' && value !== null && typeof Reflect.get(value, name) === 'function'
    if (methods.some(names => names.every(has))) return
    const missing = methods[0].filter(name => !has(name))
    const base = `Base${kind[0].toUpperCase()}${kind.slice(1)}`
    throw new VqConfigError({
      operation,
      expected: `its factory to give ${/^[aeiou]/.test(kind) ? 'an' : 'a'} ${kind}`,
      received: `${describe(value)}${missing.length < methods[0].length ? ` without ${missing.join(', ')}` : ''}`,
      remedy: `Return an instance of a class that extends ${base} (not a promise of one).`,
    })
  }
}
