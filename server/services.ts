import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import { UpgradeCopyError } from '../db/copy.ts'
import { StoreTooNewError, openStore, withLock, withStartLock } from '../db/open.ts'
import { announce, listPresent } from '../db/presence.ts'
import type { Presence } from '../db/presence.ts'
import type { Store } from '../db/store.ts'
import { build, readMigrations, sqliteBinding } from './assets.ts'
import type { Config } from './config.ts'
import { createAdmins } from './domain/admins.ts'
import { createApps } from './domain/apps.ts'
import { createAttempts } from './domain/attempts.ts'
import { createBreaker } from './domain/breaker.ts'
import { createBrokerTokens } from './domain/broker-token.ts'
import { createBulks } from './domain/bulk.ts'
import type { Clock, Random } from './domain/clock.ts'
import { createConnect } from './domain/connect.ts'
import { createConnections } from './domain/connections.ts'
import { createDeviceFlow } from './domain/device-flow.ts'
import { createNewGrant } from './domain/grants.ts'
import { createKeep } from './domain/keep.ts'
import { createIntrospect } from './domain/introspect.ts'
import { createPace } from './domain/pace.ts'
import { createRedeem } from './domain/redeem.ts'
import { createRefreshAttempt } from './domain/refresh-attempt.ts'
import { createRefresher } from './domain/refresh.ts'
import { createRenewals } from './domain/renew.ts'
import { createSecondFactors } from './domain/second-factor.ts'
import { createSessions } from './domain/sessions.ts'
import { createSetup } from './domain/setup.ts'
import { createSignIn } from './domain/sign-in.ts'
import { createSigningKeys } from './domain/signing-keys.ts'
import { createSwap } from './domain/swap.ts'
import { createSweeper } from './domain/sweeper.ts'
import { createUpstream } from './domain/upstream.ts'
import { createUsage } from './domain/usage.ts'
import { createVault } from './domain/vault.ts'
import { createWalk } from './domain/walk.ts'
import { createEllipsisClient } from './ellipsis/client.ts'
import { createKeyFollower } from './key-follower.ts'
import type { Logger } from './log.ts'
import { createMetrics } from './metrics.ts'
import { claimData } from './ownership.ts'
import type { Claim } from './ownership.ts'
import { message } from './operate/messages.ts'
import { loadSecretKeys } from './secret-key.ts'
import { StartError } from './start-error.ts'

/** Everything the broker is made of, ready to be used. */
export type Services = Awaited<ReturnType<typeof startServices>>

/** What the world gives to the broker; tests give their own. */
export interface World {
  clock: Clock
  random: Random
  fetch: typeof fetch
}

export const world: World = {
  clock: {
    now: Date.now,
    sleep: (milliseconds, signal) =>
      setTimeout(milliseconds, undefined, signal && { signal }).catch(() => undefined),
  },
  random: randomBytes,
  fetch: globalThis.fetch,
}

/** How long a stop waits for refreshes under way, milliseconds: as long as a call upstream can take. */
const SETTLE_WITHIN = 22_000

/**
 * Builds everything, in order: store, keys, domain. What a first start makes is made under one lock
 * between processes.
 * @param options.claim the data is to belong to this configuration's Ellipsis client; `anew`: even if it
 *   belonged to another. Left out, for commands on the data alone: whose it is doesn't matter
 * @param options.command what this process tells the others that it is
 * @throws StartError with what to do
 */
export async function startServices(
  config: Config,
  log: Logger,
  options: { claim?: Claim; world?: World; command?: string } = {},
) {
  const { clock, random, fetch } = options.world ?? world
  const { dataDir } = config
  const binding = sqliteBinding(dataDir)

  const opened = await withStartLock(dataDir, binding, async () => {
    const store = await openStore({
      directory: dataDir,
      migrations: readMigrations(),
      nativeBinding: binding,
    }).catch(explain)
    try {
      const loadKeys = await loadSecretKeys(config, store, random)
      const vault = createVault(loadKeys, random)
      const formerUrls = await claimData(config, store, { vault, random, claim: options.claim })
      const keys = createSigningKeys({ store, vault, clock, random })
      await keys.ensure()
      const { command = 'serve' } = options
      const told = { pid: process.pid, command, startedAt: clock.now(), keyIds: vault.keyIds() }
      return { store, vault, keys, formerUrls, presence: announce(dataDir, binding, told) }
    } catch (error) {
      await store.close()
      throw error
    }
  })
  const locks = {
    /** While no other process starts. */
    start: <T>(work: () => Promise<T>) => withStartLock(dataDir, binding, work),
    /** While no other holds the lock of that name. @throws SqliteError `SQLITE_BUSY` */
    alone: <T>(name: string, work: () => Promise<T>) => withLock(dataDir, name, binding, 0, work),
  }
  const { presence } = opened
  const processes = {
    /** Those that have the store open too. */
    others: () => listPresent(dataDir, binding).filter(({ id }) => id !== presence.id),
  }
  return { ...compose(config, log, { clock, random, fetch }, opened), locks, processes }
}

