// Shape and sizes as key-value metadata, which all formats have.
import { VqFormatError } from '@vq/core'
import { expectInfo, type SemanticIdInfo } from './record.js'

const keys = { shape: 'vq.shape', codebookSizes: 'vq.codebook_sizes' } as const

/** Everything as one table of strings. */
export function toMetadata({ shape, codebookSizes, metadata }: SemanticIdInfo): Record<string, string> {
  return {
    ...metadata,
    ...(shape && { [keys.shape]: JSON.stringify(shape) }),
    ...(codebookSizes && { [keys.codebookSizes]: JSON.stringify(codebookSizes) }),
  }
}

/** The way back. Throws VqFormatError where shape or sizes are none. */
export function fromMetadata(file: string, all: Readonly<Record<string, unknown>>): SemanticIdInfo {
  try {
    const { [keys.shape]: shape, [keys.codebookSizes]: sizes, ...rest } = all
    const info: SemanticIdInfo = {
      ...(shape !== undefined && { shape: JSON.parse(shape as string) as number[] }),
      ...(sizes !== undefined && { codebookSizes: JSON.parse(sizes as string) as number[] }),
      metadata: Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, String(value)])),
    }
    expectInfo('readSemanticIds', info)
    return info
  } catch (cause) {
    throw new VqFormatError({
      operation: `reading ${file}`,
      expected: 'metadata with the shape of codes and the sizes of codebooks',
      received: (cause as Error).message.slice(0, 200),
      remedy: 'Write the file with writeSemanticIds.',
      cause,
    })
  }
}
