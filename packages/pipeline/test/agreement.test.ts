import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { native, Random, tf } from '@vq/core'
import { type PipelineInput, VQPipeline } from '@vq/pipeline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const [count, shape, dim] = [400, [16, 16, 3], 24]
const methods = {
  rq_kmeans: { nStages: 4, maxIter: 10 },
  rq_vae: { hiddenDims: [16], codeDim: 8, numQuantizers: 3 },
  pq: { parts: 4 },
  fsq: { levels: [5, 4, 3] },
  lfq: {},
} as const
const [threads, batches] = [
  [1, 2, 3],
  [400, 7],
]
const quiet = { progress: false } as const

interface Found {
  backend: string
  isa: string
  codes: number[]
  embeddings: number[]
  same: Record<string, number[][]>
}

// Waves of random length and direction: neighbours alike, as in pictures.
function images(): Float32Array {
  const random = new Random(7)
  const values = new Float32Array(count * 16 * 16 * 3)
  for (let i = 0, at = 0; i < count; i++) {
    const waves = Array.from({ length: 3 }, () => Array.from({ length: 4 }, () => random.uniform()))
    for (let y = 0; y < 16; y++)
      for (let x = 0; x < 16; x++)
        for (const [a = 0, b = 0, c = 0, d = 0] of waves)
          values[at++] = 0.5 + 0.5 * d * Math.sin(a * x + b * y + 6.3 * c)
  }
  return values
}

let folder: string
let margins: Float32Array
let embeddings: Float32Array
let runs: Found[]

beforeAll(async () => {
  expect(tf.getBackend()).toBe('vq-cpu')
  folder = await mkdtemp(join(tmpdir(), 'vq-agreement-'))
  const pictures = images()
  const x = tf.tensor(pictures, [count, ...shape])
  const pipeline = await VQPipeline.create({
    modality: 'image',
    encoderType: 'cnn',
    vqMethod: 'rq_kmeans',
    inputDim: shape,
    embeddingDim: dim,
    numEmbeddings: 32,
    encoderConfig: { hiddenDims: [8, 16, 32] },
    vqConfig: methods.rq_kmeans,
    objective: 'contrastive',
    batchSize: 64,
    learningRate: 1e-3,
    training: { steps: 20 },
  })
  await pipeline.fit(x, quiet)
  await pipeline.savePipeline(join(folder, 'images'))
  margins = (await pipeline.encodeToSemanticIds(x, { margins: true })).margins as Float32Array
  const z = await pipeline.embed(x)
  embeddings = z.dataSync<'float32'>()
  for (const [vqMethod, vqConfig] of Object.entries(methods)) {
    const config: PipelineInput = { modality: 'vector', inputDim: dim, vqMethod, vqConfig: { ...vqConfig }, numEmbeddings: 16, training: { quantizerEpochs: 1 } } // biome-ignore format: one line
    const own = await VQPipeline.create(config)
    await own.fit(z, quiet)
    await own.savePipeline(join(folder, vqMethod))
  }
  await writeFile(join(folder, 'images.f32'), new Uint8Array(pictures.buffer))
  await writeFile(join(folder, 'embeddings.f32'), new Uint8Array(embeddings.slice().buffer))
  const plan = { count, shape, methods: Object.keys(methods), threads, batches }
  await writeFile(join(folder, 'plan.json'), JSON.stringify(plan))
  const worker = fileURLToPath(new URL('agreement-worker.mjs', import.meta.url))
  runs = []
  for (const [backend, isa, most] of environments()) {
    // oneDNN's own choice goes by the environment.
    const env = { ...process.env, ...(most && { ONEDNN_MAX_CPU_ISA: most, DNNL_MAX_CPU_ISA: most }) }
    const { stdout } = await promisify(execFile)(process.execPath, [worker, folder, backend, isa], {
      env,
      maxBuffer: 2 ** 26,
    })
    runs.push(JSON.parse(stdout) as Found)
  }
})

afterAll(() => rm(folder, { recursive: true, force: true }))

