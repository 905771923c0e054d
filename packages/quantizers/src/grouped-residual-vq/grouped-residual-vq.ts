// Yang et al. 2023, "HiFi-Codec: Group-residual vector quantization for high fidelity audio codec",
// https://arxiv.org/abs/2305.02765, section 3.1: the channels in G groups, each with a residual quantizer of its own.
import { expectConfig, expectInteger, tf } from '@vq/core'
import { ModuleList } from '@vq/core/nn'
import { expectOptions } from '../base/expect-options.js'
import { meanLosses } from '../base/losses.js'
import { BaseQuantizer, type RowsOutput } from '../base/quantizer.js'
import type { ResidualVQOptions } from '../residual-vq/options.js'
import { ResidualVQ } from '../residual-vq/residual-vq.js'

export interface GroupedResidualVQOptions extends Omit<ResidualVQOptions, 'dim' | 'embeddingDim'> {
  /** Length of the vectors, a multiple of `groups`. */
  dim: number
  /** G. Default 1. */
  groups?: number
  /** Length of a code; where it is not dim/groups, each group has linear layers there and back. Default dim/groups. */
  embeddingDim?: number
}

/**
 * A {@link ResidualVQ} per group of dim/groups neighbouring channels: indices [..., groups·Q], group by group. The losses are
 * means over the groups. With quantizeDropout each group draws its own number of levels. State: `groups.0.levels.0.codebook` and so on.
 *
 * @example
 * new GroupedResidualVQ({ dim: 64, groups: 2, numEmbeddings: 256, numQuantizers: 4 })
 */
export class GroupedResidualVQ extends BaseQuantizer {
  protected override readonly refusesRows: boolean = true
  protected override readonly codesPerVector: number
  protected override readonly runOfCodes: number
  readonly dim: number
  readonly codebookSize: number
  readonly groups: ModuleList<ResidualVQ>

  constructor(options: GroupedResidualVQOptions) {
    super()
    expectOptions('GroupedResidualVQ', options, '{ dim: 64, groups: 2, numEmbeddings: 256 }')
    const { dim, groups = 1, embeddingDim = dim / groups, ...rest } = options
    expectInteger('GroupedResidualVQ', 'dim', dim, 1, 2 ** 31 - 1)
    expectInteger('GroupedResidualVQ', 'groups', groups, 1, dim)
    expectConfig(
      dim % groups === 0,
      'GroupedResidualVQ',
      'groups to divide dim',
      groups,
      `Use a divisor of ${dim}.`,
    )
    this.dim = dim
    const made = Array.from(
      { length: groups },
      () => new ResidualVQ({ ...rest, embeddingDim, dim: dim / groups }),
    )
    this.groups = this.addModule('groups', new ModuleList(made))
    this.codebookSize = made[0].codebookSize
    this.runOfCodes = made[0].options.numQuantizers
    this.codesPerVector = groups * this.runOfCodes
  }

  /** False while a start from data still waits for `initialize`. */
  get ready(): boolean {
    return [...this.groups].every(group => group.ready)
  }

  /** Makes the first codes from vectors [..., dim], as {@link ResidualVQ.initialize}. */
  async initialize(vectors: tf.Tensor): Promise<void> {
    this.expectLength('initialize', vectors)
    const parts = tf.tidy(() => {
      const rows = tf.reshape(vectors, [-1, this.dim]) as tf.Tensor2D
      this.expectFinite('initialize', rows)
      return this.split(rows).map(p => tf.clone(p))
    })
    try {
      for (const [g, group] of [...this.groups].entries()) await group.initialize(parts[g])
    } finally {
      tf.dispose(parts)
    }
  }

  private split(rows: tf.Tensor2D): tf.Tensor2D[] {
    return this.groups.length === 1 ? [rows] : tf.split(rows, this.groups.length, 1)
  }

  protected quantizeRows(rows: tf.Tensor2D): RowsOutput {
    this.expectFinite('forward', rows)
    const parts = this.split(rows)
    const outputs = [...this.groups].map((group, g) => group.forward(parts[g]))
    return {
      quantized: joined(outputs.map(o => o.quantized)) as tf.Tensor2D,
      indices: joined(outputs.map(o => o.indices)),
      losses: meanLosses(outputs.map(o => o.losses)),
    }
  }

  override learnFromNothing(): void {
    for (const group of this.groups) group.learnFromNothing()
  }

  protected encodeRows(rows: tf.Tensor2D): tf.Tensor {
    const parts = this.split(rows)
    return joined([...this.groups].map((group, g) => group.encode(parts[g])))
  }

  protected decodeRows(indices: tf.Tensor): tf.Tensor2D {
    const each = this.runOfCodes
    const parts = [...this.groups].map((group, g) =>
      group.decode(tf.slice(indices, [0, g * each], [indices.shape[0], each])),
    )
    return joined(parts) as tf.Tensor2D
  }

  /** [groups, Q, K, D] */
  codebook(): tf.Tensor4D {
    return tf.tidy(() => tf.stack([...this.groups].map(group => group.codebook())) as tf.Tensor4D)
  }
}

function joined(parts: tf.Tensor[]): tf.Tensor {
  return parts.length === 1 ? parts[0] : tf.concat(parts, 1)
}
