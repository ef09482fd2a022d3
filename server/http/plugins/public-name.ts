import type { FastifyInstance, FastifyRequest } from 'fastify'
import { createNetworkMatcher, isLoopbackHost } from '../../addresses.ts'
import type { Config } from '../../config/config.ts'
import { sha256 } from '../../crypto/hash.ts'
import { cookieName, cookieOptions } from './cookies.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The page works under any name of the broker: it has no form, and starts nothing. */
    anyName?: boolean
  }
}

const COOKIE_PREFIX = 'led-'
/** A browser follows a redirect at once. */
const COOKIE_LIFETIME_SECONDS = 10
const FOLLOWED = '1'
const NAME_HASH_LENGTH_CHARS = 12

/**
 * Redirects pages that are opened under another name than the public URL, such as localhost, a former host
 * name, or http instead of https: cookies and forms would fail there. A cookie remembers the redirect. If it
 * comes back with the same page, a proxy in between changes the name, and the page is sent.
 *
 * A public URL on loopback leads visitors of other machines nowhere, so a page names it instead.
 */
export function redirectToPublicUrl(app: FastifyInstance, config: Config): void {
  const { origin, hostname } = new URL(config.publicUrl)
  const isPublicUrl = createPublicUrlMatcher(config)
  const reportName = createNameReporter(app.log, config)

  app.addHook('onRequest', async (request, reply) => {
    const { page, anyName } = request.routeOptions.config
    if (!page || anyName || request.method !== 'GET' || isPublicUrl(request)) return
    reportName(request.headers.host ?? '')
    if (isOwnMachine(hostname) && !hostsOf(request).some((host) => isOwnMachine(nameOf(host))))
      return reply.code(421).page('notice', otherMachineNotice(config))
    const cookie = cookieName(
      COOKIE_PREFIX + sha256(request.url).slice(0, NAME_HASH_LENGTH_CHARS),
      config,
    )
    if (request.cookies[cookie] === FOLLOWED) {
      void reply.clearCookie(cookie, cookieOptions(config))
      return
    }
    const options = { ...cookieOptions(config), maxAge: COOKIE_LIFETIME_SECONDS }
    return reply.setCookie(cookie, FOLLOWED, options).redirect(origin + request.url, 302)
  })
}

/**
 * Returns a function that says whether a request was made under the public URL, as far as it shows. Behind
 * proxies, `X-Forwarded-Host` counts too; it decides only if a trusted proxy sends it.
 */
function createPublicUrlMatcher({
  publicUrl,
  trustProxy,
  tls,
}: Config): (request: FastifyRequest) => boolean {
  const { protocol, hostname, port } = new URL(publicUrl)
  const scheme = protocol.slice(0, -1)
  const publicPort = port || DEFAULT_PORTS[scheme]
  const isTrustedProxy = createNetworkMatcher(trustProxy)

  const isPublicHost = (host: string): boolean => {
    const [name, port = publicPort] = splitHost(host)
    return name === hostname && port === publicPort
  }
  return (request) => {
    const { headers, socket } = request
    const isTrusted = isTrustedProxy(socket.remoteAddress)
    const schemes = isTrusted ? listOf(headers['x-forwarded-proto']).filter(isWebScheme) : []
    if (schemes.length > 0 ? !schemes.includes(scheme) : tls !== null && scheme !== 'https')
      return false
    const forwarded = listOf(headers['x-forwarded-host'])
    const hosts = isTrusted && forwarded.length > 0 ? forwarded : hostsOf(request)
    // HTTP/1.0 needs no Host.
    return hosts.length === 0 || hosts.some(isPublicHost)
  }
}

/** Scanners send any name: the first ones are enough to find a wrong setting. */
const MAX_REPORTED_NAMES = 20
const HOST_HEADER = /^[a-z0-9.-]{1,100}(:\d{1,5})?$/i

/** Returns a function that logs each other name of the broker once. */
function createNameReporter(
  log: FastifyInstance['log'],
  { publicUrl }: Config,
): (host: string) => void {
  const reported = new Set<string>()
  return (host) => {
    if (!HOST_HEADER.test(host) || reported.has(host) || reported.size >= MAX_REPORTED_NAMES) return
    reported.add(host)
    log.warn(
      { host },
      `a page was opened at ${host}, but BROKER_PUBLIC_URL is ${publicUrl}: if visitors use ${host}, change BROKER_PUBLIC_URL`,
    )
  }
}

const DEFAULT_PORTS: Record<string, string> = { http: '80', https: '443' }

const isWebScheme = (scheme: string): boolean => Object.hasOwn(DEFAULT_PORTS, scheme)

/** The names that a request may have been made under, in lower case. */
const hostsOf = ({ headers }: FastifyRequest): string[] => [
  ...listOf(headers.host),
  ...listOf(headers['x-forwarded-host']),
]

/** The values of a header that each proxy may add to. */
const listOf = (header: string | string[] | undefined): string[] =>
  [header ?? []]
    .flat()
    .flatMap((line) => line.toLowerCase().split(','))
    .map((value) => value.trim())
    .filter((value) => value !== '')

/** The name and the port of a `Host` header; without a port if it has none. */
function splitHost(host: string): [name: string, port?: string] {
  const parts = /^(.*?)(?::(\d+))?$/.exec(host)
  return parts?.[2] === undefined ? [host] : [parts[1] ?? '', parts[2]]
}

const nameOf = (host: string): string => splitHost(host)[0]

/** Does this host name lead to the visitor's own machine? */
const isOwnMachine = (host: string): boolean =>
  isLoopbackHost(host) || host === '0.0.0.0' || host === '[::]'

const otherMachineNotice = ({ publicUrl }: Config) => ({
  title: 'This broker can be used on its own machine only',
  message: `This broker’s public URL is ${publicUrl}, which no other machine can open. To use the broker from here, its operator sets BROKER_PUBLIC_URL to the https URL that visitors open, and restarts the broker.`,
})
