// What every entry of the package begins with: tfjs's gradients and ours, and the backend.
// First: the bundle of gradients holds classes of its own, and whichever comes first makes the tensors.
import '@tensorflow/tfjs-core'
import '#gradients'
import '../gradients/index.js'
import { registerCpuBackend } from './register.js'

registerCpuBackend()
