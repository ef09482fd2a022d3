import type { IncomingHttpHeaders } from 'node:http'
import type { DriveAnswer } from './request.ts'
import { readDrivePath } from './path.ts'

/** Headers of a request or of an answer. */
type Headers = Record<string, string | string[] | undefined>

/** Headers of requests that pass, besides `Accept*` and `Content-*`. Everything else stays at the broker. */
const REQUEST_HEADERS = new Set([
  'accept',
  'cache-control',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
])

/** Headers of answers that pass, besides `Content-*`. `Vary`, `Cache-Control` and `Location` are changed. */
const ANSWER_HEADERS = new Set([
  'accept-ranges',
  'age',
  'cache-control',
  'date',
  'etag',
  'expires',
  'last-modified',
  'location',
  'retry-after',
  'vary',
])

/**
 * `Content-*` headers that don't describe the body: they would replace the broker's own policy, or name a URL at
 * Ellipsis Drive.
 */
const NOT_OF_CONTENT = /^content-(security-policy|location|dpr)/

/** Characters of a header that can be sent on (RFC 9110 5.5). */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/**
 * The headers of a request that are sent to Ellipsis Drive. An allow list: cookies, `Authorization`, `Forwarded`,
 * hop-by-hop headers (RFC 9110 7.6.1) and whatever `Connection` names never pass.
 */
export function requestHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const passed: Record<string, string> = {}
  for (const name in headers) {
    if (!REQUEST_HEADERS.has(name) && !/^(accept|content)-/.test(name)) continue
    const value = headers[name]
    if (value !== undefined) passed[name] = String(value)
  }
  return passed
}

/** The headers of an answer that are passed on. An allow list: no cookies, no policies of Ellipsis Drive's site. */
export function answerHeaders(headers: Headers): DriveAnswer['headers'] {
  const passed: DriveAnswer['headers'] = {}
  for (const name in headers) {
    const isOfContent = name.startsWith('content-') && !NOT_OF_CONTENT.test(name)
    if (!isOfContent && !ANSWER_HEADERS.has(name)) continue
    const value = headers[name]
    if (value !== undefined && [value].flat().every((text) => FIELD_VALUE.test(text))) {
      passed[name] = value
    }
  }
  if (passed['cache-control'] !== undefined) {
    passed['cache-control'] = privateCaching(passed['cache-control'])
  }
  return passed
}

/**
 * `Cache-Control` without permission for shared caches: a cache in front of the broker would answer without
 * asking whether the grant is still valid.
 */
export function privateCaching(value: string | string[] | undefined): string {
  const directives = String(value ?? '')
    .split(',')
    .map((directive) => directive.trim())
  const kept = directives.filter(
    (directive) => directive !== '' && !/^(public|private|s-maxage)\b/i.test(directive),
  )
  return ['private', ...kept].join(', ')
}

/** `Vary` of an answer: what Ellipsis Drive names, and what the broker's own answer depends on. */
export function mergeVary(...values: (string | string[] | undefined)[]): string {
  const names = values.flatMap((value) => (value === undefined ? [] : String(value).split(',')))
  const unique = new Map(names.map((name) => [name.trim().toLowerCase(), name.trim()]))
  unique.delete('')
  return unique.has('*') ? '*' : [...unique.values()].join(', ')
}

/**
 * The target of a redirect or of a created resource, as a path behind `/drive`.
 * @param url what `Location` says, absolute or relative
 * @param requested the URL that was requested
 * @param apiUrl base of the API, without a trailing slash
 * @returns `null`: it is outside the API
 */
export function locationInApi(url: string, requested: string, apiUrl: string): string | null {
  const target = URL.parse(url, requested)
  if (!target || target.username !== '' || target.password !== '') return null
  const { origin, pathname } = new URL(apiUrl)
  const base = pathname.replace(/\/$/, '')
  if (target.origin !== origin || !target.pathname.startsWith(`${base}/`)) return null
  try {
    // Removes a token from the query, too.
    const { path, query } = readDrivePath(target.pathname.slice(base.length) + target.search)
    return path + query
  } catch {
    return null
  }
}
