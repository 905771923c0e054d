import type { SamplingOptions } from '../generate/sample.js'
import type { ImageModelOptions } from '../images/image-model.js'
import type { ImageStageOptions, PairStageOptions } from '../train/two-stage.js'
import type { IgptConfig } from './config.js'

/** What a configuration says of the image model. */
export function imageModelOptions(config: IgptConfig): ImageModelOptions {
  const hiddenDims = config.vqvae_hidden ?? [config.vqvae_dim]
  const shared = {
    hiddenDims,
    embeddingDim: config.vqvae_D,
    numEmbeddings: config.vqvae_K,
    codebookUpdate: config.vqvae_update,
    decay: config.vqvae_decay,
    initCodebook: config.vqvae_init,
    deadCodeThreshold: config.vqvae_dead_code_threshold,
    revivalInterval: config.vqvae_revival_interval,
  }
  if (config.vqvae_model === 'vqvae') return { kind: 'vqvae', ...shared }
  if (config.vqvae_model === 'rqvae') return { kind: 'rqvae', ...shared, numQuantizers: config.vqvae_levels }
  return {
    kind: 'style',
    ...shared,
    residualHiddenDim: Math.ceil((hiddenDims.at(-1) as number) / 2),
    styleHeads: config.vqvae_style_heads,
    styleLevels: config.vqvae_levels,
    styleEmbeddings: config.vqvae_style_K,
    styleDim: config.vqvae_style_D,
    maps: config.vqvae_maps,
    styleDeadCodeThreshold: config.vqvae_style_dead_code_threshold,
  }
}

/** What a configuration says of stage 1. */
export function imageStage(config: IgptConfig): ImageStageOptions<ImageModelOptions> {
  return {
    batchSize: config.batch_size,
    seed: config.seed,
    epochs: config.vqvae_epochs,
    learningRate: config.vqvae_lr,
    schedule: config.vqvae_schedule,
    model: imageModelOptions(config),
  }
}

/** What a configuration says of stage 2. */
export function pairStage(config: IgptConfig): PairStageOptions {
  return {
    batchSize: config.batch_size,
    seed: config.seed,
    epochs: config.igpt_epochs,
    learningRate: config.igpt_lr,
    textWeight: config.igpt_text_weight,
    wholeWeight: config.igpt_style_weight,
    blankEvery: config.igpt_blank_every,
    ...(config.igpt_warmup_steps !== null && { warmupSteps: config.igpt_warmup_steps }),
    model: {
      dModel: config.d_model,
      nHeads: config.n_heads,
      nLayers: config.n_layers,
      dropout: config.dropout,
    },
  }
}

/** How a configuration draws. */
export function samplingOf({ temperature, top_k, top_p, guidance }: IgptConfig): SamplingOptions {
  return { temperature, topP: top_p, guidance, ...(top_k !== null && { topK: top_k }) }
}
