import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Random, tf, VqConfigError } from '@vq/core'
import {
  type AnyQuantizer,
  BaseQuantizer,
  createQuantizer,
  FSQ,
  GroupedResidualVQ,
  GumbelQuantizer,
  LatentQuantizer,
  LFQ,
  ProductQuantizer,
  quantizerConfig,
  quantizerNames,
  RandomProjectionQuantizer,
  ResidualFSQ,
  ResidualLFQ,
  ResidualVQ,
  RQKMeans,
  registerQuantizer,
  SimVQ,
  VectorQuantizer,
} from '@vq/quantizers'
import { build } from 'esbuild'
import { describe, expect, test } from 'vitest'

declare module '@vq/quantizers' {
  interface QuantizerTypes {
    typed: { options: { size: number }; quantizer: FSQ }
  }
}

const classes: Record<string, [Class: new (options: never) => AnyQuantizer, options: object]> = {
  basic_vq: [VectorQuantizer, { numEmbeddings: 8, embeddingDim: 6 }],
  vq: [VectorQuantizer, { numEmbeddings: 8, embeddingDim: 6 }],
  rvq: [ResidualVQ, { numEmbeddings: 8, embeddingDim: 6, numQuantizers: 2 }],
  grouped_rvq: [GroupedResidualVQ, { numEmbeddings: 8, dim: 6, groups: 2 }],
  pq: [ProductQuantizer, { numEmbeddings: 8, dim: 6, parts: 3 }],
  sim_vq: [SimVQ, { numEmbeddings: 8, embeddingDim: 6 }],
  fsq: [FSQ, { levels: [3, 4], dim: 6 }],
  residual_fsq: [ResidualFSQ, { levels: [3, 4], dim: 6, numQuantizers: 2 }],
  lfq: [LFQ, { codebookSize: 16, dim: 6 }],
  residual_lfq: [ResidualLFQ, { codebookSize: 16, dim: 6, numQuantizers: 2 }],
  latent: [LatentQuantizer, { levels: [3, 4], dim: 6 }],
  gumbel: [GumbelQuantizer, { numEmbeddings: 8, embeddingDim: 6 }],
  random_projection: [RandomProjectionQuantizer, { numEmbeddings: 8, dim: 6 }],
  rq_kmeans: [RQKMeans, { nClusters: 4, nStages: 2, dim: 6 }],
}

describe('built-in names', () => {
  test('are listed, sorted', () => {
    expect(quantizerNames()).toEqual(Object.keys(classes).sort())
  })

  test.each(Object.entries(classes))('%s makes what new makes', (type, [Class, options]) => {
    const own = { ...options, ...(type === 'rq_kmeans' ? {} : { random: new Random(3) }) }
    const made = createQuantizer({ type: type as string, ...own })
    expect(made).toBeInstanceOf(Class)
    expect(quantizerConfig(made)).toEqual({ type, ...own })
    if (!(made instanceof BaseQuantizer)) return
    expect(made.dim).toBe(6)
    const direct = new Class({ ...options, random: new Random(3) } as never) as BaseQuantizer
    expect(made.stateDict()).toEqual(direct.stateDict())
    const z = tf.tensor(new Random(1).fillNormal(new Float32Array(30)), [5, 6])
    expect([...made.encode(z).dataSync()]).toEqual([...direct.encode(z).dataSync()])
    expect(tf.getBackend()).toBe('vq-cpu')
    tf.dispose(z)
    for (const q of [made, direct]) q.dispose()
  })

  test('have types of their own', () => {
    const made = createQuantizer({ type: 'basic_vq', numEmbeddings: 2, embeddingDim: 3 })
    // @ts-expect-error: numEmbeddings is missing, which the class refuses as well.
    expect(() => createQuantizer({ type: 'basic_vq', embeddingDim: 3 })).toThrow(VqConfigError)
    const entry: tf.Tensor = made.getCodebookEntry(tf.tensor1d([1], 'int32'))
    expect(entry.shape).toEqual([1, 3])
    const fitted: RQKMeans = createQuantizer({ type: 'rq_kmeans' })
    expect(fitted.options.nClusters).toBe(256)
    made.dispose()
  })
})

