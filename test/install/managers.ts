import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

export interface Manager {
  name: string
  /** Adds packages to the project of the working folder. */
  add(packages: readonly string[]): string[]
}

/** Package managers, as the commands that npx finds. */
export const managers: readonly Manager[] = [
  {
    name: 'npm',
    add: packages => ['npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', ...packages],
  },
  { name: 'pnpm', add: packages => ['npx', '--yes', 'pnpm@12', 'add', ...packages] },
  {
    name: 'yarn',
    add: packages => [
      'npx',
      '--yes',
      'yarn@1.22.22',
      'add',
      '--ignore-engines',
      '--no-progress',
      ...packages,
    ],
  },
]

/** All packages, packed and served by a registry of our own. */
export class Published {
  private readonly folder = mkdtempSync(join(tmpdir(), 'vq-published-'))
  private server: ChildProcess | undefined
  private url = ''

  async start(): Promise<void> {
    const tarballs = join(this.folder, 'tarballs')
    execFileSync(process.execPath, ['scripts/pack.mjs', tarballs], { stdio: 'pipe' })
    const packed = readdirSync(tarballs).map(name => join(tarballs, name))
    const upstream = execFileSync('npm', ['config', 'get', 'registry'], {
      encoding: 'utf8',
      stdio: 'pipe',
    }).trim()
    const program = resolve('test/install/registry.mjs')
    // Managers run while this process waits for them, so the registry is another.
    this.server = spawn(process.execPath, [program, upstream, ...packed], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.url = await new Promise((found, failed) => {
      this.server?.stdout?.once('data', data => found(`${data}`.trim()))
      this.server?.once('exit', code => failed(new Error(`the registry ended with ${code}`)))
    })
  }

  stop(): void {
    this.server?.kill()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** An empty project into which the manager has installed `packages`. */
  project(manager: Manager, packages: readonly string[]): Project {
    const path = mkdtempSync(join(this.folder, `${manager.name}-`))
    writeFileSync(
      join(path, 'package.json'),
      JSON.stringify({ name: 'empty', version: '1.0.0', private: true }),
    )
    // pnpm 12 reads settings of its own from this file, and would else look for a workspace above.
    writeFileSync(join(path, 'pnpm-workspace.yaml'), 'packages: []\nminimumReleaseAge: 0\n')
    writeFileSync(join(path, '.npmrc'), `registry=${this.url}\n`)
    writeFileSync(join(path, '.yarnrc'), `registry "${this.url}"\n`)
    const [command, ...rest] = manager.add(packages) as [string, ...string[]]
    const project = new Project(path)
    project.call(command, rest)
    return project
  }
}

export class Project {
  readonly path: string
  /** On the path are Node and the package managers, but no compiler. */
  private readonly env: Record<string, string | undefined>

  constructor(path: string) {
    this.path = path
    const tools = join(path, '..', 'tools')
    mkdirSync(tools, { recursive: true })
    const needed = [
      'npm',
      'npx',
      'sh',
      'tar',
      'gzip',
      'ls',
      'dirname',
      'readlink',
      'sed',
      'uname',
      'cat',
      'basename',
    ]
    for (const tool of needed)
      if (!existsSync(join(tools, tool)))
        symlinkSync(execFileSync('which', [tool], { encoding: 'utf8' }).trim(), join(tools, tool))
    if (!existsSync(join(tools, 'node'))) symlinkSync(process.execPath, join(tools, 'node'))
    // Nothing of what runs the tests may help: pnpm's commands, for one, put the workspace's packages on NODE_PATH.
    const { HOME, LANG, TMPDIR, HTTPS_PROXY, https_proxy } = process.env
    this.env = { HOME, LANG, TMPDIR, HTTPS_PROXY, https_proxy, PATH: tools }
  }

  /** What the program of a file of that name prints. */
  run(file: string, program: string, args: readonly string[] = []): string {
    writeFileSync(join(this.path, file), program)
    return this.node(['--no-warnings', file, ...args])
  }

  node(args: readonly string[]): string {
    return this.call(process.execPath, args)
  }

  call(command: string, args: readonly string[]): string {
    const options = { cwd: this.path, encoding: 'utf8', env: this.env, stdio: 'pipe' } as const
    return execFileSync(command, args, options).trim()
  }
}
