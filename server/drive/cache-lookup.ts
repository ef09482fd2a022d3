import { sha256 } from '../crypto/hash.ts'
import type { CacheDirectory } from './cache-directory.ts'
import type { Entry } from './cache-entry.ts'
import { valueOf } from './freshness.ts'
import type { Freshness, StoredAnswer, Verdict } from './freshness.ts'
import type { DriveRequest } from './request.ts'

/** What a stored entry has beside its body. */
export interface Header {
  /** Names this version, for its variants. */
  id: string
  url: string
  stored: StoredAnswer
}

/** An entry that answers a request; the reader closes it. */
export interface Found {
  entry: Entry
  header: Header
  isFresh: boolean
}

/** The stored answer to a request, and the name under which a new one is to be stored (RFC 9111 4 and 4.1). */
export type FindAnswer = (
  connectionId: string,
  request: DriveRequest,
) => Promise<{ name: string; found: Found | null }>

export function createFindAnswer(
  directory: Pick<CacheDirectory, 'read'>,
  freshness: Freshness,
): FindAnswer {
  const readHeader = async (
    connectionId: string,
    name: string,
    request: DriveRequest,
  ): Promise<(Omit<Found, 'isFresh'> & { verdict: Verdict }) | null> => {
    const entry = await directory.read(connectionId, name)
    if (!entry) return null
    const header = entry.header as Header
    if (header.url === urlOf(request)) {
      return { entry, header, verdict: freshness.judge(header.stored, request.headers) }
    }
    await entry.close()
    return null
  }

  return async (connectionId, request) => {
    const name = nameOf(connectionId, request)
    const first = await readHeader(connectionId, name, request)
    if (first?.verdict !== 'other_variant') {
      return { name, found: first && { ...first, isFresh: first.verdict === 'fresh' } }
    }
    // The first variant says what `Vary` names; the others are stored under names that follow from it.
    await first.entry.close()
    const names = Object.keys(first.header.stored.varying)
    const selected = names.map((each) => valueOf(request.headers[each]).trim())
    const variant = sha256(JSON.stringify([first.header.id, selected]))
    const second = await readHeader(connectionId, variant, request)
    if (second?.verdict === 'other_variant') await second.entry.close()
    const found =
      second && second.verdict !== 'other_variant'
        ? { ...second, isFresh: second.verdict === 'fresh' }
        : null
    return { name: variant, found }
  }
}

/** Names what is stored, within a connection. */
export const urlOf = ({ path }: DriveRequest): string => path.path + path.query

/** The name of the first variant of an answer. */
export const nameOf = (connectionId: string, request: DriveRequest): string =>
  sha256(JSON.stringify([connectionId, 'GET', urlOf(request)]))
