// The page on kernels, followed literally: its files are written into a copy of the sources, its lines added where it says, the
// addon linked with its C++, and its test run against that addon.
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { snippets } from '../readme/snippets.js'

const page = 'docs/extend/kernel.md'
const objects = ['vq_cpu', 'vq_addon'].flatMap(target => {
  const folder = resolve(`native/build/CMakeFiles/${target}.dir`)
  if (!existsSync(folder)) return []
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return files.filter(name => name.endsWith('.o')).map(name => join(folder, name))
})
const reason =
  objects.length > 50 ? undefined : 'the object files of the native build are not here: npm run build'
if (reason !== undefined) console.warn(`the page on kernels is not followed: ${reason}`)

const root = mkdtempSync(join(import.meta.dirname, '.run-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** The lines that a diff of the page adds to a file that the page names before it. */
function additions(): { file: string; lines: { text: string; before: string | undefined }[] }[] {
  const text = readFileSync(page, 'utf8')
  return [...text.matchAll(/^```diff\n([\s\S]*?)^```$/gm)].map(match => {
    const file = [...text.slice(0, match.index).matchAll(/`(packages\/[^`]+\.ts)`/g)].at(-1)![1]!
    const lines = match[1]!.trimEnd().split('\n')
    return {
      file,
      lines: lines.flatMap((line, i) =>
        line.startsWith('+')
          ? [
              {
                text: line.slice(1),
                before: lines
                  .slice(0, i)
                  .findLast(l => l.startsWith(' '))
                  ?.slice(1),
              },
            ]
          : [],
      ),
    }
  })
}

test.skipIf(reason !== undefined)(
  'its kernel is built, registered, differentiable and right',
  () => {
    mkdirSync(join(root, 'packages/core'), { recursive: true })
    for (const part of ['src', 'generated', 'package.json'])
      cpSync(`packages/core/${part}`, join(root, 'packages/core', part), { recursive: true })
    symlinkSync(resolve('packages/core/node_modules'), join(root, 'packages/core/node_modules'))
    const files = snippets(page)
    expect(files.map(({ file }) => file)).toEqual([
      'native/cpu/softsign.cc',
      'packages/core/src/backend/kernels/softsign.ts',
      'packages/core/src/ops/softsign.ts',
      'packages/core/test/softsign.test.ts',
    ])
    for (const { file, code } of files) {
      mkdirSync(dirname(join(root, file!)), { recursive: true })
      writeFileSync(join(root, file!), code)
    }
    const changes = additions()
    expect(changes.map(({ file }) => file)).toEqual([
      'packages/core/src/backend/kernels/index.ts',
      'packages/core/src/ops/index.ts',
    ])
    for (const { file, lines } of changes) {
      let text = readFileSync(join(root, file), 'utf8')
      for (const { text: line, before } of lines) {
        if (before === undefined) text = `${line}\n${text}`
        else {
          expect(text.includes(`${before}\n`), `${file} has the line ${before}`).toBe(true)
          text = text.replace(`${before}\n`, `${before}\n${line}\n`)
        }
      }
      writeFileSync(join(root, file), text)
    }

    const compiler = process.env.CXX ?? 'g++'
    const object = join(root, 'softsign.o')
    execFileSync(compiler, [
      '-std=c++17',
      '-O2',
      '-fPIC',
      '-Wall',
      '-Wextra',
      '-Werror',
      '-Inative/include',
      '-Inative',
      '-c',
      join(root, files[0]!.file!),
      '-o',
      object,
    ])
    const addon = join(root, 'vq.node')
    execFileSync(compiler, [
      '-shared',
      '-fopenmp',
      ...objects,
      object,
      '-ldnnl',
      '-lhwy',
      '-ldl',
      '-Wl,-z,nodelete',
      '-o',
      addon,
    ])

    const config = join(root, 'vitest.config.mjs')
    const alias = [{ find: '@vq/core', replacement: join(root, 'packages/core/src/index.ts') }]
    writeFileSync(
      config,
      `export default ${JSON.stringify({ root, resolve: { alias }, test: { include: ['packages/core/test/*.test.ts'] } })}`,
    )
    const printed = execFileSync(
      process.execPath,
      [resolve('node_modules/vitest/vitest.mjs'), 'run', '--config', config],
      {
        cwd: root,
        encoding: 'utf8',
        env: { ...process.env, VQ_NATIVE_PATH: addon },
      },
    )
    expect(printed).toMatch(/1 passed/)
  },
  180_000,
)
