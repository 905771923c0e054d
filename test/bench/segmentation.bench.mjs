// DeepLabV3-ResNet50 beside torchvision's, from the same random weights on the same batch, forward.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { device, Random, tf } from '../../packages/core/dist/index.js'
import { createBackbone, presetOf, pretrainedBackbone } from '../../packages/segmentation/dist/index.js'
import { block, measure, ms, table } from './harness.mjs'
import { startPeer } from './peer.mjs'

export const title = 'Segmentation'

const name = 'deeplabv3'
const batch = 4
const request = { model: 'deeplab', numClasses: 21 }
const floats = path => new Float32Array(readFileSync(path).buffer.slice(0))

export async function run({ only, say, wanted }) {
  if (only !== undefined && only !== name) return { text: '', versions: {} }
  const folder = mkdtempSync(join(tmpdir(), 'vq-bench-'))
  const peer = await startPeer('encoders.py')
  const threads = Math.min(2, availableParallelism())
  const notes = []
  device.threads = threads
  try {
    const ready = (await peer?.ask({ do: 'prepare', name, batch, threads, folder }))?.ready === true
    const path = join(folder, name)
    const random = new Random(0)
    const backbone = ready
      ? (await pretrainedBackbone(`${path}.pth`, request, random)).backbone
      : createBackbone(presetOf(request), random)
    backbone.eval()
    const shape = [batch, 224, 224, 3]
    const values = ready ? floats(`${path}.f32`) : random.fillNormal(new Float32Array(batch * 224 * 224 * 3))
    const images = tf.tensor4d(values, shape)
    if (ready) {
      const logits = backbone.forward(images)
      const mine = logits.dataSync()
      logits.dispose()
      const theirs = floats(`${path}.out.f32`)
      const apart = mine.reduce((most, v, i) => Math.max(most, Math.abs(v - theirs[i])), 0)
      const largest = theirs.reduce((most, v) => Math.max(most, Math.abs(v)), 0)
      notes.push(
        `from the same weights the logits of all 4 × 224 × 224 × 21 differ by at most ${apart.toExponential(1)}, the largest being ${largest.toFixed(2)}`,
      )
    }
    const forward = () => {
      // Nothing is returned: tidy would look for tensors at every number.
      tf.tidy(() => {
        backbone.forward(images).dataSync()
      })
    }
    const asks = ready ? [async () => (await peer.ask({ do: 'time', train: false, ...block })).seconds] : []
    const m = await measure(forward, asks, { threads, wanted, patience: 60_000 })
    const row = [
      `DeepLabV3-ResNet50 at 224, batch ${batch}, forward`,
      threads,
      ms(m.ours) + (m.steady ? '' : ' (noisy)'),
      ...(m.peers.length ? ['PyTorch', ms(m.peers[0]), (m.ours / m.peers[0]).toFixed(2)] : ['', '', '']),
      0.8,
    ]
    say(row.join('  '))
    for (const note of notes) say(note)
    backbone.dispose()
    images.dispose()
    if (peer === undefined)
      notes.push('Python with torchvision was not found (VQ_PYTHON names one): ours alone.')
    const head = ['work', 'threads', 'VQ', 'peer', "peer's time", "of peer's time", 'bar']
    return {
      text: [table(head, [row]), '', ...notes.map(n => `- ${n}`)].join('\n'),
      versions: peer?.versions ?? {},
    }
  } finally {
    peer?.stop()
    device.threads = availableParallelism()
    rmSync(folder, { recursive: true, force: true })
  }
}
