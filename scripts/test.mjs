// `npm test`: everything that decides whether main is green. `--full` adds what needs more time.
import { spawn } from 'node:child_process'

const full = process.argv.includes('--full')
/** Minutes that a step may take: several times what it takes on two cores. A step that hangs is named, and ended. */
const limit = full ? 600 : 60
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
  ['documentation', process.execPath, ['docs/build.mjs']],
  ['units, contracts, oracles', 'node_modules/.bin/vitest', ['run']],
]

/** Resolves to undefined where the command ends well, else to what went wrong. */
function run(command, args) {
  return new Promise(resolve => {
    // A group of its own, so that what the command started ends with it.
    const child = spawn(command, args, {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, VQ_TEST_FULL: full ? '1' : '' },
      detached: true,
    })
    const stop = () => process.kill(-child.pid, 'SIGKILL')
    const interrupted = signal => {
      stop()
      process.exit(signal === 'SIGINT' ? 130 : 143)
    }
    process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
    let overdue = false
    const timer = setTimeout(() => {
      overdue = true
      stop()
    }, limit * 60_000)
    const done = problem => {
      clearTimeout(timer)
      process.off('SIGINT', interrupted).off('SIGTERM', interrupted)
      resolve(overdue ? `it had not ended after ${limit} minutes` : problem)
    }
    child.once('error', error => done(error.message))
    child.once('exit', (status, signal) =>
      done(status === 0 ? undefined : `it ended with ${status ?? signal}`),
    )
  })
}

for (const [name, command, args] of steps) {
  console.log(`\n== ${name}`)
  const begun = performance.now()
  const problem = await run(command, args)
  if (problem !== undefined) {
    console.error(`${name} failed: ${problem}`)
    process.exit(1)
  }
  console.log(`-- ${name}: ${((performance.now() - begun) / 1000).toFixed(0)} s`)
}
console.log('\nall green')
