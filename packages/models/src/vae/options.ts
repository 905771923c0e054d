import { expectConfig, expectInteger, expectNumber, expectOneOf } from '@vq/core'
import {
  type AutoEncoderOptions,
  type LatentArchitecture,
  resolveLatentArchitecture,
} from '../autoencoder/options.js'

export interface VAEOptions extends AutoEncoderOptions {
  /** Weight of the KL term (Higgins et al. 2017). Default 1. */
  beta?: number
  /**
   * p(x|z). 'gaussian': N(f(z), variance·I). 'bernoulli': every element a coin, for images from 0 to 1; outputActivation is
   * then 'sigmoid'. Default 'gaussian'.
   */
  likelihood?: 'gaussian' | 'bernoulli'
  /** σ² of 'gaussian'; with 0.5 the reconstruction loss is ‖x − x̂‖². Default 1. */
  variance?: number
  /** Batches of training over which the KL term's weight rises from 0 to beta: steps, where none accumulates several. Default 0: it starts at beta. */
  klWarmupSteps?: number
}

export interface VAEArchitecture extends LatentArchitecture {
  beta: number
  likelihood: 'gaussian' | 'bernoulli'
  variance: number
  klWarmupSteps: number
}

/** Fills in defaults and checks. */
export function resolveVae(options: VAEOptions): VAEArchitecture {
  const architecture = resolveLatentArchitecture('VAE', options)
  const { beta = 1, likelihood = 'gaussian', variance = 1, klWarmupSteps = 0 } = options
  expectNumber('VAE', 'beta', beta, 0, Number.MAX_VALUE)
  expectOneOf('VAE', 'likelihood', likelihood, ['gaussian', 'bernoulli'])
  expectNumber('VAE', 'variance', variance, 1e-12, 1e12)
  expectInteger('VAE', 'klWarmupSteps', klWarmupSteps, 0)
  const { outputActivation } = architecture
  expectConfig(
    likelihood === 'gaussian' || outputActivation === 'sigmoid',
    'VAE',
    "outputActivation to be 'sigmoid' with likelihood 'bernoulli'",
    outputActivation,
    "Leave it out, or choose likelihood 'gaussian'.",
  )
  return { ...architecture, beta, likelihood, variance, klWarmupSteps }
}
