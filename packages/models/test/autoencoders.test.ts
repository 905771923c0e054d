import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, random, randomNormal, tf, VqConfigError, VqShapeError, VqValueError } from '@vq/core'
import { valueAndGradients } from '@vq/core/optim'
import { moduleContract } from '@vq/core/testing'
import { AutoEncoder, type AutoEncoderOptions, VAE, type VAEOptions } from '@vq/models'
import { ArrayDataset, DataLoader } from '@vq/models/data'
import { mse, psnr } from '@vq/models/evaluate'
import { Trainer } from '@vq/models/train'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'
import { onEachBackend } from '../../../test/contract/run.js'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-autoencoders-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const small: AutoEncoderOptions = { hiddenDims: [4, 6], latentDim: 3, inputSize: [8, 12] }
const images = (count: number, seed = 1, [h, w, c] = [8, 12, 3]): tf.Tensor4D =>
  tf.tensor4d(new Random(seed).fillUniform(new Float32Array(count * h! * w! * c!)), [count, h!, w!, c!])
const values = (t: tf.Tensor): number[] => Array.from(t.dataSync())
const make = <M extends AutoEncoder | VAE>(
  type: new (options: VAEOptions) => M,
  options: VAEOptions = {},
): M => new type({ ...small, random: new Random(3), ...options })
/** Running statistics that differ from 0 and 1. */
const trained = <M extends AutoEncoder | VAE>(model: M): M => {
  tf.tidy(() => {
    model.forward(images(6))
  })
  model.eval()
  return model
}

onEachBackend(
  'AutoEncoder',
  moduleContract({ make: () => make(AutoEncoder), run: m => m.forward(images(3)).reconstructed }),
)
onEachBackend(
  'VAE',
  moduleContract({
    make: () => make(VAE),
    run: m => {
      const { reconstructed, logvar } = m.forward(images(3))
      return tf.concat([tf.reshape(reconstructed, [-1]), tf.reshape(logvar, [-1])])
    },
  }),
)

it('have as many parameters as the same models in PyTorch', () => {
  const models = [
    new AutoEncoder(),
    new AutoEncoder({ latentDim: 64, hiddenDims: [32, 64] }),
    new VAE(),
    new VAE({ inChannels: 1, latentDim: 20, hiddenDims: [32, 64], inputSize: 28 }),
  ]
  expect(models.map(m => m.parameterCount())).toEqual([1_644_739, 597_443, 1_775_939, 258_281])
  for (const m of models) m.dispose()
})

