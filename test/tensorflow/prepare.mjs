// Makes @tensorflow/tfjs-node work without its download: its own binding, compiled against the libtensorflow inside the
// Python package tensorflow-cpu. Everything lies in test/tensorflow/build and is made once.
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const versions = { 'tfjs-node': '4.22.0', 'tensorflow-cpu': '2.21.0' }

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = join(root, 'test/tensorflow/build')
const wheel = join(folder, 'wheel')
const project = join(folder, 'project')
const tfjsNode = join(project, 'node_modules/@tensorflow/tfjs-node')
const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2']

class Unavailable extends Error {}

/** `{ project }`, a folder from which '@tensorflow/tfjs-node' can be imported, or `{ reason }` where it cannot be had. */
export function prepareTensorflow() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return {
      reason: `tensorflow-cpu's libraries are used on linux-x64 alone, not ${process.platform}-${process.arch}`,
    }
  try {
    once('libtensorflow', versions['tensorflow-cpu'], extractLibraries)
    once('tfjs-node', versions['tfjs-node'], installTfjsNode)
    once('binding', `${Object.values(versions)} napi-8 ${folder}`, compile)
    shareTfjsCore()
    return { project }
  } catch (error) {
    if (error instanceof Unavailable) return { reason: error.message }
    throw error
  }
}

function once(name, key, make) {
  const stamp = join(folder, `${name}.made`)
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return
  mkdirSync(folder, { recursive: true })
  console.log(`making ${name} ${key}`)
  make()
  writeFileSync(stamp, key)
}

function extractLibraries() {
  rmSync(wheel, { recursive: true, force: true })
  mkdirSync(wheel, { recursive: true })
  const version = versions['tensorflow-cpu']
  const venv = join(folder, 'venv')
  if (!tried(process.env.VQ_PYTHON ?? 'python3', ['-m', 'venv', venv]).ok)
    throw new Unavailable('python3 cannot make a virtual environment')
  const pip = tried(join(venv, 'bin/python'), [
    ...['-m', 'pip', 'download', '--retries', '0', '--no-deps', '--only-binary', ':all:', '--dest', wheel],
    `tensorflow-cpu==${version}`,
  ])
  if (!pip.ok) throw new Unavailable(`pip cannot fetch tensorflow-cpu ${version}: ${pip.says}`)
  const [name] = readdirSync(wheel)
  const code = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        if name.endswith(('.so.2', '.h')) and name.startswith(('tensorflow/lib', 'tensorflow/include/tensorflow/', 'tensorflow/include/xla/', 'tensorflow/include/tsl/')):
            wheel.extract(name, sys.argv[2])`
  need(tried('python3', ['-c', code, join(wheel, name), wheel]), 'unpacking libtensorflow')
  rmSync(join(wheel, name))
  rmSync(venv, { recursive: true })
}

function installTfjsNode() {
  rmSync(project, { recursive: true, force: true })
  mkdirSync(project, { recursive: true })
  writeFileSync(join(project, 'package.json'), '{ "private": true }')
  const version = versions['tfjs-node']
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--fetch-retries=0']
  const npm = tried('npm', ['install', ...options, `@tensorflow/tfjs-node@${version}`], project)
  if (!npm.ok) throw new Unavailable(`npm cannot fetch @tensorflow/tfjs-node ${version}: ${npm.says}`)
}

function compile() {
  const require = createRequire(join(root, 'native/package.json'))
  const api = require('node-api-headers').include_dir
  const out = join(tfjsNode, 'lib/napi-v8')
  mkdirSync(out, { recursive: true })
  const sources = readdirSync(join(tfjsNode, 'binding')).filter(f => f.endsWith('.cc'))
  const from = join(wheel, 'tensorflow')
  const command = [
    ...['-shared', '-fPIC', '-O2', '-std=c++17', '-w', '-DNAPI_VERSION=8', `-I${api}`, `-I${from}/include`],
    ...sources.map(f => join(tfjsNode, 'binding', f)),
    ...libraries.map(f => join(from, f)),
    ...[`-Wl,-rpath,${from}`, '-o', join(out, 'tfjs_binding.node')],
  ]
  need(tried(process.env.CXX ?? 'c++', command), "compiling tfjs-node's binding")
}

// Two copies of tfjs-core would be two registries of backends.
function shareTfjsCore() {
  const ours = realpathSync(
    dirname(createRequire(join(root, 'package.json')).resolve('@tensorflow/tfjs-core/package.json')),
  )
  const theirs = join(project, 'node_modules/@tensorflow/tfjs-core')
  if (existsSync(theirs) && realpathSync(theirs) === ours) return
  rmSync(theirs, { recursive: true, force: true })
  symlinkSync(ours, theirs)
}

function tried(command, args, cwd = root) {
  const { status, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 26 })
  const says = (error?.message ?? stderr ?? '').trim().split('\n').slice(-3).join(' ')
  return { ok: status === 0, says }
}

function need({ ok, says }, what) {
  if (!ok) throw new Error(`${what} failed: ${says}`)
}
