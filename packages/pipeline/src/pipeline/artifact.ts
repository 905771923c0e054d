import { cp, mkdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { VqFormatError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { loadTokenizer, openModel } from '@vq/encoders'
import { loadArtifact, saveArtifact } from '@vq/models'
import { PipelineConfig } from '../config/pipeline-config.js'
import type { PipelineInput, PipelineValues } from '../config/values.js'
import { stateHash } from './codebook-hash.js'
import { PipelineParts } from './parts.js'

const model = 'VQPipeline'
const modelFiles = [
  'config.json',
  'preprocessor_config.json',
  'processor_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.txt',
  'vocab.json',
  'merges.txt',
  'modules.json',
  'sentence_bert_config.json',
  '1_Pooling/config.json',
]

/** What an artifact says of itself beside its configuration. */
export interface ArtifactInfo {
  /** SHA-256 of the encoder's weights, and of the quantizer with its layers: what an ID hangs on. */
  encoderHash: string
  codebookHash: string
  codebookSizes: readonly number[]
  positions: readonly number[]
  fitted: boolean
}

export function infoOf(parts: PipelineParts, fitted: boolean): ArtifactInfo {
  return {
    encoderHash: parts.towers.map(t => (t.encoder === undefined ? 'none' : stateHash(t.encoder))).join(' '),
    codebookHash: stateHash(parts.codec),
    codebookSizes: parts.codec.codebookSizes,
    positions: parts.positions,
    fitted,
  }
}

/** Writes config.json, model.safetensors, tokenizers and, of pretrained encoders, the files that describe them. */
export async function savePipeline(folder: string, parts: PipelineParts, fitted: boolean): Promise<void> {
  await mkdir(folder, { recursive: true })
  const values = structuredClone(parts.config.values) as PipelineValues
  for (const tower of parts.towers) {
    const suffix = parts.towers.length > 1 ? `-${tower.modality}` : ''
    if (tower.tokenizer !== undefined) await tower.tokenizer.save(join(folder, `tokenizer${suffix}`))
    const place = parts.towers.length > 1 ? values[tower.modality as 'image' | 'text'] : values
    if (tower.config.pretrained && place !== undefined) {
      // Relative to the artifact, which may be moved.
      place.encoderType = `./${await copyModel(tower.config.encoderType, folder, `encoder${suffix}`)}`
    }
    if (tower.modality === 'vector') values.inputDim = [...tower.shape]
  }
  const info = infoOf(parts, fitted)
  await saveArtifact(folder, { model, options: values, ...info }, parts.stateDict())
}

/** Throws VqFormatError for what is no artifact of a pipeline, of another version, or damaged. */
export async function loadPipeline(folder: string): Promise<{ parts: PipelineParts; info: ArtifactInfo }> {
  await expectArtifact(folder)
  const { config, state } = await loadArtifact(folder, model)
  const values = structuredClone(config.options) as PipelineInput
  for (const place of [values, values.image, values.text])
    if (place?.encoderType?.startsWith('./encoder')) place.encoderType = resolve(folder, place.encoderType)
  const parts = await PipelineParts.create(PipelineConfig.parse(values, join(folder, 'config.json')))
  try {
    for (const tower of parts.towers) {
      const suffix = parts.towers.length > 1 ? `-${tower.modality}` : ''
      const path = join(folder, `tokenizer${suffix}`)
      if (tower.modality === 'text' && (await stat(path).catch(() => undefined)) !== undefined)
        tower.tokenizer = await loadTokenizer(path)
    }
    parts.loadStateDict(state)
    parts.eval()
    const info = infoOf(parts, config.fitted === true)
    if (info.codebookHash !== config.codebookHash)
      throw new VqFormatError({
        operation: `reading ${folder}`,
        expected: `codebooks with the hash ${String(config.codebookHash)}`,
        received: info.codebookHash,
        remedy: 'The file is damaged, or was changed by hand: train again, or restore it.',
      })
    return { parts, info }
  } catch (error) {
    parts.dispose()
    throw error
  }
}

async function expectArtifact(folder: string): Promise<void> {
  const there = await stat(join(folder, 'model.safetensors')).catch(() => undefined)
  if (there?.isFile()) return
  const begun = await stat(join(folder, 'config.input.json')).catch(() => undefined)
  throw new VqFormatError({
    operation: `reading ${folder}`,
    expected: 'the folder of a trained pipeline, with config.json and model.safetensors',
    received: begun === undefined ? 'none there' : 'a training that did not end',
    remedy: begun === undefined ? 'Pass what `vq train --out` wrote.' : 'Go on with it: `vq train --resume`.',
  })
}

// One file of weights, or what a folder holds beside its weights and those; the path of the copy below the folder.
async function copyModel(id: string, folder: string, name: string): Promise<string> {
  const to = join(folder, name)
  const there = await stat(id).catch(() => undefined)
  const part = `${to}.partial`
  await rm(part, { recursive: true, force: true })
  if (there?.isFile()) {
    await mkdir(part, { recursive: true })
    await cp(id, join(part, basename(id)))
  } else {
    const files = await openModel(id)
    await mkdir(part, { recursive: true })
    for (const name of [...modelFiles, ...(await weightFiles(files))]) {
      const from = await files.find(name)
      if (from !== undefined) await cp(from, join(part, name), { dereference: true })
    }
  }
  await rm(to, { recursive: true, force: true })
  await rename(part, to)
  return there?.isFile() ? `${name}/${basename(id)}` : name
}

async function weightFiles(files: Awaited<ReturnType<typeof openModel>>): Promise<string[]> {
  for (const [whole, index] of [
    ['model.safetensors', 'model.safetensors.index.json'],
    ['pytorch_model.bin', 'pytorch_model.bin.index.json'],
  ] as const) {
    if ((await files.find(whole)) !== undefined) return [whole]
    const path = await files.find(index)
    if (path === undefined) continue
    const { weight_map: map } = JSON.parse(await readFile(path, 'utf8')) as {
      weight_map: Record<string, string>
    }
    return [index, ...new Set(Object.values(map))]
  }
  return []
}

/** Keeps the configuration that a training begins with, so that it can go on. */
export async function keepInput(folder: string, config: PipelineConfig): Promise<void> {
  await mkdir(folder, { recursive: true })
  await writeFileAtomic(join(folder, 'config.input.json'), `${JSON.stringify(config.values, null, 2)}\n`)
}
