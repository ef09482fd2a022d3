import CachePolicy from 'http-cache-semantics'
import type { Clock } from '../runtime.ts'

/** Headers of one request or answer, names in lower case. */
export type CachedHeaders = Record<string, string | string[]>
type AnyHeaders = Record<string, string | string[] | undefined>

/** What the rules need to know of a stored answer. */
export interface StoredAnswer {
  headers: CachedHeaders
  /** What the request sent in the headers that `Vary` names. */
  varying: Record<string, string>
  /** When the request was sent, milliseconds since the epoch. */
  requestedAt: number
}

/** What to do with a stored answer. `stale`: ask Ellipsis Drive whether it changed. */
export type Verdict = 'fresh' | 'stale' | 'other_variant'

/**
 * The rules of RFC 9111 for answers with status 200 to GET, in a cache whose entries belong to one connection.
 * http-cache-semantics computes ages; what it gets is put into the form that it reads right: it compares names of
 * directives by case, and revalidates every answer with `must-revalidate`, also a fresh one.
 */
export interface Freshness {
  /** The answer to be stored; `null`: it must not be (RFC 9111 3), or could never be used. */
  toStore(
    request: AnyHeaders,
    answer: { status: number; headers: CachedHeaders },
    requestedAt: number,
  ): StoredAnswer | null
  judge(stored: StoredAnswer, request: AnyHeaders): Verdict
  /** May it be served after Ellipsis Drive failed (RFC 5861 4)? */
  isUsableAfterError(stored: StoredAnswer): boolean
  /** The stored answer after a 304 (RFC 9111 3.2). */
  freshen(stored: StoredAnswer, answer: CachedHeaders, requestedAt: number): StoredAnswer
  /** Seconds since Ellipsis Drive made or confirmed it (RFC 9111 4.2.3). */
  ageSeconds(stored: StoredAnswer): number
}

/** They are not sent to Ellipsis Drive as the app sent them, so no answer depends on them. */
const NEVER_SENT = new Set(['authorization', 'cookie', 'origin', 'dpop', 'host'])
/** They are of one connection or one person (RFC 9111 3.1, 7.3). */
const NEVER_STORED = new Set([
  ...[
    'connection',
    'keep-alive',
    'proxy-authenticate',
    'te',
    'trailer',
    'transfer-encoding',
    'upgrade',
  ],
  'set-cookie',
])
/** A 304 describes the stored body: these stay. */
const OF_THE_BODY = new Set(['content-length', 'content-encoding', 'content-range', 'content-type'])
/** No guess from Last-Modified, and none from `immutable`: what says nothing of its freshness is asked for. */
const OPTIONS = { shared: false, cacheHeuristic: 0, immutableMinTimeToLive: 0 }

/** Directives of requests that are followed. `max-stale` and `only-if-cached` may be ignored (RFC 9111 5.2.1). */
const REQUEST_DIRECTIVES = ['no-cache', 'no-store', 'max-age', 'min-fresh']
const ANSWER_DIRECTIVES = ['no-cache', 'no-store', 'max-age', 'stale-if-error', 'public', 'private']

