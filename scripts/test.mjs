// `npm test`: everything that decides whether main is green. `--full` adds what needs more time.
import { spawnSync } from 'node:child_process'

const full = process.argv.includes('--full')
const steps = [
  ['lint', 'node_modules/.bin/biome', ['ci', '.']],
  ['types of tests', process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.test.json']],
  ['native', 'native/build/Release/vq_native_test', []],
  ['CUDA library', process.execPath, ['native/cuda/check-build.mjs', ...(full ? ['--full'] : [])]],
  ['native, sanitized', process.execPath, ['native/sanitize.mjs']],
  ['fuzz, sanitized', process.execPath, ['scripts/fuzz-sanitized.mjs']],
  ['packages as published', process.execPath, ['scripts/check-packages.mjs']],
  ['tfjs-core op suite', process.execPath, ['test/tfjs/run.mjs']],
  ['tensorflow backend', process.execPath, ['test/tensorflow/run.mjs']],
  ['units, contracts, oracles', 'node_modules/.bin/vitest', ['run']],
]
for (const [name, command, args] of steps) {
  console.log(`\n== ${name}`)
  const { status, error } = spawnSync(command, args, {
    stdio: 'inherit',
    env: { ...process.env, VQ_TEST_FULL: full ? '1' : '' },
  })
  if (status !== 0) {
    console.error(`${name} failed${error ? `: ${error.message}` : ''}`)
    process.exit(1)
  }
}
console.log('\nall green')
