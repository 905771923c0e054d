import * as tf from '@tensorflow/tfjs-core'

// What we use of tfjs's engine beyond its public types.
interface TapeNode {
  kernelName: string
  inputs: Record<string, tf.Tensor>
  outputs: tf.Tensor[]
  gradient?: (dys: (tf.Tensor | null)[]) => Record<string, () => tf.Tensor>
  saved?: tf.Tensor[]
}
interface TapingEngine {
  startTape(): void
  endTape(): void
  state: { activeTape: TapeNode[] | null; gradientDepth: number }
}

export interface ValueAndGradients {
  /** What `f` returned. */
  value: tf.Scalar
  /** One per variable; null where `f` does not depend on it. */
  gradients: (tf.Tensor | null)[]
}

/**
 * The value of `f` and its gradients with respect to `variables`. As tf.variableGrads, but every saved activation and
 * every intermediate gradient is freed as soon as it has been used, also when `f` throws; first order only.
 * Tensors made inside `f` are disposed unless kept with tf.keep.
 */
export function valueAndGradients(f: () => tf.Scalar, variables: readonly tf.Variable[]): ValueAndGradients {
  const engine = tf.engine()
  const taping = engine as unknown as TapingEngine
  let value: tf.Scalar
  taping.startTape()
  try {
    value = tf.tidy('forward', f)
  } catch (error) {
    releaseTape(taping)
    throw error
  } finally {
    taping.endTape()
  }
  const tape = taping.state.activeTape ?? []
  taping.state.activeTape = null
  try {
    return { value, gradients: backward(tape, value, variables) }
  } catch (error) {
    for (const node of tape) tf.dispose(node.saved ?? [])
    value.dispose()
    throw error
  }
}

function releaseTape(taping: TapingEngine): void {
  for (const node of taping.state.activeTape ?? []) tf.dispose(node.saved ?? [])
  taping.state.activeTape = null
}

function backward(tape: TapeNode[], y: tf.Scalar, variables: readonly tf.Variable[]): (tf.Tensor | null)[] {
  const wanted = reachable(tape, variables)
  const gradients = new Map<number, tf.Tensor>()
  gradients.set(y.id, keepAll([tf.onesLike(y)])[0])
  try {
    for (let i = tape.length - 1; i >= 0; i--) {
      const node = tape[i]
      const dys = node.outputs.map(o => gradients.get(o.id) ?? null)
      const names = Object.keys(node.inputs).filter(name => wanted.has(node.inputs[name].id))
      if (names.length > 0 && dys.some(dy => dy !== null)) {
        const inputs = names.map(name => node.inputs[name])
        const dxs = nodeGradients(node, names, dys)
        while (dxs.length > 0) {
          const j = names.length - dxs.length
          try {
            accumulate(gradients, inputs[j], dxs[0], node.kernelName)
          } catch (error) {
            tf.dispose(dxs)
            throw error
          }
          dxs.shift()
        }
      }
      for (const o of node.outputs) {
        gradients.get(o.id)?.dispose()
        gradients.delete(o.id)
      }
      tf.dispose(node.saved ?? [])
      node.saved = []
    }
  } catch (error) {
    for (const g of gradients.values()) g.dispose()
    throw error
  }
  return variables.map(v => gradients.get(v.id) ?? null)
}

// Ids of every tensor that depends on one of the variables.
function reachable(tape: TapeNode[], variables: readonly tf.Variable[]): Set<number> {
  const ids = new Set(variables.map(v => v.id))
  for (const node of tape)
    if (Object.values(node.inputs).some(x => ids.has(x.id))) for (const o of node.outputs) ids.add(o.id)
  return ids
}

function nodeGradients(node: TapeNode, names: string[], dys: (tf.Tensor | null)[]): tf.Tensor[] {
  const { gradient } = node
  if (gradient == null) throw new Error(`Cannot compute the gradient of ${node.kernelName}: it has none.`)
  const held = new Set<tf.Tensor | null>([...dys, ...(node.saved ?? [])])
  return keepAll(
    tf.tidy(() => {
      const lazy = gradient(dys)
      const own = new Set<tf.Tensor>()
      return names.map(name => {
        if (lazy[name] === undefined) throw new Error(`${node.kernelName} has no gradient for '${name}'.`)
        const dx = lazy[name]()
        // A gradient handed through must survive what it came from.
        const result = held.has(dx) || own.has(dx) ? tf.clone(dx) : dx
        own.add(result)
        return result
      })
    }),
  )
}

function keepAll(tensors: tf.Tensor[]): tf.Tensor[] {
  return tensors.map(t => tf.keep(t))
}

function accumulate(gradients: Map<number, tf.Tensor>, x: tf.Tensor, dx: tf.Tensor, kernel: string): void {
  if (dx.dtype !== 'float32' || !tf.util.arraysEqual(dx.shape, x.shape))
    throw new Error(`${kernel} gave a ${dx.dtype} gradient [${dx.shape}] for an input [${x.shape}].`)
  const before = gradients.get(x.id)
  if (before === undefined) {
    gradients.set(x.id, dx)
    return
  }
  gradients.set(x.id, keepAll([tf.add(before, dx)])[0])
  before.dispose()
  dx.dispose()
}
