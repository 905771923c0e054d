import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..', '..')
const tfjs = dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-core/package.json'))

/** Bundles tfjs-core's specs with our sources, so that both see the same tfjs-core; answers the bundle's path. */
export async function bundle() {
  const outfile = join(here, 'build', 'suite.mjs')
  await build({
    stdin: {
      contents: `export * from './entry.mjs'\nimport ${JSON.stringify(join(tfjs, 'dist', 'tests.js'))}`,
      resolveDir: here,
    },
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    mainFields: ['module', 'main'],
    // tfjs-core declares its specs free of side effects: without this the bundle holds none of them.
    ignoreAnnotations: true,
    external: ['jasmine-core'],
    alias: { '@vq/core': join(root, 'packages', 'core', 'src', 'index.ts') },
    banner: {
      js: "import * as nodeModule from 'node:module'\nconst require = nodeModule.createRequire(import.meta.url)",
    },
    logLevel: 'warning',
  })
  return outfile
}
