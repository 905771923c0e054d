export {
  type ClassScore,
  type CodeFigures,
  type EvaluateOptions,
  type Evaluation,
  evaluateSegmentation,
  type Similarity,
  similarityOf,
} from './evaluate.js'
export { type Latency, latencyOf } from './latency.js'
export { Confusion, type Scores } from './scores.js'
