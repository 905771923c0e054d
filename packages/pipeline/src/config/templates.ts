import { imageContrastive, textContrastive } from './templates-contrastive.js'
import type { PipelineInput } from './values.js'

/** Configurations to start from, by name. */
export const templates: Readonly<Record<string, { description: string; config: PipelineInput }>> = {
  image_vit_rqvae: {
    description: 'images of 64 × 64 by a Vision Transformer, four residual codes, decoded back to images',
    config: {
      modality: 'image',
      encoderType: 'vit',
      vqMethod: 'rq_vae',
      inputDim: [64, 64, 3],
      embeddingDim: 256,
      numEmbeddings: 1024,
      encoderConfig: { patchSize: 8, numLayers: 6, numHeads: 8, dropout: 0.1 },
      vqConfig: { numQuantizers: 4 },
    },
  },
  image_cnn_patches: {
    description: 'images of 32 × 32 by convolutions, a grid of 8 × 8 codes that decode to pictures',
    config: {
      modality: 'image',
      encoderType: 'cnn',
      vqMethod: 'basic_vq',
      inputDim: [32, 32, 3],
      embeddingDim: 64,
      numEmbeddings: 512,
      granularity: 'position',
      encoderConfig: { hiddenDims: [64, 64], useResidual: true },
      learningRate: 1e-3,
    },
  },
  image_cnn_kmeans: {
    description:
      'images of 32 × 32 by convolutions that learn to reconstruct, codes by k-means of the residuals',
    config: {
      modality: 'image',
      encoderType: 'cnn',
      vqMethod: 'rq_kmeans',
      inputDim: [32, 32, 3],
      embeddingDim: 128,
      numEmbeddings: 256,
      vqConfig: { nStages: 3 },
      learningRate: 1e-3,
    },
  },
  image_contrastive: imageContrastive,
  image_pretrained: {
    description: 'images by a pretrained Vision Transformer of the hub, codes learned on its embeddings',
    config: {
      modality: 'image',
      encoderType: 'google/vit-base-patch16-224',
      vqMethod: 'rq_kmeans',
      numEmbeddings: 256,
      vqConfig: { nStages: 4 },
    },
  },
  text_bert_vqvae: {
    description: 'texts by a BERT-like transformer, one code, decoded back to text',
    config: {
      modality: 'text',
      encoderType: 'bert',
      vqMethod: 'vq_vae',
      embeddingDim: 256,
      numEmbeddings: 1024,
      encoderConfig: { hiddenDim: 768, numLayers: 6, numHeads: 8, dropout: 0.1 },
      tokenizer: { type: 'bpe', vocabSize: 10_000, maxLength: 128 },
    },
  },
  text_lstm_rvq: {
    description: 'texts by a bidirectional LSTM, four residual codes',
    config: {
      modality: 'text',
      encoderType: 'lstm',
      vqMethod: 'rvq',
      embeddingDim: 128,
      numEmbeddings: 256,
      encoderConfig: { tokenDim: 128, hiddenDim: 128, numLayers: 1 },
      tokenizer: { type: 'word', vocabSize: 10_000, maxLength: 64 },
      learningRate: 1e-3,
    },
  },
  video_3dcnn_rqvae: {
    description: 'videos of 16 frames by 3D convolutions, four residual codes, decoded back to videos',
    config: {
      modality: 'video',
      encoderType: 'cnn3d',
      vqMethod: 'rq_vae',
      inputDim: [16, 32, 32, 3],
      embeddingDim: 256,
      numEmbeddings: 512,
      encoderConfig: { hiddenDims: [32, 64, 128] },
      vqConfig: { numQuantizers: 4 },
      batchSize: 8,
    },
  },
  text_contrastive: textContrastive,
  vector_rqkmeans: {
    description: 'embeddings that exist already, four residual codes by k-means',
    config: { modality: 'vector', vqMethod: 'rq_kmeans', numEmbeddings: 256, vqConfig: { nStages: 4 } },
  },
  vector_pq: {
    description: 'embeddings that exist already, product quantization into up to eight codes',
    config: { modality: 'vector', vqMethod: 'pq', numEmbeddings: 256 },
  },
  image_text_contrastive: {
    description: 'pictures and captions with one codebook, matched by contrast',
    config: {
      modality: 'image_text',
      vqMethod: 'rvq',
      image: { encoderType: 'cnn', inputDim: [32, 32, 3], encoderConfig: { hiddenDims: [32, 64, 128] } },
      text: {
        encoderType: 'transformer',
        encoderConfig: { hiddenDim: 128, numLayers: 2, numHeads: 4, mlpDim: 256 },
        tokenizer: { type: 'word', vocabSize: 5000, maxLength: 32 },
      },
      embeddingDim: 128,
      numEmbeddings: 256,
      vqConfig: { numQuantizers: 3 },
      learningRate: 1e-3,
      batchSize: 64,
    },
  },
}
