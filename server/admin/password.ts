import { timingSafeEqual } from 'node:crypto'
import type { Argon2Parameters } from 'node:crypto'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { createSemaphore } from '../semaphore.ts'
import type { PasswordCost, PasswordHashing, Random } from '../runtime.ts'

const SALT_LENGTH_BYTES = 16
const TAG_LENGTH_BYTES = 32
/**
 * Hashing runs on Node's pool of four threads, which also looks up addresses and reads files: two of them stay
 * free for that, however many people try to sign in.
 */
const MAX_CONCURRENT_HASHES = 2
const MAX_QUEUED_HASHES = 32

export interface Passwords {
  /** Hashes a password into a PHC string of argon2id. @throws BrokerError `slow_down` */
  hash(password: Secret): Promise<string>
  /**
   * Compares a password with its PHC string. `false` for a malformed string, and for `undefined` (no such
   * account), which takes as long as a real comparison.
   * @throws BrokerError `slow_down`
   */
  verify(password: Secret, phc: string | undefined): Promise<boolean>
}

export function createPasswords(dependencies: {
  random: Random
  passwordHashing: PasswordHashing
}): Passwords {
  const { random } = dependencies
  const { cost, derive } = dependencies.passwordHashing
  const prefix = `$argon2id$v=19$m=${cost.memory},t=${cost.passes},p=${cost.parallelism}$`
  /** A valid PHC string that no password matches. */
  const dummyPhc = prefix + ['A'.repeat(22), 'A'.repeat(43)].join('$')

  const semaphore = createSemaphore(MAX_CONCURRENT_HASHES)

  const deriveLimited = async (parameters: Argon2Parameters): Promise<Buffer> => {
    if (semaphore.waiting() >= MAX_QUEUED_HASHES) {
      throw new BrokerError('slow_down', { reason: 'sign_in_busy', retryAfter: 5 })
    }
    const release = await semaphore.acquire()
    try {
      return await derive(parameters)
    } finally {
      release()
    }
  }

  return {
    async hash(password) {
      const nonce = random(SALT_LENGTH_BYTES)
      const message = normalizePassword(password).reveal()
      const tag = await deriveLimited({ message, nonce, ...cost, tagLength: TAG_LENGTH_BYTES })
      const [salt, sum] = [nonce, tag].map((bytes) => bytes.toString('base64').replace(/=+$/, ''))
      return `${prefix}${salt}$${sum}`
    },

    async verify(password, phc = dummyPhc) {
      const stored = readPhc(phc)
      if (!stored) return false
      const { tag, ...parameters } = stored
      const isOf = async (message: string): Promise<boolean> =>
        timingSafeEqual(await deriveLimited({ message, ...parameters, tagLength: tag.length }), tag)
      const [typed, normalized] = [password.reveal(), normalizePassword(password).reveal()]
      if (await isOf(normalized)) return true
      // Hashes from before passwords were normalised.
      return typed !== normalized && isOf(typed)
    },
  }
}

/**
 * The form in which passwords are hashed and counted (NIST SP 800-63B-4 3.1.1.2): the same however the keyboard
 * composes letters.
 */
export const normalizePassword = (password: Secret): Secret =>
  new Secret(password.reveal().normalize('NFKC'))

function readPhc(phc: string): (PasswordCost & { nonce: Buffer; tag: Buffer }) | null {
  const parts = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(phc)
  if (!parts) return null
  const [memory, passes, parallelism] = parts.slice(1, 4).map(Number) as [number, number, number]
  const [nonce, tag] = parts.slice(4).map((part) => Buffer.from(part, 'base64')) as [Buffer, Buffer]
  return { memory, passes, parallelism, nonce, tag }
}
