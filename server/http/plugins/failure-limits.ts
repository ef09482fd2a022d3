import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest, onRequestHookHandler } from 'fastify'
import type { Apps } from '../../oauth/apps.ts'
import type { Config } from '../../config/config.ts'
import { SHARED_ADDRESS_LIMIT_FACTOR } from '../../addresses.ts'
import { BrokerError } from '../../errors.ts'
import { claimedClientId } from './claims.ts'
import { mayBeProxy } from './peer.ts'
import { ORIGIN_NOT_REGISTERED } from './refusals.ts'

declare module 'fastify' {
  interface FastifyInstance {
    failureLimits: FailureLimits
  }
  interface FastifyRequest {
    /** The client authenticated with its secret: a later failure is not a guess. */
    clientAuthenticated: boolean
  }
}

/**
 * Rate limits on guessing. Only failures count, by address (IPv6: by /64) and by app.
 *
 * - An address over its limit is rejected for the rest of the minute. An address that may be a proxy's has a
 *   larger limit.
 * - An app over its limit gets `slow_down` for its failures; its valid requests still succeed. Its id is
 *   public, so anyone can fail in its name.
 * - Failures with a token limit only further failures with tokens: an app that keeps swapping an expired one
 *   does not keep users at the same address from connecting again.
 */
interface FailureLimits {
  /**
   * The `onRequest` hook of endpoints where a guess is possible. Its errors are BrokerErrors: `slow_down`;
   * `access_denied` if another site embeds or calls the endpoint.
   */
  check: onRequestHookHandler
  /** Counts a failure. Returns the error to send instead once the limit is exceeded, else `null`. */
  count(request: FastifyRequest): Promise<BrokerError | null>
}

const WINDOW_MS = 60_000
/** An app may fail this many times as often as an address: it has users at many addresses. */
const APP_LIMIT_FACTOR = 10
/** User codes are short, so an address may try this many times fewer of them. */
const USER_CODE_LIMIT_DIVISOR = 30
/** Addresses, or apps, that are tracked at a time. */
const MAX_TRACKED_KEYS = 10_000

/**
 * @param config `failureLimit`: failures that an address may have in a minute
 * @param apps the registered apps, for their origins
 */
export async function limitFailures(
  app: FastifyInstance,
  { failureLimit, publicUrl }: Pick<Config, 'failureLimit' | 'publicUrl'>,
  apps: Pick<Apps, 'hasOrigin'>,
): Promise<void> {
  await app.register(rateLimit, { global: false })
  const options = { timeWindow: WINDOW_MS, cache: MAX_TRACKED_KEYS }
  const byAddress = (limit: number) => {
    const max = (request: FastifyRequest): number =>
      mayBeProxy(request, publicUrl) ? limit * SHARED_ADDRESS_LIMIT_FACTOR : limit
    return app.createRateLimit({ ...options, max, ipv6Subnet: 64 })
  }
  const addressLimit = byAddress(failureLimit)
  const userCodeLimit = byAddress(Math.ceil(failureLimit / USER_CODE_LIMIT_DIVISOR))
  const exchangeLimit = byAddress(failureLimit)
  const max = failureLimit * APP_LIMIT_FACTOR
  const appLimit = app.createRateLimit({ ...options, max, keyGenerator: claimedClientId })

  const limitOf = ({ routeOptions: { url, config } }: FastifyRequest) => {
    if (config.isProtectedResource) return exchangeLimit
    return url?.endsWith('/device') ? userCodeLimit : addressLimit
  }

  /** Without a failure in the last minute no limit can be exceeded, and the check is skipped. */
  let lastFailureAt = -Infinity

  const isIdle = (): boolean => performance.now() - lastFailureAt > WINDOW_MS

  /** @throws BrokerError */
  const check = async (request: FastifyRequest): Promise<void> => {
    if (isEmbedded(request))
      throw new BrokerError('access_denied', { description: EMBEDDED, reason: 'embedded' })
    if (isCrossSite(request) && !(await apps.hasOrigin(request.headers.origin ?? 'null'))) {
      throw new BrokerError('access_denied', {
        description: UNKNOWN_ORIGIN,
        reason: ORIGIN_NOT_REGISTERED,
      })
    }
    if (isIdle()) return
    const limit = await limitOf(request)(request, { increment: false })
    if (!limit.isAllowed && limit.isExceeded) throw slowDown(limit.ttlInSeconds)
  }

  app.decorateRequest('clientAuthenticated', false)
  app.decorate('failureLimits', {
    check(request, _reply, done) {
      // Most swaps are not sent by browsers: avoid the cost of a promise.
      if (isIdle() && !hasFetchMetadata(request)) return done()
      check(request).then(() => done(), done)
    },
    async count(request) {
      if (request.clientAuthenticated) return null
      lastFailureAt = performance.now()
      const limits = [
        await limitOf(request)(request),
        ...(claimedClientId(request) === '' ? [] : [await appLimit(request)]),
      ]
      const exceeded = limits.find((limit) => !limit.isAllowed && limit.isExceeded)
      return exceeded && !exceeded.isAllowed ? slowDown(exceeded.ttlInSeconds) : null
    },
  })
}

/** Only browsers send these headers (https://www.w3.org/TR/fetch-metadata/). */
const hasFetchMetadata = ({ headers }: FastifyRequest): boolean =>
  headers['sec-fetch-dest'] !== undefined || headers['sec-fetch-site'] !== undefined

/**
 * Does another page load one of ours as an image, script or frame (Fetch Metadata)? A person never does, and
 * such failures would count against anyone who views that page.
 */
const isEmbedded = ({ headers, routeOptions, query }: FastifyRequest): boolean => {
  const { url, config } = routeOptions
  const destination = headers['sec-fetch-dest'] ?? 'document'
  // OpenID Connect libraries ask so in a hidden frame; the answer is only a redirect with an error.
  const isSilent = (query as { prompt?: unknown }).prompt === 'none'
  if (isSilent && destination === 'iframe' && url?.endsWith('/oauth/authorize')) return false
  return config.page !== undefined && destination !== 'document'
}
const EMBEDDED = 'Open this page in its own tab: it cannot be embedded in another page.'

/**
 * Does a page of another site call an endpoint of apps? A page whose origin no app registered cannot read the
 * answer, but its failures would count against anyone who views it. Our own forms have CSRF tokens instead,
 * and clients other than browsers do not send this header.
 */
const isCrossSite = ({ headers, routeOptions }: FastifyRequest): boolean =>
  routeOptions.config.page === undefined && headers['sec-fetch-site'] === 'cross-site'
const UNKNOWN_ORIGIN =
  'No app is registered with this origin. Add the origin to the app on the dashboard, or with "app set".'

const slowDown = (retryAfter: number): BrokerError =>
  new BrokerError('slow_down', { retryAfter, reason: 'rate_limited' })
