import { join } from 'node:path'
import { VqFormatError } from '@vq/core'
import { loadArtifact, saveArtifact } from '@vq/models'
import type { SamplingOptions } from './generate/sample.js'
import { type ImageModel, loadImageModel } from './images/image-model.js'
import { IGPT, type IGPTOptions } from './model/index.js'
import { TextTokenizer } from './tokens/text-tokenizer.js'
import { Vocabulary, type VocabularyOptions } from './tokens/vocabulary.js'
import type { PairModel } from './train/two-stage.js'

const folders = { images: 'vqvae_model', pairs: 'igpt_model' } as const

/** Everything that draws and tells: the model of image tokens, the transformer, words and ids. */
export interface Multimodal extends PairModel {
  images: ImageModel
  /** How images are best drawn from it, where that was chosen. */
  sampling?: SamplingOptions
}

/** Writes `vqvae_model/` and `igpt_model/` into a folder: config.json and model.safetensors each. */
export async function saveMultimodal(
  folder: string,
  { images, model, tokenizer, vocabulary, grid, sampling }: Multimodal,
): Promise<void> {
  await images.save(join(folder, folders.images))
  const { codebookSizes, wholeSizes, words, places, textLength, order } = vocabulary
  const options = {
    model: model.options,
    vocabulary: { codebookSizes, wholeSizes, words, places, textLength, order },
    words: tokenizer.words,
    ...(grid && { grid }),
    ...(sampling && { sampling }),
  }
  await saveArtifact(join(folder, folders.pairs), { model: 'IGPT', options }, model.stateDict())
}

/** Reads what `saveMultimodal` wrote. Throws VqFormatError where something is missing or damaged. */
export async function loadMultimodal(folder: string): Promise<Multimodal> {
  const images = await loadImageModel(join(folder, folders.images))
  const path = join(folder, folders.pairs)
  const { config, state } = await loadArtifact(path, 'IGPT')
  const {
    model: options,
    vocabulary,
    words,
    grid,
    sampling,
  } = config.options as {
    model: IGPTOptions
    vocabulary: VocabularyOptions
    words: string[]
    grid?: readonly [number, number]
    sampling?: SamplingOptions
  }
  if (!Array.isArray(words) || vocabulary?.words !== words.length)
    throw new VqFormatError({
      operation: `reading ${path}`,
      expected: 'as many words as the vocabulary has',
      received: `${words?.length} and ${vocabulary?.words}`,
      remedy: 'The file is damaged: train again, or restore it.',
    })
  const model = new IGPT(options)
  model.loadStateDict(state)
  return {
    images,
    model: model.eval(),
    vocabulary: new Vocabulary(vocabulary),
    tokenizer: new TextTokenizer(words),
    ...(grid && { grid }),
    ...(sampling && { sampling }),
  }
}
