// Puts into the platform packages what they carry: the addon of this machine's build with the libraries that it needs, and the
// CUDA library where it was built. What every Linux of the package has (the C and C++ libraries) is not carried.
import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cubNotice, cudaSettings, runtimeAgreement } from '../cuda/toolkit.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const carried = ['libdnnl', 'libhwy', 'libgomp', 'libOpenCL']
const output = (command, ...args) =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })

/** Stages `@vq/core-linux-x64` and, where it was built, the CUDA library; returns the folders that are complete. */
export function stage() {
  if (`${process.platform}-${process.arch}` !== 'linux-x64')
    throw new Error(
      `Platform packages are made on linux-x64, this is ${process.platform}-${process.arch}: docs/releasing.md has the recipe.`,
    )
  const core = join(here, 'core-linux-x64')
  const addon = join(here, '..', 'build', 'Release', 'vq.node')
  if (!existsSync(addon)) throw new Error(`There is no ${addon}: run npm run build first.`)
  clear(core)
  put(addon, join(core, 'vq.node'))
  for (const [, name, path] of output('ldd', addon).matchAll(/^\s*(\S+) => (\S+)/gm))
    if (carried.some(prefix => name.startsWith(`${prefix}.so`))) {
      put(realpathSync(path), join(core, name))
      licence(realpathSync(path), join(core, 'licenses', `${name.split('.')[0]}.txt`))
    }
  const cuda = join(here, 'core-cuda-linux-x64')
  const library = join(here, '..', 'cuda', 'build', 'libvq_cuda.so')
  clear(cuda)
  if (!existsSync(library)) return [core]
  const { nvcc } = cudaSettings()
  const agreement = nvcc === undefined ? undefined : runtimeAgreement(nvcc)
  const notice = nvcc === undefined ? undefined : cubNotice(nvcc)
  if (agreement === undefined || notice === undefined) {
    const what = agreement === undefined ? 'the CUDA runtime' : 'CUB'
    console.warn(`@vq/core-cuda-linux-x64 is left out: no licence of ${what} was found beside nvcc.`)
    return [core]
  }
  put(library, join(cuda, 'libvq_cuda.so'))
  keep(agreement, join(cuda, 'licenses', 'cuda-runtime.txt'))
  writeFileSync(join(cuda, 'licenses', 'cub.txt'), notice)
  return [core, cuda]
}

function clear(folder) {
  for (const name of readdirSync(folder))
    if (!['package.json', 'README.md', 'LICENSE', 'node_modules'].includes(name))
      rmSync(join(folder, name), { recursive: true })
}

function put(from, to) {
  copyFileSync(from, to)
  execFileSync('strip', ['--strip-unneeded', to])
}

// Debian keeps the licence of a library's package beside its other documents.
function licence(library, to) {
  const owner = [library, library.replace(/^\/lib\//, '/usr/lib/'), library.replace(/^\/usr\/lib\//, '/lib/')]
    .map(path => {
      try {
        return output('dpkg', '-S', path).split(':')[0]
      } catch {
        return undefined
      }
    })
    .find(name => name !== undefined)
  const text = owner && `/usr/share/doc/${owner}/copyright`
  if (!text || !existsSync(text))
    throw new Error(`No licence of ${basename(library)} was found: it cannot be carried.`)
  keep(text, to)
}

function keep(text, to) {
  mkdirSync(dirname(to), { recursive: true })
  copyFileSync(text, to)
}
