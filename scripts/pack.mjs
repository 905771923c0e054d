// `npm run pack [-- FOLDER]`: tarballs of every package as npm would publish them, platform packages included, into
// results/packages. Says what each weighs; one above its ceiling is an error, and so is a library that asks for a newer system than
// the README of its package says.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { tooNewIn } from '../native/npm/floors.mjs'
import { stage } from '../native/npm/stage.mjs'

const mebibyte = 2 ** 20
/** The most that a tarball may weigh, in MiB. */
const ceilings = { 'core-linux-x64': 14, 'core-cuda-linux-x64': 8, core: 1.5 }
const otherwise = 1

const tarball = /^vq-(.+)-\d+\.\d+\.\d+.*\.tgz$/

/** Packs everything into `folder`, whose older tarballs of these packages go; returns [{ name, path, size }]. */
export function pack(folder) {
  const complete = stage().map(path => path.split('/').at(-1))
  mkdirSync(folder, { recursive: true })
  // Nothing else of it: the folder may be one that the user named.
  for (const file of readdirSync(folder)) if (tarball.test(file)) rmSync(join(folder, file))
  const filters = ['./packages/*', ...complete.map(name => `./native/npm/${name}`)].flatMap(f => [
    '--filter',
    f,
  ])
  execFileSync('npx', ['--yes', 'pnpm@12', '-r', ...filters, 'pack', '--pack-destination', folder], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  return readdirSync(folder)
    .filter(file => tarball.test(file))
    .sort()
    .map(file => {
      const path = resolve(folder, file)
      return { name: tarball.exec(file)[1], path, size: statSync(path).size }
    })
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const packed = pack(resolve(process.argv[2] ?? 'results/packages'))
  for (const { name, path, size } of packed) {
    const ceiling = ceilings[name] ?? otherwise
    console.log(`${(size / mebibyte).toFixed(2).padStart(6)} MiB of at most ${ceiling}  ${path}`)
    if (size > ceiling * mebibyte) {
      console.error(
        `@vq/${name} has grown beyond its ceiling: find out what came in, or raise it in scripts/pack.mjs.`,
      )
      process.exitCode = 1
    }
  }
  for (const file of ['core-linux-x64', 'core-cuda-linux-x64'].flatMap(librariesOf)) {
    const symbols = tooNewIn(file)
    if (symbols.length === 0) continue
    console.error(
      `${file} asks for a newer system than its README says: ${symbols.slice(0, 5).join(', ')}. Build on an older one (docs/releasing.md).`,
    )
    process.exitCode = 1
  }
}

function librariesOf(name) {
  const folder = resolve('native/npm', name)
  return readdirSync(folder)
    .filter(file => /\.(node|so)(\.|$)/.test(file))
    .map(file => join(folder, file))
}
