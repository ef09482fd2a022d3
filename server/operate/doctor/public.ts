import { once } from 'node:events'
import { BlockList, isIP } from 'node:net'
import { connect } from 'node:tls'
import type { Config } from '../../config/config.ts'
import { ok, problem, warning } from './finding.ts'
import type { Check, Told } from './finding.ts'
import { reach, within } from './reach.ts'

/** Of the broker, as browsers and apps see it. */
export const publicChecks: Record<string, Check> = {
  'public URL': async ({ publicUrl, callbackUrl, runtime }) => {
    const answer = await reach(runtime.fetch, `${publicUrl}/healthz`)
    if (answer.status !== 200) return unreachable(publicUrl, answer.status)
    const callback = await reach(runtime.fetch, callbackUrl)
    if (callback.status === 400) return ok(`${publicUrl}, with the callback ${callbackUrl}`)
    return problem(
      `the callback ${callbackUrl} is not answered by a broker (status ${callback.status})`,
      'Let the proxy lead every path under the public URL here, with its query.',
    )
  },

  metadata: async ({ publicUrl, basePath, runtime }) => {
    const wellKnown = '/.well-known/oauth-authorization-server'
    const inserted = new URL(publicUrl).origin + wellKnown + basePath
    for (const url of new Set([publicUrl + wellKnown, inserted])) {
      const { status, json } = await reach(runtime.fetch, url)
      if (status !== 200) {
        return problem(
          `${url} answers ${status || 'nothing'}`,
          'Let the proxy lead this path to the broker too (RFC 8414).',
        )
      }
      if (json?.issuer !== publicUrl) {
        const mend = 'Set BROKER_PUBLIC_URL to the same for every broker, and restart them.'
        return problem(`${url} names another issuer than ${publicUrl}`, mend)
      }
    }
    return ok(`at ${inserted}`)
  },

  certificate: async ({ publicUrl, runtime }) => {
    const { protocol, hostname, port } = new URL(publicUrl)
    if (protocol === 'http:') return ok('none is needed for plain http on this machine')
    const host = hostname.replace(/^\[|\]$/g, '')
    const socket = connect({
      host,
      port: Number(port || 443),
      ...(isIP(host) === 0 && { servername: host }),
      // It is looked at, not trusted.
      rejectUnauthorized: false,
    })
    try {
      await once(socket, 'secureConnect', within())
      const until = Date.parse(socket.getPeerCertificate().valid_to)
      const mistrust = socket.authorized ? null : String(socket.authorizationError)
      return judgeCertificate(until, mistrust, runtime.clock.now())
    } finally {
      socket.destroy()
    }
  },

  'proxy headers': async ({ publicUrl, trustProxy, tls, runtime }) => {
    const url = `${publicUrl}/healthz`
    const seen = async (headers: Record<string, string> = {}) =>
      (await reach(runtime.fetch, url, headers)).headers.get('x-seen-as')
    const forged = await seen({ 'x-forwarded-for': FORGED })
    const metrics = await reach(runtime.fetch, `${publicUrl}/metrics`)
    return judgeProxy(
      { publicUrl, trustProxy, tls },
      { plain: await seen(), forged, opensMetrics: metrics.status === 200 },
    )
  },
}

/** Nobody's address (RFC 5737). */
const FORGED = '192.0.2.77'

const DAY = 86_400_000

/** @param mistrust why it isn't trusted here; `null`: it is. @param now milliseconds, as `until` */
export function judgeCertificate(until: number, mistrust: string | null, now: number): Told {
  const days = Math.floor((until - now) / DAY)
  const date = new Date(until).toISOString().slice(0, 10)
  if (days < 0) return problem(`it ended on ${date}`, 'Renew it, and see why that wasn’t done.')
  if (mistrust !== null) {
    const mend =
      'Browsers and apps will refuse it, unless they have been told to trust who made it.'
    return warning(`this machine doesn’t trust it (${mistrust})`, mend)
  }
  if (days >= 14) return ok(`valid until ${date}`)
  return warning(`it ends on ${date}`, 'See why it wasn’t renewed: that is due a month before.')
}

/** As whom the broker sees a visitor from this machine. `null`: it didn't tell. */
interface Seen {
  plain: string | null
  /** The same, claiming to be `FORGED`. */
  forged: string | null
  /** Does it take such a visitor for a program beside it? */
  opensMetrics: boolean
}

export function judgeProxy(
  { publicUrl, trustProxy, tls }: Pick<Config, 'publicUrl' | 'trustProxy' | 'tls'>,
  { plain, forged, opensMetrics }: Seen,
): Told {
  if (trustProxy.includes('0.0.0.0/0') || trustProxy.includes('::/0')) {
    const mend =
      'Name your proxies’ addresses alone: as it is, every visitor can claim any address.'
    return problem('BROKER_TRUST_PROXY trusts everyone', mend)
  }
  if (new URL(publicUrl).protocol === 'http:')
    return ok('no proxy is needed for plain http on this machine')
  if (tls && trustProxy.length === 0) return ok('no proxy: the broker serves https itself')
  if (opensMetrics) {
    const mend =
      'Let it pass on Host and X-Forwarded-For: as it is, it looks like a program on this machine, and everybody reads /metrics.'
    return problem('the proxy says nothing of whom it asks for', mend)
  }
  if (forged === FORGED) {
    const mend = `Let the proxy set X-Forwarded-For to the visitor’s address alone. If it is this machine that is trusted, try from another: curl -i -H 'X-Forwarded-For: ${FORGED}' ${publicUrl}/healthz must not answer x-seen-as: ${FORGED}.`
    return warning('a visitor from this machine can claim any address', mend)
  }
  const proxy = plain?.endsWith(UNKNOWN) ? plain.slice(0, -UNKNOWN.length) : null
  if (proxy !== null && !includes(trustProxy, proxy)) {
    const mend = `Set BROKER_TRUST_PROXY to ${proxy}, and let the proxy send X-Forwarded-For: as it is, all visitors share one address.`
    return problem('a proxy stands in front that BROKER_TRUST_PROXY doesn’t name', mend)
  }
  if (trustProxy.length > 0) return ok(`X-Forwarded-For is believed from ${trustProxy.join(', ')}`)
  const mend =
    'If a proxy stands in front, set BROKER_TRUST_PROXY to its address, and let it send X-Forwarded-For: otherwise all visitors share one address, and its limits.'
  return warning('BROKER_TRUST_PROXY is not set, and the public URL is https', mend)
}

function includes(networks: string[], address: string): boolean {
  const list = new BlockList()
  const familyOf = (text: string) => (isIP(text) === 6 ? 'ipv6' : 'ipv4')
  for (const network of networks) {
    const [first = '', bits] = network.split('/')
    if (bits === undefined) list.addAddress(first, familyOf(first))
    else list.addSubnet(first, Number(bits), familyOf(first))
  }
  return list.check(address, familyOf(address))
}

/** How the broker marks an address that is a proxy's which it doesn't know. */
const UNKNOWN = '; unknown proxy'

function unreachable(publicUrl: string, status: number): Told {
  const what = status === 0 ? 'can’t be reached from here' : `answers ${status}`
  const mend =
    'Check that a broker runs, its proxy, the name’s address and the certificate. Behind some routers a host can’t reach its own public address: then try from elsewhere.'
  return problem(`${publicUrl} ${what}`, mend)
}
