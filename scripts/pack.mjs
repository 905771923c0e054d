// `npm run pack [-- FOLDER]`: tarballs of every package as npm would publish them, platform packages included, into
// results/packages. Says what each weighs; one above its ceiling is an error.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { stage } from '../native/npm/stage.mjs'

const mebibyte = 2 ** 20
/** The most that a tarball may weigh, in MiB. */
const ceilings = { 'core-linux-x64': 14, 'core-cuda-linux-x64': 8, core: 1.5 }
const otherwise = 1

/** Packs everything into `folder`, which is emptied; returns [{ name, path, size }]. */
export function pack(folder) {
  const complete = stage().map(path => path.split('/').at(-1))
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const filters = ['./packages/*', ...complete.map(name => `./native/npm/${name}`)].flatMap(f => [
    '--filter',
    f,
  ])
  execFileSync('npx', ['--yes', 'pnpm@12', '-r', ...filters, 'pack', '--pack-destination', folder], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  return readdirSync(folder)
    .filter(file => file.endsWith('.tgz'))
    .sort()
    .map(file => {
      const path = resolve(folder, file)
      return { name: /^vq-(.+)-\d+\.\d+\.\d+.*\.tgz$/.exec(file)[1], path, size: statSync(path).size }
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
}
