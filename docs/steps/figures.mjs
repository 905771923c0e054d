// Figures for the pages, into generated/figures/<example>: those that an example has made (`out/`, its full form), else those of its
// short form, made here. What is there stays until the example's program changes.
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'

const examples = resolve(import.meta.dirname, '../../examples')

export function exampleNames() {
  return readdirSync(examples)
    .filter(name => existsSync(join(examples, name, 'package.json')))
    .sort()
}

export function collectFigures(folder, names) {
  for (const name of names) {
    const [made, target, program] = [
      join(examples, name, 'out'),
      join(folder, name),
      join(examples, name, 'dist/main.js'),
    ]
    const begun = performance.now()
    if (isNewer(made, program)) {
      rmSync(target, { recursive: true, force: true })
      cpSync(made, target, { recursive: true })
    } else if (!isNewer(target, program)) {
      rmSync(target, { recursive: true, force: true })
      mkdirSync(folder, { recursive: true })
      execFileSync(process.execPath, [program, '--quick', '--out', target], {
        stdio: ['ignore', 'ignore', 'inherit'],
      })
      console.log(
        `figures of ${name}, in its short form: ${((performance.now() - begun) / 1000).toFixed(0)} s`,
      )
    }
  }
}

/** Whether a folder holds something, all of it made after the program was built. */
function isNewer(folder, program) {
  if (!existsSync(folder)) return false
  const files = readdirSync(folder)
  const built = statSync(program).mtimeMs
  return files.length > 0 && files.every(file => statSync(join(folder, file)).mtimeMs >= built)
}

/** In which order to go through the examples, and what each is about. */
const path = [
  ['autoencoder', 'what a bottleneck keeps, and what lies between two images'],
  ['vae', 'latents that are distributions: new images from noise'],
  ['basic-vq', 'codes in the plane, where everything can be seen'],
  ['vq-vae', 'images as grids of codes'],
  ['rq-vae', 'one code per place beside several, one behind another'],
  ['rq-kmeans', 'residual codes without gradients'],
  ['initializers', 'where codes should start: initialisers, estimators and the bound of theory'],
  ['sequential', 'a quantizer inside a plain `tf.sequential` model'],
  ['pipeline', 'every encoder with every method'],
  ['search', 'duplicates and neighbours among photographs, by semantic ID'],
  ['recommendation', 'the next item of a history, by semantic ID'],
  ['colored-digits', 'a transformer that colours digits as a caption says'],
  ['segmentation', 'a segmentation network through a few bits'],
]

/** The table of those that are there: an example that the path does not know comes last. */
export function writeExamples(folder) {
  const names = exampleNames()
  const known = path.filter(([name]) => names.includes(name))
  const others = names.filter(name => !path.some(([known]) => known === name))
  const rows = [...known, ...others.map(name => [name, title(name)])]
  const lines = rows.map(([name, about], i) => `| ${i + 1} | \`examples/${name}\` | ${about} |`)
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, 'examples.md'),
    ['| | example | shows |', '| --- | --- | --- |', ...lines, ''].join('\n'),
  )
}

const title = name =>
  readFileSync(join(examples, name, 'README.md'), 'utf8')
    .split('\n', 1)[0]
    .replace(/^# /, '')
