import type { Clock } from '../runtime.ts'
import { BrokerError } from '../errors.ts'

/** Watches transfers: each one ends soon after its grant has ended. */
export interface Transfers {
  /**
   * Watches a transfer until `end` is called.
   * @param check throws BrokerError once the transfer may not go on
   * @param left aborted when the client leaves
   * @returns the signal that ends both directions
   */
  begin(check: () => Promise<unknown>, left: AbortSignal): Transfer
}

export interface Transfer {
  signal: AbortSignal
  end(): void
}

/** Twice a second: a revocation ends a transfer within a second. */
export const CHECK_INTERVAL_MS = 500

interface Watched extends Transfer {
  check: () => Promise<unknown>
  abort: (reason: unknown) => void
  /** Was it there at the last round? Short requests are checked once, before they begin. */
  isOld: boolean
}

/** One loop for all transfers, which runs while there are any. */
export function createTransfers(clock: Clock): Transfers {
  const open = new Set<Watched>()
  let isWatching = false

  const checkAll = async (): Promise<void> => {
    for (const transfer of open) {
      if (transfer.isOld) {
        await transfer.check().catch((error: unknown) => {
          // A store that is busy for a moment ends no transfer.
          if (error instanceof BrokerError) transfer.abort(error)
        })
      }
      transfer.isOld = true
    }
  }

  const watch = async (): Promise<void> => {
    isWatching = true
    while (open.size > 0) {
      await clock.sleep(CHECK_INTERVAL_MS)
      await checkAll()
    }
    isWatching = false
  }

  return {
    begin(check, left) {
      const controller = new AbortController()
      const abort = (reason: unknown) => controller.abort(reason)
      const leave = () => abort(left.reason)
      const transfer: Watched = {
        check,
        abort,
        isOld: false,
        signal: controller.signal,
        end() {
          open.delete(transfer)
          left.removeEventListener('abort', leave)
        },
      }
      if (left.aborted) leave()
      else left.addEventListener('abort', leave, { once: true })
      open.add(transfer)
      if (!isWatching) void watch()
      return transfer
    },
  }
}
