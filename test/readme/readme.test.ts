// Every TypeScript block of every README and of every page of the site runs to its end.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { tf } from '@vq/core'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { type Snippet, snippets } from './snippets.js'

// Beside the packages, so that the snippets' imports are found as any test's are.
const folder = mkdtempSync(join(import.meta.dirname, '.run-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const packages = readdirSync('packages')
const readmes = packages.map(name => `packages/${name}/README.md`)
const pages = ['', 'guide', 'pipeline', 'packages', 'extend'].flatMap(part =>
  readdirSync(join('docs', part))
    .filter(name => name.endsWith('.md'))
    .map(name => join('docs', part, name)),
)
/** Followed by a test of its own: it changes the sources. */
const elsewhere = ['docs/extend/kernel.md']

async function run({ line, code, file }: Snippet, page: string): Promise<void> {
  const own = join(folder, page.replaceAll('/', '-'))
  mkdirSync(own, { recursive: true })
  const path = join(own, file ?? `line-${line}.ts`)
  writeFileSync(path, code)
  const printed: unknown[][] = []
  vi.spyOn(console, 'log').mockImplementation((...values) => {
    printed.push(values)
  })
  const before = process.cwd()
  // Where a block names files, the blocks after it find them.
  if (file !== undefined) process.chdir(own)
  try {
    await import(path)
  } finally {
    process.chdir(before)
    vi.restoreAllMocks()
  }
  expect(tf.getBackend()).toBe('vq-cpu')
  // Every console.log of the snippet was reached, and none printed a NaN.
  expect(printed.length).toBeGreaterThanOrEqual(code.match(/console\.log/g)?.length ?? 0)
  expect(printed.flat().some(value => Number.isNaN(value))).toBe(false)
}

describe.each(['README.md', ...readmes])('%s', readme => {
  test.each(snippets(readme))('the code at line $line runs to its end', snippet => run(snippet, readme))
})

test.each(readmes)(
  '%s is a sentence, how to install it, at most 15 lines to run, and a link to its guide',
  readme => {
    const text = readFileSync(readme, 'utf8')
    const [first] = snippets(readme)
    expect(first!.code.trimEnd().split('\n').length).toBeLessThanOrEqual(15)
    expect(text).toContain('npm install @vq/')
    const guide = /\]\(\.\.\/\.\.\/(docs\/packages\/\w+\.md)\)/.exec(text)?.[1]
    expect(existsSync(guide ?? 'no link')).toBe(true)
  },
)

const python = process.env.VQ_PYTHON
const torch = python !== undefined && spawnSync(python, ['-c', 'import torch, safetensors']).status === 0

describe.each(pages.filter(page => !elsewhere.includes(page)).sort())('%s', page => {
  const found = snippets(page)
  // What a block of Python leaves behind is missing where there is no PyTorch.
  const needsPython = found.findIndex(({ language }) => language === 'python')
  for (const [i, snippet] of found.entries()) {
    const skipped = needsPython >= 0 && i >= needsPython && !torch
    const reason = skipped ? ' (skipped: no VQ_PYTHON with torch)' : ''
    test.skipIf(skipped)(`the code at line ${snippet.line} runs to its end${reason}`, async () => {
      if (snippet.language !== 'python') return run(snippet, page)
      const own = join(folder, page.replaceAll('/', '-'))
      writeFileSync(join(own, snippet.file!), snippet.code)
      const { status, stderr } = spawnSync(python!, [snippet.file!], { cwd: own, encoding: 'utf8' })
      expect(stderr).toBe('')
      expect(status).toBe(0)
    })
  }

  test('lines that it takes out of the sources are there', () => {
    const text = readFileSync(page, 'utf8')
    for (const [, path, region] of text.matchAll(/^<<< ([^#{\s]+)(?:#([\w-]+))?/gm)) {
      const file = join(page, '..', path!)
      expect(existsSync(file), file).toBe(true)
      if (region === undefined) continue
      const source = readFileSync(file, 'utf8')
      const marks = [`// #region ${region}`, `// #endregion ${region}`].map(mark =>
        source.split('\n').findIndex(line => line.trim() === mark),
      )
      expect(marks[0], `${file} has no region ${region}`).toBeGreaterThanOrEqual(0)
      expect(marks[1]! - marks[0]!, `the region ${region} of ${file} is empty`).toBeGreaterThan(1)
    }
  })
})

test('pages have code to run, and take lines out of the sources', () => {
  const all = pages.flatMap(page => snippets(page))
  expect(all.length).toBeGreaterThan(40)
  expect(pages.filter(page => /^<<< /m.test(readFileSync(page, 'utf8'))).length).toBeGreaterThan(0)
})

test('all of that code type-checks in a strict program', () => {
  const own = join(folder, 'types')
  for (const page of ['README.md', ...readmes, ...pages].filter(page => !elsewhere.includes(page))) {
    const typescript = snippets(page).filter(({ language }) => language === 'ts')
    const place = join(own, page.replaceAll('/', '-'))
    mkdirSync(place, { recursive: true })
    // A module each, also where nothing is imported.
    for (const { line, code, file } of typescript)
      writeFileSync(join(place, file ?? `line-${line}.ts`), `${code}export {}\n`)
  }
  // As `tsc --init` sets it: the rest are rules of this house.
  const compilerOptions = { strict: true, exactOptionalPropertyTypes: false, verbatimModuleSyntax: false }
  const settings = {
    extends: resolve('tsconfig.test.json'),
    compilerOptions,
    include: [`${resolve(own)}/**/*.ts`],
  }
  writeFileSync(join(own, 'tsconfig.json'), JSON.stringify(settings))
  const compiler = resolve('node_modules/typescript/bin/tsc')
  const { stdout, stderr } = spawnSync(process.execPath, [compiler, '-p', own], { encoding: 'utf8' })
  expect(`${stdout}${stderr}`).toBe('')
}, 120_000)

// npm lets a program find packages below others, pnpm does not.
test.each(
  ['README.md', ...readmes, ...pages].filter(page => /^npm install @/m.test(readFileSync(page, 'utf8'))),
)('%s says to install every package that its code imports', page => {
  const installed = [...readFileSync(page, 'utf8').matchAll(/^npm install (@.*)$/gm)].flatMap(([, names]) =>
    names!.split(' '),
  )
  const imported = snippets(page).flatMap(({ code }) =>
    [...code.matchAll(/from '(@[\w-]+\/[\w-]+)/g)].map(([, name]) => name),
  )
  expect(imported.length).toBeGreaterThan(0)
  for (const name of imported) expect(installed).toContain(name)
})
