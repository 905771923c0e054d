export { SimVQ, type SimVQOptions } from './sim-vq.js'
