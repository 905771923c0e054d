import { fuzz } from './agree.js'
import { codes } from './codes.calls.js'

fuzz(codes)
