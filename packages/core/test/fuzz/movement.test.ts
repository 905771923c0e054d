import { fuzz } from './agree.js'
import { movement } from './movement.calls.js'

fuzz(movement)
