// Checks libvq_cuda.so without a GPU: what it needs to be loaded, what it exports, registers and spills of every kernel.
// --full builds and checks every architecture of a release.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { cudaSettings } from './toolkit.mjs'

// Two blocks of 256 threads fit a multiprocessor with 128 registers each. Kernels of CUB are their authors' affair but for
// spills.
const mostRegisters = 128
// One block of 384 threads has a multiprocessor to itself: 168 registers each at the start, which its warpgroups then divide
// as 40 and twice 232 (hopper_scan.cu).
const registersOf = { HopperScan: 168, HopperScanResident: 168 }
const basis = /^(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|ld-linux-x86-64|ld-linux-aarch64)\.so/

const settings = cudaSettings({
  ...process.env,
  ...(process.argv.includes('--full') ? { VQ_CUDA_ARCHITECTURES: 'all' } : {}),
})
if (settings.reason !== undefined) {
  console.log(`skipped: ${settings.reason}`)
  process.exit(0)
}
const at = name => fileURLToPath(new URL(name, import.meta.url))
const began = performance.now()
output(process.execPath, [at('build.mjs')], { VQ_CUDA_ARCHITECTURES: settings.architectures })
const seconds = ((performance.now() - began) / 1000).toFixed(1)

// What test-on-gpu would first compile on a GPU's machine.
const architecture = /^\d+[af]?/.exec(settings.architectures)?.[0] ?? '90a'
const options = ['--options-file', at('nvcc-flags.txt'), '-I', at('../include'), '-I', at('..')]
output(settings.nvcc, [
  ...options,
  '-gencode',
  `arch=compute_${architecture},code=sm_${architecture}`,
  '-c',
  '-o',
  at('build/product_sums.o'),
  at('on-gpu/product_sums.cu'),
])

const wrong = []
const library = at('build/libvq_cuda.so')
const needed = [...output('readelf', ['-d', library]).matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(m => m[1])
if (needed.length === 0) wrong.push('readelf finds nothing that the library needs, not even the C library')
for (const name of needed) if (!basis.test(name)) wrong.push(`loading needs ${name}`)

const symbols = output('readelf', ['--dyn-syms', '--wide', library]).split('\n')
const exported = symbols
  .map(line => /\s(?:GLOBAL|WEAK|UNIQUE)\s+(?:DEFAULT|PROTECTED)\s+(?!UND)\S+\s+(\S+)$/.exec(line)?.[1])
  .filter(name => name !== undefined)
if (exported.join() !== 'vq_backend_open') wrong.push(`exports ${exported.join(', ') || 'nothing'}`)

const { kernels } = JSON.parse(readFileSync(at('build/kernels.json'), 'utf8'))
const ours = kernels.filter(k => !k.name.startsWith('_Z'))
if (ours.length === 0) wrong.push('no kernel figures')
for (const k of kernels) {
  const where = `${k.name} for ${k.architecture}`
  if (k.spilled > 0) wrong.push(`${where} spills ${k.spilled} bytes`)
  if (ours.includes(k) && k.stack > 0) wrong.push(`${where} has a stack frame of ${k.stack} bytes`)
  const most = registersOf[k.name] ?? mostRegisters
  if (ours.includes(k) && k.registers > most)
    wrong.push(`${where} uses ${k.registers} registers, more than ${most}`)
}

const names = [...new Set(ours.map(k => k.name))].sort()
for (const name of names) {
  const of = ours.filter(k => k.name === name)
  const registers = of.map(k => `${k.architecture.slice(3)}: ${k.registers}`).join(', ')
  console.log(`${name.padEnd(18)} registers ${registers}; shared ${of[0].shared} bytes`)
}
console.log(
  `${kernels.length - ours.length} kernels of CUB, needs ${needed.join(', ')}; built in ${seconds} s`,
)
for (const text of wrong) console.error(`libvq_cuda: ${text}`)
process.exit(wrong.length > 0 ? 1 : 0)

function output(command, args, env = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C', ...env },
    maxBuffer: 1 << 28,
  })
  if (status === 0) return stdout
  console.error(`${stdout ?? ''}${stderr ?? ''}${command} failed${error ? `: ${error.message}` : ''}`)
  process.exit(1)
}
