import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { managers, type Project, Published } from './managers.js'

// What npm would publish, installed into empty projects from a registry, with no compiler on the path. The addon is that of the
// platform package.
const minutes = 60_000
const full = process.env.VQ_TEST_FULL === '1'
const tfjs = '@tensorflow/tfjs-core@4.22.0'
const published = new Published()
const chosen = full ? managers : managers.slice(0, 1)
const projects = new Map<string, Project>()
const npmProject = (): Project => projects.get('npm')!

beforeAll(async () => {
  await published.start()
  for (const manager of chosen)
    projects.set(manager.name, published.project(manager, ['@vq/quantizers', '@vq/core', tfjs]))
}, 10 * minutes)
afterAll(() => published.stop())

const program = `
const quantizer = new VectorQuantizer({ numEmbeddings: 2, embeddingDim: 2, initCodebook: () => Float32Array.of(0, 0, 3, 4) })
const { indices } = nearest(Float32Array.of(1, 1, 3, 3), Float32Array.of(0, 0, 3, 4), { dim: 2 })
console.log(JSON.stringify([tf.getBackend(), [...indices], [...quantizer.encode(tf.tensor2d([[2, 3], [0, 1]])).dataSync()]]))
`
const expected = ['vq-cpu', [0, 1], [1, 0]]

test.each(chosen)('what $name installs works with import', ({ name }) => {
  const imports = "import { nearest, tf } from '@vq/core'\nimport { VectorQuantizer } from '@vq/quantizers'\n"
  expect(JSON.parse(projects.get(name)!.run('esm.mjs', imports + program))).toEqual(expected)
})

test.skipIf(!(process.features as { require_module?: boolean }).require_module).each(chosen)(
  'what $name installs works with require, on Node versions that can require ES modules (skipped on others)',
  ({ name }) => {
    const requires =
      "const { nearest, tf } = require('@vq/core')\nconst { VectorQuantizer } = require('@vq/quantizers')\n"
    expect(JSON.parse(projects.get(name)!.run('cjs.cjs', requires + program))).toEqual(expected)
  },
)

test.each(chosen)('what $name installs runs on the libraries of the platform package alone', ({ name }) => {
  const maps = `import { tf } from '@vq/core'
import { readFileSync } from 'node:fs'
tf.matMul(tf.ones([64, 64]), tf.ones([64, 64])).dataSync()
const files = readFileSync('/proc/self/maps', 'utf8').match(/\\S+(vq\\.node|lib(dnnl|hwy|gomp|OpenCL)\\.so\\S*)/g)
console.log(JSON.stringify([...new Set(files)]))`
  const files = JSON.parse(projects.get(name)!.run('maps.mjs', maps)) as string[]
  expect(files.length).toBe(5)
  for (const file of files) expect(file).toMatch(/vq-published-.*core-linux-x64/)
})

test.each(chosen)('what $name installs type-checks in a strict program', ({ name }) => {
  const project = projects.get(name)!
  const source = `import { nearest, tf, VqShapeError } from '@vq/core'
import { Linear } from '@vq/core/nn'
import { VectorQuantizer } from '@vq/quantizers'
const layer: Linear = new Linear({ inFeatures: 2, outFeatures: 3 })
const indices: Int32Array = nearest(new Float32Array(4), new Float32Array(4), { dim: 2 }).indices
const codes: tf.Tensor = new VectorQuantizer({ numEmbeddings: 2, embeddingDim: 2 }).encode(tf.zeros([1, 2]))
// @ts-expect-error: a codebook has a size
new VectorQuantizer({ embeddingDim: 2 })
console.log(layer, indices, codes, VqShapeError)
`
  writeFileSync(join(project.path, 'strict.mts'), source)
  const compiler = resolve('node_modules/typescript/bin/tsc')
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2022']
  expect(project.node([compiler, ...options, '--types', '', 'strict.mts'])).toBe('')
})

