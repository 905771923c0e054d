// Builds the addon with cmake-js. CMake itself decides what has changed; a second run compiles nothing.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const require = createRequire(import.meta.url)
const cmakeJs = join(dirname(require.resolve('cmake-js/package.json')), 'bin', 'cmake-js')
const type = process.env.VQ_BUILD_TYPE ?? 'Release'
const args = [
  'compile',
  '--out',
  'build',
  '--config',
  type,
  '--CDCMAKE_RUNTIME_OUTPUT_DIRECTORY=Release',
  '--CDCMAKE_LIBRARY_OUTPUT_DIRECTORY=Release',
]
const { status } = spawnSync(process.execPath, [cmakeJs, ...args], {
  cwd: import.meta.dirname ?? dirname(new URL(import.meta.url).pathname),
  stdio: 'inherit',
  env: { ...process.env, CMAKE_BUILD_PARALLEL_LEVEL: process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? '2' },
})
process.exit(status ?? 1)
