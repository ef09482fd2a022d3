import { Counter } from 'prom-client'
import type { Registry } from 'prom-client'

/** Counts requests that pass through `/drive`. */
export interface DriveMetrics {
  /** @param outcome status class of Ellipsis Drive's answer, such as `2xx`, or the broker's own error code */
  count(outcome: string): void
  addBytes(direction: 'upload' | 'download', bytes: number): void
}

export function createDriveMetrics(registry: Registry): DriveMetrics {
  const registers = [registry]
  const requests = new Counter({
    name: 'ellipsis_broker_drive_requests_total',
    help: 'Requests to /drive by outcome: the status class of the answer of Ellipsis Drive, or the error code of the broker.',
    labelNames: ['outcome'] as const,
    registers,
  })
  const bytes = new Counter({
    name: 'ellipsis_broker_drive_bytes_total',
    help: 'Bytes of the bodies that pass through /drive.',
    labelNames: ['direction'] as const,
    registers,
  })
  for (const direction of ['upload', 'download'] as const) bytes.inc({ direction }, 0)
  return {
    count: (outcome) => requests.inc({ outcome }),
    addBytes: (direction, count) => bytes.inc({ direction }, count),
  }
}
