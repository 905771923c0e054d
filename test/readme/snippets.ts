import { readFileSync } from 'node:fs'

export interface Snippet {
  line: number
  code: string
  language: string
  /** The file that its first line names, as `// name.ts`, for the blocks after it to import. */
  file: string | undefined
}

/** The TypeScript blocks of a Markdown file, with the line each begins on; of other languages those that name a file. */
export function snippets(file: string): Snippet[] {
  const text = readFileSync(file, 'utf8')
  return [...text.matchAll(/^```(ts|python|cpp)\n([\s\S]*?)^```$/gm)].flatMap(match => {
    const [, language, code] = match as unknown as [string, string, string]
    const named = /^(?:\/\/|#) (\S+\.(?:ts|py|cc))$/m.exec(code.split('\n', 1)[0]!)?.[1]
    if (language !== 'ts' && named === undefined) return []
    return [{ line: text.slice(0, match.index).split('\n').length + 1, code, language, file: named }]
  })
}
