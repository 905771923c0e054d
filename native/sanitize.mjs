// Builds the native tests under sanitizers, apart from the release build, and runs them: addresses and undefined behaviour,
// then data races. ThreadSanitizer needs no suppressions: our kernels run on our own threads, and what oneDNN does on
// OpenMP's is not instrumented. With --addon it builds the addon for addresses and undefined behaviour instead, for a Node
// process that loads the sanitizers first (scripts/fuzz-sanitized.mjs).
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'

const cwd = new URL('.', import.meta.url)
const addon = process.argv.includes('--addon')
const headers = createRequire(import.meta.url)('node-api-headers').include_dir
for (const sanitizers of addon ? ['address,undefined'] : ['address,undefined', 'thread']) {
  const folder = `build/sanitize-${sanitizers.split(',')[0]}`
  const target = addon ? 'vq_addon' : 'vq_native_test'
  const settings = [`-DVQ_SANITIZE=${sanitizers}`, '-DCMAKE_BUILD_TYPE=None', `-DCMAKE_JS_INC=${headers}`]
  const steps = [
    ['cmake', '-S', '.', '-B', folder, ...settings],
    ['cmake', '--build', folder, '--target', target, '--parallel', '2'],
  ]
  if (!addon) steps.push([`${folder}/vq_native_test`])
  for (const [command, ...args] of steps) {
    const { status } = spawnSync(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] })
    if (status !== 0) process.exit(status ?? 1)
  }
}
