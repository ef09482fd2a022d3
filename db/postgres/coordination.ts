import { randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import type { Coordination, RunningProcess } from '../coordination.ts'
import { LockHeldError } from '../errors.ts'
import { connect } from './connection.ts'
import type { NewClient } from './connection.ts'
import { codeOf, failConnection, NO_TABLE } from './failures.ts'

/** How long a start waits for another one, which may be migrating much data. */
const START_LOCK_TIMEOUT_MS = 60_000
const LOCK_PAUSE_MS = 100
const HEARTBEAT_INTERVAL_MS = 5000
/** Longest time between two looks at the heartbeats of others that counts as their silence. */
const MAX_GAP_MS = 4 * HEARTBEAT_INTERVAL_MS
/** A network that loses packets must not hold up heartbeats: a living process would count as dead. */
const QUERY_TIMEOUT_MS = 4000
/**
 * A process that has written no heartbeat for this long counts as dead, and its leases are taken over. Each process
 * measures that by itself, with a clock that is never set: the clock of the database may jump when another server
 * takes over. Unlike a lock of the operating system, silence proves nothing: the process may be cut off from the
 * database only, and keep a new refresh token in memory until it can store it. A refresh with the old one before that
 * may lose the connection. So this is longer than a failover takes, at the price that the few connections that a lost
 * host was refreshing wait as long. A process that starts on the same machine knows at once which of the others there
 * have died.
 */
const DEAD_AFTER_MS = 120_000

/** Leases end with their holders. This is for a broken row only: longer than clocks of servers differ. */
const LEASE_MS = 7 * 24 * 3_600_000

/** For lists, is that row of a process that is alive? The clock of the database may have been set back, too. */
const IS_ALIVE = `seen_at between clock_timestamp() - interval '${DEAD_AFTER_MS} ms'
  and clock_timestamp() + interval '${DEAD_AFTER_MS} ms'`

/** Created with the first process, before the other tables: a start that migrates lists the others first. */
const CREATE_TABLE = `create table if not exists processes (
  id text primary key, pid int not null, host text not null, machine text, command text not null, started_at float8 not null, beats bigint not null,
  key_ids text[] not null, seen_at timestamptz not null)`

const SEEN = `insert into processes (id, pid, host, machine, command, started_at, key_ids, beats, seen_at)
  values ($1, $2, $3, $4, $5, $6, $7, 1, clock_timestamp())
  on conflict (id) do update set key_ids = excluded.key_ids, beats = processes.beats + 1, seen_at = excluded.seen_at`

/**
 * For locks: they last as long as a dedicated connection. A host that lost its power must not keep one for the hours
 * that TCP would take to notice.
 */
const LOCK_SESSION = `set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3;
  set idle_session_timeout = 0`

/** Made of the lock's name. Advisory locks belong to the database. */
const KEY = "hashtextextended('ellipsis-broker/' || $1, 0)"

/** Ids of this process: the system may give its number again. */
const registered = new Set<string>()

type Row = { id: string; pid: number; host: string; command: string; machine: string | null } & {
  started_at: number
  key_ids: string[]
}

/**
 * What the processes on a database agree on, on any number of hosts: advisory locks, and a table of processes with
 * heartbeats by the database's clock.
 */
export function createPostgresCoordination(
  Client: NewClient,
  steady = () => performance.now(),
): Coordination {
  const pool = new pg.Pool({ Client, max: 2, query_timeout: QUERY_TIMEOUT_MS })
  // A connection that breaks while it is idle: the pool replaces it.
  pool.on('error', () => undefined)
  const heartbeats = new Set<NodeJS.Timeout>()
  /** The heartbeats of each process, and since when they are as many. */
  let observed = new Map<string, { beats: string; since: number }>()
  let observedAt = -Infinity
  /** When the last heartbeat of this process that was written began. */
  let beatAt = -Infinity

  const ask = <R extends pg.QueryResultRow>(text: string, values?: unknown[]) =>
    pool.query<R>(text, values).catch(failConnection)

  const observe = async (): Promise<void> => {
    const list = 'select id, beats from processes'
    const { rows } = await ask<{ id: string; beats: string }>(list)
    const now = steady()
    // While this process could not look, the others may have been unable to write.
    const hasGap = now - observedAt > MAX_GAP_MS
    observedAt = now
    const look = rows.map(({ id, beats }) => {
      const before = observed.get(id)
      const isSilent = !hasGap && before?.beats === beats
      return [id, isSilent ? before : { beats, since: now }] as const
    })
    observed = new Map(look)
  }

  const withLock = async <T>(
    name: string,
    waitMs: number,
    work: (client: pg.Client) => Promise<T>,
  ): Promise<T> => {
    const deadline = steady() + waitMs
    const client = await connect(Client)
    try {
      await client.query(LOCK_SESSION)
      // A statement that waits in the server can't be told from a server that hangs.
      while (!(await tryLock(client, name))) {
        if (steady() >= deadline) throw new LockHeldError(name)
        await setTimeout(LOCK_PAUSE_MS)
      }
      return await work(client)
    } finally {
      await client.end()
    }
  }

  /** Removes processes of this machine that have died. */
  const removeDeadOf = async (machine: string | null): Promise<void> => {
    const list = 'select id, pid from processes where machine = $1'
    const { rows } = await ask<Pick<Row, 'id' | 'pid'>>(list, [machine])
    const ids = rows.filter(isDeadHere).map(({ id }) => id)
    await ask('delete from processes where id = any($1)', [ids])
  }

  return {
    leaseMs: LEASE_MS,
    // Not from the lease's write: to others, this process has been silent since its last heartbeat.
    holdMs: () => beatAt + DEAD_AFTER_MS - 3 * HEARTBEAT_INTERVAL_MS - steady(),

    withStartLock: (work) =>
      withLock('start', START_LOCK_TIMEOUT_MS, async (client) => {
        await client.query(CREATE_TABLE)
        return work()
      }),

    withLock: (name, work) => withLock(name, 0, work),

    async register(info) {
      const id = `${info.pid}-${randomBytes(6).toString('hex')}`
      const machine = machineId()
      let { keyIds } = info
      const write = async () => {
        const { pid, command, startedAt } = info
        const beganAt = steady()
        await ask(SEEN, [id, pid, hostname(), machine, command, startedAt, keyIds])
        beatAt = beganAt
      }
      await ask(`delete from processes where seen_at < clock_timestamp() - interval '7 days'`)
      await removeDeadOf(machine)
      registered.add(id)
      await write()
      let beat: Promise<void> | undefined
      const heartbeat = setInterval(() => {
        beat = write()
          .then(observe)
          .catch(() => undefined)
      }, HEARTBEAT_INTERVAL_MS)
      heartbeats.add(heartbeat.unref())
      return {
        id,
        async setKeyIds(ids) {
          keyIds = ids
          await write()
        },
        async unregister() {
          clearInterval(heartbeat)
          registered.delete(id)
          // A heartbeat on its way would add the row again.
          await beat
          // If the database can't be asked, the others learn by the silence.
          await ask('delete from processes where id = $1', [id]).catch(() => undefined)
        },
      }
    },

    async listProcesses() {
      const list = `select * from processes where ${IS_ALIVE} order by started_at`
      const { rows } = await ask<Row>(list).catch((error: unknown) => {
        // No process has used the database yet.
        if (codeOf(error) === NO_TABLE) return { rows: [] }
        throw error
      })
      const here = machineId()
      return rows.filter((row) => row.machine !== here || !isDeadHere(row)).map(toProcess)
    },

    async hasDied(id) {
      try {
        await observe()
      } catch {
        // While the database can't be asked, no process is known to have died.
        return false
      }
      const last = observed.get(id)
      return !last || steady() - last.since >= DEAD_AFTER_MS
    },

    async close() {
      for (const heartbeat of heartbeats) clearInterval(heartbeat)
      await pool.end()
    },
  }
}

async function tryLock(client: pg.Client, name: string): Promise<boolean> {
  const taken = `select pg_try_advisory_lock(${KEY}) as taken`
  return (await client.query<{ taken: boolean }>(taken, [name])).rows[0]?.taken === true
}

/** Where a process id means the same process: a boot of a machine, and a container in it. `null`: unknown. */
function machineId(): string | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${boot}/${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return null
  }
}

/** Has a process of this machine died? */
const isDeadHere = ({ id, pid }: Pick<Row, 'id' | 'pid'>): boolean =>
  pid === process.pid ? !registered.has(id) : !isRunning(pid)

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

const toProcess = ({ id, pid, host, command, ...row }: Row): RunningProcess & { id: string } => ({
  ...{ id, pid, command, startedAt: row.started_at, keyIds: row.key_ids },
  ...(host !== hostname() && { host }),
})
