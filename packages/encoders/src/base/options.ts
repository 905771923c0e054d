import { expectConfig, expectInteger, Random } from '@vq/core'

/** Throws VqConfigError unless options were passed at all; `first` is one that must be among them. */
export function expectOptions(name: string, options: unknown, first: string): void {
  const given = typeof options === 'object' && options !== null
  expectConfig(given, name, 'options', options, `Pass { ${first}, … }.`)
  const { random } = options as { random?: unknown }
  const drawn = random === undefined || random instanceof Random
  expectConfig(drawn, name, 'random to be a generator', random, 'Pass new Random(seed), or leave it out.')
}

/** Throws VqConfigError unless these describe stages of convolutions and the embedding that they end in. */
export function expectConvolutions(
  name: string,
  {
    embeddingDim,
    hiddenDims,
    kernelSize,
  }: { embeddingDim: number; hiddenDims: readonly number[]; kernelSize: number },
): void {
  expectInteger(name, 'embeddingDim', embeddingDim, 1)
  expectConfig(
    Array.isArray(hiddenDims) && hiddenDims.length > 0,
    name,
    'hiddenDims to be the channels of each stage',
    hiddenDims,
    'Pass [64, 128].',
  )
  for (const width of hiddenDims) expectInteger(name, 'hiddenDims', width, 1)
  expectInteger(name, 'kernelSize', kernelSize, 1)
  expectConfig(kernelSize % 2 === 1, name, 'an odd kernelSize', kernelSize, 'Pass 3 or 5.')
}
