// Terms that look at every code, not only at the one chosen: with logits l = −‖z − e‖²/τ, or cos/τ, per vector. They work
// through the rows in blocks, so that the N × K logits are never there together; the backward pass makes them again.
import { customGradient, noGrad, type Random, randomUniform, softmaxCrossEntropy, tf } from '@vq/core'

export interface Logits {
  metric: 'l2' | 'cosine'
  temperature: number
}

// Logits in a block.
const blockSize = 1 << 22

function blocks(n: number, k: number): [start: number, rows: number][] {
  const rows = Math.max(1, Math.min(n, Math.floor(blockSize / k)))
  return Array.from({ length: Math.ceil(n / rows) }, (_, i) => [i * rows, Math.min(rows, n - i * rows)])
}

// −‖z − e‖² but for ‖z‖², which is alike for all codes, or z·e for vectors of unit length; over the temperature. [N, K].
function logitsOf(z: tf.Tensor2D, codes: tf.Tensor2D, { metric, temperature }: Logits): tf.Tensor2D {
  const products = tf.matMul(z, codes, false, true)
  if (metric === 'cosine') return tf.mul(products, 1 / temperature)
  const norms = tf.sum(tf.square(codes), 1)
  return tf.mul(tf.sub(tf.mul(products, 2), norms), 1 / temperature)
}

// From dL/dlogits of a block to the gradients of its rows and of the codes.
function throughLogits(
  d: tf.Tensor2D,
  z: tf.Tensor2D,
  codes: tf.Tensor2D,
  { metric, temperature }: Logits,
): [tf.Tensor2D, tf.Tensor2D] {
  const scale = (metric === 'cosine' ? 1 : 2) / temperature
  const dz = tf.mul<tf.Tensor2D>(tf.matMul(d, codes), scale)
  const products = tf.matMul(d, z, true, false)
  if (metric === 'cosine') return [dz, tf.mul(products, scale)]
  const own = tf.mul(codes, tf.reshape(tf.sum(d, 0), [-1, 1]))
  return [dz, tf.mul(tf.sub(products, own), scale)]
}

function rowsOf(x: tf.Tensor2D, start: number, rows: number): tf.Tensor2D {
  return tf.slice(x, [start, 0], [rows, x.shape[1]])
}

/** Mean over rows of the cross-entropy of softmax(l) with the chosen code. z: [N, D], codes: [K, D], chosen: int32 [N]. */
export function assignmentCrossEntropy(
  z: tf.Tensor2D,
  codes: tf.Tensor2D,
  chosen: tf.Tensor1D,
  logits: Logits,
): tf.Scalar {
  const [n, k] = [z.shape[0], codes.shape[0]]
  const at = (start: number, rows: number): tf.Tensor1D => tf.slice(chosen, [start], [rows])
  return customGradient<tf.Scalar>(
    [z, codes],
    save => {
      save([z, codes, chosen])
      const parts = blocks(n, k).map(([start, rows]) => {
        const l = logitsOf(rowsOf(z, start, rows), codes, logits)
        return softmaxCrossEntropy(l, at(start, rows), { reduction: 'sum' }) as tf.Scalar
      })
      return tf.div(tf.addN(parts), n) as tf.Scalar
    },
    (dy, [z, codes, chosen]) => {
      const gradients = blocks(n, k).map(([start, rows]) =>
        tf.tidy(() => {
          const part = rowsOf(z as tf.Tensor2D, start, rows)
          const p = tf.softmax(logitsOf(part, codes as tf.Tensor2D, logits))
          // tfjs has no oneHot of a single class.
          const hot =
            k === 1 ? tf.onesLike(p) : tf.oneHot(tf.slice(chosen as tf.Tensor1D, [start], [rows]), k)
          const d = tf.mul<tf.Tensor2D>(tf.sub(p, hot), tf.div(dy, n))
          return throughLogits(d, part, codes as tf.Tensor2D, logits)
        }),
      )
      return [tf.concat(gradients.map(g => g[0])), tf.addN(gradients.map(g => g[1]))]
    },
  )
}

