import { timingSafeEqual } from 'node:crypto'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { createSemaphore } from '../semaphore.ts'
import type { PasswordCost, PasswordHashing, Random } from '../runtime.ts'

const SALT_LENGTH_BYTES = 16
const TAG_LENGTH_BYTES = 32
/**
 * Hashing runs on Node's pool of four threads, which also looks up addresses and reads files: with two lanes, two
 * threads stay free for that, however many people try to sign in.
 */
const MAX_CONCURRENT_HASHES_PER_LANE = 1
/** Checks that run or wait, in one lane. */
const MAX_ADMITTED_PER_LANE = 33

/**
 * Each lane has a thread and a queue of its own, so a flood of strangers does not delay admins. `known`: the
 * browser has signed in to this account before, or has a session. `stranger`: everybody else.
 */
export type PasswordLane = 'known' | 'stranger'

export interface Passwords {
  /** Hashes a new password into a PHC string of argon2id. */
  hash(password: Secret): Promise<string>
  /**
   * Runs `check` if its lane has a place; the place is free again when `check` is done.
   * @throws BrokerError `slow_down` before `check` starts, if the lane is full
   */
  admit<T>(lane: PasswordLane, check: (verify: VerifyPassword) => Promise<T>): Promise<T>
}

/**
 * Compares a password with its PHC string. `false` for a malformed string, and for `undefined` (no such
 * account), which takes as long as a real comparison.
 */
export type VerifyPassword = (password: Secret, phc: string | undefined) => Promise<boolean>

export function createPasswords(dependencies: {
  random: Random
  passwordHashing: PasswordHashing
}): Passwords {
  const { random } = dependencies
  const { cost, derive } = dependencies.passwordHashing
  const prefix = `$argon2id$v=19$m=${cost.memory},t=${cost.passes},p=${cost.parallelism}$`
  /** A valid PHC string that no password matches. */
  const dummyPhc = prefix + ['A'.repeat(22), 'A'.repeat(43)].join('$')

  const lanes = { known: createLane(), stranger: createLane() }

  const verifyIn =
    ({ run }: Lane): VerifyPassword =>
    async (password, phc = dummyPhc) => {
      const stored = readPhc(phc)
      if (!stored) return false
      const { tag, ...parameters } = stored
      const isOf = async (message: string): Promise<boolean> => {
        const derived = await run(() => derive({ message, ...parameters, tagLength: tag.length }))
        return timingSafeEqual(derived, tag)
      }
      const [typed, normalized] = [password.reveal(), normalizePassword(password).reveal()]
      if (await isOf(normalized)) return true
      // Hashes from before passwords were normalised.
      return typed !== normalized && isOf(typed)
    }

  return {
    async hash(password) {
      const nonce = random(SALT_LENGTH_BYTES)
      const message = normalizePassword(password).reveal()
      const tag = await lanes.known.run(() =>
        derive({ message, nonce, ...cost, tagLength: TAG_LENGTH_BYTES }),
      )
      const [salt, sum] = [nonce, tag].map((bytes) => bytes.toString('base64').replace(/=+$/, ''))
      return `${prefix}${salt}$${sum}`
    },

    admit: (name, check) => lanes[name].admit(() => check(verifyIn(lanes[name]))),
  }
}

interface Lane {
  /** Runs `work` if there is a place. @throws BrokerError `slow_down` */
  admit<T>(work: () => Promise<T>): Promise<T>
  /** Runs a hash as soon as a thread of the lane is free. */
  run(hash: () => Promise<Buffer>): Promise<Buffer>
}

function createLane(): Lane {
  const semaphore = createSemaphore(MAX_CONCURRENT_HASHES_PER_LANE)
  let admitted = 0
  return {
    async admit(work) {
      if (admitted >= MAX_ADMITTED_PER_LANE) {
        throw new BrokerError('slow_down', { reason: 'sign_in_busy', retryAfter: 5 })
      }
      admitted++
      try {
        return await work()
      } finally {
        admitted--
      }
    },

    async run(hash) {
      const release = await semaphore.acquire()
      try {
        return await hash()
      } finally {
        release()
      }
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
