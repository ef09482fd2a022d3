import type { IncomingHttpHeaders } from 'node:http'
import { addAbortSignal, pipeline } from 'node:stream'
import { BrokerError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Clock, Random, Throttle } from '../runtime.ts'
import { createCacheDirectory, isCacheable } from './cache-directory.ts'
import { createFindAnswer, nameOf, urlOf } from './cache-lookup.ts'
import type { Found, Header } from './cache-lookup.ts'
import type { CacheCounters, CacheResult, CacheSettings, DriveCache } from './cache.ts'
import { createTee } from './cache-tee.ts'
import { answerFromEntry, weak } from './cached-answer.ts'
import { createFlights } from './flights.ts'
import type { DriveAnswer, DriveRequest } from './request.ts'
import { createFreshness, isValidated, valueOf } from './freshness.ts'
import type { StoredAnswer } from './freshness.ts'

/** Where a new answer is to be stored. */
interface Target {
  connectionId: string
  name: string
  /** When the request was sent, milliseconds since the epoch. */
  requestedAt: number
  /** Lets those continue who wait for this request. */
  land: () => void
}

type Fetch = DriveCache['fetch']
type Upstream = Parameters<Fetch>[2]

/** The largest body that is stored: 16 MiB, and at most this share of the cache. */
const MAX_ENTRY_BYTES = 16 * 1024 * 1024
const MAX_ENTRY_SHARE = 1 / 16
/** Others wait for the first request of the same URL, if its body is at most this large. */
const MAX_SHARED_BYTES = 256 * 1024
/** Waiting for longer than this, they ask Ellipsis Drive themselves. */
const MAX_SHARED_WAIT_MS = 10_000

const FAILURES = [500, 502, 503, 504]

