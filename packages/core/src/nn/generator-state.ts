import type { Random } from '../random.js'

/**
 * What a checkpoint keeps of a module's own generator, for `extraState`: undefined where it has none (whoever trains keeps the
 * global one) or draws nothing.
 */
export function generatorState(random: Random | undefined, rate: number): unknown {
  return random === undefined || rate === 0 ? undefined : { random: random.state }
}

/** Takes back what `generatorState` gave, for `loadExtraState`. */
export function loadGeneratorState(random: Random | undefined, state: unknown): void {
  if (random !== undefined) random.state = (state as { random: Random['state'] }).random
}
