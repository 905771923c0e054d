// Huijben et al. 2024, "Residual quantization with implicit neural codebooks" (QINCo), https://arxiv.org/abs/2401.14732,
// section 3.2: from level 2 on the codewords of a vector are made from base codes c̄_k and from x̂, the sum of the codewords
// that were chosen before:
//   e_k = c̄_k + W·[c̄_k, x̂] + b,  then for each of L blocks  e_k ← e_k + U_l·relu(V_l·e_k),  V_l: D → h, U_l: h → D
// W = [W_c, W_x] falls into a part per code and a part per vector, so that a pair of them costs one addition and the blocks.
import { nearestImplicitCode, orderedLinear, type Random, tf } from '@vq/core'
import { Linear, Module, ModuleList } from '@vq/core/nn'

/** The codewords that a level offers to N vectors. */
export interface Codewords {
  /** Index of the one nearest to each row of rest [N, D]: int32 [N]. */
  nearest(rest: tf.Tensor2D): tf.Tensor1D
  /** Codeword chosen[n] of vector n, [N, D]. */
  of(chosen: tf.Tensor1D): tf.Tensor2D
}

class Block extends Module {
  readonly up: Linear
  readonly down: Linear

  constructor(dim: number, hidden: number, random: Random) {
    super()
    const layer = (inFeatures: number, outFeatures: number): Linear =>
      new Linear({ inFeatures, outFeatures, bias: false, random })
    this.up = this.addModule('up', layer(dim, hidden))
    this.down = this.addModule('down', zero(layer(hidden, dim)))
  }

  forward(e: tf.Tensor2D): tf.Tensor2D {
    return tf.add(e, orderedLinear(tf.relu(orderedLinear(e, this.up.weight)), this.down.weight))
  }
}

/**
 * What makes the codewords of one level. The layers that end in a sum start at zero, so that the codewords start as the
 * base codes. State: `concat.weight` [D, 2D] (base code first), `concat.bias` [D], and `up.weight` [h, D] and `down.weight`
 * [D, h] of `blocks.0` and so on.
 */
export class ImplicitNetwork extends Module {
  private readonly concat: Linear
  private readonly blocks: ModuleList<Block>
  private readonly dim: number

  constructor(
    dim: number,
    { hiddenDim, numBlocks }: { hiddenDim: number; numBlocks: number },
    random: Random,
  ) {
    super()
    this.dim = dim
    this.concat = this.addModule(
      'concat',
      zero(new Linear({ inFeatures: 2 * dim, outFeatures: dim, random })),
    )
    const blocks = Array.from({ length: numBlocks }, () => new Block(dim, hiddenDim, random))
    this.blocks = this.addModule('blocks', new ModuleList(blocks))
  }

  /** From base codes [K, D] for vectors whose levels before sum up to before [N, D]; differentiable in both. */
  codewords(base: tf.Tensor2D, before: tf.Tensor2D): Codewords {
    const { dim, concat } = this
    const half = (at: number): tf.Tensor2D => tf.slice(concat.weight, [at, 0], [dim, dim])
    const start = tf.add<tf.Tensor2D>(base, orderedLinear(base, half(0))) // [K, D]
    const shift = orderedLinear(before, half(dim), concat.bias) as tf.Tensor2D // [N, D]
    const blocks = [...this.blocks]
    return {
      nearest: rest => {
        const up = tf.stack(blocks.map(b => b.up.weight)) as tf.Tensor3D // [L, D, h]
        const down = tf.stack(blocks.map(b => b.down.weight)) as tf.Tensor3D // [L, h, D]
        return nearestImplicitCode(rest, shift, { start, up, down })
      },
      of: chosen =>
        blocks.reduce((e, block) => block.forward(e), tf.add<tf.Tensor2D>(tf.gather(start, chosen), shift)),
    }
  }
}

function zero(layer: Linear): Linear {
  tf.tidy(() => {
    layer.weight.assign(tf.zerosLike(layer.weight))
    layer.bias?.assign(tf.zerosLike(layer.bias))
  })
  return layer
}
