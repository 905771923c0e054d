import { readFile } from 'node:fs/promises'
import { closest, VqConfigError, VqFormatError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { z } from 'zod'
import {
  encoderChoices,
  encoderOf,
  isBuiltInEncoder,
  isBuiltInMethod,
  isPretrained,
  methodChoices,
  methodOf,
} from './names.js'
import { encoderSchemas, methodSchemas, pipelineSchema } from './schema.js'
import { fromSnakeCase, isSnakeCase } from './seeds.js'
import type { Modality, Objective, PipelineInput, PipelineValues, TowerValues } from './values.js'

/** What reads the inputs of one modality. */
export interface TowerConfig extends TowerValues {
  modality: Modality
  /** [H, W, C], [T, H, W, C] or [D]; undefined for text, and for vectors until the data is known. */
  shape: readonly number[] | undefined
  pretrained: boolean
}

interface Problem {
  path: readonly PropertyKey[]
  text: string
}

/**
 * What a pipeline is made of and how it is trained, checked and with all defaults: {@link PipelineConfig.parse} takes an
 * object, {@link PipelineConfig.load} a JSON file, the Python system's snake_case ones with channels in front too.
 *
 * @example
 * const config = PipelineConfig.parse({ modality: 'image', encoderType: 'vit', vqMethod: 'rq_vae', inputDim: [64, 64, 3] })
 */
export class PipelineConfig {
  readonly values: Readonly<PipelineValues>
  readonly towers: readonly TowerConfig[]

  private constructor(values: PipelineValues) {
    this.values = values
    this.towers = towersOf(values)
  }

  /** Throws VqConfigError that lists every problem with its path and, for unknown names, the nearest known one. */
  static parse(
    input: PipelineInput | Record<string, unknown>,
    source = 'PipelineConfig.parse',
  ): PipelineConfig {
    const given = isSnakeCase(input) ? fromSnakeCase(input, encoderOf) : input
    const result = pipelineSchema.safeParse(given, { reportInput: true })
    if (!result.success)
      throw problemsError(
        source,
        result.error.issues.flatMap(issue => problemsOf(issue, pipelineSchema)),
      )
    const values = named(result.data)
    const problems = problemsIn(values)
    if (problems.length > 0) throw problemsError(source, problems)
    return new PipelineConfig(values)
  }

  /** Reads a JSON file. Throws VqFormatError where it is none, VqConfigError as `parse`. */
  static async load(file: string): Promise<PipelineConfig> {
    const text = await readFile(file, 'utf8')
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (error) {
      throw new VqFormatError({
        operation: `reading ${file}`,
        expected: 'a configuration in JSON',
        received: (error as Error).message,
        remedy: '`vq templates --out FOLDER` writes configurations to start from.',
        cause: error,
      })
    }
    return PipelineConfig.parse(value as Record<string, unknown>, file)
  }

  /** Writes it as JSON, atomically. */
  async save(file: string): Promise<void> {
    await writeFileAtomic(file, `${JSON.stringify(this.values, null, 2)}\n`)
  }

  toJSON(): PipelineValues {
    return this.values
  }

  /** The JSON Schema of configurations, for editors: name it as `$schema` in the file. */
  static jsonSchema(): Record<string, unknown> {
    return z.toJSONSchema(pipelineSchema, { io: 'input' }) as Record<string, unknown>
  }

  get objective(): Objective {
    const { objective, modality } = this.values
    if (objective !== undefined) return objective
    if (modality === 'image_text') return 'contrastive'
    return modality === 'vector' || this.towers[0]?.pretrained ? 'embedding' : 'reconstruction'
  }

  get normalize(): boolean {
    return this.values.normalize ?? this.objective === 'contrastive'
  }

  get freezeEncoder(): boolean {
    return this.values.training.freezeEncoder ?? this.towers.some(t => t.pretrained)
  }
}

// Names as this package writes them.
function named(values: PipelineValues): PipelineValues {
  const type = (name: string | undefined): string | undefined => (name === undefined ? name : encoderOf(name))
  const tower = (t: TowerValues | undefined): TowerValues | undefined =>
    t && { ...t, encoderType: encoderOf(t.encoderType) }
  const result: PipelineValues = { ...values, vqMethod: methodOf(values.vqMethod) }
  const defaults = { vector: 'none' } as const
  const encoderType = type(values.encoderType) ?? (values.modality === 'vector' ? defaults.vector : undefined)
  if (encoderType !== undefined) result.encoderType = encoderType
  const [image, text] = [tower(values.image), tower(values.text)]
  if (image !== undefined) result.image = image
  if (text !== undefined) result.text = text
  return result
}

function towersOf(values: PipelineValues): TowerConfig[] {
  const one = (modality: Modality, tower: TowerValues): TowerConfig => ({
    ...tower,
    modality,
    shape: tower.inputDim === undefined ? undefined : [tower.inputDim].flat(),
    pretrained: isPretrained(tower.encoderType),
  })
  if (values.modality === 'image_text')
    return [one('image', values.image as TowerValues), one('text', values.text as TowerValues)]
  return [one(values.modality, values as TowerValues)]
}

// What a schema alone does not see.
function problemsIn(values: PipelineValues): Problem[] {
  const problems: Problem[] = []
  const add = (path: PropertyKey[], text: string): void => {
    problems.push({ path, text })
  }
  const { modality, image, text, encoderType, vqMethod, vqConfig, objective, granularity, training } = values
  if (modality === 'image_text') {
    if (image === undefined)
      add(['image'], "expected the image encoder: { encoderType: 'cnn', inputDim: [32, 32, 3] }")
    if (text === undefined) add(['text'], "expected the text encoder: { encoderType: 'transformer' }")
    if (encoderType !== undefined)
      add(['encoderType'], "expected none beside 'image' and 'text': they have their own")
    if (objective === 'reconstruction')
      add(
        ['objective'],
        "expected 'contrastive' or 'embedding': two modalities are not rebuilt from one code",
      )
    if (granularity === 'position') add(['granularity'], "expected 'item': pairs are matched item by item")
  } else {
    if (image !== undefined || text !== undefined)
      add([image === undefined ? 'text' : 'image'], "expected only with modality 'image_text'")
    if (encoderType === undefined)
      add(['encoderType'], `expected one of ${encoderChoices(modality).join(', ')}, or a pretrained model`)
  }
  if (problems.length > 0) return problems
  for (const tower of towersOf(values)) {
    const path = modality === 'image_text' ? [tower.modality] : []
    problems.push(...towerProblems(tower, path))
  }
  if (isBuiltInMethod(vqMethod))
    problems.push(...optionProblems(methodSchemas[vqMethod], vqConfig, ['vqConfig']))
  else if (!methodChoices().includes(vqMethod)) add(['vqMethod'], unknownName(vqMethod, methodChoices()))
  if (training.cropScale[0] > training.cropScale[1] || training.cropScale[1] > 1)
    add(['training', 'cropScale'], 'expected the least and the largest share, at most 1')
  if (training.epochs !== undefined && training.steps !== undefined)
    add(['training', 'steps'], 'expected epochs or steps, not both')
  if (modality === 'vector' && granularity === 'position')
    add(['granularity'], "expected 'item': a vector has no positions")
  return problems
}

function towerProblems(tower: TowerConfig, path: readonly PropertyKey[]): Problem[] {
  const { modality, encoderType, encoderConfig, shape, pretrained } = tower
  const problems: Problem[] = []
  if (isBuiltInEncoder(encoderType) && encoderChoices(modality).includes(encoderType))
    problems.push(...optionProblems(encoderSchemas[encoderType], encoderConfig, [...path, 'encoderConfig']))
  else if (!pretrained && !encoderChoices(modality).includes(encoderType))
    problems.push({
      path: [...path, 'encoderType'],
      text: unknownName(encoderType, encoderChoices(modality)),
    })
  const rank = { image: 3, video: 4, vector: 1, text: 0 }[modality]
  const wanted = {
    image: '[H, W, C]',
    video: '[T, H, W, C]',
    vector: 'the length of a vector',
    text: 'none',
  }[modality]
  const at = [...path, 'inputDim']
  if (shape === undefined) {
    if ((modality === 'image' || modality === 'video') && !pretrained)
      problems.push({ path: at, text: `expected ${wanted}, channels last` })
  } else if (modality === 'text')
    problems.push({
      path: at,
      text: "expected none for text: set tokenizer.vocabSize (the Python system's input_dim)",
    })
  else if (shape.length !== rank)
    problems.push({ path: at, text: `expected ${wanted}, received [${shape.join(', ')}]` })
  else if (rank > 1 && (shape.at(-1) as number) > 4) {
    const turned = [...shape.slice(1), shape[0]]
    const hint = (shape[0] as number) <= 4 ? `; did you mean [${turned.join(', ')}]?` : ''
    problems.push({
      path: at,
      text: `expected ${wanted} with 1 to 4 channels last, received [${shape.join(', ')}]${hint}`,
    })
  }
  return problems
}

function optionProblems(schema: z.ZodType, options: unknown, path: readonly PropertyKey[]): Problem[] {
  const result = schema.safeParse(options, { reportInput: true })
  if (result.success) return []
  return result.error.issues
    .flatMap(issue => problemsOf(issue, schema))
    .map(({ path: inner, text }) => ({ path: [...path, ...inner], text }))
}

function unknownName(name: string, choices: readonly string[]): string {
  return `expected one of ${choices.join(', ')}, received '${name}'; did you mean '${closest(name, choices)}'?`
}

// One line per problem; unknown keys with the nearest of the place where they stand.
function problemsOf(issue: z.core.$ZodIssue, schema: z.ZodType): Problem[] {
  const { path } = issue
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, path)
    return issue.keys.map(key => ({
      path: [...path, key],
      text: `unknown key; ${known.length === 0 ? 'nothing belongs here' : `did you mean '${closest(key, known)}'? Known are ${known.join(', ')}`}`,
    }))
  }
  if (issue.code === 'invalid_value')
    return [{ path, text: `expected one of ${issue.values.join(', ')}${nearest(issue)}` }]
  return [{ path, text: lowerFirst(issue.message) }]
}

