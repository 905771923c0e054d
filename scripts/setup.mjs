// Makes a clean clone ready: system libraries, packages, native build, TypeScript build. Each step does nothing when
// nothing has changed. `--build` builds after installing, `--quiet` hides the output of steps that succeed.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cudaSettings } from '../native/cuda/toolkit.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
process.chdir(root)
const quiet = process.argv.includes('--quiet')

checkNode()
systemLibraries()
installPackages()
if (process.argv.includes('--build')) build()

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19))
    stop(`Node ${process.versions.node} is too old: VQ needs 20.19 or newer.`)
}

function systemLibraries() {
  const missing = [
    ...(found('dnnl.hpp') ? [] : ['libdnnl-dev']),
    ...(found('hwy/highway.h') ? [] : ['libhwy-dev']),
    ...(works('cmake', '--version') ? [] : ['cmake']),
    ...(works(compiler(), '--version') ? [] : ['g++']),
  ]
  if (missing.length === 0) return
  const sudo = process.getuid?.() === 0 ? [] : works('sudo', '-n', 'true') ? ['sudo', '-n'] : null
  const command = `apt-get update && apt-get install -y ${missing.join(' ')}`
  if (!sudo || !works('apt-get', '--version'))
    stop(
      `VQ's native core needs ${missing.join(', ')}. Run this once, then try again:\n\n    sudo sh -c '${command}'\n`,
    )
  say(`installing ${missing.join(', ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  run([...sudo, 'apt-get', 'update', '-qq'], env, true)
  run([...sudo, 'apt-get', 'install', '-y', '-qq', ...missing], env)
}

function installPackages() {
  const key = createHash('sha256')
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json']) key.update(readFileSync(file))
  const stamp = 'node_modules/.vq-install'
  const value = key.digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === value) return
  say('installing packages')
  pnpm('install', '--frozen-lockfile')
  writeFileSync(stamp, value)
}

function build() {
  // What turbo cannot see but a native build depends on: restoring a binary of another compiler or type would be stale.
  const arch = `${process.platform}-${process.arch}`
  const type = process.env.VQ_BUILD_TYPE ?? 'Release'
  const version = execFileSync(compiler(), ['--version'], { encoding: 'utf8' }).split('\n')[0]
  const libraries = ['dnnl_version.h', 'oneapi/dnnl/dnnl_version.h', 'hwy/base.h']
    .map(f => contents(f))
    .join('')
  const key = createHash('sha256')
    .update(
      [arch, type, version, process.env.CXXFLAGS ?? '', process.env.LDFLAGS ?? '', libraries].join('\n'),
    )
    .digest('hex')
  const cuda = cudaSettings()
  if (cuda.reason !== undefined) say(`the CUDA library is not built: ${cuda.reason}`)
  if (!existsSync('native/build/Release/vq.node'))
    say('building the native core, which takes some minutes once')
  const cudaKey = [arch, version, cuda.version, cuda.architectures].join(' ')
  const env = {
    ...process.env,
    VQ_NATIVE_KEY: key,
    VQ_CUDA_KEY: cudaKey,
    TURBO_TELEMETRY_DISABLED: '1',
  }
  pnpmWith(
    env,
    'exec',
    'turbo',
    'run',
    'native:build',
    ...(cuda.reason === undefined ? ['cuda:build'] : []),
    'bundle',
    '--output-logs=new-only',
    '--log-order=stream',
  )
  run([process.execPath, 'node_modules/typescript/bin/tsc', '-b'], process.env)
}

function pnpm(...args) {
  pnpmWith(process.env, ...args)
}
function pnpmWith(env, ...args) {
  run(['npx', '--yes', 'pnpm@12', ...args], env)
}

function includeFolders() {
  return [
    '/usr/include',
    '/usr/local/include',
    ...(process.env.CPLUS_INCLUDE_PATH ?? '').split(':').filter(Boolean),
  ]
}
function found(header) {
  return includeFolders().some(folder => existsSync(join(folder, header)))
}
function contents(header) {
  for (const folder of includeFolders())
    if (existsSync(join(folder, header))) return readFileSync(join(folder, header), 'utf8')
  return ''
}
function compiler() {
  return process.env.CXX ?? 'c++'
}
function works(...command) {
  return spawnSync(command[0], command.slice(1), { stdio: 'ignore' }).status === 0
}
function run(command, env, mayFail = false) {
  const { status, stdout, stderr, error } = spawnSync(command[0], command.slice(1), {
    env,
    stdio: quiet ? 'pipe' : 'inherit',
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  if (status === 0 || mayFail) return
  if (quiet) process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`)
  stop(`failed: ${command.join(' ')}${error ? ` (${error.message})` : ''}`)
}
function say(text) {
  console.log(`vq: ${text}`)
}
function stop(text) {
  console.error(text)
  process.exit(1)
}
