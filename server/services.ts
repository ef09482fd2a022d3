import { performance } from 'node:perf_hooks'
import { build } from './assets.ts'
import type { Config } from './config/config.ts'
import { useProxy } from './config/proxy.ts'
import { openData } from './data/open-data.ts'
import type { Data } from './data/open-data.ts'
import { createAdmins } from './admin/admins.ts'
import { createAppSessions } from './oauth/app-sessions.ts'
import { createApps } from './oauth/apps.ts'
import { createClientAssertions } from './oauth/client-assertion.ts'
import { MAX_JWKS_BYTES } from './oauth/client-jwks.ts'
import { createClientKeys } from './oauth/client-keys.ts'
import { createPublicDownload } from './public-download.ts'
import { createPublicRequests } from './public-request.ts'
import { createCommandSink } from './events/command-sink.ts'
import { createConditions } from './events/conditions.ts'
import { createDispatcher } from './events/dispatcher.ts'
import { createFeed } from './events/feed.ts'
import { ATTEMPT_TIMEOUT_MS } from './events/webhook-sink.ts'
import { createWebhooks } from './events/webhooks.ts'
import { createLoginThrottle } from './admin/login-throttle.ts'
import {
  MAX_CONCURRENT_CALLS,
  createCircuitBreaker,
  worstState,
} from './refresh/circuit-breaker.ts'
import { createAppGrants } from './oauth/app-grants.ts'
import { createAppTokens } from './oauth/app-token.ts'
import { createBrokerTokens } from './oauth/broker-token.ts'
import { createBulkRevocations } from './connections/bulk-revocation.ts'
import { runtime as defaultRuntime } from './runtime.ts'
import type { Runtime } from './runtime.ts'
import {
  createUpstreamBudget,
  describeConnects,
  describeUserInfo,
} from './connections/upstream-budget.ts'
import { createConnect } from './connections/connect.ts'
import { createNewFlows } from './connections/new-flows.ts'
import { createConnections } from './connections/connections.ts'
import { createDrive } from './drive/forward.ts'
import { createLinks } from './drive/links.ts'
import { createDpop } from './oauth/dpop.ts'
import { createDeviceFlow } from './oauth/device-flow.ts'
import { createNewGrant } from './oauth/grants.ts'
import { createIdentify } from './connections/identify.ts'
import { createKeepConnection } from './connections/keep-connection.ts'
import { createPushedRequests } from './oauth/pushed-requests.ts'
import { createStoreConnection } from './connections/store-connection.ts'
import { createEvents } from './connections/events.ts'
import { createExports } from './connections/export.ts'
import { createIntrospect } from './oauth/introspect.ts'
import { createOverview } from './connections/overview.ts'
import { createBackgroundThrottle } from './operate/background-throttle.ts'
import { createIdTokens } from './oauth/id-token.ts'
import { createCertificateExpiry } from './operate/certificate.ts'
import { createReadiness } from './operate/readiness.ts'
import { createImporter } from './connections/import.ts'
import { createRedeem } from './oauth/authorization-code.ts'
import { createLeases } from './refresh/lease.ts'
import { createRefreshAhead } from './refresh/refresh-ahead.ts'
import { createRefreshAttempt } from './refresh/refresh-attempt.ts'
import { createRefreshPace } from './refresh/refresh-pace.ts'
import { createRefreshOutcomes } from './refresh/refresh-outcome.ts'
import { createRefresher } from './refresh/refresher.ts'
import type { Refresher } from './refresh/refresher.ts'
import { createRenewals } from './oauth/renewal.ts'
import { createPasskeySignIn } from './admin/passkey-sign-in.ts'
import { createPasskeys } from './admin/passkeys.ts'
import { createPasswords } from './admin/password.ts'
import { createSecondFactors } from './admin/second-factor.ts'
import { createSessions } from './admin/sessions.ts'
import { createSetup } from './admin/setup.ts'
import { createUpstreamHealth } from './refresh/upstream-health.ts'
import { createSignIn } from './admin/sign-in.ts'
import { createSignInLinks } from './admin/sign-in-link.ts'
import { createOidcSignIn } from './admin/oidc-sign-in.ts'
import { createIdentityProvider } from './oidc/provider.ts'
import { createSwap } from './oauth/swap.ts'
import { createTokenAuthentication } from './oauth/token-authentication.ts'
import { createSweeper } from './operate/sweeper.ts'
import { createUpstreamStatus } from './refresh/upstream-status.ts'
import { createUserInfo } from './oauth/userinfo.ts'
import { createUsage } from './connections/usage.ts'
import { createDriveBudget } from './drive/budget.ts'
import { createNoCache } from './drive/cache.ts'
import { createDiskCache } from './drive/disk-cache.ts'
import { createTransfers } from './drive/transfers.ts'
import { createDriveClient } from './ellipsis/drive-client.ts'
import { createEllipsisClient } from './ellipsis/client.ts'
import type { EllipsisClientOptions } from './ellipsis/client.ts'
import { createClockOffset } from './ellipsis/clock-offset.ts'
import { createKeyFollower } from './data/key-follower.ts'
import { limitOutageLines } from './log.ts'
import type { Logger } from './log.ts'
import { createSummarizingLog } from './summarizing-log.ts'
import { countFailedConnects } from './metrics/failed-connects.ts'
import { addCacheSizeMetric, createDriveCacheMetrics } from './metrics/drive-cache.ts'
import { addDeliveryMetrics } from './metrics/deliveries.ts'
import { addHealthMetrics } from './metrics/health.ts'
import { createFindBrowserConnections } from './me/browser-connections.ts'
import { createMyAccess } from './me/my-access.ts'
import { createPersonSessions } from './me/sessions.ts'
import { createPersonSignIn } from './me/sign-in.ts'
import { createMetrics } from './metrics/metrics.ts'
import type { GatherMetrics } from './metrics/metrics.ts'
import type { Upgrade } from '../db/upgrade.ts'
import type { Claim } from './data/data-ownership.ts'

