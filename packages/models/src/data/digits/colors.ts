import { ciede2000, type Lab, srgbToLab } from './ciede2000.js'

export type Rgb = readonly [number, number, number]

export interface NamedColor {
  /** "dark turquoise": shade and colour. */
  name: string
  shade: Shade
  /** One of `hues`. */
  color: string
  /** sRGB bytes. */
  rgb: Rgb
  /** CIE L*a*b* under D65. */
  lab: Lab
}

export const shades = ['light', 'dark', 'plain', 'normal', 'bright'] as const
export type Shade = (typeof shades)[number]

const bases: Record<string, Rgb> = {
  red: [214, 40, 40],
  orange: [240, 130, 20],
  yellow: [235, 205, 30],
  green: [50, 160, 60],
  blue: [45, 85, 215],
  cyan: [40, 190, 225],
  turquoise: [35, 175, 155],
  purple: [120, 60, 175],
  magenta: [215, 45, 165],
  pink: [245, 145, 175],
  brown: [140, 85, 45],
  gray: [130, 130, 130],
  white: [225, 225, 225],
}

/** The 13 colour names. */
export const hues: readonly string[] = Object.keys(bases)

/** All 65 colours, any two at least 5 apart by CIEDE2000: every shade of every colour name. */
export const namedColors: readonly NamedColor[] = shades.flatMap(shade =>
  hues.map(hue => {
    const rgb = shaded(bases[hue]!, shade)
    return { name: `${shade} ${hue}`, shade, color: hue, rgb, lab: srgbToLab(rgb) }
  }),
)

function shaded(base: Rgb, shade: Shade): Rgb {
  const grey = 0.299 * base[0] + 0.587 * base[1] + 0.114 * base[2]
  switch (shade) {
    case 'light':
      return mix(base, [255, 255, 255], 0.5)
    case 'dark':
      return mix(base, [0, 0, 0], 0.5)
    case 'plain':
      return mix(mix(base, [grey, grey, grey], 0.45), [0, 0, 0], 0.12)
    case 'normal':
      return base
    case 'bright':
      // Away from grey as far as a byte allows, and a little up.
      return mix(mix(base, [grey, grey, grey], -0.35), [255, 255, 255], 0.12)
  }
}

function mix(from: Rgb, to: Rgb, amount: number): Rgb {
  const channel = (i: number): number =>
    Math.min(255, Math.max(0, Math.round(from[i]! + (to[i]! - from[i]!) * amount)))
  return [channel(0), channel(1), channel(2)]
}

/** The least CIEDE2000 difference between a digit and its background. */
export const leastDifference = 25

/** For each colour, the colours that stand out from it. */
export const contrasting: readonly Int32Array[] = namedColors.map(a =>
  Int32Array.from(namedColors.keys()).filter(b => ciede2000(a.lab, namedColors[b]!.lab) >= leastDifference),
)
