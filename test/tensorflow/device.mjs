// device.use('tensorflow') as a user meets it: the built packages and tfjs-node in a project of their own. Each program
// below runs in a process of its own there, in one state of the installation after another.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { prepareTensorflow, versions } from './prepare.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { project } = prepareTensorflow()
const modules = join(project, 'node_modules')
const cpuPackage = join(modules, '@tensorflow/tfjs-node')
const gpuPackage = join(modules, '@tensorflow/tfjs-node-gpu')
const hidden = join(project, 'hidden')
const [node, tensorflow] = Object.values(versions)

for (const name of ['core', 'quantizers']) {
  const to = join(modules, '@vq', name)
  rmSync(to, { recursive: true, force: true })
  mkdirSync(to, { recursive: true })
  const parts = name === 'core' ? ['dist', 'generated', 'package.json'] : ['dist', 'package.json']
  const from = join(root, 'packages', name)
  for (const part of parts) cpSync(join(from, part), join(to, part), { recursive: true })
  const { dependencies } = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8'))
  for (const other of Object.keys(dependencies).filter(d => !d.startsWith('@vq/'))) {
    mkdirSync(join(to, 'node_modules'), { recursive: true })
    symlinkSync(realpathSync(join(from, 'node_modules', other)), join(to, 'node_modules', other))
  }
}
for (const left of [gpuPackage, hidden]) rmSync(left, { recursive: true, force: true })

const start = `
import util from 'node:util'
import { createRequire } from 'node:module'
// As Node 23 has it.
const plain = createRequire(import.meta.url)('node:util')
delete plain.isNullOrUndefined
const { device, nearestCode, doctor, tf } = await import('@vq/core')
const said = []
console.info = text => said.push(text)
console.warn = text => said.push(text)
const seen = { list: device.list().at(-1), backend: tf.getBackend() }
const report = more => process.stdout.write('\\n' + JSON.stringify({ ...seen, said, ...more }))
const attempt = choice => device.use(choice).catch(error => ({ name: error.name, message: error.message }))
`

function run(program, env = {}) {
  const file = join(project, 'program.mjs')
  writeFileSync(file, start + program)
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--no-warnings', file], {
    cwd: project,
    encoding: 'utf8',
    env: {
      VQ_NATIVE_PATH: join(root, 'native/build/Release/vq.node'),
      ...process.env,
      NODE_PATH: '',
      ...env,
    },
  })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout.split('\n').at(-1))
}

function check(name, test) {
  test()
  console.log(`✓ ${name}`)
}

