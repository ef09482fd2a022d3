import type { DeviceCode, Hash, Store } from '../../db/store.ts'
import { networkOf } from '../addresses.ts'
import { BrokerError } from '../errors.ts'

/** Anyone can start device flows in the name of a public app: what waits for an answer is bounded. */

/** Codes of one app that may wait in one network: people there may share an address. */
export const MAX_OF_NETWORK = 50
/** Codes that may wait altogether. */
export const MAX_WAITING = 5000
/** Codes that make room at a time, so that it costs little for each new one. */
const EVICTED_COUNT = 250
const RETRY_AFTER_SECONDS = 60

/** A network of several users, or one that an attacker gets as a whole. */
const LARGE_NETWORK = { ipv4: 24, ipv6: 48 }

/**
 * Returns a function that adds a code. If too many wait, the oldest codes of the networks that have the most
 * are deleted, so strangers with many codes do not keep others from getting one. Returns `false` if another
 * code has that user code.
 * The function throws BrokerError `slow_down` if too many codes of the app wait in that network.
 */
export function createAddDeviceCode(store: Store) {
  let makingRoom: Promise<void> | undefined

  const makeRoom = async (now: number): Promise<void> => {
    const evicted = chooseEvicted(await store.listWaitingDeviceCodes(now), EVICTED_COUNT)
    await store.removeDeviceCodes(evicted)
  }

  return async (code: DeviceCode, options: { isLimited: boolean }): Promise<boolean> => {
    const bounds = { maxOfNetwork: options.isLimited ? MAX_OF_NETWORK : null, max: MAX_WAITING }
    for (;;) {
      const outcome = await store.addDeviceCode(code, bounds)
      if (outcome === 'network_full') throw tooManyWaiting()
      if (outcome !== 'full') return outcome === 'added'
      makingRoom ??= makeRoom(code.createdAt).finally(() => (makingRoom = undefined))
      await makingRoom
    }
  }
}

/** The codes that make room: one after the other the oldest one of the network that has the most. */
export function chooseEvicted(
  codes: Pick<DeviceCode, 'deviceCodeHash' | 'address' | 'network' | 'createdAt'>[],
  count: number,
): Hash[] {
  const newerOfNetwork = new Map<string, number>()
  const ranked = codes
    .toSorted((one, other) => other.createdAt - one.createdAt)
    .map(({ deviceCodeHash, address, network, createdAt }) => {
      const large = network === '' ? '' : networkOf(address, LARGE_NETWORK)
      const newer = newerOfNetwork.get(large) ?? 0
      newerOfNetwork.set(large, newer + 1)
      return { deviceCodeHash, createdAt, newer }
    })
  return ranked
    .sort((one, other) => other.newer - one.newer || one.createdAt - other.createdAt)
    .slice(0, count)
    .map(({ deviceCodeHash }) => deviceCodeHash)
}

const tooManyWaiting = (): BrokerError =>
  new BrokerError('slow_down', {
    retryAfter: RETRY_AFTER_SECONDS,
    description:
      'Too many codes of this app are waiting for an answer in your network. Enter one of them, or start again after Retry-After.',
  })