/** Keeps answers in files that several processes share. */
export function createDiskCache(
  dependencies: CacheSettings & {
    clock: Clock
    random: Random
    throttle: Throttle
    log: Log
    counters: CacheCounters
  },
): DriveCache {
  const { maxBytes, clock, random, throttle, log, counters } = dependencies
  const directory = createCacheDirectory({ ...dependencies, onEvict: () => counters.evicted() })
  const freshness = createFreshness(clock)
  const find = createFindAnswer(directory, freshness)
  const maxEntryBytes = Math.min(MAX_ENTRY_BYTES, Math.floor(maxBytes * MAX_ENTRY_SHARE))
  const memory = { bytes: 0 }
  const flights = createFlights(clock, MAX_SHARED_WAIT_MS)
  const pending = new Set<Promise<void>>()
  let opened: Promise<boolean> | null = null

  /** Without a usable directory, every request goes to Ellipsis Drive. */
  const isOpen = (): Promise<boolean> =>
    (opened ??= directory.open().then(
      () => true,
      (error: unknown) => {
        log.error({ err: error }, 'BROKER_CACHE_DIR can’t be used: nothing is cached')
        return false
      },
    ))

  const track = (work: Promise<void>): void => {
    pending.add(work)
    void work.finally(() => pending.delete(work))
  }

  /** Passes an answer on, and stores it if it may be stored. */
  const store = (target: Target, request: DriveRequest, answer: DriveAnswer): DriveAnswer => {
    const { connectionId, name, requestedAt, land } = target
    const stored = freshness.toStore(request.headers, answer, requestedAt)
    const length = valueOf(answer.headers['content-length'])
    const expectedBytes = /^\d+$/.test(length) ? Number(length) : null
    if (!stored || !answer.body || (expectedBytes ?? 0) > maxEntryBytes) {
      land()
      return answer
    }
    if ((expectedBytes ?? Infinity) > MAX_SHARED_BYTES) land()
    const header: Header = { id: random(12).toString('base64url'), url: urlOf(request), stored }
    const { promise, resolve } = Promise.withResolvers<void>()
    track(promise)
    const tee = createTee({
      ...{ header, expectedBytes, memory, maxBytes: maxEntryBytes },
      create: () => directory.create(connectionId, name),
      onEnd() {
        land()
        resolve()
      },
    })
    // An error of one side ends the other; the reader of the body sees it.
    pipeline(answer.body, tee, () => undefined)
    return { ...answer, body: tee }
  }

  /** Stores the same body with new headers. */
  const rewrite = async (connectionId: string, name: string, header: Header): Promise<void> => {
    const entry = await directory.read(connectionId, name)
    if (!entry) return
    const writer = await directory.create(connectionId, name).catch(() => null)
    if (!writer) return entry.close()
    try {
      for await (const chunk of entry.body()) await writer.append(chunk as Uint8Array)
      await writer.commit(header)
    } catch {
      await writer.abort()
    }
  }

  /** The answer of a stored entry; `null`: Ellipsis Drive has to answer. */
  const serve = async (
    { entry, header: { stored } }: Pick<Found, 'entry' | 'header'>,
    request: DriveRequest,
    cached: 'hit' | 'revalidated',
  ): Promise<(DriveAnswer & { cached: CacheResult }) | null> => {
    const age = String(freshness.ageSeconds(stored))
    const served = await answerFromEntry(entry, { ...stored.headers, age }, request)
    if (!served) return null
    // Also a transfer from disk ends when the client leaves or the grant ends.
    if (served.answer.body) {
      // Its reader may not listen yet.
      addAbortSignal(request.signal, served.answer.body).on('error', ignore)
    }
    counters.served(served.bytes)
    return { ...served.answer, cached }
  }

  /** A stored answer although it is stale, because Ellipsis Drive failed; `null`: that is not allowed. */
  const serveStale = async (found: Found, request: DriveRequest) => {
    if (freshness.isUsableAfterError(found.header.stored)) return serve(found, request, 'hit')
    await found.entry.close()
    return null
  }

  /** Asks Ellipsis Drive whether a stored answer still holds (RFC 9111 4.3). */
  const revalidate = async (
    found: Found,
    target: Target,
    request: DriveRequest,
    upstream: Upstream,
  ): Promise<DriveAnswer & { cached: CacheResult }> => {
    const { entry, header } = found
    const { stored } = header
    const { connectionId, name, requestedAt, land } = target
    let answer: DriveAnswer
    try {
      answer = await upstream({ ...withoutConditions(request.headers), ...validators(stored) })
    } catch (error) {
      const isOutage = error instanceof BrokerError && error.code === 'temporarily_unavailable'
      const stale = isOutage ? await serveStale(found, request) : await entry.close()
      if (!stale) throw error
      land()
      return stale
    }
    if (FAILURES.includes(answer.status)) {
      land()
      const stale = await serveStale(found, request)
      if (stale) answer.body?.destroy()
      return stale ?? { ...answer, cached: 'miss' }
    }
    if (answer.status === 304) {
      answer.body?.resume()
      if (isSameTag(answer, stored)) {
        const fresh = { ...header, stored: freshness.freshen(stored, answer.headers, requestedAt) }
        track(rewrite(connectionId, name, fresh).catch(ignore).finally(land))
        const served = await serve({ entry, header: fresh }, request, 'revalidated')
        if (served) return served
      }
      // It confirms a version that is not stored: ask for the whole answer.
      answer = await upstream(withoutConditions(request.headers))
    }
    await entry.close()
    // Gone, or not for this account any more.
    if (answer.status >= 400 && answer.status !== 429) {
      await directory.remove(connectionId, name).catch(ignore)
    }
    return { ...store(target, request, answer), cached: 'miss' }
  }

  /** Answers a HEAD, or a request for a range: these store nothing. */
  const fetchPart: Fetch = async (connectionId, request, upstream) => {
    const { found } = await find(connectionId, request)
    const served = found?.isFresh ? await serve(found, request, 'hit') : null
    if (served) return served
    if (found && !found.isFresh) await found.entry.close()
    return { ...(await upstream(request.headers)), cached: 'bypass' }
  }

  /** Answers a GET or HEAD. */
  const fetchRead: Fetch = async (connectionId, request, upstream) => {
    const isWhole = request.method === 'GET' && request.headers.range === undefined
    if (!isWhole) return fetchPart(connectionId, request, upstream)
    const flight = `${connectionId}/${nameOf(connectionId, request)}`
    if (flights.isUnderWay(flight)) await flights.wait(flight)
    // Nothing is awaited in between, so that one of many that come at once takes off first.
    const land = flights.takeOff(flight)
    try {
      const { name, found } = await find(connectionId, request)
      const served = found?.isFresh ? await serve(found, request, 'hit') : null
      if (served) {
        land()
        return served
      }
      const target = { connectionId, name, requestedAt: clock.now(), land }
      if (found && isValidated(found.header.stored.headers)) {
        return await revalidate(found, target, request, upstream)
      }
      await found?.entry.close()
      const answer = await upstream(request.headers)
      return { ...store(target, request, answer), cached: 'miss' }
    } catch (error) {
      land()
      throw error
    }
  }

  const answer: Fetch = async (connectionId, request, upstream) => {
    const isRead = ['GET', 'HEAD'].includes(request.method)
    if (isRead && canAnswer(request) && isCacheable(connectionId) && (await isOpen())) {
      return fetchRead(connectionId, request, upstream)
    }
    const forwarded = await upstream(request.headers)
    // A change makes what is stored at its URL invalid (RFC 9111 4.4).
    if (!isRead && request.method !== 'OPTIONS' && forwarded.status < 400) {
      await directory.remove(connectionId, nameOf(connectionId, request)).catch(ignore)
    }
    return { ...forwarded, cached: 'bypass' }
  }

  return {
    async fetch(connectionId, request, upstream) {
      const answered = await answer(connectionId, request, upstream)
      counters.request(answered.cached)
      return answered
    },

    forget: (connectionId) => directory.removeConnection(connectionId),

    async open() {
      await directory.open()
      opened = Promise.resolve(true)
      track(
        directory.scan().catch((error: unknown) => {
          log.warn({ err: error }, 'the cache’s directory could not be read')
        }),
      )
    },

    async sweep(isLive) {
      if (!(await isOpen())) return
      for await (const connectionId of directory.connections()) {
        const isKept = await throttle(() => isLive(connectionId))
        if (!isKept) await directory.removeConnection(connectionId)
      }
    },

    size: () => directory.size(),

    async settled() {
      while (pending.size > 0) await Promise.all(pending)
    },
  }
}

/** Conditions on the state of what is changed are for Ellipsis Drive; `no-store` is not for any cache. */
const canAnswer = ({ headers }: DriveRequest): boolean =>
  headers['if-match'] === undefined &&
  headers['if-unmodified-since'] === undefined &&
  !/\bno-store\b/i.test(headers['cache-control'] ?? '')

function withoutConditions(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const { 'if-none-match': _tags, 'if-modified-since': _since, ...others } = headers
  return others
}

function validators({ headers }: StoredAnswer): IncomingHttpHeaders {
  const { etag, 'last-modified': lastModified } = headers
  return {
    ...(etag !== undefined && { 'if-none-match': valueOf(etag) }),
    ...(lastModified !== undefined && { 'if-modified-since': valueOf(lastModified) }),
  }
}

/** Is a 304 about the stored version? */
const isSameTag = ({ headers }: DriveAnswer, stored: StoredAnswer): boolean =>
  headers.etag === undefined || weak(valueOf(headers.etag)) === weak(valueOf(stored.headers.etag))

const ignore = (): void => undefined
