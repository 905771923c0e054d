/** Specs that are left out: full name → what is wrong with the spec. One that does not exist fails the run. */
export const leftOut = {
  'avgPool vq-cpu {} gradient x=[3,3,1] f=[3,3] s=1 p=explicit':
    "it expects each pixel's share to be 1/9 where the mean that it differentiates counts only the pixels inside the image: not the gradient of the op",
  'conv2dTranspose vq-cpu {} input=8x8x8,output=4x4x8,f=8,s=1,inDepth=8,p=same vec4':
    'it passes an input of 8×8 where an output of 4×4 with stride 1 and padding same takes 4×4, and expects three quarters of it to be dropped in silence',
  'depthwiseConv2d gradients vq-cpu {} throws error on dilations > 1':
    'it expects that dilated depthwise convolution has no gradient; here it has one',
  'gradients vq-cpu {} errors if relevant ops are missing grads':
    'it asserts a gap of tfjs: that logicalAnd has no gradient. Here it has one, zero, so that conditions of `where` may be composed.',
}
