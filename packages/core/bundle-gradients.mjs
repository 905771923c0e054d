// tfjs-core's Node bundle holds no gradients, and its module files, which do, are not loadable in Node. This bundles
// them once, at build time; they share the engine and the registries with the main bundle through tfjs's globals.
import { mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = dirname(fileURLToPath(import.meta.url))
const tfjs = dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-core/package.json'))
const out = join(here, 'generated')
mkdirSync(out, { recursive: true })
await build({
  entryPoints: [join(tfjs, 'dist', 'register_all_gradients.js')],
  outfile: join(out, 'gradients.js'),
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  mainFields: ['module', 'main'],
  minify: true,
  legalComments: 'none',
  banner: {
    js: '// Gradients of TensorFlow.js (Apache License 2.0, https://github.com/tensorflow/tfjs), bundled by bundle-gradients.mjs.',
  },
})
writeFileSync(join(out, 'gradients.d.ts'), 'export {}\n')
