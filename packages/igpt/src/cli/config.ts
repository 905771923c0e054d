import { readFile } from 'node:fs/promises'
import { closest, VqConfigError } from '@vq/core'

/** The Python system's keys, and their defaults. */
export const defaults = {
  /** Channels of the VQ-VAE, size of its codebook, length of its codes. */
  vqvae_dim: 256,
  vqvae_K: 128,
  vqvae_D: 256,
  vqvae_epochs: 30,
  vqvae_lr: 1e-3,
  /** Width, heads and layers of the transformer. */
  d_model: 128,
  n_heads: 4,
  n_layers: 4,
  /** Of a sequence; it follows the data: 3 marks, the image's places, the words. */
  sequence_length: 58,
  igpt_epochs: 30,
  igpt_lr: 1e-3,
  dropout: 0.1,
  batch_size: 128,
  seed: 0,
  /** Images to train on and to hold out; of MNIST at most as many as there are, in other colours beyond that. */
  train_images: 10_000,
  test_images: 1000,
  /** Edge of the images in pixels, a multiple of 4. */
  image_size: 28,
}

export type IgptConfig = typeof defaults

const names = Object.keys(defaults) as (keyof IgptConfig)[]
const wholes = names.filter(name => !['vqvae_lr', 'igpt_lr', 'dropout'].includes(name))

/** A configuration of a file and changes `key=value`. Throws VqConfigError that names unknown keys and values out of range. */
export async function readConfig(file: string | undefined, set: readonly string[]): Promise<IgptConfig> {
  const given = file === undefined ? {} : parsed(file, await readFile(file, 'utf8'))
  for (const change of set) {
    const at = change.indexOf('=')
    if (at < 1) throw wrong('--set', 'key=value', change, 'For example --set vqvae_epochs=3.')
    given[change.slice(0, at)] = Number(change.slice(at + 1))
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
  for (const name of names) {
    const value = config[name]
    const least = name === 'seed' || name === 'dropout' ? 0 : Number.MIN_VALUE
    const fits =
      typeof value === 'number' &&
      Number.isFinite(value) &&
      value >= least &&
      (!wholes.includes(name) || Number.isInteger(value))
    if (!fits || (name === 'dropout' && value >= 1))
      throw wrong(source, `${name} to be a ${wholes.includes(name) ? 'whole ' : ''}number of at least ${least === 0 ? 0 : 'more than 0'}`, String(value), `The default is ${defaults[name]}.`) // biome-ignore format: one line
  }
  if (config.image_size % 4 !== 0)
    throw wrong(
      source,
      'image_size to be a multiple of 4',
      String(config.image_size),
      'One code stands for 4 × 4 pixels.',
    )
  return config
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
