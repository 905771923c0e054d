// Codes of the saved pipelines in a folder, by one backend at one instruction set: `node agreement-worker.mjs FOLDER BACKEND ISA`.
// Prints JSON. Uses the build, as a program would.
import '@tensorflow/tfjs-backend-cpu'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { device, native, tf } from '@vq/core'
import { VQPipeline } from '@vq/pipeline'

const [folder, backend, isa] = process.argv.slice(2)
const { count, shape, methods, threads, batches } = JSON.parse(
  readFileSync(join(folder, 'plan.json'), 'utf8'),
)

async function main() {
  await tf.setBackend(backend)
  native().setIsa(isa)
  const pipeline = await VQPipeline.loadPipeline(join(folder, 'images'))
  const images = tf.tensor(numbers('images.f32'), [count, ...shape])
  const { codes } = await pipeline.encodeToSemanticIds(images)
  const embeddings = await pipeline.embed(images)
  const same = {}
  for (const method of methods) same[method] = await ways(method)
  const found = {
    backend: tf.getBackend(),
    isa: native().isa(),
    codes: Array.from(codes),
    embeddings: Array.from(embeddings.dataSync()),
    same,
  }
  process.stdout.write(JSON.stringify(found))
}

// The codes of the same embeddings, for each number of threads and size of batches.
async function ways(method) {
  const pipeline = await VQPipeline.loadPipeline(join(folder, method))
  const rows = tf.tensor(numbers('embeddings.f32'), [count, pipeline.dim])
  const all = []
  for (const n of threads)
    for (const batch of batches) {
      device.threads = n
      const codes = []
      for (let first = 0; first < count; first += batch) {
        const part = tf.slice(rows, [first, 0], [Math.min(batch, count - first), -1])
        codes.push(...(await pipeline.encodeToSemanticIds(part)).codes)
      }
      all.push(codes)
    }
  return all
}

function numbers(file) {
  return new Float32Array(Uint8Array.from(readFileSync(join(folder, file))).buffer)
}

main()
