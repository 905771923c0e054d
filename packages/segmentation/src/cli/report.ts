import type { CodeFigures } from '../measure/index.js'
import type { RunResult } from './train-run.js'

const share = (value: number | null): string =>
  value === null || Number.isNaN(value) ? '–' : value.toFixed(3)
const times = (value: number): string => `${value >= 100 ? Math.round(value) : value.toFixed(1)}×`
const seconds = (value: number): string => `${value.toFixed(1)} s`

/** What a run came to, for a person. */
export function summary({ out, evaluation, latency, wallSeconds, cpuSeconds, bestStep }: RunResult): string {
  const { classes, codes } = evaluation
  const lines = [
    `\nBest weights (step ${bestStep}) on ${evaluation.images} held-out images: mean IoU ${share(evaluation.meanIou)}, pixels right ${share(evaluation.accuracy)}`,
    ...classes.map(c => `  ${c.name}: IoU ${share(c.iou)}, Dice ${share(c.dice)}`),
    ...(codes === undefined ? [] : codeLines(codes)),
    `  an image takes ${latency.backbone.toFixed(1)} ms in the backbone, ${latency.quantizer.toFixed(2)} ms in the quantizer, ${latency.head.toFixed(1)} ms in the head`,
    `${seconds(wallSeconds)} in all, ${seconds(cpuSeconds)} of processor time`,
    `${out}: best.safetensors, last.safetensors, results.json, training_curves.png, events/ for TensorBoard`,
  ]
  return lines.join('\n')
}

function codeLines({ bits, compression, levels, similarity, relativeError }: CodeFigures): string[] {
  const used = levels.map(l => `${l.used}/${l.size}`).join(', ')
  return [
    `  ${bits.nominal.toFixed(2)} bits per feature vector, ${bits.entropy.toFixed(2)} with an entropy coder; codes used ${used}`,
    `  compression ${times(compression.nominal)}, ${times(compression.entropy)} with an entropy coder, ${times(compression.withCodebookAndProjections)} with codebook and projections for these images`,
    `  features: error ${share(relativeError)} of their variance, CKA ${share(similarity.cka)}, RSA ${share(similarity.rsa)}, PWCCA ${share(similarity.pwcca)}, kNN-Jaccard ${share(similarity.knnJaccard)}`,
  ]
}

/** A table in Markdown of several runs. */
export function comparisonTable(runs: readonly { name: string; result: RunResult }[]): string {
  const classes = runs[0]?.result.evaluation.classes.map(c => c.name) ?? []
  const head = [
    ...['quantizer', 'bits per vector', 'entropy-coded', 'mean IoU'],
    ...classes.flatMap(name => [`IoU ${name}`, `Dice ${name}`]),
    ...['compression', 'with codebook and projections', 'codes used', 'CKA', 'RSA', 'PWCCA', 'kNN-Jaccard'],
    ...['quantizer ms', 'seconds', 'CPU seconds'],
  ]
  const rows = runs.map(({ name, result }) => {
    const { evaluation, latency, wallSeconds, cpuSeconds } = result
    const { codes } = evaluation
    const s = codes?.similarity
    return [
      name,
      codes?.bits.nominal.toFixed(2) ?? 'float32',
      codes?.bits.entropy.toFixed(2) ?? '',
      share(evaluation.meanIou),
      ...evaluation.classes.flatMap(c => [share(c.iou), share(c.dice)]),
      codes ? times(codes.compression.nominal) : '1×',
      codes ? times(codes.compression.withCodebookAndProjections) : '1×',
      codes?.levels.map(l => `${l.used}/${l.size}`).join(' ') ?? '',
      ...(s ? [s.cka, s.rsa, s.pwcca, s.knnJaccard].map(share) : ['1', '1', '1', '1']),
      latency.quantizer.toFixed(2),
      wallSeconds.toFixed(1),
      cpuSeconds.toFixed(1),
    ]
  })
  const cell = (text: string): string => text.replace(/\|/g, '\\|')
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`
  return `${[line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')}\n`
}