check('tfjs-node is found, said which, without util.isNullOrUndefined, and trains a quantizer', () => {
  const seen = run(`
const { VectorQuantizer } = await import('@vq/quantizers')
const chosen = await device.use('tensorflow')
await device.use('tensorflow')
// Numbers that a plain array and a null attribute go through util.isNullOrUndefined for.
const z = tf.variable(tf.randomNormal([64, 4], 0, 1, 'float32', 7))
const quantizer = new VectorQuantizer({ numEmbeddings: 8, embeddingDim: 4 })
const losses = []
for (let i = 0; i < 20; i++) losses.push(quantizer.forward(z).loss.dataSync()[0])
const codes = [...quantizer.encode(z).dataSync()]
const book = quantizer.codebook()
const [rows, entries] = [z.dataSync(), book.dataSync()]
await device.use('cpu')
const here = [...nearestCode(tf.tensor2d(rows, [64, 4]), tf.tensor2d(entries, [8, 4])).dataSync()]
await device.use('tensorflow')
// tfjs's own gradient refuses dilation, ours must have outlived its registration.
const g = tf.grad(x => tf.conv2d(x, tf.ones([2, 2, 1, 1]), 1, 'valid', 'NHWC', 2))(tf.ones([1, 4, 4, 1]))
report({ chosen, after: device.list().at(-1), losses, codes, here, gradient: [...g.dataSync()], active: tf.getBackend() })
`)
  const name = '@tensorflow/tfjs-node'
  assert.deepEqual(seen.list, { name: 'tensorflow', package: name, version: node })
  assert.equal(seen.backend, 'vq-cpu')
  assert.deepEqual(
    [seen.chosen, seen.active, seen.after],
    ['tensorflow', 'tensorflow', { ...seen.list, libtensorflow: tensorflow }],
  )
  assert.deepEqual(
    seen.said.filter(text => text.includes('runs on')),
    [`device.use('tensorflow') runs on ${name} ${node} (TensorFlow ${tensorflow}).`],
  )
  assert.ok(seen.losses.at(-1) < seen.losses[0], `losses ${seen.losses}`)
  assert.deepEqual(seen.codes, seen.here)
  assert.equal(new Set(seen.codes).size > 1, true)
  assert.deepEqual(seen.gradient, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
})

// The GPU package is the same code under another name, on a libtensorflow for CUDA 11.2, which is not to be had here: this
// is that code on the processor's library.
cpSync(cpuPackage, gpuPackage, { recursive: true })
const manifest = JSON.parse(readFileSync(join(gpuPackage, 'package.json'), 'utf8'))
manifest.name = '@tensorflow/tfjs-node-gpu'
writeFileSync(join(gpuPackage, 'package.json'), JSON.stringify(manifest))
check('tfjs-node-gpu goes first', () => {
  const seen = run(`report({ chosen: await device.use('tensorflow'), after: device.list().at(-1) })`)
  assert.equal(seen.list.package, '@tensorflow/tfjs-node-gpu')
  assert.deepEqual([seen.chosen, seen.after.package], ['tensorflow', '@tensorflow/tfjs-node-gpu'])
  assert.ok(seen.said.some(text => text.includes('runs on @tensorflow/tfjs-node-gpu')))
})

check('a tfjs-node-gpu that does not load gives way to tfjs-node', () => {
  writeFileSync(
    join(gpuPackage, 'dist/index.js'),
    `throw new Error('libcudart.so.11.0: cannot open shared object file')`,
  )
  const seen = run(
    `report({ chosen: await device.use('tensorflow'), after: device.list().at(-1), text: doctor().text })`,
  )
  assert.deepEqual([seen.chosen, seen.after.package], ['tensorflow', '@tensorflow/tfjs-node'])
  assert.match(seen.text, /tfjs-node-gpu.*libcudart\.so\.11\.0/)
})

check('where neither loads, both reasons and the remedy are told, and the backend stays', () => {
  const binding = join(cpuPackage, 'lib')
  renameSync(binding, hidden)
  try {
    const seen = run(
      `report({ error: await attempt('tensorflow'), after: device.list().at(-1), now: tf.getBackend() })`,
    )
    assert.equal(seen.error.name, 'VqDeviceError')
    assert.match(seen.error.message, /libcudart.*tfjs-node: .*tfjs_binding.node.*npm rebuild.*doctor/s)
    assert.match(seen.after.reason, /libcudart/)
    assert.equal(seen.now, 'vq-cpu')
  } finally {
    renameSync(hidden, binding)
  }
})
rmSync(gpuPackage, { recursive: true })

check("without the native core, 'auto' takes tensorflow and says so once", () => {
  const program = `report({ chosen: [await device.use('auto'), await device.use('auto')], codes: [...nearestCode(tf.tensor2d([[0, 1], [5, 5]]), tf.tensor2d([[4, 4], [0, 0]])).dataSync()] })`
  const seen = run(program, { VQ_NATIVE_PATH: '/nowhere/vq.node' })
  assert.deepEqual(
    [seen.chosen, seen.codes],
    [
      ['tensorflow', 'tensorflow'],
      [1, 0],
    ],
  )
  assert.equal(seen.said.filter(text => text.includes('fell back')).length, 1)
  assert.ok(seen.said.some(text => text.includes(`@tensorflow/tfjs-node ${node}`)))
})

renameSync(cpuPackage, hidden)
try {
  check('where neither is installed, the list and the error say so', () => {
    const seen = run(`report({ error: await attempt('tensorflow') })`)
    assert.match(seen.list.reason, /neither .*tfjs-node-gpu nor .*tfjs-node is installed/)
    assert.match(seen.error.message, /not installed.*Install @tensorflow\/tfjs-node 4\.22/)
  })
} finally {
  renameSync(hidden, cpuPackage)
}
