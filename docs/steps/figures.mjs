// Figures for the pages, into generated/figures/<example>: those that an example has made (`out/`, its full form), else those of its
// short form, made here. What is there stays until the example's program changes.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
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
