import { readFile } from 'node:fs/promises'
import { closest, VqConfigError } from '@vq/core'

/** The Python system's keys and their defaults, and ours. */
export interface IgptConfig {
  /** Channels of the VQ-VAE, size of its codebook, length of its codes. */
  vqvae_dim: number
  vqvae_K: number
  vqvae_D: number
  vqvae_epochs: number
  vqvae_lr: number
  /** Width, heads and layers of the transformer. */
  d_model: number
  n_heads: number
  n_layers: number
  /** Of a sequence; it follows the data: 3 marks, the image's codes, the words. */
  sequence_length: number
  igpt_epochs: number
  igpt_lr: number
  dropout: number
  batch_size: number
  seed: number
  /** Images to train on and to hold out; of MNIST at most as many as there are, in other colours beyond that. */
  train_images: number
  test_images: number
  /** Edge of the images in pixels, a multiple of 2 for each halving (4). */
  image_size: number
  /** 'vqvae': one code a place. 'rqvae': several. 'style': one, and several of the image as a whole (StyleVQVAE). */
  vqvae_model: 'vqvae' | 'rqvae' | 'style'
  /** Widths after each halving; where vqvae_model is not 'style' there is one more halving, to vqvae_D. null: [vqvae_dim]. */
  vqvae_hidden: readonly number[] | null
  /** Codes of a place ('rqvae'), or of each way of looking at the image as a whole ('style'). */
  vqvae_levels: number
  /** Ways of looking at the image as a whole; size and length of their codes. */
  vqvae_style_heads: number
  vqvae_style_K: number
  vqvae_style_D: number
  /** Maps that a place's codes are drawn as, for the style to colour. */
  vqvae_maps: number
  /** What moves the codes, how slowly where that is an average, and from where. */
  vqvae_update: 'gradient' | 'ema'
  vqvae_decay: number
  vqvae_init: 'uniform' | 'kmeans'
  /** Codes used less often in a batch are replaced, looked for every so many steps; 0: none. */
  vqvae_dead_code_threshold: number
  vqvae_style_dead_code_threshold: number
  vqvae_revival_interval: number
  vqvae_schedule: 'constant' | 'cosine'
  /** How much a word that tells of an image counts in the loss, beside a code. */
  igpt_text_weight: number
  /** How much a code of the image as a whole counts, beside one of a place. */
  igpt_style_weight: number
  /** Every so many captions are blank, for guidance; 0: none. */
  igpt_blank_every: number
  /** null: 1,000, or a tenth of the steps where they are few. */
  igpt_warmup_steps: number | null
  /** How samples are drawn; kept with the models. null: all tokens. */
  temperature: number
  top_k: number | null
  top_p: number
  guidance: number
}

interface Key<T> {
  value: T
  fits: (value: unknown) => boolean
  /** In words. */
  what: string
}

const isNumber = (v: unknown): v is number => typeof v === 'number' && Number.isFinite(v)
const whole = (value: number, least = 1): Key<number> => ({
  value,
  fits: v => Number.isInteger(v) && (v as number) >= least,
  what: `a whole number of at least ${least}`,
})
const rate = (value: number): Key<number> => ({
  value,
  fits: v => isNumber(v) && v > 0,
  what: 'a number above 0',
})
const share = (value: number, fits: (v: number) => boolean, what: string): Key<number> => ({
  value,
  fits: v => isNumber(v) && fits(v),
  what,
})
const choice = <T extends string>(...values: readonly [T, ...T[]]): Key<T> => ({
  value: values[0],
  fits: v => (values as readonly unknown[]).includes(v),
  what: values.map(v => `'${v}'`).join(' or '),
})
const orNull = (key: Key<number>): Key<number | null> => ({
  value: null,
  fits: v => v === null || key.fits(v),
  what: `null or ${key.what}`,
})
const widths: Key<readonly number[] | null> = {
  value: null,
  fits: v => v === null || (Array.isArray(v) && v.length > 0 && v.every(n => Number.isInteger(n) && n > 0)),
  what: 'null or a list of widths',
}
const atLeastZero = (value: number): Key<number> => share(value, v => v >= 0, 'a number of at least 0')