describe('names of one’s own', () => {
  class Mine extends VectorQuantizer {}
  const factory = (options: Record<string, unknown>): Mine => new Mine(options as never)

  test('make what their factory makes, from the options without the type', () => {
    let received: unknown
    registerQuantizer('mine', options => {
      received = options
      return factory(options)
    })
    expect(quantizerNames()).toContain('mine')
    const config = { type: 'mine', numEmbeddings: 4, embeddingDim: 2 }
    const made = createQuantizer(config)
    expect(made).toBeInstanceOf(Mine)
    expect(received).toEqual({ numEmbeddings: 4, embeddingDim: 2 })
    // A saved configuration makes the same again, whatever became of the object that was passed.
    config.embeddingDim = 7
    expect(quantizerConfig(made)).toEqual({ type: 'mine', numEmbeddings: 4, embeddingDim: 2 })
    expect(quantizerConfig(factory({ numEmbeddings: 4, embeddingDim: 2 }))).toBeUndefined()
  })

  test('can have types', () => {
    registerQuantizer('typed', ({ size }) => new FSQ({ levels: [size as number, 3] }))
    const made: FSQ = createQuantizer({ type: 'typed', size: 5 })
    expect(made.levels).toEqual([5, 3])
    // @ts-expect-error: size is a number.
    expect(() => createQuantizer({ type: 'typed', size: '5' })).toThrow(VqConfigError)
  })

  test('a taken name is refused, unless it is to be replaced', () => {
    registerQuantizer('twice', factory)
    expect(() => registerQuantizer('twice', factory)).toThrow(VqConfigError)
    expect(() => registerQuantizer('rvq', factory)).toThrow(/received the string "rvq".*replace: true/)
    class Other extends Mine {}
    registerQuantizer('twice', options => new Other(options as never), { replace: true })
    expect(createQuantizer({ type: 'twice' as string, numEmbeddings: 4, embeddingDim: 2 })).toBeInstanceOf(
      Other,
    )
  })

  test('what a factory gives must be a quantizer', () => {
    registerQuantizer('nothing', () => undefined as never)
    registerQuantizer('promise', (async () => factory({ numEmbeddings: 1, embeddingDim: 1 })) as never)
    registerQuantizer('half', () => ({ forward() {}, encode() {}, dispose() {} }) as never)
    const of = (type: string) => () => createQuantizer({ type })
    expect(of('nothing')).toThrow(/createQuantizer, type 'nothing': expected its factory.*received undefined/)
    expect(of('promise')).toThrow(/received a Promise/)
    expect(of('half')).toThrow(/a Object without decode, codebook, usage, train, eval, stateDict/)
    for (const type of ['nothing', 'promise', 'half']) expect(of(type)).toThrow(VqConfigError)
  })

  test('names and factories are checked', () => {
    for (const name of ['', ' x', undefined, 3])
      expect(() => registerQuantizer(name as string, factory)).toThrow(VqConfigError)
    expect(() => registerQuantizer('no', {} as never)).toThrow(/a function that makes 'no'/)
  })
})

test.each([
  ['rqv', 'rvq'],
  ['RVQ', 'rvq'],
  ['rq_kmean', 'rq_kmeans'],
  ['simvq', 'sim_vq'],
  ['gumbel_softmax', 'gumbel'],
  ['constructor', 'random_projection'],
])('an unknown name is refused: %s, where %s is nearest', (type, nearest) => {
  expect(() => createQuantizer({ type })).toThrow(VqConfigError)
  if (type === 'constructor') return expect(() => createQuantizer({ type })).toThrow(/Did you mean '\w+'\?/)
  expect(() => createQuantizer({ type })).toThrow(
    new RegExp(`received '${type}'. Did you mean '${nearest}'\\?`),
  )
})

test('a configuration without a type is refused', () => {
  for (const config of [undefined, null, {}, { type: 3 }, 'rvq'])
    expect(() => createQuantizer(config as never)).toThrow(/a configuration with the type of the quantizer/)
})

describe('what bundlers keep of the built package', () => {
  const folder = resolve('packages/quantizers')
  const bundled = async (contents: string, run: string): Promise<string> => {
    const out = mkdtempSync(join(folder, 'test/.run-'))
    try {
      const outfile = join(out, 'bundle.mjs')
      await build({
        stdin: { contents: `${contents}\n${run}`, resolveDir: resolve('packages/models') },
        bundle: true,
        format: 'esm',
        platform: 'node',
        external: ['@tensorflow/*', '@vq/core', '@vq/core/*'],
        outfile,
      })
      return execFileSync(process.execPath, ['--no-warnings', outfile], { encoding: 'utf8' }).trim()
    } finally {
      rmSync(out, { recursive: true })
    }
  }

  test('the built-in names', async () => {
    const out = await bundled(
      "import { createQuantizer, quantizerNames } from '@vq/quantizers'",
      "console.log(quantizerNames().length, createQuantizer({ type: 'fsq', levels: [3, 4] }).codebookSize)",
    )
    expect(out).toBe('14 12')
  })

  test('the layers, for models that are only loaded', async () => {
    const out = await bundled(
      "import { tf } from '@vq/core'\nimport '@vq/quantizers/layers'",
      'console.log([...Object.keys(tf.serialization.SerializationMap.getMap().classNameMap)].filter(n => /(VQ|FSQ|LFQ|Quantizer)Layer$/.test(n)).length)',
    )
    expect(out).toBe('12')
  })
})
