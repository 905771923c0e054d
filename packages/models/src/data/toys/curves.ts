import { expectInteger, expectNumber } from '@vq/core'
import { drawPoints, type NoisyOptions, type PointSet } from './points.js'

/** Two half circles that reach into each other, as scikit-learn's `make_moons`: label 0 the upper one, 1 the lower one. */
export function moons(options: NoisyOptions = {}): PointSet {
  return drawPoints('moons', options, 2, (_, i, n) => {
    const upper = Math.floor(n / 2)
    const label = i < upper ? 0 : 1
    const [at, count] = label === 0 ? [i, upper] : [i - upper, n - upper]
    const angle = count > 1 ? (Math.PI * at) / (count - 1) : 0
    const [x, y] = [Math.cos(angle), Math.sin(angle)]
    return label === 0 ? { x, y, label } : { x: 1 - x, y: 0.5 - y, label }
  })
}

/**
 * A circle of radius 1 around one of radius `factor`, from 0 to 1, default 0.8, as scikit-learn's `make_circles`: label 0 the
 * outer one, 1 the inner one.
 */
export function circles(options: NoisyOptions & { factor?: number } = {}): PointSet {
  const { factor = 0.8 } = options
  expectNumber('circles', 'factor', factor, 0, 1)
  return drawPoints('circles', options, 2, (_, i, n) => {
    const outer = Math.floor(n / 2)
    const label = i < outer ? 0 : 1
    const [at, count] = label === 0 ? [i, outer] : [i - outer, n - outer]
    const angle = (2 * Math.PI * at) / count
    const radius = label === 0 ? 1 : factor
    return { x: radius * Math.cos(angle), y: radius * Math.sin(angle), label }
  })
}

/**
 * Archimedean spirals out of the origin to radius 1, the arms evenly turned against each other; points evenly along the radius.
 * Label: the arm.
 */
export function spirals(options: NoisyOptions & { arms?: number; turns?: number } = {}): PointSet {
  const { arms = 2, turns = 1.5 } = options
  expectInteger('spirals', 'arms', arms, 1, 1000)
  expectNumber('spirals', 'turns', turns, 0, 1000)
  return drawPoints('spirals', options, arms, (random, i) => {
    const label = i % arms
    const radius = 1 - random.uniform()
    const angle = 2 * Math.PI * (turns * radius + label / arms)
    return { x: radius * Math.cos(angle), y: radius * Math.sin(angle), label }
  })
}

/**
 * The Swiss roll seen from its side: (t·cos t, t·sin t) with t = 1.5·π·(1 + 2u), as scikit-learn's `make_swiss_roll` without
 * its second axis. Label: the third of the roll from inside out, 0 to 2.
 */
export function swissRoll(options: NoisyOptions = {}): PointSet {
  return drawPoints('swissRoll', options, 3, random => {
    const u = random.uniform()
    const t = 1.5 * Math.PI * (1 + 2 * u)
    return { x: t * Math.cos(t), y: t * Math.sin(t), label: Math.floor(3 * u) }
  })
}
