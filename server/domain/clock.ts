/** Time, as an argument: the domain never asks the machine. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Resolves after `milliseconds`, or at once when the signal ends it. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>
}

/** Randomness, as an argument: that many bytes of a cryptographic generator. */
export type Random = (bytes: number) => Buffer

/** A number in [0, 1), for jitter. */
export const fraction = (random: Random): number => random(4).readUInt32BE() / 2 ** 32
