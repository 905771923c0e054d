import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type Html, html, raw, scriptJson } from './html.js'

export interface Section {
  id: string
  title: string
  /** One or two sentences on what is seen. */
  lead?: Html | string
  body: Html
}

export interface Page {
  title: string
  head: Html
  sections: readonly Section[]
  /** Read by the script. */
  data?: unknown
  foot: Html
}

const asset = (name: string): Promise<string> =>
  readFile(new URL(`../../assets/${name}`, import.meta.url), 'utf8')

/** One file that loads nothing: its policy allows its own script and style, and pictures within it. */
export async function pageOf({ title, head, sections, data, foot }: Page): Promise<string> {
  const [style, script] = await Promise.all([asset('report.css'), asset('report.js')])
  const policy = [
    "default-src 'none'",
    'img-src data:',
    `style-src '${hashOf(style)}'`,
    `script-src '${hashOf(script)}'`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ')
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<title>${title}</title>
<style>${raw(style)}</style>
</head>
<body>
<a class="skip" href="#${sections[0]?.id ?? 'end'}">Skip to the content</a>
<header>${head}</header>
<nav aria-label="Sections"><ul>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ul></nav>
<main>
<noscript><p class="notice">Sorting, pictures and the explorer need JavaScript, which is switched off here. The tables are complete.</p></noscript>
${sections.map(
  ({
    id,
    title,
    lead,
    body,
  }) => html`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2>
${lead !== undefined && html`<p class="lead">${lead}</p>`}
${body}</section>
`,
)}
</main>
<footer id="end">${foot}</footer>
${data !== undefined && html`<script type="application/json" id="data">${scriptJson(data)}</script>`}
<script>${raw(script)}</script>
</body>
</html>
`
  return page.html
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}