/** All parts of the broker, ready for use. */
export type Services = ReturnType<typeof compose>

/** What routes get: only the domain has the store and the vault. */
export type HttpServices = Omit<Services, 'store' | 'vault'>

/** How long `stop` waits for pending refreshes: as long as an upstream call can take. */
const SETTLE_TIMEOUT_MS = 22_000

/**
 * Builds everything, in order: store, keys, domain. A first start creates its data under a lock between
 * processes.
 * @param options.claim checks that the data belongs to this configuration's Ellipsis client; `anew`: takes it
 *   over if it belongs to another. Omit it for commands that only work on the data
 * @param options.command the name of this process's command, as shown to other processes
 * @param options.counted does this start count in the metrics? Default: yes, unless it is a command's
 * @param options.gather reads the metrics of the other workers
 * @param options.mustExist refuse a database in which no broker has created its tables
 * @param options.onUpgrade called if a database of an older version was migrated; default: logs it
 * @throws StartError that says what to do
 */
export async function startServices(
  config: Config,
  log: Logger,
  options: StartOptions = {},
): Promise<Services> {
  const { runtime = defaultRuntime, gather, ...rest } = options
  useProxy(config)
  rest.onUpgrade ??= ({ migrations, copy }) =>
    log.info(
      { migrations, copy },
      copy === null
        ? 'upgraded the database'
        : 'upgraded the database; a copy of it as it was is kept',
    )
  return compose(config, log, await openData(config, runtime, rest), runtime, gather)
}

export interface StartOptions {
  claim?: Claim
  mustExist?: boolean
  runtime?: Runtime
  command?: string
  counted?: boolean
  gather?: GatherMetrics
  onUpgrade?: (upgrade: Upgrade) => void
}

