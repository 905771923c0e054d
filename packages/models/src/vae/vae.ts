// Kingma and Welling 2014, "Auto-encoding variational Bayes", https://arxiv.org/abs/1312.6114:
//   q(z|x) = N(μ(x), σ²(x)),  z = μ + σ ⊙ ε, ε ~ N(0, I)                                           (section 2.4)
//   ELBO(x) = ½ Σ_j (1 + log σ_j² − μ_j² − σ_j²) + (1/L) Σ_l log p(x | z_l)                         (equation 10)
// Higgins et al. 2017, "β-VAE", https://openreview.net/forum?id=Sy2fzU9gl, equation 4: the KL term weighs β.
import {
  expectConfig,
  expectInteger,
  expectNumber,
  expectShape,
  Random,
  random,
  randomNormal,
  tf,
} from '@vq/core'
import { type Linear, Sequential } from '@vq/core/nn'
import { restoreModel, saveArtifact } from '../artifact/artifact.js'
import { decoderStack, encoderLayers, head } from '../autoencoder/architecture.js'
import { LatentModel } from '../autoencoder/latent-model.js'
import {
  bernoulliLoss,
  elementsOf,
  gaussianConstant,
  gaussianLoss,
  klToStandardNormal,
} from './likelihood.js'
import { resolveVae, type VAEArchitecture, type VAEOptions } from './options.js'
import type {
  DrawOptions,
  Elbo,
  Posterior,
  TraversalOptions,
  VAEForwardOptions,
  VAEOutput,
} from './results.js'

/**
 * A variational autoencoder of images: encoder to a normal distribution of each latent, decoder from draws of it. In evaluation
 * mode z is the mean, unless `forward` is asked to sample. Weights have PyTorch's names and layouts on disk.
 *
 * @example
 * const vae = new VAE({ latentDim: 64, hiddenDims: [32, 64], beta: 4 })
 * const images = vae.sample(8, { seed: 0 })   // [8, 32, 32, 3]
 */
export class VAE extends LatentModel {
  declare readonly architecture: Readonly<VAEArchitecture>
  readonly encoder: Sequential
  readonly mu: Linear
  readonly logvar: Linear
  readonly decoder: Sequential
  private readonly random: Random
  private readonly warmup: { value: number } | undefined

  constructor(options: VAEOptions = {}) {
    super(resolveVae(options))
    const { random: own } = options
    this.random = own ?? random
    this.encoder = this.addModule('encoder', new Sequential(...encoderLayers(this.architecture, own)))
    this.mu = this.addModule('fc_mu', head(this.architecture, own))
    this.logvar = this.addModule('fc_logvar', head(this.architecture, own))
    this.decoder = this.addModule('decoder', decoderStack(this.architecture, own))
    if (this.architecture.klWarmupSteps > 0) this.warmup = this.addCounter('warmup_steps')
  }

  /** x: [B, H, W, C] of the model's size. Throws VqShapeError for others, VqValueError for values that the likelihood forbids. */
  forward(x: tf.Tensor, options: VAEForwardOptions = {}): VAEOutput {
    const { noise, sample = this.training || noise !== undefined } = options
    return tf.tidy(() => {
      const { mu, logvar } = this.encode(x)
      const z = sample ? this.reparameterize(mu, logvar, noise === undefined ? {} : { noise }) : tf.clone(mu)
      const y = this.raw(z)
      const reconstructionLoss = this.reconstructionLoss(x, y)
      const klLoss = klToStandardNormal(mu, logvar)
      const totalLoss = tf.add<tf.Scalar>(reconstructionLoss, tf.mul(klLoss, this.klWeight))
      if (this.training && this.warmup !== undefined) this.warmup.value++
      const reconstructed = this.bounded(y)
      return { reconstructed, mu, logvar, z, reconstructionLoss, klLoss, totalLoss, loss: totalLoss }
    })
  }

  /** What the KL term weighs now: beta, or the part of it that the warm-up has reached. */
  get klWeight(): number {
    const { beta, klWarmupSteps } = this.architecture
    if (!this.training || this.warmup === undefined) return beta
    return beta * Math.min(1, (this.warmup.value + 1) / klWarmupSteps)
  }

  private reconstructionLoss(x: tf.Tensor, y: tf.Tensor4D): tf.Scalar {
    const { likelihood, variance } = this.architecture
    return likelihood === 'bernoulli' ? bernoulliLoss(x, y) : gaussianLoss(x, this.bounded(y), variance)
  }

  /** [B, H, W, C] → the normal distribution of each latent. */
  encode(x: tf.Tensor): Posterior {
    this.expectInput('encode', x, this.architecture.likelihood === 'bernoulli' ? [0, 1] : undefined)
    return tf.tidy(() => {
      const features = this.encoder.forward(x)
      const mu = this.mu.forward(features) as tf.Tensor2D
      return { mu, logvar: this.logvar.forward(features) as tf.Tensor2D }
    })
  }

  protected latentsOf(x: tf.Tensor): tf.Tensor2D {
    return this.encode(x).mu
  }

  /** μ + e^(½ logvar)·ε, with ε drawn from N(0, I) or given as `noise`; differentiable in μ and logvar. */
  reparameterize(
    mu: tf.Tensor,
    logvar: tf.Tensor,
    { noise, ...drawn }: DrawOptions & { noise?: tf.Tensor } = {},
  ): tf.Tensor2D {
    const shapes = [mu, logvar, noise ?? mu].map(t => t.shape)
    expectShape(
      shapes.every(s => s.length === 2 && tf.util.arraysEqual(s, shapes[0])),
      'VAE.reparameterize',
      'mu, logvar and, where given, noise of one shape [B, latentDim]',
      shapes.map(s => `[${s.join(', ')}]`).join(', '),
      'Pass what `encode` gives.',
    )
    return tf.tidy(() => {
      const epsilon = noise ?? randomNormal(mu.shape, 0, 1, { generator: this.generator(drawn) })
      return tf.add(mu, tf.mul(tf.exp(tf.mul(logvar, 0.5)), epsilon)) as tf.Tensor2D
    })
  }

