// How fast the pipeline makes semantic IDs: of a million embeddings in a file, and of JPEG files.
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { Random, tf } from '../../../packages/core/dist/index.js'
import { openIdWriter, openSource, VQPipeline } from '../../../packages/pipeline/dist/index.js'

const [count, dim] = [1_000_000, 256]
const codes = { vqMethod: 'rq_kmeans', numEmbeddings: 256, vqConfig: { nStages: 4 } }

/** Around 1,000 centres, as embeddings lie, a block at a time. */
async function writeVectors(file) {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${count}, ${dim}), }`
  const first = Buffer.alloc(128, ' ')
  first.write('\x93NUMPY\x01\x00', 'latin1')
  first.writeUInt16LE(118, 8)
  first.write(`${header.padEnd(117)}\n`, 10, 'latin1')
  const out = createWriteStream(file)
  const write = bytes => new Promise((done, failed) => out.write(bytes, e => (e ? failed(e) : done())))
  await write(first)
  const random = new Random(0)
  const centres = random.fillNormal(new Float32Array(1000 * dim))
  for (let at = 0; at < count; at += 10_000) {
    const rows = random.fillNormal(new Float32Array(10_000 * dim))
    for (let i = 0; i < rows.length; i += dim) {
      const from = Math.floor(random.uniform() * 1000) * dim
      for (let d = 0; d < dim; d++) rows[i + d] = 0.5 * rows[i + d] + centres[from + d]
    }
    await write(new Uint8Array(rows.buffer))
  }
  await new Promise(done => out.end(done))
}

/** Seconds from the source to a finished file. */
async function encode(pipeline, source, file) {
  const started = performance.now()
  const { ids } = source
  const writer = await openIdWriter(file, { shape: [4], codebookSizes: pipeline.info.codebookSizes })
  for await (const { indices, codes } of pipeline.encodeSource(source))
    await writer.append(
      Array.from(indices, (item, i) => ({ id: ids[item], codes: codes.subarray(4 * i, 4 * i + 4) })),
    )
  await writer.finish()
  return (performance.now() - started) / 1000
}

export const throughput = {
  data: 'cifarJpegs',
  ownSteps: true,
  async run({ path }, { folder, say }) {
    await writeVectors(join(folder, 'rows.npy'))
    const rows = await openSource(join(folder, 'rows.npy'), { modality: 'vector' })
    const vectors = await VQPipeline.create({ modality: 'vector', inputDim: dim, ...codes })
    const { seconds: fit } = await vectors.fit(rows, { progress: false })
    say(`  fitted in ${fit.toFixed(1)} s`)
    const encoded = await encode(vectors, rows, join(folder, 'rows.parquet'))
    await rows.close()
    vectors.dispose()
    const memory = process.resourceUsage().maxRSS / 1024
    const shape = [32, 32, 3]
    const source = await openSource(path, { modality: 'image', shape })
    const encoder = { modality: 'image', encoderType: 'cnn', inputDim: shape, objective: 'embedding' }
    const images = await VQPipeline.create({ ...encoder, ...codes })
    await images.fit(tf.tensor(new Random(0).fillUniform(new Float32Array(500 * 3072)), [500, ...shape]), { progress: false }) // biome-ignore format: one line
    const times = []
    for (let i = 0; i < 5; i++) times.push(await encode(images, source, join(folder, 'images.parquet')))
    const perSecond = source.length / Math.min(...times)
    await source.close()
    images.dispose()
    return { fit, encoded, memory, files: source.length, perSecond }
  },
  rows: ({ fit, encoded, memory, files, perSecond }) => [
    {
      result:
        '1,000,000 embeddings of 256 numbers in a .npy file, k-means and 4 × 256 codes to a Parquet file',
      bar: 'under 20 s',
      ours: `${(fit + encoded).toFixed(1)} s`,
      peer: '',
      met: fit + encoded < 20,
      note: `${fit.toFixed(1)} s to fit, ${encoded.toFixed(1)} s to encode and write`,
    },
    {
      result: 'most memory of the process',
      bar: 'under 2 GB',
      ours: `${Math.round(memory)} MiB`,
      peer: '',
      met: memory * 2 ** 20 < 2e9,
      note: '',
    },
    {
      result: `JPEG files of 32 × 32 to codes in a Parquet file, the CNN's defaults`,
      bar: 'at least 2,000 a second',
      ours: `${Math.round(perSecond).toLocaleString('en')} a second`,
      peer: '',
      met: perSecond >= 2000,
      note: `${files.toLocaleString('en')} files, the best of five passes`,
    },
  ],
}
