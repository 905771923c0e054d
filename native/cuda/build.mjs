// Builds libvq_cuda.so into native/cuda/build, and collects there what the compiler says of every kernel: registers,
// spills, shared memory. CMake decides what has changed.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { kernelsIn } from './kernel-figures.mjs'
import { cudaSettings } from './toolkit.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const settings = cudaSettings()
if (settings.reason !== undefined) {
  console.log(`vq: the CUDA library is not built: ${settings.reason}`)
  process.exit(0)
}
const folder = join(here, 'build')
const work = join(folder, 'work')
const stamp = join(work, '.vq-settings')
const key = JSON.stringify([settings, process.env.CXX ?? ''])
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== key) {
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work, { recursive: true })
}

const kernels = join(folder, 'kernels.json')
const all = settings.architectures === 'all'
run([
  'cmake',
  '-S',
  here,
  '-B',
  work,
  `-DCMAKE_CUDA_COMPILER=${settings.nvcc}`,
  ...(all ? [] : [`-DCMAKE_CUDA_ARCHITECTURES=${settings.architectures}`]),
])
const jobs = process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? '2'
const log = run(['cmake', '--build', work, '--parallel', jobs])

// What was not compiled this time keeps its figures. A kernel that several files have is the same in each.
const known =
  existsSync(stamp) && existsSync(kernels) ? JSON.parse(readFileSync(kernels, 'utf8')).kernels : []
const byName = new Map([...known, ...kernelsIn(log)].map(k => [`${k.architecture} ${k.name}`, k]))
const merged = [...byName.values()]
writeFileSync(
  kernels,
  `${JSON.stringify({ nvcc: settings.version, architectures: settings.architectures, kernels: merged }, null, 1)}\n`,
)
copyFileSync(join(work, 'libvq_cuda.so'), join(folder, 'libvq_cuda.so'))
writeFileSync(stamp, key)
console.log(`vq: CUDA library for ${settings.architectures}, ${merged.length} kernels`)

function run([command, ...args]) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 })
  if (status === 0) return `${stdout}${stderr}`
  console.error(
    `${stdout ?? ''}${stderr ?? ''}failed: ${command} ${args.join(' ')}${error ? ` (${error.message})` : ''}`,
  )
  process.exit(1)
}
