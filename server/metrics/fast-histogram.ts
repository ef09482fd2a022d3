import type { Metric, Registry } from 'prom-client'

/**
 * A histogram without labels for the hot path: an observation takes some ten nanoseconds, while prom-client's
 * takes 250. The registry exports it like any other metric.
 */
export class FastHistogram {
  readonly type = 'histogram'
  readonly name: string
  readonly help: string
  readonly #bounds: number[]
  /** Observations by bucket, `undefined` for none; the last bucket is above all bounds. */
  readonly #counts: number[] = []
  #sum = 0

  constructor(options: { name: string; help: string; buckets: number[]; registry: Registry }) {
    this.name = options.name
    this.help = options.help
    this.#bounds = options.buckets
    // The registry uses only `name` and `get()`.
    options.registry.registerMetric(this as unknown as Metric)
  }

  observe(seconds: number): void {
    let bucket = 0
    while (seconds > (this.#bounds[bucket] ?? Infinity)) bucket++
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
    this.#sum += seconds
  }

  /** The values in prom-client's format; bucket counts are cumulative. */
  get() {
    let count = 0
    const buckets = [...this.#bounds, '+Inf'].map((le, index) => {
      count += this.#counts[index] ?? 0
      return { metricName: `${this.name}_bucket`, labels: { le }, value: count }
    })
    const sum = { metricName: `${this.name}_sum`, labels: {}, value: this.#sum }
    const all = { metricName: `${this.name}_count`, labels: {}, value: count }
    const { name, help, type } = this
    return Promise.resolve({ name, help, type, values: [...buckets, sum, all], aggregator: 'sum' })
  }
}
