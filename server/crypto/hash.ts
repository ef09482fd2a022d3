import { hash, timingSafeEqual } from 'node:crypto'
import type { Hash } from '../../db/store.ts'
import type { Random } from '../runtime.ts'

/** SHA-256 in base64url: how the broker stores its own secrets, and S256 of RFC 7636 4.2. */
export const sha256 = (value: string): Hash => hash('sha256', value, 'base64url')

/** A secret of 256 bits: 43 characters of base64url. Ellipsis Drive's `state` takes 50. */
export const newSecret = (random: Random): string => random(32).toString('base64url')

/** A random id of 128 bits with a type prefix: `con_…`, `app_…`. */
export const newId = (random: Random, prefix: string): string =>
  `${prefix}_${random(16).toString('base64url')}`

/** Compares in constant time. */
export function equalHashes(one: Hash, other: Hash): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)]
  return a.length === b.length && timingSafeEqual(a, b)
}
