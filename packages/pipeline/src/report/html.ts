// Markup in which everything that comes from data is escaped: only what `html` itself made passes as it is.

/** Markup that needs no escaping. */
export interface Html {
  readonly html: string
}

export type Part = string | number | Html | null | undefined | false | readonly Part[]

/** A template whose values are escaped, unless they are markup themselves. */
export function html(parts: TemplateStringsArray, ...values: Part[]): Html {
  return { html: parts.reduce((text, part, i) => text + rendered(values[i - 1]) + part) }
}

/** Markup made elsewhere, such as an SVG. */
export function raw(text: string): Html {
  return { html: text }
}

function rendered(value: Part): string {
  if (value === null || value === undefined || value === false) return ''
  if (Array.isArray(value)) return value.map(rendered).join('')
  if (typeof value === 'object') return (value as Html).html
  return escaped(String(value))
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Text for elements and attributes; control characters and halves of letters become U+FFFD. */
export function escaped(text: string): string {
  return printable(text).replace(/[&<>"']/g, c => entities[c])
}

export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cs}\ufffe\uffff]/gu, c => (/[\n\t]/.test(c) ? c : '\ufffd'))
}

/** At most `most` letters, whole ones, an ellipsis at the end where there were more. */
export function shortened(text: string, most: number): string {
  const letters = Array.from(text.slice(0, 2 * most + 2))
  return letters.length > most ? `${letters.slice(0, most - 1).join('')}…` : text
}

/** JSON that cannot end the script element it stands in. */
export function scriptJson(data: unknown): Html {
  return raw(JSON.stringify(data).replace(/</g, '\\u003c'))
}

export function count(n: number): string {
  return n.toLocaleString('en-US')
}

/** 0.1234 as 12.3 %. */
export function percent(share: number): string {
  if (!Number.isFinite(share)) return '–'
  const digits = share > 0 && share < 0.001 ? 2 : share === 0 || share === 1 ? 0 : 1
  const shown = (100 * share).toFixed(digits)
  // Nothing but all of it is written as 100.
  return `${Number(shown) === 100 && share < 1 ? '> 99.9' : shown} %`
}

/** A few significant digits. */
export function figure(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return '–'
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3)) return value.toExponential(1)
  return Math.abs(value) >= 1000
    ? Math.round(value).toLocaleString('en-US')
    : String(Number(value.toPrecision(digits)))
}
