import type { Clock } from '../runtime.ts'

/** Requests whose answers will soon be stored: others that ask for the same wait for them. */
export interface Flights {
  isUnderWay(key: string): boolean
  /** Waits for the request that is under way. */
  wait(key: string): Promise<void>
  /** Begins a request. Others wait until the returned function is called. */
  takeOff(key: string): () => void
}

/** @param maxWaitMs who has waited for so long continues anyway */
export function createFlights(clock: Pick<Clock, 'sleep'>, maxWaitMs: number): Flights {
  const flights = new Map<string, Promise<void>>()
  return {
    isUnderWay: (key) => flights.has(key),

    async wait(key) {
      const flight = flights.get(key)
      if (!flight) return
      const landed = new AbortController()
      await Promise.race([flight, clock.sleep(maxWaitMs, landed.signal)])
      landed.abort()
    },

    takeOff(key) {
      if (flights.has(key)) return () => undefined
      const { promise, resolve } = Promise.withResolvers<void>()
      flights.set(key, promise)
      return () => {
        if (flights.get(key) === promise) flights.delete(key)
        resolve()
      }
    },
  }
}
