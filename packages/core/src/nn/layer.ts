import type * as tf from '@tensorflow/tfjs-core'
import { Module } from './module.js'

/** A module from one tensor to one tensor. */
export abstract class Layer extends Module {
  abstract forward(x: tf.Tensor): tf.Tensor
}
