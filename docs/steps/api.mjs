// The API reference: what the packages' entry points export, from the docstrings of their sources, by TypeDoc.
// TypeDoc reads them with a TypeScript of its own (its `typescript` in package.json): it supports none newer than 6.0.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Application, Converter, ReflectionKind } from 'typedoc'

const root = resolve(import.meta.dirname, '../..')

/** Every subpath of every package: `@vq/core/nn` -> packages/core/src/nn/index.ts. */
export function entryPoints() {
  return readdirSync(join(root, 'packages'))
    .sort()
    .flatMap(name => {
      const { exports } = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'))
      return Object.entries(exports).flatMap(([key, target]) =>
        target.default === undefined
          ? []
          : [
              {
                name: `@vq/${name}${key.slice(1)}`,
                file: join(
                  root,
                  'packages',
                  name,
                  target.default.replace('./dist/', 'src/').replace(/\.js$/, '.ts'),
                ),
              },
            ],
      )
    })
}

/** Writes the pages into `folder`. */
export async function writeApi(folder) {
  const points = entryPoints()
  const tsconfig = join(import.meta.dirname, '../generated/tsconfig.api.json')
  // Imports between packages are followed into the sources, so that links between their pages work.
  const paths = Object.fromEntries(points.map(({ name, file }) => [name, [file]]))
  writeFileSync(
    tsconfig,
    JSON.stringify({
      extends: join(root, 'tsconfig.base.json'),
      compilerOptions: {
        composite: false,
        declaration: false,
        declarationMap: false,
        isolatedDeclarations: false,
        sourceMap: false,
        noEmit: true,
        typeRoots: [join(root, 'node_modules/@types')],
        paths,
      },
      files: points.map(({ file }) => file),
    }),
  )
  const app = await Application.bootstrap({
    entryPoints: points.map(({ file }) => file),
    tsconfig,
    name: 'VQ: API reference',
    readme: join(import.meta.dirname, 'api.md'),
    customCss: join(import.meta.dirname, 'api.css'),
    favicon: join(import.meta.dirname, '../public/icon.svg'),
    navigationLinks: { Guides: '../index.html' },
    includeVersion: false,
    hideGenerator: true,
    // It lists what extends types that are not exported, and would link to entries that it leaves out.
    includeHierarchySummary: false,
    githubPages: false,
    disableSources: true,
    excludeInternal: true,
    excludePrivate: true,
    excludeExternals: true,
    skipErrorChecking: true,
    logLevel: 'Warn',
    validation: { invalidPath: false, notExported: false, invalidLink: true, rewrittenLink: false },
  })
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, context => {
    for (const module of context.project.getChildrenByKind(ReflectionKind.Module)) {
      const [, name, subpath] = /^([\w-]+)\/src(?:\/(.+))?$/.exec(module.name) ?? []
      if (name !== undefined) module.name = `@vq/${name}${subpath === undefined ? '' : `/${subpath}`}`
    }
  })
  app.converter.on(Converter.EVENT_RESOLVE_END, context => {
    for (const reflection of Object.values(context.project.reflections)) {
      // What a class inherits is on the page of the class that it extends.
      if (reflection.inheritedFrom !== undefined) {
        context.project.removeReflection(reflection)
        continue
      }
      const comment = reflection.comment
      for (const parts of comment ? [comment.summary, ...comment.blockTags.map(tag => tag.content)] : [])
        for (const [i, part] of parts.entries()) parts[i] = shapesAsText(part)
    }
  })
  const project = await app.convert()
  if (!project) throw new Error('TypeDoc could not read the sources: see above.')
  await app.generateDocs(project, folder)
  return project
}

/** Docstrings write shapes as [B, H, W, C]; where one begins a line and a colon follows, Markdown would take it for a link's target. */
function shapesAsText(part) {
  if (part.kind === 'relative-link') return { kind: 'text', text: part.text.replaceAll('[', '\\[') }
  if (part.kind !== 'text') return part
  return { kind: 'text', text: part.text.replace(/\[([^\]\n]*)\](?!\()/g, '\\[$1\\]') }
}