/** Builds the domain on opened data; `stop` ends it, and closes the store last. */
export function compose(
  config: Config,
  log: Logger,
  data: Data,
  runtime: Runtime = defaultRuntime,
  gather?: GatherMetrics,
) {
  const { clock, random, fetch, passwordHashing } = runtime
  const {
    store,
    vault,
    keys,
    formerUrls,
    subjectOf,
    presence,
    unsaved,
    kept,
    coordination,
    processes,
    explainStoreError,
    measureStorage,
  } = data
  const { publicUrl, minTtlSeconds, eventDays } = config
  /** This process's part of a limit. */
  const share = (limit: number): number => limit / (config.workers ?? 1)
  const breaker = createCircuitBreaker(clock, {
    concurrentCalls: Math.ceil(share(MAX_CONCURRENT_CALLS)),
  })
  // A busy drive keeps no refresh waiting, and its answers may take long.
  const driveBreaker = createCircuitBreaker(clock, {
    concurrentCalls: Infinity,
    slowCallMs: Infinity,
  })
  if (kept?.restored.length)
    log.info(
      { connections: kept.restored },
      'stored the refreshed tokens that an ended process kept',
    )
  if (kept?.unreadable.length)
    log.error(
      { connections: kept.unreadable },
      'kept tokens can’t be opened: their encryption key is missing',
    )
  const loopLog = limitOutageLines(log, clock)
  const summarizingLog = createSummarizingLog({ log, clock })
  const breakers = { state: () => worstState(breaker, driveBreaker) }
  const metrics = createMetrics(store, build, breakers, gather)
  const upstream = createUpstreamStatus({ store, clock, log })
  const clockOffset = createClockOffset({ clock, log })
  const onCall: EllipsisClientOptions['onCall'] = ({ endpoint, outcome, durationMs, date }) => {
    metrics.upstreamCalls.observe({ endpoint, outcome }, durationMs / 1000)
    upstream.recordCall(outcome, endpoint)
    clockOffset.record(date)
  }
  const ellipsis = createEllipsisClient({
    ...config.ellipsis,
    redirectUri: config.callbackUrl,
    fetch,
    now: () => clock.now(),
    onCall,
  })
  const driveClient = createDriveClient({ ...config.ellipsis, proxy: config.proxy, onCall })
  const accountSubject = async (connectionId: string): Promise<string | undefined> => {
    const connection = await store.getConnection(connectionId)
    return connection && subjectOf(connection)
  }
  const tokens = createBrokerTokens({ keys, clock, publicUrl, formerUrls, accountSubject })
  const appTokens = createAppTokens({ store, keys, clock, random, publicUrl, formerUrls })
  const usage = createUsage({ store, clock, log: loopLog })
  const shared = { store, vault, unsaved, ellipsis, breaker, clock, random, log, usage }
  const upstreamHealth = createUpstreamHealth()
  const leases = createLeases({ ...shared, processes })
  const outcomes = createRefreshOutcomes({
    ...shared,
    upstreamHealth,
    refreshes: metrics.refreshes,
  })
  const pace = createRefreshPace({
    ...{ clock, refreshesPerSecond: share(config.offlineRefreshesPerSecond) },
  })
  const attempt = createRefreshAttempt({ ...shared, leases, outcomes, upstreamHealth, pace })
  const refresher: Refresher = createRefresher({
    ...{ attempt, store, vault, clock },
    onToken: (id, token) => refreshAhead.schedule(id, token),
  })
  const refreshAhead = createRefreshAhead({
    ...{ ...shared, log: loopLog },
    ...{ refresher, leases, minTtlSeconds },
  })
  const renewals = createRenewals({ store, tokens, clock, random })
  const newGrant = createNewGrant({ tokens, clock, random })
  const redeem = createRedeem({ store, newGrant, clock })
  const appSessions = createAppSessions({ store, redeem, tokens, renewals, clock, publicUrl })
  const deviceFlow = createDeviceFlow({ store, newGrant, clock, random })
  const passwords = createPasswords({ random, passwordHashing })
  const { adminPasswords, adminOidc } = config
  const admins = createAdmins({
    ...{ store, passwords, clock, random },
    operatorName: config.operator.name,
    signInWays: { password: adminPasswords, issuer: adminOidc?.issuer ?? null },
  })
  const sessions = createSessions({ store, clock, random, log, config })
  const issuer = `Ellipsis Broker (${new URL(publicUrl).host})`
  const secondFactors = createSecondFactors({ store, vault, clock, random, issuer })
  const passkeys = createPasskeys({ store, vault, clock, random, issuer, publicUrl })
  const driveMetrics = createDriveCacheMetrics(metrics.registry)
  const driveBudget = createDriveBudget({
    ...{ store, clock, log, limits: config.connectionLimits },
    onRefused: driveMetrics.onRefused,
  })
  const loginThrottle = createLoginThrottle({ store, clock })
  const oidcSignIn =
    adminOidc &&
    createOidcSignIn({
      ...{ store, vault, sessions, loginThrottle, clock, random, log },
      ...{ settings: adminOidc, passwords: adminPasswords },
      provider: createIdentityProvider({
        ...{ settings: adminOidc, fetch, clock },
        callbackUrl: `${publicUrl}/admin/oidc/callback`,
      }),
    })
  const followKeys = createKeyFollower({ store, vault, presence, log })
  const active = () => performance.eventLoopUtilization().active
  const throttle = createBackgroundThrottle({ clock, active })
  const driveCache = config.cache
    ? createDiskCache({
        ...{ ...config.cache, clock, random, throttle, log },
        counters: driveMetrics.cache,
      })
    : createNoCache(driveMetrics.cache)
  addCacheSizeMetric(metrics.registry, () => driveCache.size())
  const upkeep = { usage, upstream, keys, followKeys, driveBudget, driveCache }
  const bulks = createBulkRevocations({ store, throttle, clock, random, log: loopLog })
  const sweeper = createSweeper({ store, ...upkeep, throttle, clock, log: loopLog, eventDays })
  const checkWritable = () => store.checkWritable()
  const checkReadiness = createReadiness({ checkWritable, keys, clock, log })
  const { jwksAllow: allowed, proxy } = config
  const download = createPublicDownload({ allowed, proxy, maxBytes: MAX_JWKS_BYTES })
  const clientKeys = createClientKeys({ clock, log, download })
  const assertions = createClientAssertions({ store, keys: clientKeys, clock, publicUrl })
  const pushedRequests = createPushedRequests({ store, vault, clock })
  const identify = createIdentify(shared)
  const keepConnection = createKeepConnection({ ...shared, refresher })
  const budget = createUpstreamBudget(clock, describeConnects, share)
  const connect = createConnect({
    ...shared,
    identify,
    keepConnection,
    newFlows: createNewFlows(shared),
    storeConnection: createStoreConnection(shared),
    pushedRequests,
    budget,
    deviceFlow,
    appSessions,
    publicUrl,
  })
  const certificateExpiresAt = createCertificateExpiry(publicUrl, clock)
  const webhookRequests = createPublicRequests({
    ...{ allowed: config.webhookAllow, proxy },
    connectTimeoutMs: ATTEMPT_TIMEOUT_MS,
  })
  const { onEvent } = config
  const webhooks = createWebhooks({
    ...{ store, vault, clock, random, requests: webhookRequests, allowed: config.webhookAllow },
    hasCommand: onEvent !== null,
  })
  const commands = onEvent ? [createCommandSink({ ...onEvent, clock, log })] : []
  const dispatcher = createDispatcher({
    ...{ store, throttle, clock, random, log: loopLog, processes },
    sinks: async () => [...(await webhooks.sinks()), ...commands],
    onGone: (id) => webhooks.disableGone(id),
    onAttempt: addDeliveryMetrics(metrics.registry, { store, clock }),
  })
  const conditions = createConditions({
    ...{ store, upstream, clock, log: loopLog, certificateExpiresAt },
    measureStorage,
  })
  const links = createLinks({ store, usage, clock, random })
  const connections = createConnections({ store, refresher, driveCache, clock, log })
  const personSessions = createPersonSessions({ store, vault, clock })
  const personSignIn = createPersonSignIn({
    ...{ ...shared, identify, keepConnection, budget, personSessions },
    findBrowserConnections: createFindBrowserConnections({ store, throttle }),
  })
  addHealthMetrics(metrics.registry, {
    store,
    isReady: async () => (await checkReadiness()).ready,
    isClientRefused: () => upstream.clientRefusedSince() !== null,
    clockOffsetSeconds: () => clockOffset.seconds(),
    measureStorage,
    certificateExpiresAt,
  })

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
    summarizingLog,
    refresher,
    refreshAhead,
    driveCache,
    driveBudget,
    sweeper,
    coordination,
    processes,
    explainStoreError,
    checkReadiness,
    apps: createApps({ store, clock, random, publicUrl, assertions }),
    appSessions,
    passwords,
    admins,
    sessions,
    secondFactors,
    passkeys,
    loginThrottle,
    setup: createSetup({ store, admins, config, clock, random }),
    signIn: createSignIn({
      ...{ store, passwords, sessions, loginThrottle, secondFactors, config, clock },
    }),
    passkeySignIn: createPasskeySignIn({
      ...{ store, passkeys, sessions, loginThrottle, config, clock },
    }),
    /** `null`: no identity provider is configured. */
    oidcSignIn,
    signInLinks: createSignInLinks({ store, vault, sessions, clock }),
    importer: createImporter({ ...shared, refresher, tokens, clientId: config.ellipsis.clientId }),
    connect: countFailedConnects(connect, metrics.registry),
    pushedRequests,
    deviceFlow,
    dpop: createDpop({ store, vault, clock }),
    bulks,
    events: createEvents({ store }),
    feed: createFeed({ store }),
    webhooks,
    dispatcher,
    conditions,
    exports: createExports({ store, throttle, clock }),
    overview: createOverview({
      ...{ store, upstream, clock, passwords: adminPasswords },
      command: onEvent?.program ?? null,
    }),
    links,
    connections,
    personSessions,
    personSignIn,
    myAccess: createMyAccess({ store, connections, links, clock }),
    introspect: createIntrospect({ store, tokens, clock }),
    idTokens: createIdTokens({ store, keys, clock, publicUrl, subjectOf }),
    userInfo: createUserInfo({
      ...{ store, tokens, ellipsis, clock, subjectOf },
      budget: createUpstreamBudget(clock, describeUserInfo, share),
    }),
    redeem,
    drive: createDrive({
      ...{ refresher, usage, minTtlSeconds, client: driveClient, breaker: driveBreaker },
      ...{ cache: driveCache, budget: driveBudget, transfers: createTransfers(clock) },
      ...{ metrics: metrics.drive, apiUrl: config.ellipsis.apiUrl },
      uploadLimitBytes: config.uploadLimitBytes,
    }),
    appTokens,
    appGrants: createAppGrants({ store, clock, publicUrl }),
    swap: createSwap({
      ...{ store, tokens, refresher, renewals, usage, appTokens, clock, publicUrl, minTtlSeconds },
      authentication: createTokenAuthentication({ store, tokens, clock, publicUrl }),
      swaps: metrics.swaps,
    }),

    /** Waits for pending refreshes, with a timeout, and closes the store last. */
    async stop(): Promise<void> {
      const settled = refreshAhead.stop().then(() => refresher.settled())
      const timeout = new AbortController()
      await Promise.race([settled, clock.sleep(SETTLE_TIMEOUT_MS, timeout.signal)])
      timeout.abort()
      await driveClient.close()
      await bulks.stop()
      await conditions.stop()
      await dispatcher.stop()
      await webhookRequests.close()
      await sweeper.stop()
      summarizingLog.close()
      await store.close()
      await presence.unregister()
      await coordination.close()
    },
  }
}
