/** Redirect URIs: which may be registered, when one matches, and how an answer is put into one. */

const LOOPBACK_HOSTS = new Set(['127.0.0.1', '[::1]', 'localhost'])

/** Parameters that the broker adds; a registered URI has none of them. */
const ANSWERS = ['code', 'state', 'iss', 'error', 'error_description']

/**
 * Why this redirect URI can't be registered, in words; `null` if it can.
 * Allowed are https, http on loopback, and reverse-domain schemes (RFC 8252 7.1 to 7.3).
 */
export function redirectUriProblem(uri: string): string | null {
  const url = URL.parse(uri)
  if (!url || /[^\x21-\x7e]/.test(uri)) return 'is not an absolute URI in ASCII'
  if (uri.length > 500) return 'is longer than 500 characters'
  if (uri.includes('#')) return 'has a fragment'
  if (url.username || url.password || /^[a-z]+:\/\/[^/?]*@/i.test(uri)) return 'has user info'
  if (ANSWERS.some((name) => url.searchParams.has(name))) {
    return `has one of the parameters ${ANSWERS.join(', ')}, which answers use`
  }
  if (url.protocol === 'https:') return null
  if (url.protocol === 'http:') {
    return LOOPBACK_HOSTS.has(url.hostname) ? null : 'is http: use https, or http on loopback'
  }
  return url.protocol.includes('.')
    ? null
    : 'has a scheme that others may claim too: use https, or a reverse-domain scheme such as com.example.app:/'
}

/** Why this is no origin; `null` if it is one, as a browser sends it. */
export function originProblem(origin: string): string | null {
  const url = URL.parse(origin)
  const web = url?.protocol === 'https:' || url?.protocol === 'http:'
  return web && url.origin === origin ? null : 'is not an origin such as https://app.example.com'
}

/** The origin that a browser at this redirect URI has; `null` for one of another scheme. */
export function originOf(redirectUri: string): string | null {
  const url = URL.parse(redirectUri)
  return url?.protocol === 'https:' || url?.protocol === 'http:' ? url.origin : null
}

/** Could any program on the device receive what is sent there (RFC 8252 8.6)? */
export function isClaimable(redirectUri: string): boolean {
  return URL.parse(redirectUri)?.protocol !== 'https:'
}

/**
 * Is the asked-for URI one of the registered ones? Character by character, but for the port of
 * `http://127.0.0.1` and `http://[::1]`, which a native app gets by chance (RFC 8252 7.3, RFC 9700 2.1).
 */
export function findRedirectUri(registered: string[], asked: string): string | undefined {
  return registered.includes(asked) || registered.some((uri) => sameButPort(uri, asked))
    ? asked
    : undefined
}

function sameButPort(registered: string, asked: string): boolean {
  const without = withoutLoopbackPort(asked)
  return without !== null && without === withoutLoopbackPort(registered)
}

function withoutLoopbackPort(uri: string): string | null {
  const parts = /^(http:\/\/(?:127\.0\.0\.1|\[::1\]))(?::([0-9]{1,5}))?((?:[/?].*)?)$/.exec(uri)
  if (!parts || Number(parts[2] ?? 80) > 65_535) return null
  return `${parts[1]}${parts[3]}`
}

/** The redirect URI with an answer in its query, or its fragment; `null` values are left out. */
export function withAnswer(
  redirectUri: string,
  answer: Record<string, string | number | null | undefined>,
  fragment = false,
): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(answer)) {
    if (value !== null && value !== undefined) parameters.set(name, String(value))
  }
  const separator = fragment ? '#' : redirectUri.includes('?') ? '&' : '?'
  return `${redirectUri}${separator}${parameters.toString()}`
}
