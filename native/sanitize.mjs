// Builds the native tests under sanitizers, apart from the release build, and runs them: addresses and undefined behaviour,
// then data races. ThreadSanitizer needs no suppressions: our kernels run on our own threads, and what oneDNN does on
// OpenMP's is not instrumented.
import { spawnSync } from 'node:child_process'

const cwd = new URL('.', import.meta.url)
for (const sanitizers of ['address,undefined', 'thread']) {
  const folder = `build/sanitize-${sanitizers.split(',')[0]}`
  const steps = [
    ['cmake', '-S', '.', '-B', folder, `-DVQ_SANITIZE=${sanitizers}`, '-DCMAKE_BUILD_TYPE=None'],
    ['cmake', '--build', folder, '--target', 'vq_native_test', '--parallel', '2'],
    [`${folder}/vq_native_test`],
  ]
  for (const [command, ...args] of steps) {
    const { status } = spawnSync(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] })
    if (status !== 0) process.exit(status ?? 1)
  }
}
