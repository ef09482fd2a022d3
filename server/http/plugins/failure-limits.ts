import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Apps } from '../../oauth/apps.ts'
import type { Config } from '../../config/config.ts'
import { BrokerError } from '../../errors.ts'
import { isUnknownProxy } from './peer.ts'

declare module 'fastify' {
  interface FastifyInstance {
    failures: FailureLimits
  }
  interface FastifyRequest {
    /** The app proved with its secret that it is itself: what then fails is no guess. */
    appProven: boolean
  }
}

/**
 * Limits on guessing: failures are counted, successes never, by address (IPv6: by /64) and by app. An
 * address with too many is refused for the rest of the minute. An app with too many is told so when it
 * fails again, but goes on being served: its id is public, and anyone can fail in its name. Likewise what
 * fails at `/exchange` limits nothing but more of that: an app that swaps an ended token over and over is
 * no reason to keep the people around it from connecting anew.
 */
export interface FailureLimits {
  /** For `onRequest` of what takes guesses. @throws BrokerError `slow_down` */
  check(request: FastifyRequest): Promise<void>
  /** Counts one; answers the error to send in its stead, once there are too many. */
  count(request: FastifyRequest): Promise<BrokerError | null>
}

const MINUTE = 60_000
/** An app has users at many addresses. */
const APP_SHARE = 10
const USER_CODE_SHARE = 30
/** Addresses and apps that are remembered. */
const REMEMBERED = 10_000

/**
 * @param config `failureLimit`: failures that an address may have in a minute
 * @param registered knows the origins of apps
 */
export async function limitFailures(
  app: FastifyInstance,
  { failureLimit: perMinute, publicUrl }: Pick<Config, 'failureLimit' | 'publicUrl'>,
  registered: Pick<Apps, 'hasOrigin'>,
): Promise<void> {
  await app.register(rateLimit, { global: false })
  const window = { timeWindow: MINUTE, cache: REMEMBERED }
  const addresses = app.createRateLimit({ ...window, max: perMinute, ipv6Subnet: 64 })
  // Short, as people type them: an address may try ten a minute where it may fail three hundred times.
  const userCodes = app.createRateLimit({
    ...window,
    max: Math.ceil(perMinute / USER_CODE_SHARE),
    ipv6Subnet: 64,
  })
  const swaps = app.createRateLimit({ ...window, max: perMinute, ipv6Subnet: 64 })
  const apps = app.createRateLimit({
    ...window,
    max: perMinute * APP_SHARE,
    keyGenerator: clientOf,
  })

  const limiterOf = ({ routeOptions: { url } }: FastifyRequest) => {
    if (url?.endsWith('/exchange')) return swaps
    return url?.endsWith('/device') ? userCodes : addresses
  }

  /** Where nobody failed within the minute, there is nothing to look up. */
  let failedAt = -Infinity

  app.decorateRequest('appProven', false)
  app.decorate('failures', {
    async check(request) {
      if (isEmbedded(request)) throw new BrokerError('access_denied', { description: EMBEDDED })
      if (
        isFromOtherSite(request) &&
        !(await registered.hasOrigin(request.headers.origin ?? 'null'))
      ) {
        throw new BrokerError('access_denied', { description: STRANGER })
      }
      if (performance.now() - failedAt > MINUTE || isUnknownProxy(request, publicUrl)) return
      const limit = await limiterOf(request)(request, { increment: false })
      if (!limit.isAllowed && limit.isExceeded) throw slowDown(limit.ttlInSeconds)
    },
    async count(request) {
      if (request.appProven) return null
      failedAt = performance.now()
      const limits = [
        ...(isUnknownProxy(request, publicUrl) ? [] : [await limiterOf(request)(request)]),
        ...(clientOf(request) === '' ? [] : [await apps(request)]),
      ]
      const exceeded = limits.find((limit) => !limit.isAllowed && limit.isExceeded)
      return exceeded && !exceeded.isAllowed ? slowDown(exceeded.ttlInSeconds) : null
    },
  })
}

/**
 * Did another page ask for one of ours as if it were an image, a script or a frame? People never do, and
 * such failures would be counted against whoever looks at that page (Fetch Metadata).
 */
const isEmbedded = ({ headers, routeOptions }: FastifyRequest): boolean => {
  const destination = headers['sec-fetch-dest'] ?? 'document'
  return routeOptions.config.page !== undefined && destination !== 'document'
}
const EMBEDDED = 'Open this page by itself: it can’t be part of another one.'

/**
 * Does a page of another site send something? One of no app's origin could read no answer, but fail in the name
 * of whoever looks at it until their address is refused. Our own forms have their tokens; what is no browser
 * is asked nothing here.
 */
const isFromOtherSite = ({ headers, routeOptions }: FastifyRequest): boolean =>
  routeOptions.config.page === undefined && headers['sec-fetch-site'] === 'cross-site'
const STRANGER = 'Pages of this origin can’t call the broker: no app has registered it.'

const slowDown = (retryAfter: number): BrokerError => new BrokerError('slow_down', { retryAfter })

/** The app that a request claims to be from; empty: it names none. Cut, as what is remembered isn't checked. */
const clientOf = (request: FastifyRequest): string => claimedClient(request).slice(0, 64)

function claimedClient({ headers, body, query, params }: FastifyRequest): string {
  const basic = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(headers.authorization ?? '')?.[1]
  if (basic !== undefined) return Buffer.from(basic, 'base64').toString().split(':', 1).join()
  const { clientId } = params as { clientId?: unknown }
  const { client_id: id = clientId } = (body ?? query) as { client_id?: unknown }
  return typeof id === 'string' ? id : ''
}