onBackends(backend => {
  it('take any size that the halvings divide, keep to the range that they promise, and name the divisor', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 2 }),
        fc.constantFrom(AutoEncoder, VAE),
        (halvings, h, w, inChannels, type) => {
          const stride = 2 ** halvings
          const hiddenDims = [3, 4, 5].slice(0, halvings)
          const options = { hiddenDims, latentDim: 2, inChannels }
          const model = new type({ ...options, inputSize: [h * stride, w * stride] })
          tf.tidy(() => {
            const x = images(2, 1, [h * stride, w * stride, inChannels])
            const { reconstructed } = model.forward(x)
            expect(reconstructed.shape).toEqual(x.shape)
            for (const v of values(reconstructed)) expect(v >= 0 && v <= 1).toBe(true)
          })
          model.dispose()
          const refused = (): unknown => new type({ ...options, inputSize: [h * stride + 1, w * stride] })
          expect(refused).toThrow(VqConfigError)
          expect(refused).toThrow(new RegExp(`divisible by ${stride}`))
        },
      ),
      { numRuns: backend === 'cpu' ? 5 : 25 },
    )
  })

  it('refuse images of another size or type, and values that are not finite, by typed errors', () => {
    const models = [make(AutoEncoder), make(VAE), make(VAE, { likelihood: 'bernoulli' })]
    for (const model of models)
      tf.tidy(() => {
        expect(() => model.forward(images(2, 1, [8, 8, 3]))).toThrow(VqShapeError)
        expect(() => model.forward(images(2, 1, [8, 12, 1]))).toThrow(/images \[B, 8, 12, 3\]/)
        expect(() => model.forward(tf.zeros([2, 8, 12, 3], 'int32'))).toThrow(VqShapeError)
        expect(() => model.forward(undefined as never)).toThrow(VqShapeError)
        expect(() => model.decode(tf.zeros([2, 4]))).toThrow(/latents \[B, 3\]/)
        const x = images(3).dataSync().slice()
        x[8 * 12 * 3 + 5] = Number.NaN
        expect(() => model.encode(tf.tensor4d(x, [3, 8, 12, 3]))).toThrow(/NaN in image 1/)
      })
    tf.tidy(() => {
      const wide = tf.mul(images(2), 2)
      expect(() => models[2]!.forward(wide)).toThrow(VqValueError)
      expect(models[1]!.forward(wide).reconstructed.shape).toEqual([2, 8, 12, 3])
    })
    for (const model of models) model.dispose()
    for (const options of [
      { latentDim: 0 },
      { hiddenDims: [] },
      { inputSize: [8] },
      { normalization: 'group' },
      { outputActivation: 'relu' },
      { beta: -1 },
      { variance: 0 },
      { likelihood: 'poisson' },
      { likelihood: 'bernoulli', outputActivation: 'linear' },
    ])
      expect(() => make(VAE, options as never)).toThrow(VqConfigError)
    expect(() => new AutoEncoder(7 as never)).toThrow(VqConfigError)
  })

  it.each([
    ['AutoEncoder', () => make(AutoEncoder, { outputActivation: 'tanh' }), AutoEncoder.load],
    ['VAE', () => make(VAE, { outputActivation: 'tanh', beta: 3 }), VAE.load],
  ] as const)('%s comes back from its artifact, bit for bit', async (name, build, load) => {
    const model: AutoEncoder | VAE = trained<AutoEncoder | VAE>(build())
    const path = join(folder, `${backend}-${name}`)
    await model.save(path)
    const back = await load(path)
    expect(back.training).toBe(false)
    expect(back.config).toEqual(model.config)
    const x = images(2)
    const [a, b] = [model, back].map(m => tf.tidy(() => values(m.forward(x).reconstructed)))
    expect(a).toEqual(b)
    tf.dispose(x)
    model.dispose()
    back.dispose()
  })

  it('interpolate from one reconstruction to the other, of images and of batches, in evaluation mode', () => {
    const [ae, vae] = [trained(make(AutoEncoder)), trained(make(VAE))]
    tf.tidy(() => {
      const [x1, x2] = [images(2, 1), images(2, 2)]
      for (const model of [ae, vae]) {
        const ends = [x1, x2].map(x => model.forward(x).reconstructed)
        model.train()
        const steps = tf.unstack(
          model instanceof VAE ? model.interpolate(x1, x2, 4) : model.interpolateInLatentSpace(x1, x2, 4),
        )
        expect(model.training).toBe(true)
        expect(steps.map(s => s.shape)).toEqual(Array(4).fill([2, 8, 12, 3]))
        for (const [i, end] of [steps[0]!, steps[3]!].entries())
          expect(mse(end.dataSync(), ends[i]!.dataSync())).toBeLessThan(1e-12)
        model.eval()
      }
      const [a, b] = [x1, x2].map(x => tf.squeeze(tf.slice(x, [0, 0, 0, 0], [1, 8, 12, 3])))
      const one = ae.interpolateInLatentSpace(a!, b!, 3)
      expect(one.shape).toEqual([3, 8, 12, 3])
      const middle = ae.decode(tf.slice(tf.mul(tf.add(ae.encode(x1), ae.encode(x2)), 0.5), [0, 0], [1, 3]))
      expect(mse(tf.slice(one, [1, 0, 0, 0], [1, 8, 12, 3]).dataSync(), middle.dataSync())).toBeLessThan(
        1e-12,
      )
      expect(() => ae.interpolateInLatentSpace(x1, a!, 3)).toThrow(VqShapeError)
      expect(() => ae.interpolateInLatentSpace(x1, x2, 1)).toThrow(VqConfigError)
    })
    ae.dispose()
    vae.dispose()
  })

  it('tell the error of their reconstructions', () => {
    const model = trained(make(AutoEncoder))
    tf.tidy(() => {
      const x = images(3)
      const back = model.forward(x).reconstructed.dataSync()
      const differences = Array.from(x.dataSync(), (v, i) => Math.abs(v - back[i]!))
      const found = model.train().calculateReconstructionError(x, { peak: 2 })
      expect(found.mse).toBeCloseTo(mse(back, x.dataSync()), 12)
      expect(found.rmse ** 2).toBeCloseTo(found.mse, 12)
      expect(found.psnr).toBeCloseTo(psnr(back, x.dataSync(), 2), 9)
      expect(found.mae).toBeCloseTo(differences.reduce((a, b) => a + b) / differences.length, 9)
      expect(found.maxError).toBeCloseTo(Math.max(...differences), 9)
    })
    model.dispose()
  })

  describe('VAE', () => {
    it('adds up its losses: sums over an image, means over images', () => {
      for (const options of [{ beta: 3 }, { variance: 0.25 }, { likelihood: 'bernoulli' }] as VAEOptions[]) {
        const model = trained(make(VAE, options))
        tf.tidy(() => {
          const x = images(4)
          const out = model.forward(x)
          const { beta = 1, variance = 1, likelihood } = options
          expect(values(out.z)).toEqual(values(out.mu))
          const [mu, logvar, p, v] = [out.mu, out.logvar, out.reconstructed, x].map(values)
          const kl =
            mu!.reduce((s, m, i) => s - 0.5 * (1 + logvar![i]! - m * m - Math.exp(logvar![i]!)), 0) / 4
          const loss =
            v!.reduce((s, a, i) => {
              const b = p![i]!
              if (likelihood === 'bernoulli') return s - a * Math.log(b) - (1 - a) * Math.log(1 - b)
              return s + (a - b) ** 2 / (2 * variance)
            }, 0) / 4
          const [r, k, total, same] = [out.reconstructionLoss, out.klLoss, out.totalLoss, out.loss].map(
            t => values(t)[0]!,
          )
          expect(k).toBeCloseTo(kl, 4)
          expect(Math.abs(r! - loss) / loss).toBeLessThan(1e-5)
          expect(Math.abs(total! - loss - beta * kl) / loss).toBeLessThan(1e-5)
          expect(same).toBe(total)
        })
        model.dispose()
      }
    })

    it('keeps large logits finite, and has the right gradient where they are 0', () => {
      const model = make(VAE, { likelihood: 'bernoulli', hiddenDims: [2], normalization: 'none' }).eval()
      const last = model.namedParameters().filter(p => p.name.startsWith('decoder.3'))
      const bias = last.find(p => p.name.endsWith('bias'))!.variable
      for (const { variable } of last) tf.tidy(() => variable.assign(tf.zerosLike(variable)))
      for (const [logit, pixel, loss, slope] of [
        [100, 0, 100, 1],
        [-100, 1, 100, -1],
        [1e4, 1, 0, 0],
        [0, 0.25, Math.LN2, 0.25],
      ] as const) {
        const x = tf.fill([2, 8, 12, 3], pixel)
        tf.tidy(() => bias.assign(tf.fill(bias.shape, logit)))
        const { value, gradients } = valueAndGradients(() => model.forward(x).reconstructionLoss, [bias])
        expect(values(value)[0]! / (8 * 12 * 3)).toBeCloseTo(loss, 4)
        for (const g of values(gradients[0]!)) expect(g / (8 * 12)).toBeCloseTo(slope, 5)
        tf.dispose([x, value, gradients[0]!])
      }
      model.dispose()
    })

    it('draws z from its own generator, which a checkpoint keeps', () => {
      const model = make(VAE, { random: new Random(9) })
      tf.tidy(() => {
        const { mu, logvar } = model.eval().encode(images(2))
        const state = model.extraState()
        const z = model.reparameterize(mu, logvar)
        const noise = randomNormal([2, 3], 0, 1, { generator: restored(state) })
        const wanted = values(mu).map((m, i) => m + Math.exp(0.5 * values(logvar)[i]!) * values(noise)[i]!)
        for (const [i, v] of values(z).entries()) expect(v).toBeCloseTo(wanted[i]!, 5)
        expect(values(model.reparameterize(mu, logvar))).not.toEqual(values(z))
        model.loadExtraState(JSON.parse(JSON.stringify(state)))
        expect(values(model.reparameterize(mu, logvar))).toEqual(values(z))
        expect(values(model.reparameterize(mu, logvar, { noise: tf.zeros([2, 3]) }))).toEqual(values(mu))
        expect(() => model.reparameterize(mu, tf.zeros([2, 2]))).toThrow(VqShapeError)
      })
      model.dispose()
      const global = new VAE(small)
      random.seed(4)
      const [a, b] = [0, 0].map(() => {
        random.seed(4)
        return tf.tidy(() => values(global.forward(images(2)).z))
      })
      expect(a).toEqual(b)
      expect(a).not.toEqual(tf.tidy(() => values(global.forward(images(2)).mu)))
      global.dispose()
    })

    it.each([
      ['the global generator', () => new VAE({ ...small, klWarmupSteps: 9 })],
      ['one of its own', () => make(VAE, { random: new Random(6) })],
    ] as const)(
      'trained and resumed with %s it is, bit for bit, as if it had never stopped',
      async (name, build) => {
        const data = new ArrayDataset(
          new Random(1).fillUniform(new Float32Array(12 * 8 * 12 * 3)),
          [8, 12, 3],
        )
        const run = async (steps: number, out?: string): Promise<VAE> => {
          random.seed(5)
          const model = build()
          const loader = new DataLoader(data, { batchSize: 4, seed: 2 })
          const folders = out === undefined ? {} : { out, resume: true }
          await new Trainer({ steps, ...folders, progress: false, seed: 8 }).fit(model, loader)
          return model
        }
        const out = join(folder, `${backend}-resumed-${name}`)
        const models = [await run(7), await run(3, out), await run(7, out)]
        const [whole, stopped, resumed] = models.map(m => m.stateDict())
        expect(resumed).toEqual(whole)
        expect(stopped).not.toEqual(whole)
        for (const m of models) m.dispose()
      },
    )

    it('samples the same images from the same seed, decoded from normal numbers', () => {
      const model = trained(make(VAE))
      tf.tidy(() => {
        const made = model.train().sample(5, { seed: 7 })
        expect(made.shape).toEqual([5, 8, 12, 3])
        const z = randomNormal([5, 3], 0, 1, { generator: new Random(7) })
        expect(values(made)).toEqual(values(model.eval().decode(z)))
        expect(values(model.sample(5, { random: new Random(7) }))).toEqual(values(made))
        expect(values(model.sample(5))).not.toEqual(values(made))
        expect(() => model.sample(0)).toThrow(VqConfigError)
        expect(() => model.sample(2, { seed: 1, random: new Random(1) })).toThrow(VqConfigError)
      })
      model.dispose()
    })

    it('moves one latent at a time in a traversal', () => {
      const model = trained(make(VAE))
      tf.tidy(() => {
        const x = images(1)
        const rows = model.traverseLatents(x, { dimensions: [2, 0], low: -1, high: 1, numSteps: 3 })
        expect(rows.shape).toEqual([2, 3, 8, 12, 3])
        const mu = values(model.encode(x).mu)
        const z = [2, 0].flatMap(d => [-1, 0, 1].map(v => mu.map((m, i) => (i === d ? v : m))))
        const wanted = model.decode(tf.tensor2d(z))
        expect(mse(rows.dataSync(), wanted.dataSync())).toBeLessThan(1e-12)
        expect(() => model.traverseLatents(x, { dimensions: [3] })).toThrow(VqConfigError)
        expect(() => model.traverseLatents(images(2))).toThrow(VqShapeError)
      })
      model.dispose()
    })

    it('measures the ELBO with all constants, whatever β is, and nearer to the truth with more draws', () => {
      const options = { likelihood: 'gaussian', variance: 0.5 } as const
      const [one, other] = [trained(make(VAE, options)), trained(make(VAE, { ...options, beta: 7 }))]
      const x = images(4)
      const found = one.elbo(x, { seed: 1 })
      expect(other.elbo(x, { seed: 1 })).toEqual(found)
      const wanted = tf.tidy(() => {
        const noise = randomNormal([4, 3], 0, 1, { generator: new Random(1) })
        const { reconstructionLoss, klLoss } = one.forward(x, { noise })
        return { loss: values(reconstructionLoss)[0]!, kl: values(klLoss)[0]! }
      })
      const d = 8 * 12 * 3
      const likelihood = -wanted.loss - (d / 2) * Math.log(2 * Math.PI * 0.5)
      expect(found.kl).toBeCloseTo(wanted.kl, 5)
      expect(found.logLikelihood).toBeCloseTo(likelihood, 3)
      expect(found.elbo).toBeCloseTo(found.logLikelihood - found.kl, 9)
      expect(found.bitsPerDim).toBeCloseTo(-found.elbo / d / Math.LN2, 9)
      const spread = (samples: number): number => {
        const all = Array.from({ length: 12 }, (_, seed) => one.elbo(x, { samples, seed }).elbo)
        const mean = all.reduce((a, b) => a + b) / all.length
        return all.reduce((s, v) => s + (v - mean) ** 2, 0)
      }
      expect(spread(16)).toBeLessThan(spread(1))
      x.dispose()
      one.dispose()
      other.dispose()
    })

    it('lets the KL term’s weight rise over the warm-up, and keeps how far it came', () => {
      const model = make(VAE, { beta: 2, klWarmupSteps: 4 })
      const weights = Array.from({ length: 6 }, () => {
        const weight = model.klWeight
        tf.tidy(() => {
          const { totalLoss, reconstructionLoss, klLoss } = model.forward(images(3))
          const [total, r, kl] = [totalLoss, reconstructionLoss, klLoss].map(t => values(t)[0]!)
          expect(Math.abs(total! - r! - weight * kl!)).toBeLessThan(1e-4 * total!)
        })
        return weight
      })
      expect(weights).toEqual([0.5, 1, 1.5, 2, 2, 2])
      expect(Number(model.stateDict().warmup_steps!.data[0])).toBe(6)
      const fresh = make(VAE, { beta: 2, klWarmupSteps: 4 })
      expect(fresh.eval().klWeight).toBe(2)
      model.dispose()
      fresh.dispose()
    })
  })
})

function restored(state: unknown): Random {
  const made = new Random()
  made.state = (state as { random: Random['state'] }).random
  return made
}
