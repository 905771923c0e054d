import { VqConfigError } from '../../errors.js'
import { Flaw } from '../pickle/flaw.js'
import type { StoredTensor } from '../stored-tensor.js'

const mostNames = 2 ** 20
const mostLetters = 2 ** 26

/**
 * The tensors in a tree by their dotted paths: `model.conv.weight`, `optimizer.state.0.exp_avg`. A tensor by itself has the path ''.
 * What is shared has every path that leads to it.
 */
export function flatten(root: unknown, isTensor: (value: object) => boolean): Map<string, StoredTensor> {
  const counts = new Map<object, number>()
  function count(node: unknown): number {
    if (typeof node !== 'object' || node === null) return 0
    if (isTensor(node)) return 1
    let total = counts.get(node)
    if (total === undefined) {
      total = 0
      for (const [, child] of childrenOf(node)) total += count(child)
      counts.set(node, total)
    }
    return total
  }
  if (count(root) > mostNames)
    throw new Flaw(`at most ${mostNames} names of tensors`, 'containers that share each other and have more')

  const found = new Map<string, StoredTensor>()
  let letters = 0
  function visit(node: unknown, path: string): void {
    if (count(node) === 0) return
    if (!isTensor(node as object)) {
      for (const [key, child] of childrenOf(node as object))
        visit(child, path === '' ? key : `${path}.${key}`)
      return
    }
    letters += path.length
    if (letters > mostLetters)
      throw new Flaw(`names of at most ${mostLetters} letters together`, 'longer ones')
    const other = found.get(path)
    if (other !== undefined && other !== node)
      throw new Flaw(
        'paths that differ',
        `two tensors at '${path.slice(0, 200)}'`,
        'Pick a part of the file by `prefix`.',
      )
    found.set(path, node as StoredTensor)
  }
  visit(root, '')
  return found
}

function* childrenOf(node: object): Generator<[string, unknown]> {
  if (node instanceof Set || ArrayBuffer.isView(node)) return
  if (Array.isArray(node)) for (let i = 0; i < node.length; i++) yield [String(i), node[i]]
  else if (node instanceof Map) for (const [key, value] of node) yield [String(key), value]
  else for (const key of Object.keys(node)) yield [key, (node as Record<string, unknown>)[key]]
}

/** The part of a tree at a dotted path. Keys may have dots of their own. */
export function subtree(root: unknown, path: string, operation: string): unknown {
  const found = at(root, path)
  if (found !== undefined) return found.value
  const names =
    typeof root === 'object' && root !== null
      ? [...childrenOf(root)].slice(0, 20).map(([key]) => `'${key.slice(0, 80)}'`)
      : []
  throw new VqConfigError({
    operation,
    expected: `a part named '${path}'`,
    received: names.length > 0 ? `a file with ${names.join(', ')}` : 'a file without parts',
    remedy: 'Pass one of these as `prefix`, or none.',
  })
}

function at(node: unknown, path: string): { value: unknown } | undefined {
  if (typeof node !== 'object' || node === null) return undefined
  for (const [key, value] of childrenOf(node)) {
    if (key === path) return { value }
    const found = path.startsWith(`${key}.`) ? at(value, path.slice(key.length + 1)) : undefined
    if (found !== undefined) return found
  }
  return undefined
}
