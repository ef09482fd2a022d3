import type { App } from '../../../db/store.ts'
import { addApp, connectOne } from '../../operate/load.ts'
import type { Device, Headless } from '../../operate/load.ts'
import type { Broker } from '../broker.ts'
import { swap } from '../load.ts'
import type { SeededRandom } from '../random.ts'

/** People who connect, and are revoked again. */
export interface Churn {
  /** Connects and revokes until the signal. Returns violations. */
  run(random: SeededRandom, signal: AbortSignal): Promise<string[]>
  /** Is everything in the store that was acknowledged? Returns violations. */
  check(): Promise<string[]>
  summary(): string
}

const REVOKED_SHARE = 0.7
const WORKERS = 2
/** Of the connections of the load. */
const FIRST_INDEX = 1_000_000
const REVOKE_TIMEOUT_MS = 15_000

export async function createChurn(headless: Headless, brokers: Broker[]): Promise<Churn> {
  const { connections, store } = headless.services
  const app = await addApp(headless)
  const connected = new Set<Device>()
  const revoked: Device[] = []
  let index = FIRST_INDEX
  let [unknown, refused] = [0, 0]

  /** Resolves once the revocation is acknowledged. Half of them at a broker, half as an admin does. */
  const revoke = async (device: Device, random: SeededRandom): Promise<void> => {
    if (random.next() < 0.5) {
      await connections.revoke(device.connectionId, 'test')
      return
    }
    const response = await fetch(`${random.pick(brokers).url}/oauth/revoke`, {
      method: 'POST',
      body: new URLSearchParams({ token: device.token, client_id: app.id }),
      signal: AbortSignal.timeout(REVOKE_TIMEOUT_MS),
    })
    if (response.status !== 200) throw new Error(`revocation answered ${response.status}`)
  }

  const expectRefusal = async (device: Device, when: string): Promise<string[]> => {
    const answers = await Promise.all(brokers.map(({ url }) => swap(url, device.token, {})))
    refused += answers.filter(({ status }) => status === 401).length
    const violated = answers.some(({ status }) => status === 200)
    return violated ? [`${device.connectionId} got a token ${when}`] : []
  }

  const runWorker = async (app: App, random: SeededRandom, signal: AbortSignal) => {
    const violations: string[] = []
    while (!signal.aborted) {
      try {
        const device = await connectOne(headless, app, index++)
        connected.add(device)
        await swap(random.pick(brokers).url, device.token, {})
        if (random.next() > REVOKED_SHARE) continue
        // Until it is acknowledged, it may have taken place or not.
        connected.delete(device)
        await revoke(device, random)
        revoked.push(device)
        violations.push(...(await expectRefusal(device, 'right after its revocation')))
      } catch {
        unknown++
      }
    }
    return violations
  }

  return {
    async run(random, signal) {
      const workers = Array.from({ length: WORKERS }, () => runWorker(app, random, signal))
      return (await Promise.all(workers)).flat()
    },

    async check() {
      const violations: string[] = []
      for (const { connectionId: id } of connected) {
        const row = await store.getConnection(id)
        if (!row || row.status === 'revoked')
          violations.push(`${id} was acknowledged and is ${row?.status ?? 'missing'}`)
      }
      for (const device of revoked)
        violations.push(...(await expectRefusal(device, 'long after its revocation')))
      return violations
    },

    summary: () =>
      `\n${connected.size} connections and ${revoked.length} revocations acknowledged, ` +
      `${unknown} attempts without an answer, ${refused} swaps refused after a revocation\n`,
  }
}