function nearest(issue: z.core.$ZodIssueInvalidValue): string {
  const { input, values } = issue
  if (typeof input !== 'string') return ''
  return `, received '${input}'; did you mean '${closest(input, values.map(String))}'?`
}

const lowerFirst = (text: string): string => text.slice(0, 1).toLowerCase() + text.slice(1)

function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = schema
  for (const key of path) at = shapeOf(at)?.[String(key)]
  return Object.keys(shapeOf(at) ?? {})
}

// The fields of an object schema, whatever is wrapped around it.
function shapeOf(schema: unknown): Record<string, unknown> | undefined {
  let at = schema as { shape?: Record<string, unknown>; def?: { innerType?: unknown } } | undefined
  while (at !== undefined && at.shape === undefined) at = at.def?.innerType as typeof at
  return at?.shape
}

function problemsError(source: string, problems: readonly Problem[]): VqConfigError {
  const lines = problems
    .slice(0, 20)
    .map(
      ({ path, text }) => `${path.length === 0 ? 'the configuration' : path.map(String).join('.')}: ${text}`,
    )
  return new VqConfigError({
    operation: source,
    expected: 'a configuration of a pipeline',
    received: lines.join('\n  '),
    remedy: '`vq templates` shows working ones; the guide’s page “Every option” lists what there is.',
  })
}
