// A headless Chromium from npm alone: @sparticuz/chromium carries one, compressed, with the libraries that bare machines
// lack; nothing is downloaded beside it and no install script runs. VQ_CHROMIUM names another one.
import { spawnSync } from 'node:child_process'
import { createReadStream, createWriteStream, existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir, rename, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createBrotliDecompress } from 'node:zlib'
import puppeteer, { type Browser } from 'puppeteer-core'

const require = createRequire(import.meta.url)
const packed = join(dirname(require.resolve('@sparticuz/chromium')), '../../bin')
const { version } = JSON.parse(readFileSync(join(packed, '../package.json'), 'utf8'))
const unpacked = resolve(`node_modules/.cache/vq-chromium-${version}`)

/** Why there is none on this machine, else undefined. */
export const noChromium: string | undefined =
  process.env.VQ_CHROMIUM !== undefined || (process.platform === 'linux' && process.arch === 'x64')
    ? undefined
    : `the Chromium of npm is for Linux on x64, this is ${process.platform}-${process.arch}: name one in VQ_CHROMIUM`

export async function launch(): Promise<Browser> {
  const executablePath = process.env.VQ_CHROMIUM ?? (await unpack())
  return puppeteer.launch({
    executablePath,
    headless: 'shell',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--font-render-hinting=none'],
    env: environment(),
  })
}

const libraries = join(unpacked, 'al2023/lib')

function environment(): Record<string, string | undefined> {
  const fonts = existsSync('/etc/fonts/fonts.conf')
    ? {}
    : { FONTCONFIG_FILE: resolve('packages/models/assets/fonts.conf') }
  return { ...process.env, ...fonts, ...(existsSync(libraries) && { LD_LIBRARY_PATH: libraries }) }
}

async function unpack(): Promise<string> {
  const program = join(unpacked, 'chromium')
  if (!existsSync(program)) {
    // Tests of several checkouts or runs may do so at once: each into a name of its own.
    const own = `${program}.${process.pid}`
    await mkdir(unpacked, { recursive: true })
    await decompress('chromium.br', own)
    await chmod(own, 0o755)
    await rename(own, program)
  }
  if (!starts(program) && !existsSync(libraries)) {
    const tar = join(unpacked, `libraries.${process.pid}.tar`)
    const folder = join(unpacked, `libraries.${process.pid}`)
    await mkdir(folder, { recursive: true })
    await decompress('al2023.tar.br', tar)
    spawnSync('tar', ['-xf', tar, '-C', folder])
    await mkdir(dirname(libraries), { recursive: true })
    await rename(join(folder, 'lib'), libraries)
    for (const path of [tar, folder]) await rm(path, { recursive: true, force: true })
  }
  return program
}

function starts(program: string): boolean {
  return (
    spawnSync(program, ['--version', '--no-sandbox'], { env: environment() as NodeJS.ProcessEnv }).status ===
    0
  )
}

async function decompress(name: string, to: string): Promise<void> {
  await pipeline(createReadStream(join(packed, name)), createBrotliDecompress(), createWriteStream(to))
}
