// ```dot fences become inline SVG while the site is built, by Graphviz compiled to WebAssembly: nothing is drawn by the reader's
// browser, and the lines take the colour of the text around them, light or dark.
import { instance } from '@viz-js/viz'
import type { MarkdownRenderer } from 'vitepress'

const graphviz = await instance()

export function diagrams(markdown: MarkdownRenderer): void {
  const fence = markdown.renderer.rules.fence!
  markdown.renderer.rules.fence = (tokens, index, options, env, self) => {
    const token = tokens[index]!
    if (!/^dot(\s|$)/.test(token.info.trim())) return fence(tokens, index, options, env, self)
    const title = token.info.trim().slice(3).trim()
    const svg = draw(token.content)
    return `<figure class="diagram" role="img" aria-label="${markdown.utils.escapeHtml(title)}" v-pre>${svg}</figure>\n`
  }
}

function draw(source: string): string {
  const svg = graphviz.renderString(source, {
    format: 'svg',
    graphAttributes: { rankdir: 'LR', bgcolor: 'transparent', nodesep: 0.25, ranksep: 0.22, pad: 0.05 },
    nodeAttributes: {
      shape: 'box',
      style: 'rounded',
      fontname: 'Arial',
      fontsize: 11.5,
      height: 0.4,
      margin: '0.06,0.05',
    },
    edgeAttributes: { fontname: 'Arial', fontsize: 10.5, arrowsize: 0.6 },
  })
  return (
    svg
      .slice(svg.indexOf('<svg'))
      .replace(/<!--[\s\S]*?-->/g, '')
      .replace(/<title>[\s\S]*?<\/title>/g, '')
      .replace(/(stroke|fill)="black"/g, '$1="currentColor"')
      .replace(/<text /g, '<text fill="currentColor" ')
      // Laid out for larger letters than are drawn: readers' fonts may be wider than those that Graphviz knows.
      .replace(
        /font-family="Arial[^"]*" font-size="(\d+\.\d+)"/g,
        (_, size) => `font-size="${Number(size) - 1.5}"`,
      )
  )
}
