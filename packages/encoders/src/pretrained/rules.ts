import type { PretrainedFamily, WeightTarget } from './families.js'

/** Patterns for names, of which the first that fits decides: what replaces it, or where the tensor goes (undefined: nowhere). */
export type NamingRules = readonly (readonly [
  RegExp,
  string | ((match: RegExpExecArray) => WeightTarget | undefined),
])[]

/** A family's `rename` by rules; names that fit none stay as they are. */
export function ruled(rules: NamingRules): PretrainedFamily['rename'] {
  return name => {
    for (const [pattern, target] of rules) {
      const match = pattern.exec(name)
      if (match === null) continue
      return typeof target === 'string' ? name.replace(pattern, target) : target(match)
    }
    return name
  }
}