// Backend, instruction set of our kernels, most that oneDNN may use: the fastest, AVX2 or else the plain one, and tfjs's own.
function environments(): (readonly [string, string, string | undefined])[] {
  const sets = native().isaList()
  const second = sets.includes('avx2') && sets.at(-1) !== 'avx2' ? 'avx2' : (sets[0] as string)
  return [
    ['vq-cpu', sets.at(-1) as string, undefined],
    ['vq-cpu', second, second === 'avx2' ? 'AVX2' : 'SSE41'],
    ['cpu', 'auto', undefined],
  ]
}

test('each run is on the backend and the instruction set that it should be', () => {
  expect(runs.map(r => [r.backend, r.isa])).toEqual(
    environments().map(([backend, isa]) => [backend, isa === 'auto' ? native().isa() : isa]),
  )
  expect(new Set(runs.slice(0, 2).map(r => r.isa)).size).toBe(2)
})

describe('codes of the same images by an artifact that was saved once', () => {
  test('encoders differ in the last bits alone', () => {
    for (const { embeddings: found } of runs)
      for (const [i, value] of found.entries())
        expect(Math.abs(value - (embeddings[i] as number))).toBeLessThan(1e-5)
  })

  test('agree in at least 99.9% of codes, and differ only where the margin is below 1e-4', () => {
    const [first, ...others] = runs as [Found, ...Found[]]
    expect(first.codes).toHaveLength(count * 4)
    for (const { codes } of others) {
      const differing = codes.flatMap((code, i) => (code === first.codes[i] ? [] : [i]))
      expect(differing.length / codes.length).toBeLessThanOrEqual(1e-3)
      for (const i of differing) expect(margins[Math.floor(i / 4)]).toBeLessThan(1e-4)
    }
  })
})

test.each(Object.keys(methods))(
  '%s: from the same embeddings the same codes on every backend, instruction set, thread count and batch size',
  method => {
    const [reference] = (runs[0] as Found).same[method] as number[][]
    expect(reference?.length).toBeGreaterThanOrEqual(count)
    for (const { same } of runs) {
      expect(same[method]).toHaveLength(threads.length * batches.length)
      for (const codes of same[method] as number[][]) expect(codes).toEqual(reference)
    }
  },
)

test.each(Object.keys(methods))(
  '%s: what noise in the last bits changes has a margin below 1e-4',
  async method => {
    const pipeline = await VQPipeline.loadPipeline(join(folder, method))
    const random = new Random(3)
    const n = 2000
    const pick = (): Float32Array => {
      const all = new Float32Array(n * dim)
      for (let i = 0; i < n; i++) {
        const at = Math.floor(random.uniform() * count) * dim
        all.set(embeddings.subarray(at, at + dim), i * dim)
      }
      return all
    }
    const encode = (rows: Float32Array, options = {}): ReturnType<VQPipeline['encodeToSemanticIds']> =>
      pipeline.encodeToSemanticIds(tf.tensor(rows, [n, dim]), options)
    // Between two embeddings of different codes lies a tie: halving finds rows near it.
    let [low, high] = [pick(), pick()]
    const from = (await encode(low)).codes
    const width = from.length / n
    const isSame = (codes: Int32Array, i: number): boolean =>
      codes.subarray(i * width, (i + 1) * width).every((c, l) => c === from[i * width + l])
    for (let halving = 0; halving < 22; halving++) {
      const middle = low.map((v, i) => (v + (high[i] as number)) / 2)
      const { codes } = await encode(middle)
      const near = Uint8Array.from({ length: n }, (_, i) => (isSame(codes, i) ? 1 : 0))
      const side = (value: number, other: Float32Array): Float32Array =>
        other.map((v, i) => (near[Math.floor(i / dim)] === value ? (middle[i] as number) : v))
      ;[low, high] = [side(1, low), side(0, high)]
    }
    const noise = random.fillUniform(new Float32Array(low.length))
    const moved = low.map((v, i) => v * (1 + 2e-6 * ((noise[i] as number) - 0.5)))
    const before = await encode(low, { margins: true })
    const after = await encode(moved)
    let changed = 0
    for (let i = 0; i < n; i++) {
      if (isSame(after.codes, i)) continue
      changed++
      expect(before.margins?.[i]).toBeLessThan(1e-4)
    }
    expect(changed / n).toBeGreaterThan(0.1)
  },
)
