import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expectConfig, tf, VqFormatError } from '@vq/core'
import {
  RQVAE,
  type RQVAEOptions,
  StyleVQVAE,
  type StyleVQVAEOptions,
  VQVAE,
  type VQVAEOptions,
} from '@vq/models'

/** What makes image tokens: one code a place, several residual levels a place, or codes of the style before one code a place. */
export type ImageModel = VQVAE | RQVAE | StyleVQVAE

export type ImageModelOptions =
  | ({ kind?: 'vqvae' } & VQVAEOptions)
  | ({ kind: 'rqvae' } & RQVAEOptions)
  | ({ kind: 'style' } & StyleVQVAEOptions)

const classes = { VQVAE, RQVAE, StyleVQVAE } as const

/** 'vqvae' and 'rqvae' are of the 'igpt' architecture unless told otherwise. */
export function makeImageModel({ kind = 'vqvae', ...options }: ImageModelOptions): ImageModel {
  if (kind === 'style') return new StyleVQVAE(options as StyleVQVAEOptions)
  if (kind === 'rqvae') return new RQVAE({ architecture: 'igpt', ...(options as RQVAEOptions) })
  expectConfig(kind === 'vqvae', 'an image model', "kind 'vqvae', 'rqvae' or 'style'", kind, 'Pass one of these.') // biome-ignore format: one line
  return new VQVAE({ architecture: 'igpt', ...(options as VQVAEOptions) })
}

/** Sizes of the codebooks: of codes of the whole image, and of the levels of a place. */
export function codebooksOf(model: ImageModel): { whole: number[]; levels: number[] } {
  if (model instanceof StyleVQVAE) {
    const { styleEmbeddings, numEmbeddings } = model.architecture
    return { whole: new Array<number>(model.styleCodes).fill(styleEmbeddings), levels: [numEmbeddings] }
  }
  const levels = model instanceof RQVAE ? model.numQuantizers : 1
  return { whole: [], levels: new Array<number>(levels).fill(model.quantizer.codebookSize) }
}

/** Rows of codes, those of the whole image first, then place by place → images [N, H, W, C] as the model gives them. */
export function imagesOfCodes(
  model: ImageModel,
  codes: readonly ArrayLike<number>[],
  grid?: readonly [number, number],
): tf.Tensor4D {
  return tf.tidy(() => {
    const rows = codes.map(row => Array.from(row))
    const tokens = tf.tensor2d(rows, undefined, 'int32')
    if (!(model instanceof RQVAE)) return model.decodeTokens(tokens, grid)
    const places = (tokens.shape[1] as number) / model.numQuantizers
    const edge = Math.round(Math.sqrt(places))
    const [h, w] = grid ?? [edge, edge]
    return model.decodeFromIndices(tf.reshape(tokens, [rows.length, h, w, model.numQuantizers]))
  })
}

/** Reads the folder of any of the three. Throws VqFormatError where it holds something else. */
export async function loadImageModel(folder: string): Promise<ImageModel> {
  const path = join(folder, 'config.json')
  let name: unknown
  try {
    name = (JSON.parse(await readFile(path, 'utf8')) as { model?: unknown }).model
  } catch (cause) {
    throw new VqFormatError({
      operation: `reading ${path}`,
      expected: 'the configuration of a model',
      received: (cause as Error).message,
      remedy: 'Pass the folder `checkpoints` of a training.',
      cause,
    })
  }
  if (typeof name === 'string' && Object.hasOwn(classes, name))
    return classes[name as keyof typeof classes].load(folder)
  throw new VqFormatError({
    operation: `reading ${path}`,
    expected: `a model among ${Object.keys(classes).join(', ')}`,
    received: String(name),
    remedy: 'Pass the folder `checkpoints` of a training.',
  })
}
