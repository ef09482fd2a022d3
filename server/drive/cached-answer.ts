import type { IncomingHttpHeaders } from 'node:http'
import { readRange } from './byte-range.ts'
import type { Entry } from './cache-entry.ts'
import type { DriveAnswer } from './request.ts'
import { valueOf, type CachedHeaders } from './freshness.ts'

/** Headers of a 304 (RFC 9110 15.4.5). */
const OF_A_304 = [
  'cache-control',
  'content-location',
  'date',
  'etag',
  'expires',
  'vary',
  'last-modified',
  'age',
]

/**
 * Answers a GET or HEAD from a stored answer: conditions (RFC 9110 13.2.2) first, then one range.
 * The caller must read the body, or destroy it.
 * @returns the answer and how many bytes of the store it sends; `null`: several ranges, which Ellipsis Drive answers
 */
export async function answerFromEntry(
  entry: Entry,
  headers: CachedHeaders,
  request: { method: string; headers: IncomingHttpHeaders },
): Promise<{ answer: DriveAnswer; bytes: number } | null> {
  const { bodyBytes } = entry
  const withoutBody = async (status: number, some: CachedHeaders) => {
    await entry.close()
    return { answer: { status, headers: some, body: null }, bytes: 0 }
  }

  if (isNotModified(request.headers, headers)) {
    const kept = Object.entries(headers).filter(([name]) => OF_A_304.includes(name))
    return withoutBody(304, Object.fromEntries(kept))
  }
  const complete = { ...headers, 'content-length': String(bodyBytes) }
  if (request.method === 'HEAD') return withoutBody(200, complete)
  const { range } = request.headers
  if (range === undefined || !isSameVersion(request.headers['if-range'], headers)) {
    return { answer: { status: 200, headers: complete, body: entry.body() }, bytes: bodyBytes }
  }
  const part = readRange(range, bodyBytes)
  if (part === null) {
    await entry.close()
    return null
  }
  if (part === 'unsatisfiable') {
    return withoutBody(416, { 'content-range': `bytes */${bodyBytes}`, 'content-length': '0' })
  }
  const { start, end } = part
  const bytes = end - start + 1
  const partial = {
    ...headers,
    'content-length': String(bytes),
    'content-range': `bytes ${start}-${end}/${bodyBytes}`,
  }
  return { answer: { status: 206, headers: partial, body: entry.body(start, end) }, bytes }
}

/** Does the client have this version already? */
function isNotModified(request: IncomingHttpHeaders, stored: CachedHeaders): boolean {
  const { 'if-none-match': tags, 'if-modified-since': since } = request
  if (tags !== undefined) {
    const own = weak(valueOf(stored.etag))
    return tags.trim() === '*' || (own !== '' && listTags(tags).map(weak).includes(own))
  }
  const modifiedAt = Date.parse(valueOf(stored['last-modified']))
  return since !== undefined && modifiedAt <= Date.parse(since)
}

/** `If-Range`: strong comparison; a date must be the same (RFC 9110 13.1.5). */
function isSameVersion(condition: string | string[] | undefined, stored: CachedHeaders): boolean {
  if (condition === undefined) return true
  const wanted = valueOf(condition).trim()
  if (wanted.startsWith('W/')) return false
  return wanted === valueOf(wanted.startsWith('"') ? stored.etag : stored['last-modified'])
}

const listTags = (header: string): string[] => header.match(/(?:W\/)?"[^"]*"/g) ?? []

/** An entity tag for the weak comparison (RFC 9110 8.8.3.2). */
export const weak = (tag: string): string => tag.trim().replace(/^W\//, '')
