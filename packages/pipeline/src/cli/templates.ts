import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { closest, VqConfigError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { Command } from 'commander'
import { PipelineConfig } from '../config/index.js'
import { templates } from '../config/templates.js'
import { type CommandResult, run, table } from './run.js'

export function templatesCommand(setExitCode: (code: number) => void): Command {
  return new Command('templates')
    .description('list the configurations to start from, print one, or write them as files')
    .argument('[name]', 'the one to print')
    .option('--out <folder>', 'write all of them, and the JSON Schema that editors check them with')
    .option('--json', 'print as JSON')
    .action(async (name: string | undefined, options: { out?: string; json?: boolean }) =>
      setExitCode(
        await run(
          options,
          () => list(name, options.out),
          () => '',
        ),
      ),
    )
}

async function list(name: string | undefined, out: string | undefined): Promise<CommandResult> {
  if (name !== undefined) {
    const found = templates[name]
    if (found === undefined)
      throw new VqConfigError({
        operation: 'vq templates',
        expected: `a name among ${Object.keys(templates).join(', ')}`,
        received: name,
        remedy: `Did you mean '${closest(name, Object.keys(templates))}'?`,
      })
    return { json: { ...found.config }, text: JSON.stringify(found.config, null, 2) }
  }
  const rows = Object.entries(templates).map(([key, { description }]) => [key, description] as const)
  if (out !== undefined) {
    await mkdir(out, { recursive: true })
    await writeFileAtomic(
      join(out, 'pipeline.schema.json'),
      `${JSON.stringify(PipelineConfig.jsonSchema(), null, 2)}\n`,
    )
    for (const [key, { config }] of Object.entries(templates))
      await writeFileAtomic(
        join(out, `${key}.json`),
        `${JSON.stringify({ $schema: './pipeline.schema.json', ...config }, null, 2)}\n`,
      )
  }
  const where =
    out === undefined
      ? 'vq train --config NAME uses one, vq templates NAME prints it.'
      : `Written into ${out}/.`
  return {
    json: Object.fromEntries(Object.entries(templates).map(([key, { config }]) => [key, config])),
    text: `\n${table(rows)}\n\n${where}\n`,
  }
}
