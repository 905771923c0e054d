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

// Rows of five: light, dark, plain, normal and bright.
const table: Record<string, readonly Rgb[]> = {
  red: [
    [235, 148, 148],
    [107, 20, 20],
    [140, 55, 55],
    [214, 40, 40],
    [255, 50, 50],
  ],
  orange: [
    [248, 193, 138],
    [120, 65, 10],
    [176, 122, 70],
    [230, 123, 2],
    [255, 144, 45],
  ],
  yellow: [
    [245, 230, 143],
    [118, 103, 15],
    [191, 176, 92],
    [234, 203, 15],
    [255, 231, 22],
  ],
  green: [
    [153, 208, 158],
    [25, 80, 30],
    [70, 123, 75],
    [50, 160, 60],
    [54, 185, 67],
  ],
  blue: [
    [150, 170, 235],
    [23, 43, 108],
    [56, 76, 139],
    [45, 85, 215],
    [57, 105, 255],
  ],
  cyan: [
    [148, 223, 240],
    [20, 95, 113],
    [78, 151, 168],
    [40, 186, 221],
    [25, 211, 254],
  ],
  turquoise: [
    [145, 215, 205],
    [18, 88, 78],
    [69, 136, 127],
    [30, 174, 154],
    [31, 198, 174],
  ],
  purple: [
    [188, 158, 215],
    [60, 30, 88],
    [94, 65, 121],
    [120, 60, 175],
    [145, 74, 210],
  ],
  magenta: [
    [235, 150, 210],
    [108, 23, 83],
    [148, 65, 123],
    [215, 45, 165],
    [252, 50, 193],
  ],
  pink: [
    [250, 200, 215],
    [123, 73, 88],
    [189, 141, 155],
    [233, 138, 159],
    [255, 151, 189],
  ],
  brown: [
    [198, 170, 150],
    [70, 43, 23],
    [106, 79, 60],
    [140, 85, 45],
    [167, 102, 54],
  ],
  gray: [
    [192, 192, 192],
    [65, 65, 65],
    [121, 113, 119],
    [130, 130, 130],
    [148, 149, 149],
  ],
  white: [
    [253, 253, 248],
    [112, 113, 113],
    [200, 209, 218],
    [213, 215, 208],
    [229, 229, 232],
  ],
}

/** The 13 colour names. */
export const hues: readonly string[] = Object.keys(table)

/** All 65 colours, any two at least 5 apart by CIEDE2000: every shade of every colour name. */
export const namedColors: readonly NamedColor[] = shades.flatMap(shade =>
  hues.map(hue => {
    const rgb = table[hue]![shades.indexOf(shade)]!
    return { name: `${shade} ${hue}`, shade, color: hue, rgb, lab: srgbToLab(rgb) }
  }),
)

/** The least CIEDE2000 difference between a digit and its background. */
export const leastDifference = 25

/** For each colour, the colours that stand out from it. */
export const contrasting: readonly Int32Array[] = namedColors.map(a =>
  Int32Array.from(namedColors.keys()).filter(b => ciede2000(a.lab, namedColors[b]!.lab) >= leastDifference),
)
