import { fuzz } from './agree.js'
import { elementwise } from './elementwise.calls.js'

fuzz(elementwise)
