import { fuzz } from './agree.js'
import { linear } from './linear.calls.js'

fuzz(linear)
