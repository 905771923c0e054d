// Builds the native tests under AddressSanitizer and UndefinedBehaviorSanitizer, apart from the release build, and runs them.
import { spawnSync } from 'node:child_process'

const cwd = new URL('.', import.meta.url)
const steps = [
  ['cmake', '-S', '.', '-B', 'build/sanitize', '-DVQ_SANITIZE=ON', '-DCMAKE_BUILD_TYPE=None'],
  ['cmake', '--build', 'build/sanitize', '--target', 'vq_native_test', '--parallel', '2'],
  ['build/sanitize/vq_native_test'],
]
for (const [command, ...args] of steps) {
  const { status } = spawnSync(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) process.exit(status ?? 1)
}
