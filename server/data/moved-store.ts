import { MARKS } from '../../db/copy/tables.ts'
import { startError } from './start-error.ts'

/** Where `store copy` has copied a store, and when (ISO 8601). */
export interface Moved {
  to: string
  at: string
}

/** Where the store is served now; `null`: here. */
export function movedTo(meta: Record<string, string>): Moved | null {
  const text = meta[MARKS.moved] ?? ''
  return text === '' ? null : (JSON.parse(text) as Moved)
}

/**
 * Two brokers on copies of one store would invalidate each other’s refresh tokens.
 * @throws StartError if the store was copied elsewhere, or is an unfinished copy
 */
export function refuseCopied(meta: Record<string, string>, place: string): void {
  if (meta[MARKS.unfinished] !== undefined) throw startError('start.copy-unfinished', { place })
  const moved = movedTo(meta)
  if (moved) throw startError('start.moved', { place, ...moved })
}
