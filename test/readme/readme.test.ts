import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tf } from '@vq/core'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { snippets } from './snippets.js'

// Beside the packages, so that the snippets' imports are found as any test's are.
const folder = mkdtempSync(join(import.meta.dirname, '.run-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const packages = readdirSync('packages')
const readmes = ['README.md', ...packages.map(name => `packages/${name}/README.md`)]

describe.each(readmes)('%s', readme => {
  const found = snippets(readme)

  test('exists, and shows code where the package holds something', () => {
    expect(existsSync(readme)).toBe(true)
    const holdsNothing = /^Nothing yet/m.test(readFileSync(readme, 'utf8'))
    if (readme !== 'README.md') expect(found.length > 0).toBe(!holdsNothing)
  })

  test.each(found)('the code at line $line runs to its end', async ({ line, code }) => {
    const file = join(folder, `${readme.replaceAll('/', '-')}-${line}.ts`)
    writeFileSync(file, code)
    const printed: unknown[][] = []
    vi.spyOn(console, 'log').mockImplementation((...values) => {
      printed.push(values)
    })
    await import(file)
    vi.restoreAllMocks()
    expect(tf.getBackend()).toBe('vq-cpu')
    // Every console.log of the snippet was reached, and none printed a NaN.
    expect(printed.length).toBeGreaterThanOrEqual(code.match(/console\.log/g)?.length ?? 0)
    expect(printed.flat().some(value => Number.isNaN(value))).toBe(false)
  })
})