const keys: { [K in keyof IgptConfig]: Key<IgptConfig[K]> } = {
  vqvae_dim: whole(256),
  vqvae_K: whole(128),
  vqvae_D: whole(256),
  vqvae_epochs: whole(30),
  vqvae_lr: rate(1e-3),
  d_model: whole(128),
  n_heads: whole(4),
  n_layers: whole(4),
  sequence_length: whole(58),
  igpt_epochs: whole(30),
  igpt_lr: rate(1e-3),
  dropout: share(0.1, v => v >= 0 && v < 1, 'a number from 0 to below 1'),
  batch_size: whole(128),
  seed: whole(0, 0),
  train_images: whole(10_000),
  test_images: whole(1000),
  image_size: whole(28),
  vqvae_model: choice('vqvae', 'rqvae', 'style'),
  vqvae_hidden: widths,
  vqvae_levels: whole(4),
  vqvae_style_heads: whole(2),
  vqvae_style_K: whole(256),
  vqvae_style_D: whole(8),
  vqvae_maps: whole(16),
  vqvae_update: choice('gradient', 'ema'),
  vqvae_decay: share(0.99, v => v >= 0 && v < 1, 'a number from 0 to below 1'),
  vqvae_init: choice('uniform', 'kmeans'),
  vqvae_dead_code_threshold: atLeastZero(0),
  vqvae_style_dead_code_threshold: atLeastZero(0),
  vqvae_revival_interval: whole(1),
  vqvae_schedule: choice('constant', 'cosine'),
  igpt_text_weight: atLeastZero(1),
  igpt_style_weight: atLeastZero(1),
  igpt_blank_every: whole(10, 0),
  igpt_warmup_steps: orNull(whole(0, 0)),
  temperature: atLeastZero(1),
  top_k: orNull(whole(1)),
  top_p: share(1, v => v > 0 && v <= 1, 'a number above 0 up to 1'),
  guidance: atLeastZero(1),
}
const names = Object.keys(keys) as (keyof IgptConfig)[]

/** Every key's default. */
export const defaults: IgptConfig = Object.fromEntries(
  names.map(name => [name, keys[name].value]),
) as unknown as IgptConfig

/** A configuration of a file and changes `key=value`. Throws VqConfigError that names unknown keys and values out of range. */
export async function readConfig(file: string | undefined, set: readonly string[]): Promise<IgptConfig> {
  const given = file === undefined ? {} : parsed(file, await textOf(file))
  for (const change of set) {
    const at = change.indexOf('=')
    if (at < 1) throw wrong('--set', 'key=value', change, 'For example --set vqvae_epochs=3.')
    given[change.slice(0, at)] = plainValue(change.slice(at + 1))
  }
  const source = file ?? '--set'
  for (const key of Object.keys(given))
    if (!(names as string[]).includes(key))
      throw wrong(
        source,
        `keys among ${names.join(', ')}`,
        `'${key}'`,
        `Did you mean '${closest(key, names)}'?`,
      )
  const config = { ...defaults, ...(given as Partial<IgptConfig>) }
  for (const name of names)
    if (!keys[name].fits(config[name]))
      throw wrong(source, `${name} to be ${keys[name].what}`, JSON.stringify(config[name]), `The default is ${JSON.stringify(defaults[name])}.`) // biome-ignore format: one line
  const stride = strideOf(config)
  if (config.image_size % stride !== 0)
    throw wrong(
      source,
      `image_size to be a multiple of ${stride}`,
      String(config.image_size),
      `One place stands for ${stride} × ${stride} pixels.`,
    )
  return config
}

// 'style' has a halving for each width, the others one more.
function strideOf({ vqvae_hidden, vqvae_model }: IgptConfig): number {
  return 2 ** ((vqvae_hidden?.length ?? 1) + (vqvae_model === 'style' ? 0 : 1))
}

// A number, a list, null; anything else is a word.
function plainValue(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw wrong(file, 'a readable file', (cause as Error).message, 'Pass the path of a JSON file.')
  }
}

function parsed(file: string, text: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text) as unknown
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>
  } catch {
    // Said below.
  }
  throw wrong(file, 'a JSON object', text.slice(0, 60), 'Write { "vqvae_epochs": 10 }, for example.')
}

function wrong(operation: string, expected: string, received: string, remedy: string): VqConfigError {
  return new VqConfigError({ operation: `vq-igpt, ${operation}`, expected, received, remedy })
}
