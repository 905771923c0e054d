// The `tensorflow` backend for real: tfjs-node on libtensorflow, first as a user finds it, then every contract suite of ops
// and quantizers. Where the libraries cannot be had it says why and skips.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { prepareTensorflow } from './prepare.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { project, reason } = prepareTensorflow()
if (reason !== undefined) {
  console.log(`skipped: ${reason}`)
  process.exit(0)
}

// The suites that run on whatever backend they are given.
const suites = [
  ...[
    'convolution-gradients',
    'ema-update',
    'fused',
    'fused-edges',
    'fused-ops',
    'gradients',
    'nearest-code',
    'nn',
  ],
  ...[
    'nn-attention',
    'nn-contract',
    'nn-module',
    'nn-options',
    'nn-oracle',
    'optim',
    'optim-oracle',
    'random-ops',
    'second-order',
  ],
].map(name => `packages/core/test/${name}.test.ts`)
const env = {
  ...process.env,
  NODE_PATH: join(project, 'node_modules'),
  TF_CPP_MIN_LOG_LEVEL: '2',
}
run(process.execPath, ['test/tensorflow/device.mjs'])
// The layers choose their backends themselves, and would find a second tfjs-layers here: tfjs-node brings one.
const quantizers = ['packages/quantizers', '--exclude', 'packages/quantizers/test/layers*.test.ts']
run('node_modules/.bin/vitest', ['run', ...suites, ...quantizers, 'test/contract'], {
  VQ_TEST_BACKENDS: 'tensorflow',
})

function run(command, args, more = {}) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...env, ...more } })
  if (status !== 0) process.exit(status ?? 1)
}
