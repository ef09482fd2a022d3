import { hash, timingSafeEqual } from 'node:crypto'
import type { Hash } from '../../db/store.ts'
import type { Random } from '../runtime.ts'

/** SHA-256, base64url: how secrets of the broker's own making are stored, and S256 of RFC 7636 4.2. */
export const sha256 = (value: string): Hash => hash('sha256', value, 'base64url')

/** A secret of 256 bits: 43 characters of base64url, which Ellipsis Drive's 50 for a state can hold. */
export const newSecret = (random: Random): string => random(32).toString('base64url')

/** An id of 128 bits with a prefix that says what it names: `con_…`, `app_…`. */
export const newId = (random: Random, prefix: string): string =>
  `${prefix}_${random(16).toString('base64url')}`

/** Compares without telling by time where they differ. */
export function equalHashes(one: Hash, other: Hash): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)]
  return a.length === b.length && timingSafeEqual(a, b)
}
