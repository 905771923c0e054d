// Tables of every option of a pipeline's configuration, from the schemas that check it, and every template with its architecture
// drawn: Markdown that the pages include.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const built = resolve(import.meta.dirname, '../../packages/pipeline/dist')
const load = file => import(pathToFileURL(join(built, file)).href)
const { PipelineConfig } = await load('index.js')
const { encoderSchemas, methodSchemas } = await load('config/schema.js')
const { encodersOf } = await load('config/names.js')
const { templates } = await load('config/templates.js')

export function writePipelinePages(folder) {
  mkdirSync(folder, { recursive: true })
  const schema = PipelineConfig.jsonSchema()
  const { training, tokenizer, decoderConfig } = schema.properties
  const encoders = Object.entries(encodersOf).flatMap(([modality, names]) =>
    names.map(name => ({
      title: `encoderType: ${name}`,
      note: `For ${modality}s.`,
      schema: encoderSchemas[name],
    })),
  )
  const methods = Object.entries(methodSchemas).map(([name, schema]) => ({
    title: `vqMethod: ${name}`,
    schema,
  }))
  const parts = {
    'options-top': table(schema),
    'options-tokenizer': table(tokenizer),
    'options-decoder': table(decoderConfig),
    'options-training': table(training),
    'options-encoders': encoders.map(section).join('\n\n'),
    'options-methods': methods.map(section).join('\n\n'),
    templates: Object.entries(templates).map(template).join('\n\n'),
  }
  for (const [name, text] of Object.entries(parts)) writeFileSync(join(folder, `${name}.md`), `${text}\n`)
}

function section({ title, note, schema }) {
  const json = schema.toJSONSchema({ io: 'input' })
  const lines = [`### \`${title}\``, '']
  if (note) lines.push(note, '')
  lines.push(Object.keys(json.properties).length === 0 ? 'No options.' : table(json))
  return lines.join('\n')
}

