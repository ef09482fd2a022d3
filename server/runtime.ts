import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { passwordHashing } from './crypto/argon2.ts'
import type { PasswordHashing } from './crypto/argon2.ts'

/** Time, as an argument: the domain never asks the machine. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Resolves after `milliseconds`, or at once when the signal ends it. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>
}

/** A clock that can tell how much time has gone by, whatever is done to the time of day. */
export interface SteadyClock extends Clock {
  /** Milliseconds since some moment before; it never jumps, and is the same to all processes here. */
  steady(): number
}

/** Randomness, as an argument: that many bytes of a cryptographic generator. */
export type Random = (bytes: number) => Buffer

/** A number in [0, 1), for jitter. */
export const fraction = (random: Random): number => random(4).readUInt32BE() / 2 ** 32

/** Time, randomness, network and password hashing, as arguments; tests give their own. */
export interface Runtime {
  clock: SteadyClock
  random: Random
  fetch: typeof fetch
  passwordHashing: PasswordHashing
}

export const runtime: Runtime = {
  clock: {
    now: Date.now,
    steady: () => Number(process.hrtime.bigint() / 1_000_000n),
    sleep: (milliseconds, signal) =>
      setTimeout(milliseconds, undefined, signal && { signal }).catch(() => undefined),
  },
  random: randomBytes,
  fetch: globalThis.fetch,
  passwordHashing,
}

/** Runs a piece of background work, such as one transaction, when its turn has come. */
export type Throttle = <T>(piece: () => Promise<T>) => Promise<T>
