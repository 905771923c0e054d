import type { ArtifactInfo } from '../pipeline/index.js'

/** What an item's codes are, for a person, and how many bits they take. */
export function codesText({ codebookSizes, positions }: ArtifactInfo): { text: string; bits: number } {
  const places = positions.reduce((a, b) => a * b, 1)
  const bits = codebookSizes.reduce((sum, k) => sum + Math.log2(k), 0) * places
  const where = positions.length > 0 ? ` at ${positions.join('×')} places` : ''
  return { text: `${codebookSizes.join(' × ')}${where}, ${bits.toFixed(1)} bits`, bits }
}