function table({ properties, required = [] }) {
  const rows = Object.entries(properties).map(([name, field]) => {
    const [meaning, told] = meaningOf(name, field)
    const preset = required.includes(name)
      ? 'required'
      : (told ?? (field.default === undefined ? '' : code(field.default)))
    return `| \`${name}\` | ${typeOf(field)} | ${preset} | ${meaning} |`
  })
  return ['| option | value | default | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

/** Docstrings end in "Default …." where a class, not the schema, supplies it. */
function meaningOf(name, { description }) {
  if (description === undefined) throw new Error(`the option ${name} has no description in its schema`)
  const [, meaning, preset] = /^(.*?)\s*(?:Default:? (.*)\.)?$/s.exec(description)
  if (meaning === '') throw new Error(`the schema says no more of the option ${name} than its default`)
  return [cell(meaning), preset && cell(preset)]
}
const code = value => `\`${JSON.stringify(value)}\``
const cell = text =>
  text
    .replaceAll('|', '\\|')
    .replaceAll('<', '&lt;')
    .replaceAll('[', '\\[')
    .replaceAll('{', '&#123;')
    .replaceAll('$', '\\$')

function typeOf(field) {
  if (field.enum) return field.enum.map(v => `\`${JSON.stringify(v).replaceAll('"', "'")}\``).join(', ')
  if (field.anyOf)
    return (
      [...new Set(field.anyOf.map(typeOf))].filter(t => t !== 'null').join(' or ') +
      (field.anyOf.some(f => f.type === 'null') ? ', or `null`' : '')
    )
  if (field.type === 'array') {
    const items = field.prefixItems ?? field.items
    if (Array.isArray(items)) return `[${items.map(typeOf).join(', ')}]`.replaceAll('[', '\\[')
    return `list: ${typeOf(items)}`
  }
  if (field.type === 'integer') return range('integer', field)
  if (field.type === 'number') return range('number', field)
  if (field.type === 'object') return field.properties ? 'object, below' : 'object'
  return field.type
}

function range(type, { minimum, maximum, exclusiveMinimum, exclusiveMaximum }) {
  const most = [maximum, exclusiveMaximum].find(v => v !== undefined && Math.abs(v) < Number.MAX_SAFE_INTEGER)
  const least = [minimum, exclusiveMinimum].find(
    v => v !== undefined && Math.abs(v) < Number.MAX_SAFE_INTEGER,
  )
  const bounds = [
    ...(least === undefined ? [] : [`${exclusiveMinimum === least ? '&gt;' : '≥'} ${least}`]),
    ...(most === undefined ? [] : [`${exclusiveMaximum === most ? '&lt;' : '≤'} ${most}`]),
  ]
  return [type, ...bounds].join(' ')
}

function template([name, { description, config }]) {
  const { values, towers, objective } = PipelineConfig.parse(config)
  return [
    `### \`${name}\``,
    '',
    `${description[0].toUpperCase()}${description.slice(1)}.`,
    '',
    `\`\`\`dot The architecture of the template ${name}`,
    diagram(values, towers, objective),
    '```',
    '',
    '::: details Its configuration',
    '```json',
    JSON.stringify(config, null, 2),
    '```',
    ':::',
  ].join('\n')
}

const quote = text => JSON.stringify(text).replaceAll('\\\\n', '\\n')

/** Input, encoder, quantizer, IDs, and the way back where there is one. */
function diagram(values, towers, objective) {
  const k = values.numEmbeddings.toLocaleString('en')
  const d = towers[0].pretrained ? 'the model’s' : values.modality === 'vector' ? 'D' : values.embeddingDim
  const lines = ['digraph {']
  for (const [i, tower] of towers.entries()) {
    lines.push(`x${i} [label=${quote(inputOf(tower))} shape=plaintext]`)
    if (tower.encoderType === 'none') lines.push(`x${i} -> q`)
    else {
      lines.push(
        `e${i} [label=${quote(encoderOf(tower))}]`,
        `x${i} -> e${i}`,
        `e${i} -> q [label=${quote(`${d}`)}]`,
      )
    }
  }
  lines.push(
    `q [label=${quote(methodOf(values, k))} style="rounded,bold"]`,
    `ids [label=${quote(idsOf(values))} shape=plaintext]`,
    'q -> ids',
  )
  if (objective === 'reconstruction') {
    const modality = towers[0].modality
    lines.push(
      `d [label=${quote(`${modality}\\ndecoder`)}]`,
      `y [label=${quote(modality === 'text' ? 'text' : `${modality}\\n${shapeOf(towers[0])}`)} shape=plaintext]`,
      'ids -> d -> y',
    )
  }
  if (objective === 'contrastive') {
    const what =
      towers.length > 1
        ? 'a picture and its caption\\nare told from the others'
        : 'two views of an item\\nare told from the others'
    lines.push(
      `loss [label=${quote(what)} style=dashed]`,
      ...towers.map((_, i) => `e${i} -> loss [style=dashed]`),
    )
  }
  lines.push('}')
  return lines.join('\n')
}

const shapeOf = ({ shape }) => (shape === undefined ? '' : shape.join(' × '))
function inputOf(tower) {
  if (tower.modality === 'text')
    return `text\\n${tower.tokenizer.type} tokens,\\nat most ${tower.tokenizer.maxLength}`
  if (tower.modality === 'vector') return 'vectors of\\nlength D'
  return tower.shape === undefined ? `${tower.modality} files` : `${tower.modality}\\n${shapeOf(tower)}`
}

function encoderOf({ encoderType, encoderConfig: c, pretrained }) {
  if (pretrained) return `${encoderType}\\nfrozen`
  const facts = {
    cnn: () => `CNN\\n${(c.hiddenDims ?? [64, 128, 256, 512]).join(', ')}\\nchannels`,
    cnn3d: () => `3D CNN\\n${(c.hiddenDims ?? [64, 128, 256, 512]).join(', ')}\\nchannels`,
    vit: () => `Vision\\nTransformer,\\npatches of ${c.patchSize ?? 16},\\n${c.numLayers ?? 6} layers`,
    bert: () =>
      c.numLayers === 0
        ? 'bag of tokens\\na vector for each'
        : `BERT\\n${c.hiddenDim ?? 768} wide, ${c.numLayers ?? 12} layers`,
    transformer: () => `transformer\\n${c.hiddenDim ?? 512} wide, ${c.numLayers ?? 6} layers`,
    lstm: () => `LSTM\\n${c.hiddenDim ?? 512} wide, both ways`,
  }
  return facts[encoderType]?.() ?? encoderType
}

function methodOf({ vqMethod, vqConfig: c }, k) {
  const levels = c.numQuantizers ?? c.nStages ?? 4
  const facts = {
    basic_vq: `VQ\\n${k} codes`,
    vq_vae: `256, 128 →\\nVQ, ${k} codes\\n→ 128, 256`,
    rq_vae: `256, 128 →\\nRVQ, ${levels} × ${k}\\n→ 128, 256`,
    rvq: `RVQ\\n${levels} × ${k} codes`,
    rq_kmeans: `residual k-means\\n${levels} × ${k} codes`,
    pq: `product quantizer\\n${k} codes a part`,
  }
  return facts[vqMethod] ?? vqMethod
}

function idsOf({ vqMethod, vqConfig: c, granularity }) {
  if (granularity === 'position') return 'a grid of codes'
  const count =
    { rq_vae: c.numQuantizers ?? 4, rvq: c.numQuantizers ?? 4, rq_kmeans: c.nStages ?? 4, pq: 'up to 8' }[
      vqMethod
    ] ?? 1
  return count === 1 ? 'semantic ID:\\n1 code' : `semantic ID:\\n${count} codes`
}
