// The real images that the results are measured on, where they lie beside the repository; nothing is downloaded.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'

const folder = fileURLToPath(new URL('../../../../shared/data/', import.meta.url))
const files = {
  cifar10: ['cifar10/cifar10_jpegdecoded_train4000.bin', 'cifar10/cifar10_jpegdecoded_test1000.bin'],
  mnist: ['mnist/train-images-idx3-ubyte.gz', 'mnist/t10k-images-idx3-ubyte.gz'],
}

/** { train, test, shape } with float32 images [N, H, W, C] from 0 to 1; undefined where a file is missing. */
export function load(name) {
  const paths = files[name].map(file => folder + file)
  if (!paths.every(existsSync)) return undefined
  const [train, test] = paths.map(path => (name === 'cifar10' ? cifar(readFileSync(path)) : idx(path)))
  return { train, test, shape: name === 'cifar10' ? [32, 32, 3] : [28, 28, 1] }
}

/** What a run that finds no data says. */
export function missing(name) {
  return `${name} is not there: put ${files[name].join(' and ')} into ${folder}`
}

// Records of a label and 32·32 values of each of three colours.
function cifar(bytes) {
  const count = bytes.length / 3073
  const images = new Float32Array(count * 3072)
  for (let n = 0; n < count; n++)
    for (let i = 0; i < 1024; i++)
      for (let c = 0; c < 3; c++) images[n * 3072 + i * 3 + c] = bytes[n * 3073 + 1 + c * 1024 + i] / 255
  return images
}

function idx(path) {
  return Float32Array.from(gunzipSync(readFileSync(path)).subarray(16), v => v / 255)
}
