// Builds the addon with cmake-js. CMake itself decides what has changed; a second run compiles nothing.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

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
const here = dirname(fileURLToPath(import.meta.url))

// CMake keeps the compiler, its flags and the type of the first build, whatever is asked for later: begin anew then.
const { CXX = 'c++', CXXFLAGS = '' } = process.env
const version = spawnSync(CXX, ['--version'], { encoding: 'utf8' }).stdout?.split('\n')[0] ?? ''
const settings = JSON.stringify({ type, CXX, CXXFLAGS, version })
const stamp = join(here, 'build', '.vq-settings')
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== settings) {
  rmSync(join(here, 'build'), { recursive: true, force: true })
  mkdirSync(join(here, 'build'), { recursive: true })
  writeFileSync(stamp, settings)
}

const { status } = spawnSync(process.execPath, [cmakeJs, ...args], {
  cwd: here,
  stdio: 'inherit',
  env: { ...process.env, CMAKE_BUILD_PARALLEL_LEVEL: process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? '2' },
})
process.exit(status ?? 1)
