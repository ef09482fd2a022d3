import { BlockList, isIP } from 'node:net'
import type { Config } from '../../config/config.ts'
import { UNKNOWN_ISSUER_CODES } from '../../ellipsis/transport.ts'
import { inspectCertificate } from '../certificate.ts'
import { ok, problem, request, warning } from './check.ts'
import type { Check, CheckResult } from './check.ts'

/** Checks of the broker as browsers and apps see it. */
export const publicChecks: Record<string, Check> = {
  'public URL': async ({ publicUrl, callbackUrl, runtime }) => {
    const health = await request(runtime.fetch, `${publicUrl}/healthz`)
    if (health.status !== 200) return describeUnreachable(publicUrl, health)
    const callback = await request(runtime.fetch, callbackUrl)
    if (callback.status === 400) return ok(`${publicUrl}, with the callback ${callbackUrl}`)
    if (callback.status === 503)
      return problem(
        `the callback ${callbackUrl} answers 503: the broker does not work now`,
        'If no problem above explains it, look into the log of the broker.',
      )
    return problem(
      `the callback ${callbackUrl} does not reach a broker (status ${callback.status})`,
      'Let the proxy forward every path under the public URL to the broker, with the query.',
    )
  },

  metadata: async ({ publicUrl, basePath, runtime }) => {
    const wellKnown = '/.well-known/oauth-authorization-server'
    const rfc8414Url = new URL(publicUrl).origin + wellKnown + basePath
    for (const url of new Set([publicUrl + wellKnown, rfc8414Url])) {
      const { status, json, failure } = await request(runtime.fetch, url)
      if (status === 0) throw new Error(`${url} can’t be reached (${failure})`)
      if (status !== 200) {
        return problem(
          `${url} answers ${status}`,
          'Let the proxy forward this path to the broker too (RFC 8414).',
        )
      }
      if (json?.issuer !== publicUrl) {
        const fix = 'Set BROKER_PUBLIC_URL to the same value for every broker, and restart them.'
        return problem(`${url} names another issuer than ${publicUrl}`, fix)
      }
    }
    return ok(`at ${rfc8414Url}`)
  },

  certificate: async ({ publicUrl, runtime }) => {
    if (!publicUrl.startsWith('https:')) return ok('not needed for plain http on this machine')
    const { expiresAt, trustError } = await inspectCertificate(publicUrl)
    return judgeCertificate(expiresAt, trustError, runtime.clock.now())
  },

  'proxy headers': async ({ publicUrl, trustProxy, tls, runtime }) => {
    const url = `${publicUrl}/healthz`
    const readSeenAs = async (headers: Record<string, string> = {}) =>
      (await request(runtime.fetch, url, headers)).headers.get('x-seen-as')
    const forged = await readSeenAs({ 'x-forwarded-for': FORGED_ADDRESS })
    return judgeProxy({ publicUrl, trustProxy, tls }, { plain: await readSeenAs(), forged })
  },
}

/** Reserved for documentation (RFC 5737). */
const FORGED_ADDRESS = '192.0.2.77'

const DAY_MS = 86_400_000
/** A certificate that expires sooner should have been renewed. */
const RENEWAL_WARNING_DAYS = 14

/**
 * @param expiresAt milliseconds since the epoch, as `now`
 * @param trustError why this machine doesn't trust the certificate; `null`: it does
 */
export function judgeCertificate(
  expiresAt: number,
  trustError: string | null,
  now: number,
): CheckResult {
  const days = Math.floor((expiresAt - now) / DAY_MS)
  const date = new Date(expiresAt).toISOString().slice(0, 10)
  if (days < 0)
    return problem(`it expired on ${date}`, 'Renew it, and find out why it was not renewed.')
  if (trustError !== null) {
    const fix = 'Browsers and apps will reject it, unless they trust its issuer.'
    return warning(`this machine doesn’t trust it (${trustError})`, fix)
  }
  if (days >= RENEWAL_WARNING_DAYS) return ok(`valid until ${date}`)
  return warning(
    `it expires on ${date}`,
    'Find out why it was not renewed: renewal is due a month before.',
  )
}

