// Configurations whose encoders learn from scratch and without labels what is alike; measured in RESULTS.md.
import type { PipelineInput } from './values.js'

interface Template {
  description: string
  config: PipelineInput
}

/**
 * Each token has a vector of its own, and a text is their mean: two random halves of a text are to be alike. Finds what latent
 * semantic analysis finds and more, in a minute.
 */
export const textContrastive: Template = {
  description: 'texts by the words that occur together, learned by contrast, three codes of topic and detail',
  config: {
    modality: 'text',
    encoderType: 'bert',
    objective: 'contrastive',
    vqMethod: 'rq_kmeans',
    embeddingDim: 128,
    numEmbeddings: 64,
    encoderConfig: { hiddenDim: 128, numLayers: 0, numHeads: 4, pooling: 'mean', dropout: 0.3 },
    vqConfig: { nStages: 3 },
    tokenizer: { type: 'word', vocabSize: 8000, maxLength: 64, minFrequency: 3 },
    learningRate: 0.01,
    batchSize: 512,
    training: { epochs: 20, heldOut: 0, temperature: 0.2, projectionDim: 0, weightDecay: 0.1 },
  },
}

/** Two random views of an image are to be alike; few numbers to an embedding, so that 32 bits say most of it. */
export const imageContrastive: Template = {
  description:
    'images of 32 × 32 by convolutions, learned by contrast of two views, four codes of what they show',
  config: {
    modality: 'image',
    encoderType: 'cnn',
    objective: 'contrastive',
    vqMethod: 'rq_kmeans',
    inputDim: [32, 32, 3],
    embeddingDim: 24,
    numEmbeddings: 256,
    encoderConfig: { hiddenDims: [32, 64, 128, 256] },
    vqConfig: { nStages: 4, beamSize: 8, refit: 5 },
    learningRate: 3e-3,
    batchSize: 256,
    training: { epochs: 60, heldOut: 0, temperature: 0.2, projectionDim: 0, cropScale: [0.2, 1] },
  },
}
