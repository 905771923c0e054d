import { expectInteger } from '@vq/core'
import { type Architecture, resolveArchitecture, type VQVAEOptions } from '../vqvae/options.js'

/** Those of a VQVAE of the residual architecture, for the places; `decay`, `initCodebook` and the like hold for the style too. */
export interface StyleVQVAEOptions extends Omit<VQVAEOptions, 'architecture' | 'heads' | 'dim'> {
  /** H, the ways in which the style looks at the pixels: at as many kinds of them. Default 2. */
  styleHeads?: number
  /** L, the codes of what each of these sees, each for what those before leave over. Default 2. */
  styleLevels?: number
  /** Number of codes of each of these levels. Default 256. */
  styleEmbeddings?: number
  /** Length of these codes. Default 8. */
  styleDim?: number
  /** `deadCodeThreshold` of the style's codes, each of which a batch uses far less often. Default: that of the places' codes. */
  styleDeadCodeThreshold?: number
  /** M, the maps that the places' codes are drawn as, which the style colours. Default 16. */
  maps?: number
}

export interface StyleVQVAEArchitecture extends Omit<Architecture, 'architecture' | 'dim'> {
  styleLevels: number
  styleEmbeddings: number
  styleDim: number
  styleHeads: number
  maps: number
}

/** Fills in defaults and checks. */
export function resolveStyleVqvae(options: StyleVQVAEOptions): StyleVQVAEArchitecture {
  const { architecture: _, dim: __, ...rest } = resolveArchitecture('StyleVQVAE', options)
  const { styleHeads = 2, styleLevels = 2, styleEmbeddings = 256, styleDim = 8, maps = 16 } = options
  const own = { styleHeads, styleLevels, styleEmbeddings, styleDim, maps }
  for (const [name, value] of Object.entries(own)) expectInteger('StyleVQVAE', name, value, 1)
  return { ...rest, ...own }
}

/** The options of both quantizers. */
export const styleOptionNames: readonly string[] = [
  'styleLevels',
  'styleEmbeddings',
  'styleDim',
  'styleHeads',
  'styleDeadCodeThreshold',
  'maps',
]
