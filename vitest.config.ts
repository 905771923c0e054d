import { readdirSync, readFileSync } from 'node:fs'
import { defineConfig } from 'vitest/config'

// Tests import packages by name and get their sources, so that a change is tested without a build between.
const alias = readdirSync('packages').flatMap(name => {
  const { exports } = JSON.parse(readFileSync(`packages/${name}/package.json`, 'utf8'))
  return Object.entries<{ default?: string }>(exports).flatMap(([key, target]) =>
    target.default
      ? [
          {
            find: new RegExp(`^@vq/${name}${key.slice(1)}$`),
            replacement: new URL(
              `packages/${name}/${target.default.replace('./dist/', 'src/').replace(/\.js$/, '.ts')}`,
              import.meta.url,
            ).pathname,
          },
        ]
      : [],
  )
})

export default defineConfig({
  resolve: { alias },
  test: {
    include: ['packages/*/test/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
  },
})
