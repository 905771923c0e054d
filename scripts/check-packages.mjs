// publint and attw on the tarball of every package: what npm would publish, not what lies in the folder.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pack } from './pack.mjs'

const folder = join(mkdtempSync(join(tmpdir(), 'vq-pack-')), 'tarballs')
let failed = false
try {
  for (const { name, path } of pack(folder)) {
    run(resolve('node_modules/.bin/publint'), ['run', path, '--strict'])
    // Platform packages hold no code that has types.
    if (!/-(linux|darwin|win32)-/.test(name))
      run(resolve('node_modules/.bin/attw'), [
        path,
        '--profile',
        'esm-only',
        '--format',
        'ascii',
        '--no-emoji',
      ])
    if (!failed) console.log(`@vq/${name}: fine`)
  }
} finally {
  rmSync(join(folder, '..'), { recursive: true, force: true })
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
