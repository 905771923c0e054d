// publint and attw on the tarball of every package: what npm would publish, not what lies in the folder.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const folder = mkdtempSync(join(tmpdir(), 'vq-pack-'))
let failed = false
try {
  run('npx', ['--yes', 'pnpm@12', '-r', '--filter', './packages/*', 'pack', '--pack-destination', folder])
  for (const tarball of readdirSync(folder).sort()) {
    const path = join(folder, tarball)
    run(resolve('node_modules/.bin/publint'), ['run', path, '--strict'])
    run(resolve('node_modules/.bin/attw'), [path, '--profile', 'esm-only', '--format', 'ascii', '--no-emoji'])
    if (!failed) console.log(`${tarball}: fine`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exitCode = failed ? 1 : 0

// Output is shown only where something is wrong.
function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status === 0) return
  failed = true
  console.error(
    `${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}\n${stdout ?? ''}${stderr ?? ''}`,
  )
}
