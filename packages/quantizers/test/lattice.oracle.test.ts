import { tf } from '@vq/core'
import { loadSafetensors, type StoredTensor } from '@vq/core/io'
import { Linear, Module } from '@vq/core/nn'
import { Adam, trainStep, valueAndGradients } from '@vq/core/optim'
import { type BaseQuantizer, FSQ, GumbelQuantizer, LatentQuantizer, LFQ } from '@vq/quantizers'
import { describe, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

// Written in float64 from the papers' equations by test/oracle/lattice.py.
const { tensors } = await loadSafetensors(
  new URL('../../../test/oracle/lattice.safetensors', import.meta.url).pathname,
)
const stored = (name: string): StoredTensor => tensors[name] as StoredTensor
const numbers = (name: string): number[] => Array.from(stored(name).data as Float64Array)
const matrix = (name: string): tf.Tensor2D =>
  tf.tensor2d(Float32Array.from(numbers(name)), stored(name).shape as [number, number])

/** Within `tolerance` of the largest. */
function close(actual: tf.Tensor | number[], expected: number[], tolerance = 1e-5, what = ''): void {
  const values = Array.isArray(actual) ? actual : Array.from(actual.dataSync())
  expect(values.length, what).toBe(expected.length)
  const scale = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-12)
  for (const [i, v] of expected.entries())
    expect(Math.abs(values[i]! - v), `${what} ${i}: ${values[i]} for ${v}`).toBeLessThan(tolerance * scale)
}

/** Values, codes, losses and the gradient by z of sum(w·quantized), where `name` has them. */
function compare(name: string, q: BaseQuantizer, tolerance = 1e-5): void {
  const z = tf.tidy(() => tf.variable(matrix(`${name}.z`)))
  const w = matrix(`${name}.w`)
  const gradientOf = (of: (out: ReturnType<BaseQuantizer['forward']>) => tf.Tensor, what: string): void => {
    const { value, gradients } = valueAndGradients(() => of(q.forward(z)) as tf.Scalar, [z])
    close(gradients[0] as tf.Tensor, numbers(what), tolerance, what)
    tf.dispose([value, ...gradients.filter(g => g !== null)])
  }
  tf.tidy(() => {
    const { quantized, indices, losses } = q.forward(z)
    expect(Array.from(indices.dataSync())).toEqual(numbers(`${name}.indices`))
    close(quantized, numbers(`${name}.quantized`), 1e-6, 'quantized')
    for (const [part, value] of Object.entries(losses)) {
      close(value, numbers(`${name}.${part}`), tolerance, part)
      if (`${name}.dz_${part}` in tensors) gradientOf(out => out.losses[part]!, `${name}.dz_${part}`)
    }
  })
  const alone = `${name}.dz_entropy` in tensors || name.startsWith('fsq')
  gradientOf(
    out => (alone ? tf.sum(tf.mul(out.quantized, w)) : tf.add(tf.sum(tf.mul(out.quantized, w)), out.loss)),
    `${name}.dz`,
  )
  tf.dispose([z, w])
}

/** Linear, quantizer, linear; the loss is the error and what the quantizer adds. */
class Trained extends Module {
  readonly into: Linear
  readonly back: Linear
  readonly codes: number[][] = []
  readonly quantizer: BaseQuantizer

  constructor(name: string, quantizer: BaseQuantizer) {
    super()
    this.into = this.addModule('in', new Linear({ inFeatures: 6, outFeatures: quantizer.dim }))
    this.quantizer = quantizer
    this.back = this.addModule('out', new Linear({ inFeatures: quantizer.dim, outFeatures: 6 }))
    const start = Object.keys(tensors).filter(key => key.startsWith(`${name}.start.`))
    const state = start.map(key => [key.slice(name.length + 7), asFloat32(stored(key))] as const)
    this.loadStateDict(Object.fromEntries(state))
  }

  forward(x: tf.Tensor): { loss: tf.Scalar; error: tf.Scalar } & Record<string, tf.Scalar> {
    const { quantized, indices, losses, loss } = this.quantizer.forward(this.into.forward(x))
    this.codes.push(Array.from(indices.dataSync()))
    const error = tf.mean(tf.square(tf.sub(this.back.forward(quantized), x))) as tf.Scalar
    return { ...losses, loss: tf.add(error, loss), error }
  }
}

function asFloat32({ shape, data }: StoredTensor): StoredTensor {
  return { dtype: 'F32', shape, data: Float32Array.from(data as Float64Array) }
}

