// `npm run picture`: the picture of the README, docs/public/reconstructions.png, from what `npm run demo` left in results/ (or in the
// folder that is named), in at most 200 KB.
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'

const require = createRequire(resolve(import.meta.dirname, '../../packages/pipeline/package.json'))
const sharp = require('sharp')
const folder = resolve(process.argv[2] ?? 'results')
const target = resolve(import.meta.dirname, '../public/reconstructions.png')
const { size, width, height } = await sharp(join(folder, 'reconstructions.png'))
  .resize({ width: 1200, withoutEnlargement: true })
  .png({ palette: true, colours: 256, effort: 10 })
  .toFile(target)
console.log(`${target}: ${width} × ${height}, ${(size / 1000).toFixed(0)} KB`)
if (size > 200_000) throw new Error('The picture is larger than 200 KB.')
