import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

export interface Manager {
  name: string
  /** Adds packages to the project of the working folder. */
  add(packages: readonly string[]): string[]
  /** What packages are called when they come as tarballs, of which the first is what is wanted, and what tells it of the others. */
  ofTarballs(tarballs: Tarballs): { packages: string[]; packageJson?: object; workspace?: string }
}

/** Paths by the names of packages. */
type Tarballs = Readonly<Record<string, string>>

const byFile = (tarballs: Tarballs): Record<string, string> =>
  Object.fromEntries(Object.entries(tarballs).map(([name, path]) => [name, `file:${path}`]))

/** Package managers, as the commands that npx finds. */
export const managers: readonly Manager[] = [
  {
    name: 'npm',
    add: packages => ['npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', ...packages],
    ofTarballs: tarballs => ({ packages: Object.values(tarballs) }),
  },
  {
    name: 'pnpm',
    add: packages => ['npx', '--yes', 'pnpm@12', 'add', ...packages],
    ofTarballs: tarballs => ({
      packages: Object.keys(tarballs).filter(name => !name.includes('linux')),
      workspace: `overrides: ${JSON.stringify(byFile(tarballs))}\n`,
    }),
  },
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
    ofTarballs: tarballs => ({
      packages: Object.values(tarballs).filter(path => !path.includes('linux')),
      packageJson: { resolutions: byFile(tarballs) },
    }),
  },
]

/** All packages, packed and served by a registry of our own. */
export class Published {
  private readonly folder = mkdtempSync(join(tmpdir(), 'vq-published-'))
  private readonly tarballs = join(this.folder, 'tarballs')
  /** What the folder of the tarballs holds, which held `notes.md` and an older tarball before. */
  packed: readonly string[] = []
  private server: ChildProcess | undefined
  private url = ''
  private upstream = ''

  async start(): Promise<void> {
    mkdirSync(this.tarballs)
    for (const file of ['notes.md', 'vq-core-0.0.0-older.tgz']) writeFileSync(join(this.tarballs, file), '')
    execFileSync(process.execPath, ['scripts/pack.mjs', this.tarballs], { stdio: 'pipe' })
    this.packed = readdirSync(this.tarballs)
    const packed = this.packed.filter(name => name.endsWith('.tgz')).map(name => join(this.tarballs, name))
    this.upstream = execFileSync('npm', ['config', 'get', 'registry'], {
      encoding: 'utf8',
      stdio: 'pipe',
    }).trim()
    const program = resolve('test/install/registry.mjs')
    // Managers run while this process waits for them, so the registry is another.
    this.server = spawn(process.execPath, [program, this.upstream, ...packed], {
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
    return this.install(manager, packages, this.url)
  }

  /** The same from tarballs, and from a registry that has none of these packages, as `docs/guide/getting-started.md` says. */
  projectOfTarballs(manager: Manager, names: readonly string[], others: readonly string[]): Project {
    const path = (name: string): string => {
      const file = this.packed.find(tarball => new RegExp(`^vq-${name}-\\d`).test(tarball))
      return join(this.tarballs, file ?? `no tarball of ${name}`)
    }
    const tarballs = Object.fromEntries(names.map(name => [`@vq/${name}`, path(name)]))
    const { packages, packageJson, workspace } = manager.ofTarballs(tarballs)
    return this.install(manager, [...packages, ...others], this.upstream, packageJson, workspace)
  }

  private install(
    manager: Manager,
    packages: readonly string[],
    registry: string,
    packageJson: object = {},
    workspace = '',
  ): Project {
    const path = mkdtempSync(join(this.folder, `${manager.name}-`))
    writeFileSync(
      join(path, 'package.json'),
      JSON.stringify({ name: 'empty', version: '1.0.0', private: true, ...packageJson }),
    )
    // pnpm 12 reads settings of its own from this file, and would else look for a workspace above.
    writeFileSync(join(path, 'pnpm-workspace.yaml'), `packages: []\nminimumReleaseAge: 0\n${workspace}`)
    writeFileSync(join(path, '.npmrc'), `registry=${registry}\n`)
    writeFileSync(join(path, '.yarnrc'), `registry "${registry}"\n`)
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