onBackends(() => {
  describe('FSQ', () => {
    for (const levels of [
      [8, 5, 5, 5],
      [2, 3],
      [7, 4, 16],
    ])
      for (const bound of ['original', 'symmetric'] as const)
        it(`has the codes, values and gradients of the equations: ${levels}, ${bound}`, () => {
          compare(`fsq-${levels.join('x')}-${bound}`, new FSQ({ levels, bound }))
        })
  })

  describe('LFQ', () => {
    const cases: Record<string, ConstructorParameters<typeof LFQ>[0]> = {
      'lfq-6': { dim: 6, inverseTemperature: 2 },
      'lfq-1': { dim: 1, inverseTemperature: 1, diversityGamma: 0.5 },
      'lfq-7-sharp': { dim: 7, diversityGamma: 2.5, entropyLossWeight: 0.3, commitmentCost: 1 },
      'lfq-10': { codebookSize: 1024, inverseTemperature: 0.5 },
      'lfq-5-spherical': { dim: 5, inverseTemperature: 3, spherical: true },
    }
    for (const [name, options] of Object.entries(cases))
      it(`has the codes, losses and gradients of a sum over all codes: ${name}`, () => {
        const q = new LFQ(options)
        compare(name, q, 2e-5)
        q.dispose()
      })
  })

  it('LatentQuantizer has the codes, losses and gradients of the equations', () => {
    const q = new LatentQuantizer({ levels: [5, 2, 4] })
    const values = q.namedParameters().map(p => p.variable)
    for (const [d, v] of values.entries())
      tf.tidy(() => v.assign(tf.tensor1d(Float32Array.from(numbers(`latent.values${d}`)))))
    compare('latent', q)
    const z = matrix('latent.z')
    const { value, gradients } = valueAndGradients(() => q.forward(z).loss, values)
    for (const [d, g] of gradients.entries()) close(g as tf.Tensor, numbers(`latent.dvalues${d}`))
    tf.dispose([value, z, ...gradients.filter(g => g !== null)])
    q.dispose()
  })

  it.each(['linear', 'distance'] as const)('GumbelQuantizer takes the likeliest code: %s logits', logits => {
    const name = `gumbel-${logits}`
    const q = new GumbelQuantizer({ numEmbeddings: 7, embeddingDim: 4, logits })
    const state = {
      'embed.weight': asFloat32(stored(`${name}.codes`)),
      'proj.weight': asFloat32(stored(`${name}.weight`)),
      'proj.bias': asFloat32(stored(`${name}.bias`)),
    }
    q.loadStateDict(state, { strict: logits === 'linear' })
    q.eval()
    tf.tidy(() => {
      const { quantized, indices, losses } = q.forward(matrix(`${name}.z`))
      expect(Array.from(indices.dataSync())).toEqual(numbers(`${name}.indices`))
      close(quantized, numbers(`${name}.quantized`), 1e-6)
      close(losses.kl!, numbers(`${name}.kl`))
    })
    q.dispose()
  })

  const makers: Record<string, () => BaseQuantizer> = {
    'trace-fsq': () => new FSQ({ levels: [8, 5, 5] }),
    'trace-lfq': () => new LFQ({ dim: 6, inverseTemperature: 1 }),
  }
  it.each(Object.keys(makers))('ten steps of Adam go as in float64: %s', name => {
    const quantizer = makers[name]!()
    const model = new Trained(name, quantizer)
    const optimizer = new Adam(model, { learningRate: 0.02 })
    const steps = numbers(`${name}.losses`).length / 10
    const batches = stored(`${name}.x`)
    const size = 32 * 6
    for (let i = 0; i < 10; i++) {
      const batch = (batches.data as Float64Array).slice(i * size, (i + 1) * size)
      const x = tf.tensor2d(Float32Array.from(batch), [32, 6])
      const got = trainStep(optimizer, () => model.forward(x)) as unknown as Record<string, number>
      const wanted = numbers(`${name}.losses`).slice(i * steps, (i + 1) * steps)
      close([got.loss!], wanted.slice(0, 1), 1e-4, `loss of step ${i}`)
      x.dispose()
    }
    expect(model.codes.flat()).toEqual(numbers(`${name}.indices`))
    for (const { name: key, variable } of model.namedParameters()) {
      const [rows = 1, columns = 1] = stored(`${name}.end.${key}`).shape
      tf.tidy(() => {
        const end = numbers(`${name}.end.${key}`)
        const turned = variable.rank === 2 ? tf.transpose(variable) : variable
        expect(turned.size).toBe(rows * columns)
        close(turned, end, 1e-3, key)
      })
    }
    optimizer.dispose()
    model.dispose()
    quantizer.dispose()
  })
})
