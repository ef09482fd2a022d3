import { argon2, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import type { Secret } from '../secret.ts'
import type { Random } from './clock.ts'

const derive = promisify(argon2)

/** OWASP's parameters for argon2id: 19 MiB, two passes, one lane. */
const COST = { memory: 19_456, passes: 2, parallelism: 1, tagLength: 32 }

/** Hashes a password into a PHC string of argon2id (RFC 9106). */
export async function hashPassword(password: Secret, random: Random): Promise<string> {
  const nonce = random(16)
  const tag = await derive('argon2id', { message: password.reveal(), nonce, ...COST })
  const { memory, passes, parallelism } = COST
  const [salt, sum] = [nonce, tag].map((bytes) => bytes.toString('base64').replace(/=+$/, ''))
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${salt}$${sum}`
}

/** Is this the password of that PHC string? `false` also for a string that is none. */
export async function verifyPassword(password: Secret, phc: string): Promise<boolean> {
  const parts = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(phc)
  if (!parts) return false
  const [memory, passes, parallelism] = parts.slice(1, 4).map(Number) as [number, number, number]
  const nonce = Buffer.from(parts[4] ?? '', 'base64')
  const tag = Buffer.from(parts[5] ?? '', 'base64')
  const cost = { memory, passes, parallelism, tagLength: tag.length }
  const given = await derive('argon2id', { message: password.reveal(), nonce, ...cost })
  return timingSafeEqual(given, tag)
}
