// One training run of ours and the same of PyTorch's: initial weights, batches and noise go through files.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { device, Random, tf } from '../../../packages/core/dist/index.js'
import { loadSafetensors, saveSafetensors } from '../../../packages/core/dist/io/index.js'
import { Adam, trainStep } from '../../../packages/core/dist/optim/index.js'
import { startPeer } from '../peer.mjs'

const every = 250

/** The images' numbers of every batch: whole epochs in random order, [steps · batch]. */
export function batchOrder(images, steps, batch, seed) {
  const random = new Random(seed)
  const order = new Int32Array(steps * batch)
  const perEpoch = Math.floor(images / batch)
  for (let step = 0, epoch; step < steps; step++) {
    if (step % perEpoch === 0) epoch = random.permutation(images)
    const at = (step % perEpoch) * batch
    order.set(epoch.subarray(at, at + batch), step * batch)
  }
  return order
}

/**
 * Trains our model on images or, as whole numbers, on tokens; extra(i) gives what the forward takes beside the batch of step i;
 * `from` says where to go on: { step, moments }; each(step, loss) hears of every step. Returns milliseconds per step.
 */
export async function trainOurs(
  model,
  { images, shape, order, batch, rate, clip, say, from, extra = () => [], each = () => {} },
) {
  const size = shape.reduce((a, b) => a * b)
  const optimizer = new Adam(model, { learningRate: rate })
  if (from !== undefined) optimizer.loadStateDict(adamState(from))
  const first = from?.step ?? 0
  const steps = order.length / batch
  const values = new images.constructor(batch * size)
  const started = performance.now()
  let sum = 0
  model.train()
  for (let step = first; step < steps; step++) {
    for (let i = 0; i < batch; i++) {
      const n = order[step * batch + i]
      values.set(images.subarray(n * size, (n + 1) * size), i * size)
    }
    const x = tf.tensor(values, [batch, ...shape])
    if (step === 0) await model.prepare?.(x)
    const more = extra(step)
    const { loss } = trainStep(
      optimizer,
      () => model.forward(x, ...more),
      clip === undefined ? {} : { clipNorm: clip },
    )
    sum += loss
    each(step, loss)
    tf.dispose([x, more])
    if ((step + 1) % every === 0 || step + 1 === steps) {
      say(`  ours: step ${step + 1}, mean loss ${(sum / ((step % every) + 1)).toFixed(5)}`)
      sum = 0
    }
  }
  optimizer.dispose()
  model.eval()
  return (performance.now() - started) / (steps - first)
}

// Our optimizer's state of tensors m.PARAMETER and v.PARAMETER.
function adamState({ step, moments }) {
  const state = { step: { dtype: 'I64', shape: [], data: BigInt64Array.of(BigInt(step)) } }
  for (const [name, tensor] of Object.entries(moments)) {
    const parameter = name.slice(2)
    state[`${name.startsWith('m.') ? 'exp_avg' : 'exp_avg_sq'}.${parameter}`] = tensor
    state[`step.${parameter}`] = { dtype: 'F32', shape: [], data: Float32Array.of(step) }
  }
  return state
}

/** The same by PyTorch, which writes its state after step `save.step` to `save.path`; undefined, with the reason said, where Python or a module is missing. */
export async function trainPeer(request, { folder, images, test, order, noise, say, save, each = () => {} }) {
  const peer = await startPeer('reproduce.py')
  if (peer === undefined) {
    say('  Python with PyTorch was not found (VQ_PYTHON names one): ours alone')
    return undefined
  }
  try {
    const write = (name, data) => {
      writeFileSync(join(folder, name), new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
      return join(folder, name)
    }
    const files = {
      train: write('train.f32', images),
      test: write('test.f32', test),
      order: write('order.i32', order),
      ...(noise === undefined ? {} : { noise: write('noise.f32', noise) }),
    }
    const ask = async message => {
      const reply = await peer.ask(message)
      if (reply === undefined || reply.error) throw new Error(`PyTorch: ${reply?.error ?? 'it ended'}`)
      return reply
    }
    await ask({ do: 'prepare', threads: device.threads, ...request, ...files })
    const steps = order.length / request.batch
    let seconds = 0
    for (let first = 0, n; first < steps; first += n) {
      const untilSave = first < save?.step ? save.step - first : every
      n = Math.min(every, steps - first, untilSave)
      const done = await ask({ do: 'train', first, steps: n })
      seconds += done.seconds
      done.losses.forEach((loss, i) => {
        each(first + i, loss)
      })
      say(`  PyTorch: step ${first + n}, mean loss ${done.loss.toFixed(5)}`)
      if (save?.step === first + n) await ask({ do: 'save', path: save.path })
    }
    return { ...(await ask({ do: 'evaluate' })), ms: (seconds * 1000) / steps, versions: peer.versions }
  } finally {
    peer.stop()
  }
}

/** Weights that PyTorch draws (peers/init.py) from `seed`, or where it is missing those that `make()` has. */
export async function initialWeights(name, path, make, seed = 0) {
  const script = fileURLToPath(new URL('../peers/init.py', import.meta.url))
  try {
    execFileSync(process.env.VQ_PYTHON ?? 'python3', [script, name, path, `${seed}`], { stdio: 'ignore' })
  } catch {
    const model = make()
    await saveSafetensors(path, model.stateDict())
    model.dispose()
  }
  return (await loadSafetensors(path)).tensors
}
