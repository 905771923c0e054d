// The addon with the device library, without any package: node node-side.mjs vq.node libvq_cuda.so
// Exit status 0: the device gives the CPU's results; 1: it does not; 77: one of them cannot be used here, and why.
import { createRequire } from 'node:module'

const [addon, library] = process.argv.slice(2)
let core
try {
  core = createRequire(import.meta.url)(addon)
} catch (error) {
  leave(`the addon does not load: ${error.message.split('\n')[0]}`)
}
const found = core.cudaOpen(library)
if (found.reason !== undefined) leave(found.reason)
console.log(`${found.gpu}, compute capability ${found.computeCapability}`)

let state = 12345
const next = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return state / 2 ** 32
}
const draw = count => Float32Array.from({ length: count }, () => next() + next() + next() - 1.5)
const wrong = []
const same = (what, a, b) => {
  const bytes = v =>
    ArrayBuffer.isView(v)
      ? Buffer.from(v.buffer, v.byteOffset, v.byteLength).toString('hex')
      : JSON.stringify(v)
  for (const key of Object.keys(b)) if (bytes(a[key]) !== bytes(b[key])) wrong.push(`${what}: ${key} differs`)
}

const [n, k, dim] = [3000, 300, 24]
const [x, codes, more] = [draw(n * dim), draw(k * dim), draw(50 * dim)]
for (const metric of [0, 1, 2])
  same(
    `nearest ${metric}`,
    core.cudaNearest(found.device, x, codes, dim, metric, false, false),
    core.nearest(x, codes, dim, metric, 2, false),
  )
same(
  'residual encoding',
  core.cudaResidualEncode(found.device, x, [codes, more], dim, 1, false, false),
  core.residualEncode(x, [codes, more], dim, 1, 2, false),
)
const { indices } = core.nearest(x, codes, dim, 0, 2, false)
const ema = [x, indices, codes, new Float32Array(k).fill(1), codes, dim, 0.9, 1e-5]
same(
  'moving averages',
  core.cudaEmaUpdate(found.device, ...ema, false, false),
  core.emaUpdate(...ema, 2, false),
)
const options = { dim, k: 40, iterations: 8, tolerance: 0, init: 1, start: null, seedLow: 3, seedHigh: 0 }
const settings = { ...options, spherical: false, weights: null }
same('k-means', core.cudaKmeans(found.device, x, settings, false, false), core.kmeans(x, settings, 2, false))

const levels = [8, 5, 4, 3]
const weights = draw(x.length)
for (const bound of [0, 1]) {
  same(
    `FSQ ${bound}`,
    core.cudaFsqEncode(found.device, x, levels, bound, 1, false, false),
    core.fsqEncode(x, levels, bound, 1, 2, false),
  )
  same(
    `the gradient of FSQ ${bound}`,
    { values: core.cudaFsqGradient(found.device, x, weights, levels, bound, false) },
    { values: core.fsqGradient(x, weights, levels, bound, 2) },
  )
}
same(
  'LFQ',
  core.cudaLfqEncode(found.device, x, dim, 1, 1, false, false),
  core.lfqEncode(x, dim, 1, 1, 2, false),
)
const [near, there] = [
  core.lfqEntropy(x, dim, 8, 2, 2),
  core.cudaLfqEntropy(found.device, x, dim, 8, 2, false),
]
for (const key of ['perSample', 'ofMean'])
  if (!(Math.abs(near[key] - there[key]) < 1e-4))
    wrong.push(`LFQ: ${key} ${there[key]}, ${near[key]} on the processor`)

// Memory that stays, read back, used off the main thread while it is released.
const resident = core.cudaUpload(found.device, x)
const running = core.cudaNearest(found.device, resident, codes, dim, 0, true, true)
core.cudaRelease(resident)
const left = await running.promise
const read = { indices: new Int32Array(n), distances: new Float32Array(n) }
for (const key of Object.keys(read)) {
  core.cudaRead(left[key], read[key])
  core.cudaRelease(left[key])
}
same('nearest on resident memory', read, core.nearest(x, codes, dim, 0, 2, false))
if (core.cudaMemory(found.device).buffers !== 0) wrong.push('memory was left on the device')

for (const text of wrong) console.log(`FAIL ${text}`)
console.log(wrong.length === 0 ? 'ok: the bits of the CPU' : `${wrong.length} failures`)
process.exitCode = wrong.length === 0 ? 0 : 1

function leave(reason) {
  console.log(reason)
  process.exit(77)
}
