// How wide text is in DejaVu Sans, so that it can be broken into lines that fit.

/** Advance widths in hundredths of the size, for the characters from space to ~. */
const widths: readonly number[] = [
  ...[32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64],
  ...[64, 64, 34, 34, 84, 84, 84, 53, 100, 68, 69, 70, 77, 63, 58, 77, 75, 29, 29, 66, 56, 86, 75, 79],
  ...[60, 79, 69, 63, 61, 73, 68, 99, 69, 61, 69, 39, 34, 39, 84, 50, 50, 61, 63, 55, 63, 62, 35, 63],
  ...[63, 28, 28, 58, 28, 97, 63, 61, 63, 63, 41, 52, 39, 63, 59, 82, 59, 59, 52, 64, 34, 64, 84],
]

/** The width of a text in SVG units; of characters beyond ASCII at most so wide. */
export function textWidth(content: string, size = 11): number {
  let hundredths = 0
  // Marks and letters of Latin scripts are about as wide as an o, others up to a square.
  for (const letter of content) {
    const code = letter.codePointAt(0)!
    hundredths += widths[code - 32] ?? (code < 0x250 ? 70 : 100)
  }
  return (hundredths * size) / 100
}

type Measure = (content: string, size: number) => number

/** Text in lines of at most `width` units: broken between words, and inside those that are wider themselves. */
export function wrapText(content: string, width: number, size = 11, measure: Measure = textWidth): string[] {
  const lines: string[] = []
  for (const word of content.split(' ').flatMap(word => chunks(word, width, size, measure))) {
    const longer = lines.length === 0 ? word : `${lines[lines.length - 1]} ${word}`
    if (lines.length > 0 && measure(longer, size) <= width) lines[lines.length - 1] = longer
    else lines.push(word)
  }
  return lines
}

function chunks(word: string, width: number, size: number, measure: Measure): string[] {
  const parts = ['']
  for (const letter of word) {
    const longer = parts[parts.length - 1] + letter
    if (longer !== letter && measure(longer, size) > width) parts.push(letter)
    else parts[parts.length - 1] = longer
  }
  return parts
}
