import { Flaw } from './flaw.js'

/** A Python int: a number where it is exact, else a bigint. */
export function whole(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** Decimal digits, with a bound on them as Python has. */
export function decimal(text: string): number | bigint {
  if (!/^[-+]?\d{1,4300}$/.test(text)) throw new Flaw('a whole number of up to 4300 digits', short(text))
  return whole(BigInt(text.replace('+', '')))
}

/** Two's complement, lowest byte first. */
export function little(bytes: Uint8Array): number | bigint {
  if (bytes.length > 2048) throw new Flaw('a whole number of up to 2048 bytes', `${bytes.length} bytes`)
  if (bytes.length === 0) return 0
  return whole(BigInt.asIntN(bytes.length * 8, BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)))
}

export function realNumber(text: string): number {
  const words: Record<string, number> = {
    nan: Number.NaN,
    inf: Number.POSITIVE_INFINITY,
    '-inf': Number.NEGATIVE_INFINITY,
  }
  if (Object.hasOwn(words, text)) return words[text]
  if (!/^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(text)) throw new Flaw('a number', short(text))
  return Number(text)
}

const escapes: Record<string, number> = {
  n: 10,
  r: 13,
  t: 9,
  a: 7,
  b: 8,
  f: 12,
  v: 11,
  '\\': 92,
  "'": 39,
  '"': 34,
}

/** The bytes that a quoted Python 2 string stands for. */
export function unquote(line: string): Uint8Array {
  const quote = line[0]
  if (line.length < 2 || (quote !== "'" && quote !== '"') || !line.endsWith(quote))
    throw new Flaw('a quoted string', short(line))
  const bytes: Uint8Array = new Uint8Array(line.length - 2)
  let length = 0
  for (let i = 1; i < line.length - 1; i++) {
    if (line[i] !== '\\') {
      bytes[length++] = line.charCodeAt(i)
      continue
    }
    const match = /^(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|([nrtabfv\\'"]))/.exec(line.slice(i + 1, i + 4))
    if (match === null || i + match[0].length >= line.length - 1)
      throw new Flaw('escapes of Python', short(line.slice(i)))
    const [all, hex, octal, letter] = match
    bytes[length++] = hex ? Number.parseInt(hex, 16) : octal ? Number.parseInt(octal, 8) : escapes[letter]
    i += all.length
  }
  return bytes.slice(0, length)
}

/** Python's raw-unicode-escape: Latin-1, and \u with four or \U with eight digits for the rest. */
export function unescapeRaw(line: string): string {
  return line.replace(/\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g, (_, four: string, eight: string) => {
    const code = Number.parseInt(four ?? eight, 16)
    if (code > 0x10ffff) throw new Flaw('characters of Unicode', `U+${eight}`)
    return String.fromCodePoint(code)
  })
}

function short(text: string): string {
  return JSON.stringify(text.slice(0, 40))
}
