import * as tf from '@tensorflow/tfjs-core'
import { Layer } from './layer.js'

/** max(x, 0). In a Sequential, right after a BatchNorm, the two run as one. */
export class ReLU extends Layer {
  forward(x: tf.Tensor): tf.Tensor {
    return tf.relu(x)
  }
}

/** 1 / (1 + e^−x). */
export class Sigmoid extends Layer {
  forward(x: tf.Tensor): tf.Tensor {
    return tf.sigmoid(x)
  }
}

/** The hyperbolic tangent. */
export class Tanh extends Layer {
  forward(x: tf.Tensor): tf.Tensor {
    return tf.tanh(x)
  }
}
