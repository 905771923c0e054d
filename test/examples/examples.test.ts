import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

// Every example in its short form: it ends well, and makes the figures that its README names, and no others.
const names = readdirSync('examples').filter(name => existsSync(join('examples', name, 'package.json')))

test.each(names)(
  '%s makes the figures that its README names',
  name => {
    const folder = join('examples', name)
    const out = mkdtempSync(join(tmpdir(), 'vq-example-'))
    try {
      const program = resolve(folder, 'dist/main.js')
      const printed = execFileSync(process.execPath, [program, '--quick', '--out', out], {
        encoding: 'utf8',
        stdio: 'pipe',
      })
      expect(printed).not.toMatch(/NaN|undefined|Infinity/)
      const readme = readFileSync(join(folder, 'README.md'), 'utf8')
      const named = [...readme.matchAll(/`(\w+\.(?:png|gif|svg|md|json))`/g)].map(match => match[1])
      expect(named.length).toBeGreaterThan(0)
      expect(readdirSync(out).sort()).toEqual([...new Set(named)].sort())
      for (const file of readdirSync(out)) {
        const bytes = readFileSync(join(out, file))
        if (file.endsWith('.png')) expect(bytes.subarray(1, 4).toString()).toBe('PNG')
        if (file.endsWith('.gif')) expect(bytes.subarray(0, 4).toString()).toBe('GIF8')
      }
    } finally {
      rmSync(out, { recursive: true, force: true })
    }
  },
  240_000,
)

// The VQ-VAE's short form takes half a minute: only in the slow tier.
test.each(['rq-vae', 'search', ...(process.env.VQ_TEST_FULL === '1' ? ['vq-vae'] : [])])(
  '%s takes a folder of few pictures',
  name => {
    const place = mkdtempSync(join(tmpdir(), 'vq-example-'))
    try {
      const [photos, out] = [join(place, 'photos'), join(place, 'out')]
      mkdirSync(photos)
      for (let i = 0; i < 6; i++) cpSync('docs/public/reconstructions.png', join(photos, `${i}.png`))
      const program = resolve('examples', name, 'dist/main.js')
      const printed = execFileSync(process.execPath, [program, '--quick', '--data', photos, '--out', out], {
        encoding: 'utf8',
        stdio: 'pipe',
      })
      expect(printed).not.toMatch(/NaN|undefined|Infinity/)
      expect(readdirSync(out)).toContain(name === 'search' ? 'queries.png' : 'reconstructions.png')
    } finally {
      rmSync(place, { recursive: true, force: true })
    }
  },
  240_000,
)

test.each(names)('%s is a workspace of its own that one command starts', name => {
  const manifest = JSON.parse(readFileSync(join('examples', name, 'package.json'), 'utf8'))
  expect(manifest).toMatchObject({ private: true, name: `@vq/example-${name}` })
  expect(manifest.scripts.start).toMatch(/dist\/main\.js$/)
  const { references } = JSON.parse(readFileSync('tsconfig.json', 'utf8'))
  expect(references).toContainEqual({ path: `examples/${name}` })
})