function explain(error: unknown): never {
  if (error instanceof StoreTooNewError) {
    throw new StartError(message('start.newer', { file: error.file }))
  }
  if (error instanceof UpgradeCopyError) {
    throw new StartError(message('start.no-copy', { file: error.file }), { cause: error.cause })
  }
  throw error
}

type Opened = {
  store: Store
  vault: ReturnType<typeof createVault>
  keys: ReturnType<typeof createSigningKeys>
  formerUrls: string[]
  presence: Presence
}

/** The domain over an open store. */
function compose(config: Config, log: Logger, { clock, random, fetch }: World, opened: Opened) {
  const { store, vault, keys, formerUrls, presence } = opened
  const { publicUrl, minTtlSeconds, eventDays } = config
  const metrics = createMetrics(store, build)
  const upstream = createUpstream({ store, clock })
  const ellipsis = createEllipsisClient({
    ...config.ellipsis,
    redirectUri: config.callbackUrl,
    fetch,
    now: () => clock.now(),
    onCall: ({ endpoint, outcome, durationMs }) => {
      metrics.upstreamCalls.observe({ endpoint, outcome }, durationMs / 1000)
      upstream.saw(outcome)
    },
  })
  const breaker = createBreaker(clock)
  const tokens = createBrokerTokens({ keys, clock, publicUrl, formerUrls })
  const usage = createUsage({ store, clock, log, swaps: metrics.swaps })
  const parts = { store, vault, ellipsis, breaker, clock, random, log, usage }
  const attempt = createRefreshAttempt(parts)
  const refresher = createRefresher({ attempt, store, vault, clock })
  const renewals = createRenewals({ store, tokens, clock, random })
  const swapNeeds = { store, tokens, refresher, renewals, usage, clock, publicUrl, minTtlSeconds }
  const newGrant = createNewGrant({ tokens, clock, random })
  const deviceFlow = createDeviceFlow({ store, newGrant, clock, random })
  const admins = createAdmins({ store, clock, random })
  const sessions = createSessions({ store, clock, random })
  const issuer = `Ellipsis Broker (${new URL(publicUrl).host})`
  const secondFactors = createSecondFactors({ store, vault, clock, random, issuer })
  const attempts = createAttempts({ store, clock })
  const swap = createSwap(swapNeeds)
  const followKeys = createKeyFollower({ store, vault, presence })
  const upkeep = { usage, upstream, keys, followKeys }
  const walk = createWalk({ store })
  const active = () => performance.eventLoopUtilization().active
  const pace = createPace({ clock, active })
  const bulks = createBulks({ store, walk, pace, clock, random, log })
  const sweeper = createSweeper({ store, ...upkeep, clock, log, eventDays })

  return {
    config,
    log,
    clock,
    random,
    store,
    vault,
    keys,
    breaker,
    metrics,
    usage,
    upstream,
    refresher,
    sweeper,
    apps: createApps({ store, clock, random }),
    admins,
    sessions,
    secondFactors,
    setup: createSetup({ store, admins, clock, random }),
    signIn: createSignIn({ store, sessions, attempts, secondFactors, clock }),
    connect: createConnect({ ...parts, keep: createKeep(parts), deviceFlow, publicUrl }),
    deviceFlow,
    bulks,
    walk,
    pace,
    connections: createConnections({ store, refresher, walk, clock }),
    introspect: createIntrospect({ store, tokens, clock }),
    redeem: createRedeem({ store, newGrant, clock }),
    swap: { ...swap, swap: metrics.swaps.timed(swap.swap) },

    /** Waits for what is under way, within a bound, and closes the store last. */
    async stop(): Promise<void> {
      const settled = refresher.settled()
      const enough = new AbortController()
      await Promise.race([settled, clock.sleep(SETTLE_WITHIN, enough.signal)])
      enough.abort()
      await bulks.stop()
      await sweeper.stop()
      await store.close()
      presence.leave()
    },
  }
}
