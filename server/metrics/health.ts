import { Counter, Gauge } from 'prom-client'
import type { Aggregator, Registry } from 'prom-client'
import type { StorageSize } from '../../db/data-directory/size.ts'
import type { Millis, Store } from '../../db/store.ts'
import { SHARED, readWithin } from './read.ts'

/** What the metrics of the installation read. Nothing of it is read before a scrape. */
interface Sources {
  store: Pick<Store, 'getMeta'>
  isReady: () => Promise<boolean>
  isClientRefused: () => boolean
  clockOffsetSeconds: () => number | null
  measureStorage: () => Promise<StorageSize>
  certificateExpiresAt: () => Millis | null
}

/** Adds metrics of the installation: whether it serves, and what will end that soon. */
export function addHealthMetrics(registry: Registry, sources: Sources): void {
  const registers = [registry]
  /**
   * @param read `null` or an error: no sample
   * @param aggregator over workers
   */
  const gauge = (
    name: string,
    help: string,
    read: () => Promise<number | null>,
    aggregator: Aggregator = SHARED,
  ) =>
    new Gauge({
      name,
      help,
      aggregator,
      registers,
      async collect() {
        const value = await readWithin(read)
        if (value === null) this.remove()
        else this.set(value)
      },
    })
  const { store, measureStorage } = sources

  gauge('ellipsis_broker_ready', '1 if /readyz answers 200, else 0.', async () =>
    Number(await sources.isReady()),
  )
  gauge(
    'ellipsis_broker_own_client_refused',
    '1 if Ellipsis Drive refuses the client id or secret of this broker, else 0.',
    async () => Number(sources.isClientRefused()),
    'max',
  )
  gauge(
    'ellipsis_broker_clock_offset_seconds',
    'Seconds that the clock of this machine is ahead of that of Ellipsis Drive.',
    async () => sources.clockOffsetSeconds(),
    'average',
  )
  gauge(
    'ellipsis_broker_disk_free_bytes',
    'Free space on the disk of the data directory.',
    async () => (await measureStorage()).freeBytes,
  )
  gauge(
    'ellipsis_broker_database_bytes',
    'Size of the database file.',
    async () => (await measureStorage()).databaseBytes,
  )
  gauge(
    'ellipsis_broker_database_log_bytes',
    'Size of the write-ahead log of the database.',
    async () => (await measureStorage()).logBytes,
  )
  gauge(
    'ellipsis_broker_last_backup_timestamp_seconds',
    'Time of the last good backup, Unix seconds; 0: there was none.',
    async () => secondsOf(Date.parse((await store.getMeta()).last_backup_at ?? '') || 0),
  )
  gauge(
    'ellipsis_broker_certificate_expiry_timestamp_seconds',
    'Expiry of the certificate of the public URL, Unix seconds.',
    async () => secondsOf(sources.certificateExpiresAt()),
  )
  new Counter({
    name: 'ellipsis_broker_starts_total',
    help: 'Starts of a broker on this data directory.',
    aggregator: SHARED,
    registers,
    async collect() {
      const starts = await readWithin(async () => Number((await store.getMeta()).starts ?? 0))
      this.reset()
      if (starts === null) this.remove()
      else this.inc(starts)
    },
  })
}

const secondsOf = (at: Millis | null): number | null =>
  at === null || Number.isNaN(at) ? null : Math.round(at / 1000)
