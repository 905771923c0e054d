// Runs the fuzz of every kernel with an addon built under AddressSanitizer and UndefinedBehaviorSanitizer: a read or write
// outside a buffer, or undefined behaviour, ends the run. Memory that Node never frees is not looked for.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const at = path => `${root}${path}`

function run(command, args, env = {}) {
  const options = { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } }
  const { status, error } = spawnSync(command, args, options)
  if (status === 0) return
  console.error(error?.message ?? `${command} ended with ${status}`)
  process.exit(1)
}

run(process.execPath, [at('native/sanitize.mjs'), '--addon'])
const library = spawnSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim()
const full = process.env.VQ_TEST_FULL === '1'
run(at('node_modules/.bin/vitest'), ['run', 'packages/core/test/fuzz'], {
  LD_PRELOAD: library,
  ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1',
  UBSAN_OPTIONS: 'print_stacktrace=1',
  VQ_NATIVE_PATH: at('native/build/sanitize-address/vq.node'),
  VQ_FUZZ_RUNS: process.env.VQ_FUZZ_RUNS ?? (full ? '300' : '40'),
})
