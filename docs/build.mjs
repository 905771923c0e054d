// `npm run docs`: the site, into docs/dist. Figures of the examples, pages made from schemas, the guides by VitePress, the API
// reference by TypeDoc, and then every link and anchor is looked at. `--no-api` leaves the reference out, for quick looks.
import { join } from 'node:path'
import { build } from 'vitepress'
import { writeApi } from './steps/api.mjs'
import { collectFigures, writeExamples } from './steps/figures.mjs'
import { checkLinks } from './steps/links.mjs'
import { writePipelinePages } from './steps/pipeline-pages.mjs'

const here = import.meta.dirname
const generated = join(here, 'generated')

/** The examples whose figures the pages show. */
const shown = ['basic-vq', 'initializers', 'rq-kmeans', 'vq-vae']
const step = async (name, work) => {
  const begun = performance.now()
  await work()
  console.log(`-- ${name}: ${((performance.now() - begun) / 1000).toFixed(0)} s`)
}

await step('figures', () => collectFigures(join(generated, 'figures'), shown))
await step('pages made from sources', () => {
  writeExamples(generated)
  writePipelinePages(generated)
})
await step('guides', () => build(here))
if (!process.argv.includes('--no-api')) {
  await step('API reference', () => writeApi(join(here, 'dist/api')))
  await step('links', () => checkLinks(join(here, 'dist')))
}
console.log(`\nThe site is in docs/dist; to read it: npx vitepress preview docs`)
