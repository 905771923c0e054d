// Before a platform package is published, in its folder: what it is for must be there, `npm run pack` puts it there.
import { existsSync, readFileSync } from 'node:fs'

const { name, main } = JSON.parse(readFileSync('package.json', 'utf8'))
if (!existsSync(main)) {
  console.error(
    `${name} would be published without ${main}: build it and run npm run pack, or leave the package out.`,
  )
  process.exit(1)
}
