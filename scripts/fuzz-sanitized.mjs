// Runs the fuzz of every kernel with an addon built under AddressSanitizer and UndefinedBehaviorSanitizer: a read or write
// outside a buffer, or undefined behaviour, ends the run. Memory that Node never frees is not looked for.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { startVitest } from 'vitest/node'

const root = fileURLToPath(new URL('..', import.meta.url))
const build = spawnSync(process.execPath, [`${root}native/sanitize.mjs`, '--addon'], { stdio: 'inherit' })
if (build.status !== 0) {
  console.error(build.error?.message ?? `native/sanitize.mjs ended with ${build.status}`)
  process.exit(1)
}
const library = spawnSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim()
const full = process.env.VQ_TEST_FULL === '1'
// Only the processes of the tests load the sanitizer, not the one that starts them: its allocator's locks are not released
// in a child between fork and exec, so that a sanitized process of many threads may hang when it starts another.
const runner = await startVitest('test', ['packages/core/test/fuzz'], {
  root,
  watch: false,
  env: {
    LD_PRELOAD: library,
    ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    VQ_NATIVE_PATH: `${root}native/build/sanitize-address/vq.node`,
    VQ_FUZZ_RUNS: process.env.VQ_FUZZ_RUNS ?? (full ? '300' : '40'),
  },
})
await runner.close()
const ran = runner.state.getFiles().length
if (ran === 0) console.error('no fuzz test was found')
if (ran === 0 || process.exitCode) process.exit(1)
