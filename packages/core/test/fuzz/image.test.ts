import { fuzz } from './agree.js'
import { image } from './image.calls.js'

fuzz(image)
