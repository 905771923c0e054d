import type { tf } from '@vq/core'
import { Module } from '@vq/core/nn'
import { CodeTable } from './code-table.js'
import type { CodebookOptions, ResolvedCodebook } from './options.js'

/** A codebook as a module of its own, for quantizers that have several. */
export class CodebookLevel extends Module {
  readonly table: CodeTable

  constructor(resolved: ResolvedCodebook, options: Pick<CodebookOptions, 'random' | 'distributed'>) {
    super()
    const own = {
      parameter: (name: string, value: tf.Tensor2D) => this.addParameter(name, value),
      buffer: <R extends tf.Rank>(name: string, value: tf.Tensor<R>) => this.addBuffer(name, value),
      counter: (name: string) => this.addCounter(name),
    }
    this.table = new CodeTable(own, resolved, options)
  }

  override extraState(): unknown {
    return this.table.extraState()
  }

  override loadExtraState(state: unknown): void {
    this.table.loadExtraState(state)
  }
}
