import type { Coordination } from '../coordination.ts'
import { withLock, withStartLock } from './open.ts'
import { hasDied, listProcesses, registerProcess } from './presence.ts'

/** A call to Ellipsis Drive takes up to 20 seconds. */
const LEASE_MS = 30_000

/** What the processes on a data directory agree on, by locks of its files. */
export const createFileCoordination = (
  directory: string,
  nativeBinding: string | undefined,
): Coordination => ({
  leaseMs: LEASE_MS,
  holdMs: () => LEASE_MS,
  withStartLock: (work) => withStartLock(directory, nativeBinding, work),
  withLock: (name, work) => withLock(directory, `${name}.lock`, nativeBinding, 0, work),

  async register(info) {
    const { id, setKeyIds, unregister } = registerProcess(directory, nativeBinding, info)
    return {
      id,
      setKeyIds: async (keyIds) => setKeyIds(keyIds),
      unregister: async () => unregister(),
    }
  },

  listProcesses: async () => listProcesses(directory, nativeBinding),
  hasDied: async (id) => hasDied(directory, nativeBinding, id),
  close: async () => undefined,
})
