/** Modalities of one input. */
export type Modality = 'image' | 'text' | 'video' | 'vector'
export type Objective = 'embedding' | 'reconstruction' | 'contrastive'
/** What one code stands for: an item, or a patch, token or frame of it. */
export type Granularity = 'item' | 'position'

export interface TokenizerValues {
  /** 'word', 'character' or 'bpe', learned from the texts; or a folder or hub id with a tokenizer.json. Default 'bpe'. */
  type: string
  /** Most tokens. Default 8,000. */
  vocabSize: number
  /** Longer texts are cut to this many tokens. Default 128. */
  maxLength: number
  /** Default true. */
  lowercase: boolean
  /** Default 1. */
  minFrequency: number
}

export interface TrainingValues {
  /** How often to go through the data. Default 10, unless steps are given. */
  epochs?: number | undefined
  steps?: number | undefined
  /** Default: a twentieth of the steps, at most 1,000. */
  warmupSteps?: number | undefined
  /** Default 'cosine'. */
  schedule: 'constant' | 'cosine'
  /** Largest norm of the gradients; null for no clipping. Default 1. */
  clipNorm: number | null
  /** Of AdamW. Default 0.01. */
  weightDecay: number
  /** Default 0. */
  seed: number
  /** Share of the items that training does not see. Default 0.1. */
  heldOut: number
  /** Steps between checkpoints. Default: one per epoch. */
  checkpointEvery?: number | undefined
  /** Whether the encoder stays as it is. Default: pretrained ones do. */
  freezeEncoder?: boolean | undefined
  /** Of the contrastive loss. Default 0.1. */
  temperature: number
  /** Width of the head that the contrastive loss looks through. Default 128. */
  projectionDim: number
  /** Least and largest share of the area that a view shows. Default [0.3, 1]. */
  cropScale: [number, number]
  /** Whether views are mirrored at random. Default true. */
  flip: boolean
  /** How far brightness and contrast of views vary, 0 to 1. Default 0.5. */
  colorJitter: number
  /** How often a view has no colours, 0 to 1. Default 0.2. */
  grayscale: number
  /** Share of a text's tokens that its first view shows; the second shows the others. Default 0.5. */
  keepTokens: number
  /** Of the views of vectors, relative to their spread. Default 0.1. */
  noise: number
  /** Epochs over the embeddings where a quantizer is trained on them by gradients and averages. Default 10. */
  quantizerEpochs: number
  /** Learning rate of its layers. Default 1e-3. */
  quantizerLearningRate: number
}

export interface DecoderValues {
  /** Channels of an image's or video's stages. Default: the encoder's, from the last to the first. */
  hiddenDims?: number[] | undefined
  /** Of images and videos. Default 'linear'. */
  outputActivation?: 'linear' | 'sigmoid' | 'tanh' | undefined
  /** Width, layers, heads … of a text's decoder. Default 256, 2, 4, 1,024, 0.1. */
  hiddenDim?: number | undefined
  numLayers?: number | undefined
  numHeads?: number | undefined
  mlpDim?: number | undefined
  dropout?: number | undefined
}

export interface TowerValues {
  /** A built-in or registered encoder, or a pretrained one by its hub id, folder or file. */
  encoderType: string
  /** [H, W, C] of images, [T, H, W, C] of videos, the length of vectors. */
  inputDim?: number | number[] | undefined
  /** The encoder's own options. */
  encoderConfig: Record<string, unknown>
  tokenizer: TokenizerValues
}

/** A configuration with all defaults. */
export interface PipelineValues extends Omit<TowerValues, 'encoderType'> {
  $schema?: string | undefined
  /** 'image_text' encodes both with one codebook. */
  modality: Modality | 'image_text'
  encoderType?: string | undefined
  /** The encoders of 'image_text'. */
  image?: TowerValues | undefined
  text?: TowerValues | undefined
  /** basic_vq, vq_vae, rq_vae, rq_kmeans, fsq, lfq, rvq, pq, or a registered quantizer. */
  vqMethod: string
  /** The method's own options. */
  vqConfig: Record<string, unknown>
  /** Length of the embeddings. Default 256. */
  embeddingDim: number
  /** K, codes per level. Default 1,024. */
  numEmbeddings: number
  /** Default 0.25. */
  commitmentCost: number
  /** Default 'item'. */
  granularity: Granularity
  /** Default 'reconstruction'; of pretrained encoders and vectors 'embedding'; of image_text 'contrastive'. */
  objective?: Objective | undefined
  /** Whether embeddings are divided by their length. Default: with the contrastive objective. */
  normalize?: boolean | undefined
  decoderConfig: DecoderValues
  /** Default 1e-4. */
  learningRate: number
  /** Default 32. */
  batchSize: number
  training: TrainingValues
}

type Given<T> = { [K in keyof T]?: T[K] | undefined }
type TowerInput = Pick<TowerValues, 'encoderType'> &
  Given<Omit<TowerValues, 'tokenizer' | 'encoderType'>> & { tokenizer?: Given<TokenizerValues> | undefined }

/** A configuration as it is written: only `modality`, `vqMethod` and what the encoder needs must be there. */
export type PipelineInput = Pick<PipelineValues, 'modality' | 'vqMethod'> &
  Given<Omit<PipelineValues, 'tokenizer' | 'training' | 'image' | 'text' | 'modality' | 'vqMethod'>> & {
    tokenizer?: Given<TokenizerValues> | undefined
    training?: Given<TrainingValues> | undefined
    image?: TowerInput | undefined
    text?: TowerInput | undefined
  }
