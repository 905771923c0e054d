import { readFileSync } from 'node:fs'

/** The TypeScript blocks of a Markdown file, with the line each begins on. */
export function snippets(file: string): { line: number; code: string }[] {
  const text = readFileSync(file, 'utf8')
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(match => ({
    line: text.slice(0, match.index).split('\n').length + 1,
    code: match[1]!,
  }))
}