  private generator({ random: own, seed }: DrawOptions): Random {
    expectConfig(
      own === undefined || seed === undefined,
      'VAE',
      'a generator or a seed',
      seed,
      'Leave one of them out.',
    )
    return seed === undefined ? (own ?? this.random) : new Random(seed)
  }

  /** New images of latents drawn from N(0, I), [numSamples, H, W, C], in evaluation mode. */
  sample(numSamples = 1, options: DrawOptions = {}): tf.Tensor4D {
    expectInteger('VAE.sample', 'numSamples', numSamples, 1, 2 ** 31 - 1)
    const generator = this.generator(options)
    const { latentDim } = this.architecture
    return this.evaluate(() => this.decode(randomNormal([numSamples, latentDim], 0, 1, { generator })))
  }

  /**
   * Images along the straight line between the means of x1 and x2, both ends included, in evaluation mode: from two images
   * [H, W, C] to [numSteps, H, W, C], from two batches [B, H, W, C] to [numSteps, B, H, W, C].
   */
  interpolate(x1: tf.Tensor, x2: tf.Tensor, numSteps = 10): tf.Tensor {
    return this.between('interpolate', x1, x2, numSteps)
  }

  /**
   * What each latent does: starting at the mean of one image [H, W, C], one latent at a time goes from `low` to `high`,
   * [dimensions, numSteps, H, W, C], in evaluation mode. Defaults: all latents, −3 to 3, 7 steps.
   * Source: Higgins et al. 2017, figure 1.
   */
  traverseLatents(x: tf.Tensor, options: TraversalOptions = {}): tf.Tensor5D {
    const { latentDim, inputSize, inChannels } = this.architecture
    const operation = 'VAE.traverseLatents'
    const { low = -3, high = 3, numSteps = 7 } = options
    const { dimensions = Array.from({ length: latentDim }, (_, i) => i) } = options
    expectNumber(operation, 'low', low, -1e30, 1e30)
    expectNumber(operation, 'high', high, low, 1e30)
    expectInteger(operation, 'numSteps', numSteps, 2, 2 ** 20)
    for (const d of dimensions) expectInteger(operation, 'each of dimensions', d, 0, latentDim - 1)
    const one = x.rank === 3 || (x.rank === 4 && x.shape[0] === 1)
    expectShape(one, operation, 'one image [H, W, C]', `a tensor [${x.shape}]`, 'Pass one of them.')
    return this.evaluate(() => {
      const start = this.latentsOf(x.rank === 3 ? tf.expandDims(x) : x).dataSync()
      const count = dimensions.length * numSteps
      const z = new Float32Array(count * latentDim)
      for (let i = 0; i < count; i++) {
        z.set(start, i * latentDim)
        const share = (i % numSteps) / (numSteps - 1)
        z[i * latentDim + dimensions[Math.floor(i / numSteps)]] = low + (high - low) * share
      }
      const images = this.decode(tf.tensor2d(z, [count, latentDim]))
      return tf.reshape(images, [dimensions.length, numSteps, ...inputSize, inChannels]) as tf.Tensor5D
    })
  }

  /**
   * The evidence lower bound of images [B, H, W, C] in nats, always with β = 1, in evaluation mode, z drawn `samples` times per
   * image (default 1). Of several batches take the mean, weighted by their sizes.
   */
  elbo(x: tf.Tensor, { samples = 1, ...drawn }: DrawOptions & { samples?: number } = {}): Elbo {
    expectInteger('VAE.elbo', 'samples', samples, 1, 2 ** 20)
    const generator = this.generator(drawn)
    const { likelihood, variance } = this.architecture
    const numbers = this.evaluate(() => {
      const { mu, logvar } = this.encode(x)
      let loss = 0
      for (let l = 0; l < samples; l++)
        loss += tf.tidy(() => {
          const z = this.reparameterize(mu, logvar, { random: generator })
          return this.reconstructionLoss(x, this.raw(z)).dataSync()[0]
        })
      return { loss: loss / samples, kl: klToStandardNormal(mu, logvar).dataSync()[0] }
    })
    const constant = likelihood === 'gaussian' ? gaussianConstant(x, variance) : 0
    const logLikelihood = -numbers.loss - constant
    const elbo = logLikelihood - numbers.kl
    return { elbo, logLikelihood, kl: numbers.kl, bitsPerDim: -elbo / (elementsOf(x) * Math.LN2) }
  }

  override extraState(): unknown {
    return { random: this.random.state }
  }

  override loadExtraState(state: unknown): void {
    this.random.state = (state as { random: Random['state'] }).random
  }

  /** What `new VAE` takes to build this model again. */
  get config(): VAEOptions {
    return { ...this.architecture }
  }

  /** Writes config.json and model.safetensors into a folder, atomically. */
  async save(folder: string): Promise<void> {
    await saveArtifact(folder, { model: 'VAE', options: this.config }, this.stateDict())
  }

  /** Reads what `save` wrote, in evaluation mode. */
  static load(folder: string): Promise<VAE> {
    return restoreModel(folder, 'VAE', (options: VAEOptions) => new VAE(options))
  }
}
