import { describe, VqShapeError, VqValueError } from '@vq/core'

/** Codes as they are, where they are finite and of that shape. */
export function expectCodes(codes: unknown, [count, dim]: [number, number]): Float32Array {
  const operation = 'setting a codebook'
  if (!(codes instanceof Float32Array) || codes.length !== count * dim)
    throw new VqShapeError({
      operation,
      expected: `a Float32Array of ${count} codes of ${dim} numbers`,
      received: codes instanceof Float32Array ? `${codes.length} numbers` : describe(codes),
      remedy: 'Pass all codes row by row.',
    })
  const bad = codes.findIndex(x => !Number.isFinite(x))
  if (bad >= 0)
    throw new VqValueError({
      operation,
      expected: 'finite codes',
      received: `${codes[bad]} in code ${Math.floor(bad / dim)}`,
      remedy: 'Look at where these codes come from.',
    })
  return codes
}
