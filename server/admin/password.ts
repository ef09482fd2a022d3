import { argon2, timingSafeEqual } from 'node:crypto'
import type { Argon2Parameters } from 'node:crypto'
import { promisify } from 'node:util'
import { bulkhead, isBulkheadRejectedError } from 'cockatiel'
import { BrokerError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import type { Random } from '../runtime.ts'

/** OWASP's parameters for argon2id: 19 MiB, two passes, one lane. */
const COST = { memory: 19_456, passes: 2, parallelism: 1, tagLength: 32 }
const { memory, passes, parallelism } = COST
const HEAD = `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$`

/**
 * It runs on Node's pool of four threads, which looks up addresses and reads files for everybody else:
 * two of them go on being theirs, however many people try to sign in.
 */
const turns = bulkhead(2, 32)
const argon2Async = promisify(argon2)

/** A PHC string that no password belongs to, and that takes as long to find out. */
export const NO_PASSWORD = HEAD + ['A'.repeat(22), 'A'.repeat(43)].join('$')

/** Hashes a password into a PHC string of argon2id (RFC 9106). @throws BrokerError `slow_down` */
export async function hashPassword(password: Secret, random: Random): Promise<string> {
  const nonce = random(16)
  const tag = await derive({ message: password.reveal(), nonce, ...COST })
  const [salt, sum] = [nonce, tag].map((bytes) => bytes.toString('base64').replace(/=+$/, ''))
  return `${HEAD}${salt}$${sum}`
}

/**
 * Is this the password of that PHC string? `false` also for a string that is none.
 * @throws BrokerError `slow_down`
 */
export async function verifyPassword(password: Secret, phc: string): Promise<boolean> {
  const parts = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(phc)
  if (!parts) return false
  const [memory, passes, parallelism] = parts.slice(1, 4).map(Number) as [number, number, number]
  const [nonce, tag] = parts.slice(4).map((part) => Buffer.from(part, 'base64')) as [Buffer, Buffer]
  const cost = { memory, passes, parallelism, tagLength: tag.length }
  return timingSafeEqual(await derive({ message: password.reveal(), nonce, ...cost }), tag)
}

async function derive(parameters: Argon2Parameters): Promise<Buffer> {
  try {
    return await turns.execute(() => argon2Async('argon2id', parameters))
  } catch (error) {
    if (isBulkheadRejectedError(error)) throw new BrokerError('slow_down', { retryAfter: 5 })
    throw error
  }
}
