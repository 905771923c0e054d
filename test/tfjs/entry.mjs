// What is bundled: our backend and tfjs-core's specs around one tfjs-core. The environment stands before the specs load.
import { setTestEnvs } from '@tensorflow/tfjs-core/dist/jasmine_util'
import '@vq/core'
import { environment } from './environment.mjs'

setTestEnvs([environment])

export {
  engine,
  findBackendFactory,
  getBackend,
  getKernelsForBackend,
  setBackend,
} from '@tensorflow/tfjs-core'
