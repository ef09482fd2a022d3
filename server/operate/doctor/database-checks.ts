import { existsSync } from 'node:fs'
import type { StoredSink } from '../../../db/data-directory/copy.ts'
import { COMMAND_SINK_ID } from '../../../db/event-types.ts'
import type { Store } from '../../../db/store.ts'
import type { DatabaseUrl } from '../../config/database-url.ts'
import { checkServer } from '../../data/database-error.ts'
import { inspectServer } from '../../data/inspect-server.ts'
import { StartError } from '../../data/start-error.ts'
import { ok, problem, warning } from './check.ts'
import type { Check, CheckContext, CheckResult } from './check.ts'
import {
  judgeCopied,
  judgeFiles,
  judgeKeys,
  judgeSecondFactors,
  judgeSessionApps,
} from './data-checks.ts'

/** Checks of a PostgreSQL database, in place of those of SQLite. */
export const databaseChecks: Record<string, Check> = {
  'data directory': async ({ dataDir }) =>
    existsSync(dataDir) ? judgeFiles(dataDir) : ok(`${dataDir} does not exist`),

  database: async (context) => {
    try {
      const { state, meta, address } = await inspect(context)
      checkServer(state, address)
      const size = `${Math.ceil(state.databaseBytes / 1e6).toLocaleString('en')} MB`
      if (!state.hasTables)
        return problem(`${address} has no data of this program`, 'Start `serve`, which creates it.')
      const copied = judgeCopied(meta, address)
      if (copied) return copied
      return ok(`PostgreSQL ${state.versionText} at ${address}, the primary; ${size}`)
    } catch (error) {
      if (!(error instanceof StartError)) throw error
      return problem(error.message, 'Until this is fixed, no broker starts.')
    }
  },

  durability: async (context) => judgeDurability((await inspect(context)).state),

  'connection to the database': async (context) => {
    const { state, isLocal } = await inspect(context)
    if (state.isEncrypted) return ok('encrypted')
    if (isLocal) return ok('not encrypted, on this machine')
    return warning(
      'not encrypted',
      'Add sslmode=verify-full to BROKER_DATABASE_URL, with sslrootcert if the server’s CA is a private one.',
    )
  },

  'clock of the database': async (context) => {
    const { database } = await inspect(context)
    const before = context.runtime.clock.now()
    const { state } = await inspectServer(database)
    const middle = (before + context.runtime.clock.now()) / 2
    return judgeDatabaseClock((state.now - middle) / 1000)
  },

  'encryption keys': async (context) => judgeKeys((await inspect(context)).meta, context),

  'second factors': (context) =>
    withStore(context, async (store) => {
      const admins = (await store.listAdmins()).filter(({ passwordHash }) => passwordHash !== '')
      const judged = admins.map(({ email, secondFactorSince, passkeyIds }) => {
        return { email, hasSecondFactor: secondFactorSince !== null || passkeyIds.length > 0 }
      })
      return judgeSecondFactors(judged, context.requireSecondFactor)
    }),

  'sessions of apps': (context) =>
    withStore(context, async (store) => {
      const apps = (await store.listApps()).filter(({ session }) => session === 'cookie')
      return judgeSessionApps(apps, context.publicUrl)
    }),
}

const inspected = new WeakMap<DatabaseUrl, ReturnType<typeof inspectServer>>()

/**
 * Looks at the server, once for all checks: a look at one that hangs takes seconds.
 * @throws StartError if it can't be used
 */
export async function inspect({ database }: Pick<CheckContext, 'database'>) {
  if (!database) throw new Error('BROKER_DATABASE_URL is not set')
  const found = inspected.get(database) ?? inspectServer(database)
  inspected.set(database, found)
  return { database, ...database, ...(await found) }
}

/** Reads from the store, which no process needs to have opened. */
async function withStore<T>(context: CheckContext, work: (store: Store) => Promise<T>): Promise<T> {
  const { database } = await inspect(context)
  const { createPool } = await import('../../../db/postgres/pool.ts')
  const { createPostgresStore } = await import('../../../db/postgres/store.ts')
  const { clientOf } = await import('../../data/database-client.ts')
  const store = createPostgresStore(createPool(clientOf(database)))
  return work(store).finally(() => store.close())
}

/** What gets events, as `readSinks` reads it from SQLite. */
export const readServerSinks = (context: CheckContext): Promise<StoredSink[]> =>
  withStore(context, async (store) => {
    const webhooks = new Map((await store.listWebhooks()).map((webhook) => [webhook.id, webhook]))
    const counts = await store.countDeliveries()
    const sinks = [...webhooks.keys(), ...(counts.has(COMMAND_SINK_ID) ? [COMMAND_SINK_ID] : [])]
    const read = async (id: string): Promise<StoredSink> => {
      const { url = null, disabledReason = null } = webhooks.get(id) ?? {}
      const { pending = 0, oldestPendingAt = null } = counts.get(id) ?? {}
      const [next] = await store.listDueDeliveries({
        sinkId: id,
        now: Number.MAX_SAFE_INTEGER,
        limit: 1,
      })
      return { id, url, disabledReason, pending, oldestPendingAt, lastError: next?.error ?? null }
    }
    return Promise.all(sinks.map(read))
  })

/** What a crash of the server may lose. */
export function judgeDurability({
  fsync,
  synchronousCommit,
  standbyNames,
}: {
  fsync: boolean
  synchronousCommit: string
  standbyNames: string
}): CheckResult {
  if (!fsync)
    return warning(
      'fsync is off: a crash of the machine destroys the database',
      'Set fsync = on in postgresql.conf.',
    )
  const isSynchronous = standbyNames !== '' && !['local', 'off'].includes(synchronousCommit)
  return ok(
    isSynchronous
      ? `synchronous_commit=${synchronousCommit}; commits wait for ${standbyNames}`
      : `synchronous_commit=${synchronousCommit}; commits wait for no standby, so a failover may lose the last ones`,
  )
}

const MAX_OFFSET_SECONDS = 5

/** @param offsetSeconds how far the database is ahead of this host */
export function judgeDatabaseClock(offsetSeconds: number): CheckResult {
  const seconds = Math.abs(offsetSeconds).toFixed(1)
  const finding = `the database is ${seconds} s ${offsetSeconds < 0 ? 'behind' : 'ahead of'} this host`
  if (Math.abs(offsetSeconds) <= MAX_OFFSET_SECONDS) return ok(finding)
  return warning(finding, 'Synchronize both clocks (NTP): tokens expire by the clock of each host.')
}
