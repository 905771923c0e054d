// Features or codes with labels, as the probes take them.
import { expectInteger, expectShape } from '@vq/core'
import { wholeCodes } from './codes.js'
import type { Features } from './rows.js'

/** Features [N, dim] and labels [N], whole numbers. */
export interface LabelledFeatures extends Features {
  labels: ArrayLike<number>
}

/** Codes [N, levels], whole numbers of at least 0, or −1 where masked, and labels [N], whole numbers. */
export interface LabelledCodes {
  codes: ArrayLike<number>
  /** Codes of a row: residual levels, or the positions of a map of codes. Default 1. */
  levels?: number
  labels: ArrayLike<number>
}

export type Labelled = LabelledFeatures | LabelledCodes

/** Labels as int32, one for each of n rows. */
export function labelsOf(operation: string, name: string, { labels }: Labelled, n: number): Int32Array {
  expectShape(
    labels?.length === n,
    operation,
    `a label for each of ${n} rows of ${name}`,
    `${labels?.length ?? 'no'} labels`,
    'Pass labels [N].',
  )
  return wholeCodes(operation, labels)
}

export interface Codes {
  /** [n, levels] */
  codes: Int32Array
  n: number
  levels: number
}

/** Codes as int32, at least one row. */
export function codesOf(operation: string, name: string, { codes, levels = 1 }: LabelledCodes): Codes {
  expectInteger(operation, `levels of ${name}`, levels, 1)
  const n = (codes?.length ?? 0) / levels
  expectShape(
    Number.isInteger(n) && n > 0,
    operation,
    `${name} to be at least one row of ${levels} codes`,
    `${codes?.length ?? 'no'} codes`,
    'Pass the codes of a row behind one another, and their number as levels.',
  )
  return { codes: wholeCodes(operation, codes), n, levels }
}

/** Throws VqShapeError unless train and test have rows of one length. */
export function expectSameLength(operation: string, train: number, test: number): void {
  expectShape(
    train === test,
    operation,
    'rows of one length in train and test',
    `${train} and ${test}`,
    'Pass both from the same model.',
  )
}

/** Throws VqShapeError unless both are codes, or both are features. */
export function expectSameKind(operation: string, train: Labelled, test: Labelled): void {
  const kind = (of: Labelled): string => ('codes' in (of ?? {}) ? 'codes' : 'features')
  expectShape(
    kind(train) === kind(test),
    operation,
    'train and test to be both codes, or both features',
    `${kind(train)} and ${kind(test)}`,
    'Pass the same kind for both.',
  )
}
