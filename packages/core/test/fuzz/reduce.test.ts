import { fuzz } from './agree.js'
import { reductions } from './reduce.calls.js'

fuzz(reductions)
