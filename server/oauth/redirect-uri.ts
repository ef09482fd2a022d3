/** Redirect URIs: which may be registered, which match, and how to add response parameters. */

import type { App } from '../../db/store.ts'
import type { RefusedRedirect } from '../errors.ts'

const LOOPBACK_HOSTS = new Set(['127.0.0.1', '[::1]', 'localhost'])

/** Parameters that the broker adds; a registered URI must not have them. */
const RESPONSE_PARAMETERS = ['code', 'state', 'iss', 'error', 'error_description']

/**
 * Why this redirect URI can't be registered, as text; `null` if it can. Allowed are https, http on loopback, and reverse-domain schemes (RFC 8252 7.1 to 7.3).
 */
export function redirectUriProblem(uri: string): string | null {
  const url = URL.parse(uri)
  if (!url || /[^\x21-\x7e]/.test(uri)) return 'is not an absolute URI in ASCII'
  if (uri.length > 500) return 'is longer than 500 characters'
  if (uri.includes('#')) return 'has a fragment'
  if (url.username || url.password || /^[a-z]+:\/\/[^/?]*@/i.test(uri)) return 'has user info'
  if (RESPONSE_PARAMETERS.some((name) => url.searchParams.has(name))) {
    return `has one of the parameters ${RESPONSE_PARAMETERS.join(', ')}, which the broker adds`
  }
  if (url.protocol === 'http:' && !LOOPBACK_HOSTS.has(url.hostname)) {
    return 'is http: use https, or http on loopback'
  }
  const hasKnownScheme = ['https:', 'http:'].includes(url.protocol) || url.protocol.includes('.')
  if (hasKnownScheme) {
    // Another reader of another spelling may see another host in it.
    // Many libraries send an origin without the slash after it.
    const isNormal = url.href === uri || url.origin === uri
    return isNormal ? null : `is not in its normal form: write it as ${url.href}`
  }
  return 'has a scheme that other apps may claim: use https, or a reverse-domain scheme such as com.example.app:/'
}

/** Schemes whose pages have no origin of their own: browsers send `null`, or the origin of another page. */
const OPAQUE_SCHEMES = new Set(['about:', 'blob:', 'data:', 'file:', 'filesystem:', 'javascript:'])
const MAX_ORIGIN_LENGTH_CHARS = 500

/**
 * Why this is not an origin as a browser sends it, as text; `null` if it is. Any scheme with a host may be
 * one: web views and extensions have origins such as `capacitor://localhost` (RFC 6454 6.2).
 */
export function originProblem(origin: string): string | null {
  const url = URL.parse(origin)
  const example = 'is not an origin such as https://app.example.com or capacitor://localhost'
  if (!url || url.host === '' || !URL_START.test(origin.trim())) return example
  if (OPAQUE_SCHEMES.has(url.protocol)) return 'is no origin: browsers send “null” for such pages'
  if (/[^\x21-\x7e]/.test(url.host)) return example
  if (url.host.includes('*')) return 'has a wildcard: register each origin'
  if (origin.length > MAX_ORIGIN_LENGTH_CHARS) {
    return `is longer than ${MAX_ORIGIN_LENGTH_CHARS} characters`
  }
  const sent = `${url.protocol}//${url.host}`
  return sent === origin ? null : `is not an origin as browsers send it, which is ${sent}`
}

const URL_START = /^[a-z][a-z0-9+.-]*:\/\//i

/** The origin without its port, if pages on any port of that host count as the same: see `findRedirectUri`. */
export function loopbackOriginOf(origin: string): string | null {
  const withoutPort = withoutLoopbackPort(origin)
  return withoutPort !== null && LOOPBACK_ORIGINS.has(withoutPort) ? withoutPort : null
}

const LOOPBACK_ORIGINS = new Set(['http://127.0.0.1', 'http://[::1]'])

/** The origin of a redirect URI; `null` if its scheme is not http or https. */
export function originOf(redirectUri: string): string | null {
  const url = URL.parse(redirectUri)
  return url?.protocol === 'https:' || url?.protocol === 'http:' ? url.origin : null
}

/** Can other programs on the device receive what is sent to this URI (RFC 8252 8.6)? */
export function isClaimable(redirectUri: string): boolean {
  return URL.parse(redirectUri)?.protocol !== 'https:'
}

/** Does this URI lead to the user's own machine? */
export const isLoopback = (redirectUri: string): boolean =>
  LOOPBACK_HOSTS.has(URL.parse(redirectUri)?.hostname ?? '')

/**
 * Returns the requested URI if it is registered. It must match exactly, except for the port of
 * `http://127.0.0.1` and `http://[::1]`, which is random for native apps (RFC 8252 7.3, RFC 9700 2.1).
 */
export function findRedirectUri(registered: string[], requested: string): string | undefined {
  return registered.includes(requested) ||
    registered.some((uri) => isEqualExceptPort(uri, requested))
    ? requested
    : undefined
}

function isEqualExceptPort(registered: string, requested: string): boolean {
  const uri = withoutLoopbackPort(requested)
  return uri !== null && uri === withoutLoopbackPort(registered)
}

function withoutLoopbackPort(uri: string): string | null {
  const parts = /^(http:\/\/(?:127\.0\.0\.1|\[::1\]))(?::([0-9]{1,5}))?((?:[/?].*)?)$/.exec(uri)
  if (!parts || Number(parts[2] ?? 80) > 65_535) return null
  return `${parts[1]}${parts[3]}`
}

const MAX_DIFFERENCES = 2
const MAX_SIMILAR_URIS = 5

/** Says how a redirect URI that is not registered differs from those that are. */
export function explainRefusedRedirect(
  { id: appId, name: appName, redirectUris }: Pick<App, 'id' | 'name' | 'redirectUris'>,
  sent: string,
): RefusedRedirect {
  const similar = redirectUris
    .map((uri) => ({ uri, differs: differingParts(uri, sent) }))
    .filter(({ differs }) => differs.length <= MAX_DIFFERENCES)
    .sort((one, other) => one.differs.length - other.differs.length)
    .slice(0, MAX_SIMILAR_URIS)
  return { appId, appName, sent, problem: redirectUriProblem(sent), similar }
}

/** The parts in which two URIs differ; every part if one of them is no URI. */
function differingParts(one: string, other: string): string[] {
  const [a, b] = [URL.parse(one), URL.parse(other)]
  const withoutSlash = (url: URL | null) => url?.pathname.replace(/\/$/, '')
  const parts: [name: string, isEqual: boolean][] = [
    ['scheme', a?.protocol === b?.protocol],
    ['host', a?.hostname === b?.hostname],
    ['port', a?.port === b?.port],
    ['path', withoutSlash(a) === withoutSlash(b)],
    ['slash', a?.pathname.endsWith('/') === b?.pathname.endsWith('/')],
    ['query', a?.search === b?.search],
    ['fragment', a?.hash === b?.hash],
  ]
  const differs = parts.filter(([, isEqual]) => !isEqual).map(([name]) => name)
  // The parser writes both alike, but redirect URIs are compared as text.
  return a && b && differs.length === 0 ? ['spelling'] : differs
}

/** Adds response parameters to the query or fragment of a redirect URI; omits `null` values. */
export function withResponse(
  redirectUri: string,
  response: Record<string, string | number | null | undefined>,
  fragment = false,
): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(response)) {
    if (value !== null && value !== undefined) parameters.set(name, String(value))
  }
  const separator = fragment ? '#' : redirectUri.includes('?') ? '&' : '?'
  return `${redirectUri}${separator}${parameters.toString()}`
}
