import * as tf from '@tensorflow/tfjs-core'

// Kernels whose results do not change with small changes of their inputs: comparisons, logic, positions, counts. Their
// gradient is zero wherever it exists, as in PyTorch, so that a loss may choose by them: where(greater(x, 0), …),
// gather(codebook, argMin(distances)). tfjs registers none and throws.
const constant = [
  'All', 'Any', 'ArgMax', 'ArgMin', 'Equal', 'Greater', 'GreaterEqual', 'IsFinite', 'IsInf', 'IsNan', 'Less', 'LessEqual',
  'LogicalAnd', 'LogicalNot', 'LogicalOr', 'NotEqual', 'SearchSorted',
] // biome-ignore format: a list

/** A zero of x's shape, as the tape wants every gradient: float32. */
export const zeroOf = (x: tf.Tensor): tf.Tensor => tf.zeros(x.shape, 'float32')

/** Registers zero gradients where a kernel is constant between its jumps. */
export function registerConstantGradients(): void {
  for (const kernelName of constant)
    tf.registerGradient({
      kernelName,
      inputsToSave: inputsOf(kernelName),
      gradFunc: (_, saved) =>
        Object.fromEntries(inputsOf(kernelName).map((name, i) => [name, () => zeroOf(saved[i])])),
    })
}

function inputsOf(kernelName: string): string[] {
  if (kernelName === 'SearchSorted') return ['sortedSequence', 'values']
  return kernelName.startsWith('Is') || /^(A|LogicalNot)/.test(kernelName) ? ['x'] : ['a', 'b']
}
