import { fuzz } from './agree.js'
import { data } from './data.calls.js'

fuzz(data)
