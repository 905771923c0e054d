// A Python process with the peers' programs, asked over standard input and output.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** Starts `peers/<program>`; undefined where Python or a module that it needs is missing. */
export async function startPeer(program) {
  const python = process.env.VQ_PYTHON ?? 'python3'
  const path = fileURLToPath(new URL(`peers/${program}`, import.meta.url))
  const child = spawn(python, [path], { stdio: ['pipe', 'pipe', 'ignore'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const gone = new Promise(resolve => {
    child.on('error', () => resolve({ done: true }))
    child.on('exit', () => resolve({ done: true }))
  })
  child.stdin.on('error', () => {})
  async function ask(message) {
    child.stdin.write(`${JSON.stringify(message)}\n`)
    const { value, done } = await Promise.race([lines.next(), gone])
    if (done) return undefined
    return JSON.parse(value)
  }
  const versions = await ask({ do: 'versions' })
  if (versions === undefined) return undefined
  return { versions, ask, stop: () => child.stdin.end() }
}
