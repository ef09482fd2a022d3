import type { Metric, Registry } from 'prom-client'

/**
 * A histogram without labels for what happens tens of thousands of times a second: an observation costs
 * some ten nanoseconds, where prom-client's own costs a quarter of a microsecond. Shown like any other.
 */
export class FastHistogram {
  readonly type = 'histogram'
  readonly name: string
  readonly help: string
  readonly #bounds: number[]
  /** By bucket, where there is something to count; the last one is what exceeds all bounds. */
  readonly #counts: number[] = []
  #sum = 0

  constructor(options: { name: string; help: string; buckets: number[]; registry: Registry }) {
    this.name = options.name
    this.help = options.help
    this.#bounds = options.buckets
    // Of a metric the registry uses its name and `get()`.
    options.registry.registerMetric(this as unknown as Metric)
  }

  observe(seconds: number): void {
    let bucket = 0
    while (seconds > (this.#bounds[bucket] ?? Infinity)) bucket++
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
    this.#sum += seconds
  }

  /** As prom-client's metrics tell their values; those of buckets add up. */
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
