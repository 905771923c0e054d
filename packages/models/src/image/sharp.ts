// The one door to sharp: loaded on first use, so that importing @vq/models costs nothing, and with our font known to it.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { VqDeviceError } from '@vq/core'
import type { SharpConstructor } from 'sharp'

export type SharpFactory = SharpConstructor

/** The font of every figure, shipped with the package: without one, text on a bare machine is silently left out. */
export const fontFamily = 'DejaVu Sans'

/** For viewers of SVG files without it: Verdana is as wide. */
export const fontStack: string = `${fontFamily}, Verdana, sans-serif`

const asset = (name: string): string => fileURLToPath(new URL(`../../assets/${name}`, import.meta.url))

let loading: Promise<SharpFactory> | undefined

export function loadSharp(): Promise<SharpFactory> {
  loading ??= load()
  return loading
}

async function load(): Promise<SharpFactory> {
  // fontconfig complains on stderr where it finds no configuration at all, as in small containers.
  if (process.env.FONTCONFIG_FILE === undefined && !existsSync('/etc/fonts/fonts.conf'))
    process.env.FONTCONFIG_FILE = asset('fonts.conf')
  try {
    return (await import('sharp')).default
  } catch (error) {
    throw new VqDeviceError({
      operation: 'loading sharp',
      expected: `its library for ${process.platform}-${process.arch}`,
      received: (error as Error).message.split('\n')[0]!,
      remedy: 'Reinstall @vq/models without --omit=optional.',
      cause: error,
    })
  }
}

let registering: Promise<unknown> | undefined

/** Renders an SVG as PNG, `scale` pixels per SVG unit. Text set in `fontFamily` looks the same on every machine. */
export async function svgToPng(svg: string, scale = 2): Promise<Buffer> {
  const sharp = await loadSharp()
  // Rendering one text from a font file makes the font known to the process, in worker threads too.
  registering ??= sharp({
    text: { text: 'x', font: fontFamily, fontfile: asset('DejaVuSans.ttf') },
  })
    .png()
    .toBuffer()
  await registering
  return sharp(Buffer.from(svg), { density: 72 * scale })
    .png({ compressionLevel: 9, palette: false })
    .toBuffer()
}
