import { type Html, html, type Part } from './html.js'

export interface Cell {
  /** What is shown. */
  show: Part
  /** What sorting goes by; default the shown text. */
  value?: number | string
  /** 0 … 1, drawn as a bar behind the number. */
  bar?: number
}

export interface Column {
  title: string
  /** What it means, shown where the pointer rests on the title. */
  hint?: string
  kind: 'number' | 'text'
}

/** A table that is sorted by a click on a title. The first column names the row. */
export function sortableTable(
  caption: string,
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  {
    sorted,
    tall = false,
  }: { sorted?: { column: number; direction: 'ascending' | 'descending' }; tall?: boolean } = {},
): Html {
  const head = columns.map(
    ({ title, hint, kind }, i) =>
      html`<th scope="col" class="${kind}" ${
        sorted?.column === i && html`aria-sort="${sorted.direction}"`
      }><button type="button" ${hint !== undefined && html`title="${hint}"`}>${title}<span aria-hidden="true" class="arrow"></span></button></th>`,
  )
  const body = rows.map(
    row =>
      html`<tr>${row.map(({ show, value, bar }, i) => {
        const inside = html`${bar !== undefined && barOf(bar)}<span>${show}</span>`
        const by = value !== undefined && html`data-v="${value}"`
        return i === 0
          ? html`<th scope="row" class="${columns[i].kind}" ${by}>${inside}</th>`
          : html`<td class="${columns[i].kind}" ${by}>${inside}</td>`
      })}</tr>\n`,
  )
  return html`<div class="scroll${tall && ' tall'}" tabindex="0" role="group" aria-label="${caption}"><table class="sortable"><caption>${caption}</caption><thead><tr>${head}</tr></thead><tbody>\n${body}</tbody></table></div>`
}

/** A bar of a share of its place. Attributes rather than styles, which the page's policy would refuse. */
export function barOf(share: number, kind = 'bar'): Html {
  const width = Math.max(0, Math.min(100, 100 * (Number.isFinite(share) ? share : 0)))
  return html`<svg class="${kind}" aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 4"><rect class="rest" width="100" height="4"/><rect class="part" width="${width.toFixed(1)}" height="4"/></svg>`
}
