import type { PretrainedFamily } from '../families.js'
export const videoTransformers: readonly PretrainedFamily[] = []
