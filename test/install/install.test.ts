import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

// The tarballs of two packages in an empty project. TensorFlow.js is taken from the workspace.
// The addon is the one built here, as there are no platform packages yet.
const project = mkdtempSync(join(tmpdir(), 'vq-install-'))
const env = { ...process.env, VQ_NATIVE_PATH: resolve('native/build/Release/vq.node') }
const node = (file: string): string =>
  execFileSync(process.execPath, ['--no-warnings', file], {
    cwd: project,
    encoding: 'utf8',
    env,
    stdio: 'pipe',
  })

beforeAll(() => {
  const filters = ['--filter', '@vq/core', '--filter', '@vq/quantizers']
  execFileSync('npx', ['--yes', 'pnpm@12', '-r', ...filters, 'pack', '--pack-destination', project], {
    stdio: 'pipe',
  })
  const tarballs = readdirSync(project).filter(name => name.endsWith('.tgz'))
  expect(tarballs.length).toBe(2)
  const dependencies = Object.fromEntries(
    tarballs.map(name => [`@vq/${/^vq-([a-z]+)-/.exec(name)![1]}`, `file:./${name}`]),
  )
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'empty', private: true, dependencies }))
  const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', '--legacy-peer-deps']
  execFileSync('npm', ['install', ...quiet], { cwd: project, stdio: 'pipe' })
  mkdirSync(join(project, 'node_modules', '@tensorflow'))
  const tfjs = join(project, 'node_modules', '@tensorflow', 'tfjs-core')
  symlinkSync(realpathSync('node_modules/@tensorflow/tfjs-core'), tfjs)
}, 120_000)
afterAll(() => rmSync(project, { recursive: true, force: true }))

const program = `
const quantizer = new VectorQuantizer({ numEmbeddings: 2, embeddingDim: 2, initCodebook: () => Float32Array.of(0, 0, 3, 4) })
const { indices } = nearest(Float32Array.of(1, 1, 3, 3), Float32Array.of(0, 0, 3, 4), { dim: 2 })
console.log(JSON.stringify([tf.getBackend(), [...indices], [...quantizer.encode(tf.tensor2d([[2, 3], [0, 1]])).dataSync()]]))
`
const expected = ['vq-cpu', [0, 1], [1, 0]]

test('the packed packages work with import', () => {
  const imports = "import { nearest, tf } from '@vq/core'\nimport { VectorQuantizer } from '@vq/quantizers'\n"
  writeFileSync(join(project, 'esm.mjs'), imports + program)
  expect(JSON.parse(node('esm.mjs'))).toEqual(expected)
})

test.skipIf(!(process.features as { require_module?: boolean }).require_module)(
  'and with require, on Node versions that can require ES modules (skipped on others)',
  () => {
    const requires =
      "const { nearest, tf } = require('@vq/core')\nconst { VectorQuantizer } = require('@vq/quantizers')\n"
    writeFileSync(join(project, 'cjs.cjs'), requires + program)
    expect(JSON.parse(node('cjs.cjs'))).toEqual(expected)
  },
)

test('each entry of @vq/core works alone', () => {
  const programs = {
    nn: 'const l = new m.Linear({ inFeatures: 2, outFeatures: 3 }); console.log(Object.keys(l.stateDict()).join())',
    optim: 'const x = m.cosineSchedule({ learningRate: 1, totalSteps: 2 })(2); console.log(x)',
    io: "const t = m.toTensor({ dtype: 'F32', shape: [1], data: Float32Array.of(5) }); console.log(t.dataSync()[0])",
    testing: 'console.log(m.datasetContract({ make: () => ({ length: 0 }) }).length > 0)',
  }
  const printed = Object.entries(programs).map(([entry, program]) => {
    writeFileSync(join(project, 'entry.mjs'), `import * as m from '@vq/core/${entry}'\n${program}\n`)
    return node('entry.mjs').trim()
  })
  expect(printed).toEqual(['weight,bias', '0', '5', 'true'])
})

test('the layers of @vq/quantizers want TensorFlow.js layers, and nothing else of the package does', () => {
  writeFileSync(
    join(project, 'layers.mjs'),
    `import { VectorQuantizerLayer } from '@vq/quantizers/layers'
import { sequential } from '@tensorflow/tfjs-layers'
const layers = [new VectorQuantizerLayer({ numEmbeddings: 2, embeddingDim: 3, inputShape: [3] })]
console.log(JSON.stringify(sequential({ layers }).outputShape))`,
  )
  const run = (): string => node('layers.mjs').trim()
  expect(run).toThrow(/Cannot find package '@tensorflow\/tfjs-layers'/)
  const from = 'packages/quantizers/node_modules/@tensorflow/tfjs-layers'
  symlinkSync(realpathSync(from), join(project, 'node_modules', '@tensorflow', 'tfjs-layers'))
  expect(run()).toBe('[null,3]')
})
