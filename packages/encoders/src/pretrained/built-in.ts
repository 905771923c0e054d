import type { PretrainedFamily } from './families.js'

/** A table, not calls of registerFamily: bundlers drop those where nothing of their modules is used. */
export const builtInFamilies: readonly PretrainedFamily[] = []
