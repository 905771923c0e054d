// The files of a model, wherever it lies: a folder, the hub's cache, or the hub itself.
import { readFile, stat } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { describe, expectConfig, VqConfigError, VqFormatError } from '@vq/core'
import { type HubOptions, hubSettings } from './environment.js'
import { HubRepository, snapshotOf } from './hub.js'

export interface ModelFiles {
  /** The folder or the name on the hub, as it was asked for. */
  readonly name: string
  /** Path of one of the files, undefined where the model has no such file. */
  find(file: string): Promise<string | undefined>
  /** Path of one of the files. Throws VqFormatError that names it where the model has no such file. */
  path(file: string): Promise<string>
}

abstract class Files implements ModelFiles {
  abstract readonly name: string
  protected abstract readonly remedy: string
  abstract find(file: string): Promise<string | undefined>

  async path(file: string): Promise<string> {
    const path = await this.find(file)
    if (path !== undefined) return path
    throw new VqFormatError({
      operation: `reading the model '${this.name}'`,
      expected: `a file ${file}`,
      received: 'none of that name',
      remedy: this.remedy,
    })
  }
}

class FolderFiles extends Files {
  readonly name: string
  protected readonly remedy: string
  private readonly folder: string

  constructor(name: string, folder: string) {
    super()
    this.name = name
    this.folder = folder
    this.remedy = `Put it into ${folder}, or pass the model's name on the hub.`
  }

  async find(file: string): Promise<string | undefined> {
    const path = join(this.folder, file)
    return (await isFile(path)) ? path : undefined
  }
}

class HubFiles extends Files {
  readonly name: string
  protected readonly remedy: string
  private readonly repository: HubRepository

  constructor(repository: HubRepository) {
    super()
    this.name = repository.name
    this.repository = repository
    this.remedy = repository.settings.offline
      ? `Downloads are off (HF_HUB_OFFLINE): fetch it where there is a network into ${repository.folder}, or pass a folder.`
      : `Choose another revision than '${repository.settings.revision}', or pass a folder that holds it.`
  }

  find(file: string): Promise<string | undefined> {
    return this.repository.find(file)
  }
}

/**
 * Opens a model by the path of its folder or by its name on the hub ('google/vit-base-patch16-224'). A folder of the hub's
 * cache (`models--…`) stands for the snapshot of its revision. What the cache holds is taken from there without asking the
 * hub; the rest is downloaded into it by @huggingface/hub, unless `offline` or HF_HUB_OFFLINE forbid it.
 * Throws VqConfigError for what is neither a folder nor a name, VqFormatError where a file is missing.
 */
export async function openModel(idOrFolder: string, options: HubOptions = {}): Promise<ModelFiles> {
  expectConfig(
    typeof idOrFolder === 'string' && idOrFolder !== '',
    'fromPretrained',
    'the path of a folder or the name of a model on the hub',
    idOrFolder,
    "Pass './folder' or 'google/vit-base-patch16-224'.",
  )
  const settings = hubSettings(options)
  const there = await stat(idOrFolder).catch(() => undefined)
  if (there?.isDirectory()) {
    const snapshot = await snapshotOf(idOrFolder, settings.revision)
    return new FolderFiles(idOrFolder, snapshot ?? idOrFolder)
  }
  const name = /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)?$/.test(idOrFolder) && !idOrFolder.includes('--')
  if (there !== undefined || isAbsolute(idOrFolder) || !name)
    throw new VqConfigError({
      operation: 'fromPretrained',
      expected: 'a folder that exists or the name of a model on the hub',
      received: `${describe(idOrFolder)}, ${there === undefined ? 'which does not exist' : 'which is no folder'}`,
      remedy: 'Check the path; names on the hub are owner/name.',
    })
  return new HubFiles(new HubRepository(idOrFolder, settings))
}

/** A file of JSON that holds an object. Throws VqFormatError where it is missing or holds anything else. */
export async function readJson(files: ModelFiles, file: string): Promise<Record<string, unknown>> {
  const path = await files.path(file)
  let value: unknown
  let cause: unknown
  try {
    if ((await stat(path)).size <= 64 * 2 ** 20) value = JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    cause = error
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>
  throw new VqFormatError({
    operation: `reading ${path}`,
    expected: 'JSON that holds an object, at most 64 MiB',
    received: cause instanceof Error ? cause.message : describe(value),
    remedy: 'The file is damaged or incomplete: fetch it again.',
    cause,
  })
}

export async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false
}
