import { setTimeout as sleep } from 'node:timers/promises'
import type { ChaosEnvironment } from './environment.ts'
import type { SeededRandom } from './random.ts'

/** Number of swaps by response status; 0: no response. */
type StatusCounts = Record<number, number>

const SWAP_TIMEOUT_MS = 15_000

/** Minimum and maximum pause of an app after a response, by status. */
const PAUSES_MS: Record<number, [min: number, max: number]> = { 0: [20, 200], 200: [100, 2500] }
const OTHER_PAUSE_MS: [min: number, max: number] = [300, 1500]

const FORCED_SHARE = 0.8

/**
 * Runs one app per device. Each swaps in a loop, mostly with `force`, so that refreshes are always in progress.
 * Resolves when the signal has stopped all of them.
 */
export async function runLoad(
  environment: ChaosEnvironment,
  random: SeededRandom,
  signal: AbortSignal,
): Promise<StatusCounts> {
  const counts: StatusCounts = {}
  const runApp = async (index: number): Promise<void> => {
    const device = environment.devices[index]
    while (!signal.aborted && device) {
      const { url } = random.pick(environment.brokers)
      const force = random.next() < FORCED_SHARE
      const { status, body } = await swap(url, device.token, { force })
      counts[status] = (counts[status] ?? 0) + 1
      if (typeof body.broker_token === 'string') device.token = body.broker_token
      await sleep(random.between(...(PAUSES_MS[status] ?? OTHER_PAUSE_MS)))
    }
  }
  await Promise.all(environment.devices.map((_, index) => runApp(index)))
  return counts
}

/** Swaps at `/exchange`, with a timeout. `status` 0: no response. */
export async function swap(
  url: string,
  token: string,
  parameters: object,
): Promise<{ status: number; body: Record<string, unknown> }> {
  try {
    const response = await fetch(`${url}/exchange`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(parameters),
      signal: AbortSignal.timeout(SWAP_TIMEOUT_MS),
    })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  } catch {
    return { status: 0, body: {} }
  }
}
