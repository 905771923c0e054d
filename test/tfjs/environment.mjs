/** The one environment of the run; its name stands in the full name of every spec that computes. */
export const environment = { name: 'vq-cpu', backendName: 'vq-cpu', isDataSync: true }
