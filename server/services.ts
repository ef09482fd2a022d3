import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import { build } from './assets.ts'
import type { Config } from './config.ts'
import { openData } from './data.ts'
import type { Data } from './data.ts'
import { createAdmins } from './domain/admins.ts'
import { createApps } from './domain/apps.ts'
import { createAttempts } from './domain/attempts.ts'
import { createBreaker } from './domain/breaker.ts'
import { createBrokerTokens } from './domain/broker-token.ts'
import { createBulks } from './domain/bulk.ts'
import type { Random, SteadyClock } from './domain/clock.ts'
import { createConnect } from './domain/connect.ts'
import { createConnections } from './domain/connections.ts'
import { createDpop } from './domain/dpop.ts'
import { createDeviceFlow } from './domain/device-flow.ts'
import { createNewGrant } from './domain/grants.ts'
import { createKeep } from './domain/keep.ts'
import { createEvents } from './domain/events.ts'
import { createExports } from './domain/export.ts'
import { createIntrospect } from './domain/introspect.ts'
import { createOverview } from './domain/overview.ts'
import { createPace } from './domain/pace.ts'
import { createImporter } from './domain/import.ts'
import { createRedeem } from './domain/redeem.ts'
import { createLeases } from './domain/lease.ts'
import { createRefreshAhead } from './domain/refresh-ahead.ts'
import { createRefreshAttempt } from './domain/refresh-attempt.ts'
import { createRefreshOutcomes } from './domain/refresh-outcome.ts'
import { createRefresher } from './domain/refresh.ts'
import type { Refresher } from './domain/refresh.ts'
import { createRenewals } from './domain/renew.ts'
import { createSecondFactors } from './domain/second-factor.ts'
import { createSessions } from './domain/sessions.ts'
import { createSetup } from './domain/setup.ts'
import { createSigns } from './domain/signs.ts'
import { createSignIn } from './domain/sign-in.ts'
import { createSwap } from './domain/swap.ts'
import { createSweeper } from './domain/sweeper.ts'
import { createUpstream } from './domain/upstream.ts'
import { createUsage } from './domain/usage.ts'
import { createEllipsisClient } from './ellipsis/client.ts'
import { createKeyFollower } from './key-follower.ts'
import type { Logger } from './log.ts'
import { createMetrics } from './metrics.ts'
import type { Claim } from './ownership.ts'

/** Everything the broker is made of, ready to be used. */
export type Services = ReturnType<typeof compose>

/** What routes get: they call the domain, which alone has the store and the keys. */
export type HttpServices = Omit<Services, 'store' | 'vault'>

/** What the world gives to the broker; tests give their own. */
export interface World {
  clock: SteadyClock
  random: Random
  fetch: typeof fetch
}

export const world: World = {
  clock: {
    now: Date.now,
    steady: () => Number(process.hrtime.bigint() / 1_000_000n),
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
): Promise<Services> {
  const { world: given = world, ...rest } = options
  return compose(config, log, await openData(config, given, rest), given)
}

/** The domain over what is open; `stop` ends it, and closes the store last. */
export function compose(config: Config, log: Logger, data: Data, given: World = world) {
  const { clock, random, fetch } = given
  const { store, vault, keys, formerUrls, presence, locks, processes } = data
  const { publicUrl, minTtlSeconds, eventDays } = config
  const breaker = createBreaker(clock)
  const metrics = createMetrics(store, build, breaker)
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
  const tokens = createBrokerTokens({ keys, clock, publicUrl, formerUrls })
  const usage = createUsage({ store, clock, log })
  const parts = { store, vault, ellipsis, breaker, clock, random, log, usage }
  const signs = createSigns()
  const leases = createLeases({ ...parts, processes })
  const outcomes = createRefreshOutcomes({ ...parts, signs, refreshes: metrics.refreshes })
  const attempt = createRefreshAttempt({ ...parts, leases, outcomes, signs })
  const refresher: Refresher = createRefresher({
    ...{ attempt, store, vault, clock },
    onToken: (id, token) => ahead.plan(id, token),
  })
  const ahead = createRefreshAhead({ ...parts, refresher, leases, minTtlSeconds })
  const renewals = createRenewals({ store, tokens, clock, random })
  const swapNeeds = { store, tokens, refresher, renewals, usage, clock, publicUrl, minTtlSeconds }
  const newGrant = createNewGrant({ tokens, clock, random })
  const deviceFlow = createDeviceFlow({ store, newGrant, clock, random })
  const admins = createAdmins({ store, clock, random })
  const sessions = createSessions({ store, clock, random })
  const issuer = `Ellipsis Broker (${new URL(publicUrl).host})`
  const secondFactors = createSecondFactors({ store, vault, clock, random, issuer })
  const attempts = createAttempts({ store, clock })
  const followKeys = createKeyFollower({ store, vault, presence, log })
  const upkeep = { usage, upstream, keys, followKeys }
  const active = () => performance.eventLoopUtilization().active
  const pace = createPace({ clock, active })
  const bulks = createBulks({ store, pace, clock, random, log })
  const sweeper = createSweeper({ store, ...upkeep, pace, clock, log, eventDays })

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
    ahead,
    sweeper,
    locks,
    processes,
    checkWritable: () => store.checkWritable(),
    apps: createApps({ store, clock, random }),
    admins,
    sessions,
    secondFactors,
    attempts,
    setup: createSetup({ store, admins, clock, random }),
    signIn: createSignIn({ store, sessions, attempts, secondFactors, clock }),
    importer: createImporter({ ...parts, refresher, tokens, clientId: config.ellipsis.clientId }),
    connect: createConnect({ ...parts, keep: createKeep(parts), deviceFlow, publicUrl }),
    deviceFlow,
    dpop: createDpop({ store, vault, clock }),
    bulks,
    events: createEvents({ store }),
    exports: createExports({ store, pace, clock }),
    overview: createOverview({ store, upstream, clock }),
    connections: createConnections({ store, refresher, clock }),
    introspect: createIntrospect({ store, tokens, clock }),
    redeem: createRedeem({ store, newGrant, clock }),
    swap: createSwap({ ...swapNeeds, swaps: metrics.swaps }),

    /** Waits for what is under way, within a bound, and closes the store last. */
    async stop(): Promise<void> {
      const settled = ahead.stop().then(() => refresher.settled())
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
