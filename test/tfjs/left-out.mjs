/** Specs that are left out: full name → what is wrong with the spec. One that does not exist fails the run. */
export const leftOut = {
  'gradients vq-cpu {} errors if relevant ops are missing grads':
    'it asserts a gap of tfjs: that logicalAnd has no gradient. Here it has one, zero, so that conditions of `where` may be composed.',
}
