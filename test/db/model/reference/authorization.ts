import type { DeviceCode, Hash, Millis } from '../../../../db/store.ts'
import { isSame, writeEvents } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods =
  | 'useState'
  | 'listUsedStates'
  | 'getCode'
  | 'addDeviceCode'
  | 'listWaitingDeviceCodes'
  | 'removeDeviceCodes'
  | 'getDeviceCode'
  | 'updateDeviceCode'
  | 'useProof'

export const authorizationRules = (tables: Tables): Answering<Methods> => {
  const waiting = (at: Millis): DeviceCode[] =>
    [...tables.deviceCodes.values()].filter(
      ({ status, expiresAt }) => status !== 'approved' && expiresAt > at,
    )

  return {
    useState: ({ stateHash, expiresAt }) => useOnce(tables.usedStates, stateHash, expiresAt),

    listUsedStates: (hashes) => hashes.filter((hash) => tables.usedStates.has(hash)),

    getCode: (codeHash) => tables.codes.get(codeHash),

    addDeviceCode(code, { maxOfNetwork, max }) {
      const all = [...tables.deviceCodes.values()]
      if (all.some(({ userCodeHash }) => userCodeHash === code.userCodeHash))
        return 'user_code_taken'
      const others = waiting(code.createdAt)
      const near = others.filter(
        ({ appId, network }) => appId === code.appId && network === code.network,
      )
      if (maxOfNetwork !== null && near.length >= maxOfNetwork) return 'network_full'
      if (others.length >= max) return 'full'
      tables.deviceCodes.set(code.deviceCodeHash, code)
      return 'added'
    },

    listWaitingDeviceCodes: (now) =>
      waiting(now).map(({ deviceCodeHash, address, network, createdAt }) => ({
        ...{ deviceCodeHash, address, network, createdAt },
      })),

    removeDeviceCodes(hashes) {
      for (const hash of hashes)
        if (tables.deviceCodes.get(hash)?.status !== 'approved') tables.deviceCodes.delete(hash)
    },

    getDeviceCode: (key) =>
      'deviceCodeHash' in key
        ? tables.deviceCodes.get(key.deviceCodeHash)
        : [...tables.deviceCodes.values()].find((code) => code.userCodeHash === key.userCodeHash),

    updateDeviceCode(before, after, events) {
      if (!isSame(tables.deviceCodes.get(before.deviceCodeHash), before)) return false
      tables.deviceCodes.set(before.deviceCodeHash, after)
      writeEvents(tables, events)
      return true
    },

    useProof: ({ proofHash, expiresAt }) => useOnce(tables.usedProofs, proofHash, expiresAt),
  }
}

function useOnce(used: Map<Hash, Millis>, hash: Hash, expiresAt: Millis): boolean {
  if (used.has(hash)) return false
  used.set(hash, expiresAt)
  return true
}
