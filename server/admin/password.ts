import { timingSafeEqual } from 'node:crypto'
import type { Argon2Parameters } from 'node:crypto'
import { bulkhead, isBulkheadRejectedError } from 'cockatiel'
import type { PasswordCost, PasswordHashing } from '../crypto/argon2.ts'
import { BrokerError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import type { Random } from '../runtime.ts'

const TAG_LENGTH_BYTES = 32

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

export function createPasswords(needs: {
  random: Random
  passwordHashing: PasswordHashing
}): Passwords {
  const { random } = needs
  const { cost, derive } = needs.passwordHashing
  const head = `$argon2id$v=19$m=${cost.memory},t=${cost.passes},p=${cost.parallelism}$`
  /** A PHC string that no password belongs to. */
  const nobodys = head + ['A'.repeat(22), 'A'.repeat(43)].join('$')

  /**
   * Hashing runs on Node's pool of four threads, which looks up addresses and reads files for everybody else:
   * two of them go on being theirs, however many people try to sign in.
   */
  const turns = bulkhead(2, 32)

  const deriveInTurn = async (parameters: Argon2Parameters): Promise<Buffer> => {
    try {
      return await turns.execute(() => derive(parameters))
    } catch (error) {
      if (isBulkheadRejectedError(error)) throw new BrokerError('slow_down', { retryAfter: 5 })
      throw error
    }
  }

  return {
    async hash(password) {
      const nonce = random(16)
      const message = password.reveal()
      const tag = await deriveInTurn({ message, nonce, ...cost, tagLength: TAG_LENGTH_BYTES })
      const [salt, sum] = [nonce, tag].map((bytes) => bytes.toString('base64').replace(/=+$/, ''))
      return `${head}${salt}$${sum}`
    },

    async verify(password, phc = nobodys) {
      const stored = readPhc(phc)
      if (!stored) return false
      const { tag, ...parameters } = stored
      const message = password.reveal()
      return timingSafeEqual(
        await deriveInTurn({ message, ...parameters, tagLength: tag.length }),
        tag,
      )
    },
  }
}

function readPhc(phc: string): (PasswordCost & { nonce: Buffer; tag: Buffer }) | null {
  const parts = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(phc)
  if (!parts) return null
  const [memory, passes, parallelism] = parts.slice(1, 4).map(Number) as [number, number, number]
  const [nonce, tag] = parts.slice(4).map((part) => Buffer.from(part, 'base64')) as [Buffer, Buffer]
  return { memory, passes, parallelism, nonce, tag }
}
