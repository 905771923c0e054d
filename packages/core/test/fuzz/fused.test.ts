import { fuzz } from './agree.js'
import { fused } from './fused.calls.js'

fuzz(fused)
