import { residualNetworks } from './families/resnets.js'
import { textTransformers } from './families/text-transformers.js'
import { videoTransformers } from './families/video-transformers.js'
import { visionTransformers } from './families/vision-transformers.js'
import type { PretrainedFamily } from './families.js'

/** A table, not calls of registerFamily: bundlers drop those where nothing of their modules is used. */
export const builtInFamilies: readonly PretrainedFamily[] = [
  ...visionTransformers,
  ...residualNetworks,
  ...textTransformers,
  ...videoTransformers,
]
