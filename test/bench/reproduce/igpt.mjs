// The transformer over image and text tokens beside PyTorch's: from the weights that PyTorch draws, on the same batches of sequences
// that the two-stage pipeline makes of coloured digits. Both without dropout, step by step, and with it, where each drops its own.
import { join } from 'node:path'
import { Random, tf } from '../../../packages/core/dist/index.js'
import { IGPT, TextTokenizer, Vocabulary } from '../../../packages/igpt/dist/index.js'
import { coloredDigits } from '../../../packages/models/dist/data/index.js'
import { VQVAE } from '../../../packages/models/dist/index.js'
import { batchOrder, initialWeights, trainOurs, trainPeer } from './train.mjs'

const [batch, rate, clip] = [128, 1e-3, 1]
const [pictures, heldOut, size, whole] = [1200, 200, 28, 200]
// With 29 words and 5 special tokens these make the peer's vocabulary of 148.
const codes = 114

/** Sequences [2N, 58] of pictures and captions, in both orders. */
function sequences(model, { vocabulary, tokenizer }, images, captions) {
  const each = images.length / captions.length
  const ids = []
  for (const [i, caption] of captions.entries()) {
    const found = tf.tidy(() => {
      const x = tf.tensor4d(images.subarray(i * each, (i + 1) * each), [1, size, size, 3])
      return model.encodeToIndices(x).dataSync()
    })
    const [image, text] = [vocabulary.imageIds(found), vocabulary.textIds(tokenizer.encode(caption))]
    for (const textFirst of [true, false]) ids.push(...vocabulary.sequence(image, text, textFirst).ids)
  }
  return Int32Array.from(ids)
}

/** A VQ-VAE of the usual shape, trained for a while, and what it makes of the pictures. */
async function tokens(say) {
  const digits = coloredDigits({ count: pictures + heldOut, size, seed: 0 })
  const images = await digits.batch(Int32Array.from({ length: digits.length }, (_, i) => i))
  const cut = pictures * size * size * 3
  const train = images.subarray(0, cut)
  const options = { architecture: 'igpt', hiddenDims: [64], embeddingDim: 64, numEmbeddings: codes }
  const model = new VQVAE({ ...options, random: new Random(0) })
  const order = batchOrder(pictures, 60, 32, 0)
  await trainOurs(model, { images: train, shape: [size, size, 3], order, batch: 32, rate, clip, say })
  const tokenizer = new TextTokenizer(digits.captions)
  const places = (size / 4) ** 2
  const vocabulary = new Vocabulary({ codebookSizes: [codes], words: tokenizer.size, places, textLength: 6 })
  const of = (values, captions) => sequences(model, { vocabulary, tokenizer }, values, captions)
  const made = {
    train: of(train, digits.captions.slice(0, pictures)),
    test: of(images.subarray(cut), digits.captions.slice(pictures)),
    vocabulary,
  }
  model.dispose()
  return made
}

/** Nats per token of held-out sequences. */
function evaluate(model, test, length) {
  const count = test.length / length
  let sum = 0
  for (let at = 0; at < count; at += 100) {
    const n = Math.min(100, count - at)
    sum += tf.tidy(() => {
      const ids = tf.tensor2d(test.subarray(at * length, (at + n) * length), [n, length], 'int32')
      return n * model.forward(ids).loss.dataSync()[0]
    })
  }
  return sum / count
}

export const igpt = {
  data: 'drawn',
  ownSteps: true,
  async run(_, { steps = whole, folder, say }) {
    const { train, test, vocabulary } = await tokens(say)
    const length = vocabulary.sequenceLength
    const seen = new Set(train.filter(id => id < codes)).size
    say(
      `  ${train.length / length} sequences of ${length} tokens, vocabulary ${vocabulary.size}, ${seen} codes in use`,
    )
    const order = batchOrder(train.length / length, steps, batch, 0)
    const weights = join(folder, 'igpt.safetensors')
    const make = dropout => new IGPT({ vocabSize: vocabulary.size, dropout, random: new Random(0) })
    const first = await initialWeights('igpt', weights, () => make(0))
    const results = { steps, seen, sequences: train.length / length }
    for (const [name, dropout] of Object.entries({ plain: 0, dropped: 0.1 })) {
      const [ours, theirs] = [[], []]
      const model = make(dropout)
      model.loadStateDict(first)
      const ms = await trainOurs(model, { images: train, shape: [length], order, batch, rate, clip, say, each: (i, loss) => { ours[i] = loss } }) // biome-ignore format: one line
      const held = evaluate(model, test, length)
      model.dispose()
      const request = { name: 'igpt', options: { dropout }, weights, shape: [length], batch, rate, clip }
      const peer = await trainPeer(request, { folder, images: train, test, order, say, each: (i, loss) => { theirs[i] = loss } }) // biome-ignore format: one line
      results[name] = {
        heldOut: held,
        last: ours.at(-1),
        ms,
        ...(peer && compared(ours, theirs, held, peer)),
      }
      if (peer !== undefined) results.peer = { versions: peer.versions }
    }
    return results
  },
  rows({ plain, dropped, sequences, seen }) {
    const percent = v => `${(100 * v).toFixed(3)}%`
    const nats = v => v?.toFixed(5) ?? 'not run'
    const row = (result, ours, peer, apart, note) => ({
      result,
      bar: 'within 1% of PyTorch',
      ours: nats(ours),
      peer: nats(peer),
      met: apart === undefined ? undefined : apart <= 0.01,
      note: apart === undefined ? note : `${percent(apart)} apart${note}`,
    })
    const time = ({ ms, peer }) =>
      peer ? `; ${ms.toFixed(0)} ms a step beside ${peer.ms.toFixed(0)} ms` : ''
    return [
      row(`iGPT on tokens of coloured digits (${sequences.toLocaleString('en')} sequences, ${seen} codes in use), no dropout: loss of the last step`, plain.last, plain.peer?.last, plain.lastApart, plain.peer ? `, of any step ${percent(plain.mostApart)} at most` : ''), // biome-ignore format: one line
      row('the same: held-out loss, nats a token', plain.heldOut, plain.peer?.heldOut, plain.heldOutApart, time(plain)), // biome-ignore format: one line
      row('with dropout 0.1, other elements on each side: held-out loss', dropped.heldOut, dropped.peer?.heldOut, dropped.heldOutApart, time(dropped)), // biome-ignore format: one line
    ]
  },
}

function compared(ours, theirs, held, peer) {
  const apart = (a, b) => Math.abs(a - b) / b
  return {
    mostApart: Math.max(...ours.map((loss, i) => apart(loss, theirs[i]))),
    lastApart: apart(ours.at(-1), theirs.at(-1)),
    heldOutApart: apart(held, peer.heldOut),
    peer: { last: theirs.at(-1), heldOut: peer.heldOut, ms: peer.ms },
  }
}