/** Entropy in nats of the mean over rows of softmax(l): log K where all codes are used alike. z: [N, D], codes: [K, D]. */
export function usageEntropy(z: tf.Tensor2D, codes: tf.Tensor2D, logits: Logits): tf.Scalar {
  const [n, k] = [z.shape[0], codes.shape[0]]
  return customGradient<tf.Scalar>(
    [z, codes],
    save => {
      const sums = blocks(n, k).map(([start, rows]) =>
        tf.tidy(() => tf.sum(tf.softmax(logitsOf(rowsOf(z, start, rows), codes, logits)), 0)),
      )
      const mean = tf.div(tf.addN(sums), n)
      // −log p, finite where p has become 0.
      const surprise = tf.neg(tf.log(tf.maximum(mean, 1.2e-38)))
      save([z, codes, surprise])
      return tf.sum(tf.mul(mean, surprise)) as tf.Scalar
    },
    (dy, [z, codes, surprise]) => {
      // ∂H/∂p_k = −log p_k − 1; the 1 falls out against the softmax's constraint.
      const g = tf.div(tf.mul(surprise, dy), n)
      const gradients = blocks(n, k).map(([start, rows]) =>
        tf.tidy(() => {
          const part = rowsOf(z as tf.Tensor2D, start, rows)
          const p = tf.softmax(logitsOf(part, codes as tf.Tensor2D, logits))
          const weighted = tf.mul(p, g)
          const d = tf.sub<tf.Tensor2D>(weighted, tf.mul(p, tf.sum(weighted, 1, true)))
          return throughLogits(d, part, codes as tf.Tensor2D, logits)
        }),
      )
      return [tf.concat(gradients.map(g => g[0])), tf.addN(gradients.map(g => g[1]))]
    },
  )
}

/**
 * Codes drawn with probability softmax(l), by adding Gumbel noise to the logits (Lee et al. 2022, "Autoregressive image
 * generation using residual quantization", https://arxiv.org/abs/2203.01941, equation 11). Returns int32 [N]; no gradient.
 */
export function sampleCodes(z: tf.Tensor2D, codes: tf.Tensor2D, logits: Logits, random: Random): tf.Tensor1D {
  const [n, k] = [z.shape[0], codes.shape[0]]
  return noGrad(() =>
    tf.tidy(() =>
      tf.concat(
        blocks(n, k).map(([start, rows]) =>
          tf.tidy(() => {
            const u = randomUniform([rows, k], 0, 1, { generator: random })
            // Uniform numbers hold 24 bits: 2^-25 keeps both logarithms finite.
            const gumbel = tf.neg(tf.log(tf.neg(tf.log(tf.clipByValue(u, 2 ** -25, 1 - 2 ** -24)))))
            return tf.argMax(
              tf.add(logitsOf(rowsOf(z, start, rows), codes, logits), gumbel),
              1,
            ) as tf.Tensor1D
          }),
        ),
      ),
    ),
  )
}

// Codes of which all products are taken.
const mostProducts = 2048

/**
 * How far codes are from orthogonal, ‖ÊÊᵀ − I‖²_F / K² with unit codes Ê (Shin et al. 2021, "Translation-equivariant image
 * quantizer", https://arxiv.org/abs/2112.00384, equation 5). codes: [K, D].
 */
export function orthogonalLoss(unitCodes: tf.Tensor2D): tf.Scalar {
  const [k, dim] = unitCodes.shape
  // K × K numbers of many codes are too many: ‖ÊÊᵀ − I‖² = ‖ÊᵀÊ‖² − 2‖Ê‖² + K.
  if (k > mostProducts && k > dim) {
    const squares = tf.sum(tf.square(tf.matMul(unitCodes, unitCodes, true, false)))
    const own = tf.sub(tf.mul(tf.sum(tf.square(unitCodes)), 2), k)
    return tf.div(tf.sub(squares, own), k * k)
  }
  const products = tf.matMul(unitCodes, unitCodes, false, true)
  return tf.div(tf.sum(tf.square(tf.sub(products, tf.eye(k)))), k * k)
}
