import { argon2, randomBytes } from 'node:crypto'
import type { Argon2Parameters } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'

/** Time, randomness, network and password hashing, as arguments: the domain uses nothing else of the machine. */
export interface Runtime {
  clock: SteadyClock
  random: Random
  fetch: typeof fetch
  passwordHashing: PasswordHashing
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Resolves after `milliseconds`, or as soon as the signal is aborted. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>
}

/** A clock that also measures elapsed time, independent of changes to the time of day. */
export interface SteadyClock extends Clock {
  /** Milliseconds since an arbitrary moment. Never jumps; the same in all processes of this machine. */
  steady(): number
}

/** Returns that many bytes of a cryptographic random generator. */
export type Random = (bytes: number) => Buffer

/** A random number in [0, 1), for jitter. */
export const fraction = (random: Random): number => random(4).readUInt32BE() / 2 ** 32

/** argon2id (RFC 9106). Tests use a low cost, and count the calls. */
export interface PasswordHashing {
  cost: PasswordCost
  derive(parameters: Argon2Parameters): Promise<Buffer>
}

/** `memory` in KiB. */
export type PasswordCost = Pick<Argon2Parameters, 'memory' | 'passes' | 'parallelism'>

const argon2Async = promisify(argon2)

export const runtime: Runtime = {
  clock: {
    now: Date.now,
    steady: () => Number(process.hrtime.bigint() / 1_000_000n),
    sleep: (milliseconds, signal) =>
      setTimeout(milliseconds, undefined, signal && { signal }).catch(() => undefined),
  },
  random: randomBytes,
  fetch: globalThis.fetch,
  passwordHashing: {
    // OWASP's parameters for argon2id: 19 MiB, two passes, one lane.
    cost: { memory: 19_456, passes: 2, parallelism: 1 },
    derive: (parameters) => argon2Async('argon2id', parameters),
  },
}

/** Runs a piece of background work, such as one transaction, when its turn has come. */
export type Throttle = <T>(piece: () => Promise<T>) => Promise<T>