export function createFreshness(clock: Pick<Clock, 'now'>): Freshness {
  let receivedAt: number | null = null
  class Policy extends CachePolicy {
    now(): number {
      return receivedAt ?? clock.now()
    }
  }

  const policyOf = ({ headers, requestedAt, varying }: StoredAnswer): CachePolicy => {
    // Age counts from when the request was sent: the time that the answer took is part of it (4.2.3).
    receivedAt = requestedAt
    try {
      const answer = { status: 200, headers: normalize(headers, ANSWER_DIRECTIVES) }
      return new Policy({ method: 'GET', headers: varying }, answer, OPTIONS)
    } finally {
      receivedAt = null
    }
  }

  return {
    toStore(request, { status, headers }, requestedAt) {
      const vary = namesIn(headers.vary)
      if (status !== 200 || vary.includes('*') || directives(request).has('no-store')) return null
      const kept = Object.entries(headers).filter(([name]) => !NEVER_STORED.has(name))
      const stored = {
        headers: Object.fromEntries(kept),
        varying: pick(request, vary),
        requestedAt,
      }
      const policy = policyOf(stored)
      const isUsable = policy.maxAge() > 0 || isValidated(headers)
      return policy.storable() && isUsable ? stored : null
    },

    judge(stored, request) {
      const selected = pick(request, namesIn(stored.headers.vary))
      const isSame = Object.entries(selected).every(
        ([name, value]) => stored.varying[name] === value,
      )
      if (!isSame) return 'other_variant'
      const { 'cache-control': control = '', pragma = '' } = normalize(request, REQUEST_DIRECTIVES)
      const headers = { 'cache-control': control, pragma, ...stored.varying }
      const isFresh = policyOf(stored).satisfiesWithoutRevalidation({ method: 'GET', headers })
      return isFresh ? 'fresh' : 'stale'
    },

    isUsableAfterError(stored) {
      const control = directives(stored.headers)
      if (['must-revalidate', 'no-cache'].some((name) => control.has(name))) return false
      const answer = { status: 503, headers: {} }
      const request = { method: 'GET', headers: stored.varying }
      try {
        const { matches } = policyOf(stored).revalidatedPolicy(request, answer)
        return matches
      } catch {
        return false
      }
    },

    freshen(stored, answer, requestedAt) {
      const updates = Object.entries(answer).filter(([name]) => !OF_THE_BODY.has(name))
      // An age that was true of the answer before is not true of this one.
      const { age: _age, ...headers } = stored.headers
      return { ...stored, headers: { ...headers, ...Object.fromEntries(updates) }, requestedAt }
    },

    ageSeconds: (stored) => Math.max(0, Math.floor(policyOf(stored).age())),
  }
}

/** Can Ellipsis Drive be asked whether the answer changed? */
export const isValidated = ({ etag, 'last-modified': lastModified }: CachedHeaders): boolean =>
  etag !== undefined || lastModified !== undefined

/** A header's value; several are one list. */
export const valueOf = (value: string | string[] | undefined): string =>
  Array.isArray(value) ? value.join(', ') : (value ?? '')

function namesIn(vary: string | string[] | undefined): string[] {
  const names = valueOf(vary).toLowerCase().split(',')
  return names.map((name) => name.trim()).filter((name) => name !== '' && !NEVER_SENT.has(name))
}

const pick = (headers: AnyHeaders, names: string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, valueOf(headers[name]).trim()]))

/** Headers with a `Cache-Control` of these directives only, in lower case and each once. */
function normalize(headers: AnyHeaders, wanted: string[]): Record<string, string> {
  const kept = [...directives(headers)].filter(([name]) => wanted.includes(name))
  const control = kept.map(([name, value]) => (value === null ? name : `${name}=${value}`))
  const { 'cache-control': original, ...others } = headers
  const values = Object.entries(others).map(([name, value]) => [name, valueOf(value)])
  return {
    ...(Object.fromEntries(values) as Record<string, string>),
    ...(original !== undefined && { 'cache-control': control.join(', ') }),
  }
}

/**
 * The directives of `Cache-Control` (RFC 9111 5.2), names in lower case. A number that is no number, or given
 * twice with different values, counts as 0: the answer is stale (4.2.1).
 */
function directives({ 'cache-control': header }: AnyHeaders): Map<string, string | null> {
  const found = new Map<string, string | null>()
  for (const [, name = '', value] of valueOf(header).matchAll(
    /(?:^|,)\s*([^\s,=;"]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^\s,;"]*))?/g,
  )) {
    const key = name.toLowerCase()
    const plain = value?.replace(/^"(.*)"$/s, '$1') ?? null
    const isNumber = /^(max-age|min-fresh|stale-)/.test(key)
    const isConflict = found.has(key) && found.get(key) !== plain
    const isInvalid = isNumber && (isConflict || !/^\d+$/.test(plain ?? ''))
    found.set(key, isInvalid ? '0' : isNumber ? plain : null)
  }
  return found
}