test('packages take any compatible version of each other, so that a program has one @vq/core; the platform package exactly', () => {
  const of = (name: string): Record<string, Record<string, string>> =>
    JSON.parse(readFileSync(join(npmProject().path, 'node_modules/@vq', name, 'package.json'), 'utf8'))
  const { version, optionalDependencies } = of('core') as unknown as {
    version: string
    optionalDependencies: Record<string, string>
  }
  expect(of('quantizers').dependencies!['@vq/core']).toBe(`^${version}`)
  expect(optionalDependencies['@vq/core-linux-x64']).toBe(version)
})

test('packing takes older tarballs out of its folder, and nothing else', () => {
  expect(published.packed).toContain('notes.md')
  expect(published.packed).not.toContain('vq-core-0.0.0-older.tgz')
})

test.each(chosen)(
  'tarballs alone go into an empty project with $name',
  manager => {
    const project = published.projectOfTarballs(manager, ['quantizers', 'core', 'core-linux-x64'], [tfjs])
    const imports =
      "import { nearest, tf } from '@vq/core'\nimport { VectorQuantizer } from '@vq/quantizers'\n"
    expect(JSON.parse(project.run('tarballs.mjs', imports + program))).toEqual(expected)
  },
  4 * minutes,
)

test('@vq/quantizers brings no image library, no figures and no command', () => {
  const listed = npmProject().call('npm', ['ls', '--all', '--parseable'])
  const names = listed.split('\n').map(line => line.split('node_modules/').at(-1)!)
  expect(names).toContain('@vq/core-linux-x64')
  expect(names).not.toContain('@vq/core-cuda-linux-x64')
  for (const heavy of ['sharp', 'vega', 'commander', '@tensorflow/tfjs-node', '@huggingface/hub'])
    expect(names).not.toContain(heavy)
})

test('without the platform package one error says what was tried and what helps', () => {
  const project = published.project(managers[0]!, ['--omit=optional', '@vq/core', tfjs])
  const printed = project.run(
    'missing.mjs',
    `import { nearest } from '@vq/core'
try {
  console.log(nearest(new Float32Array(2), new Float32Array(2), { dim: 2 }))
} catch (error) {
  console.log(error.name, error.message)
}`,
  )
  expect(printed).toMatch(
    /^VqDeviceError .*@vq\/core-linux-x64 \(Cannot find module .*Reinstall @vq\/core without --omit=optional/s,
  )
})

test('each entry of @vq/core works alone', () => {
  const programs = {
    nn: 'const l = new m.Linear({ inFeatures: 2, outFeatures: 3 }); console.log(Object.keys(l.stateDict()).join())',
    optim: 'const x = m.cosineSchedule({ learningRate: 1, totalSteps: 2 })(2); console.log(x)',
    io: "const t = m.toTensor({ dtype: 'F32', shape: [1], data: Float32Array.of(5) }); console.log(t.dataSync()[0])",
    testing: 'console.log(m.datasetContract({ make: () => ({ length: 0 }) }).length > 0)',
  }
  const printed = Object.entries(programs).map(([entry, text]) =>
    npmProject().run('entry.mjs', `import * as m from '@vq/core/${entry}'\n${text}\n`),
  )
  expect(printed).toEqual(['weight,bias', '0', '5', 'true'])
})

test('the layers of @vq/quantizers want TensorFlow.js layers, and nothing else of the package does', () => {
  const text = `import { VectorQuantizerLayer } from '@vq/quantizers/layers'
import { sequential } from '@tensorflow/tfjs-layers'
const layers = [new VectorQuantizerLayer({ numEmbeddings: 2, embeddingDim: 3, inputShape: [3] })]
console.log(JSON.stringify(sequential({ layers }).outputShape))`
  const run = (): string => npmProject().run('layers.mjs', text)
  expect(run).toThrow(/Cannot find package '@tensorflow\/tfjs-layers'/)
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline']
  npmProject().call('npm', ['install', ...quiet, '@tensorflow/tfjs-layers@4.22.0'])
  expect(run()).toBe('[null,3]')
})