/** The address that the broker sees for a visitor from this machine. `null`: it didn't say. */
interface SeenAddresses {
  plain: string | null
  /** The same, with a request that claims to come from `FORGED_ADDRESS`. */
  forged: string | null
}

export function judgeProxy(
  { publicUrl, trustProxy, tls }: Pick<Config, 'publicUrl' | 'trustProxy' | 'tls'>,
  { plain, forged }: SeenAddresses,
): CheckResult {
  if (trustProxy.includes('0.0.0.0/0') || trustProxy.includes('::/0')) {
    const fix =
      'Set it to the addresses of your proxies only: now any visitor can claim any address.'
    return problem('BROKER_TRUST_PROXY trusts everyone', fix)
  }
  if (new URL(publicUrl).protocol === 'http:')
    return ok('no proxy is needed for plain http on this machine')
  if (tls && trustProxy.length === 0) return ok('no proxy: the broker serves https itself')
  if (forged === FORGED_ADDRESS) {
    const fix = `Let the proxy set X-Forwarded-For to the visitor’s address only. If you trust this machine itself, test from another one: curl -i -H 'X-Forwarded-For: ${FORGED_ADDRESS}' ${publicUrl}/healthz must not answer x-seen-as: ${FORGED_ADDRESS}.`
    return warning('a visitor from this machine can claim any address', fix)
  }
  const proxy = plain?.endsWith(UNKNOWN_PROXY) ? plain.slice(0, -UNKNOWN_PROXY.length) : null
  if (proxy !== null && !isInNetworks(trustProxy, proxy)) {
    const fix = `Set BROKER_TRUST_PROXY to ${proxy}, and let the proxy send X-Forwarded-For: now all visitors share one address.`
    return problem('there is a proxy that BROKER_TRUST_PROXY does not name', fix)
  }
  if (trustProxy.length > 0) return ok(`X-Forwarded-For is trusted from ${trustProxy.join(', ')}`)
  const fix =
    'If there is a proxy, set BROKER_TRUST_PROXY to its address, and let it send X-Forwarded-For: otherwise all visitors share one address and its rate limits.'
  return warning('BROKER_TRUST_PROXY is not set, and the public URL is https', fix)
}

function isInNetworks(networks: string[], address: string): boolean {
  const list = new BlockList()
  const familyOf = (text: string) => (isIP(text) === 6 ? 'ipv6' : 'ipv4')
  for (const network of networks) {
    const [first = '', bits] = network.split('/')
    if (bits === undefined) list.addAddress(first, familyOf(first))
    else list.addSubnet(first, Number(bits), familyOf(first))
  }
  return list.check(address, familyOf(address))
}

/** The suffix by which `/healthz` marks the address of a proxy that is not trusted. */
const UNKNOWN_PROXY = '; unknown proxy'

function describeUnreachable(
  publicUrl: string,
  { status, failure }: Pick<Awaited<ReturnType<typeof request>>, 'status' | 'failure'>,
): CheckResult {
  if (failure !== null && UNKNOWN_ISSUER_CODES.test(failure)) {
    const fix =
      'If a private certificate authority issued it, run `doctor` with NODE_EXTRA_CA_CERTS=/path/to/ca.pem in the environment; see docs/run.md.'
    return problem(`the certificate of ${publicUrl} can’t be verified (${failure})`, fix)
  }
  const reason = failure === null || failure === 'unknown' ? '' : ` (${failure})`
  const finding = status === 0 ? `can’t be reached from here${reason}` : `answers ${status}`
  const fix =
    'Check that a broker is running, and check the proxy, the DNS record and the certificate. Behind some routers a host can’t reach its own public address: then test from another machine.'
  return problem(`${publicUrl} ${finding}`, fix)
}
