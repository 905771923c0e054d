// node encoder-memory.mjs NAME: by how much this process grows when the encoder is made and trained, beside the sum of
// weights, gradients and what is alive between the forward and the backward pass, in MiB, as JSON.
import { availableParallelism } from 'node:os'
import { device, Random } from '../../packages/core/dist/index.js'
import { cases, inputOf, trainingPass } from './encoder-cases.mjs'

const mebibytes = bytes => bytes / 2 ** 20
const resident = () => mebibytes(process.memoryUsage.rss())
const held = () => mebibytes(device.memory().native.bytesInUse)

const which = cases.find(c => c.name === process.argv[2])
if (which === undefined) throw new Error(`no encoder is called ${process.argv[2]}`)
device.threads = Math.min(2, availableParallelism())
const before = resident()
const encoder = which.make(new Random(0))
const weights = held()
const x = inputOf(which)
let live = 0
let most = 0
for (let step = 0; step < 3; step++) {
  trainingPass(which, encoder, x, () => {
    live = held() - weights
  })
  most = Math.max(most, resident())
}
console.log(JSON.stringify({ grown: most - before, needed: 2 * weights + live }))
