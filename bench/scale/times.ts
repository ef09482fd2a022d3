/** Median and 99th percentile of times in milliseconds, written out. */
export interface Times {
  median: number
  p99: number
}

export function timesOf(values: number[]): Times {
  const sorted = values.toSorted((one, other) => one - other)
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
  return { median: at(0.5) ?? NaN, p99: at(0.99) ?? NaN }
}
