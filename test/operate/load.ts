import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { App } from '../../db/store.ts'
import { appDefaults } from '../../server/oauth/app-settings.ts'
import { sha256 } from '../../server/crypto/hash.ts'
import { Secret } from '../../server/secret.ts'
import { ageTokens } from '../aged-tokens.ts'
import { RETURN } from '../helper.ts'
import { size } from '../size.ts'
import type { TestBroker } from '../helper.ts'

/** One connected account and the broker token of its one device. */
export interface Device {
  connectionId: string
  token: string
}

/** A broker with or without HTTP. */
export type Headless = Pick<TestBroker, 'services' | 'standIn'> & {
  clock: Pick<TestBroker['clock'], 'now' | 'advance'>
}

/** Creates connections with one grant each, without a browser. */
export async function connectMany(broker: Headless, count: number): Promise<Device[]> {
  const app = await addApp(broker)
  const devices: Device[] = []
  for (let index = 0; index < count; index++) devices.push(await connectOne(broker, app, index))
  return devices
}

/** Adds the app of these connections. */
export async function addApp({ services }: Headless): Promise<App> {
  const settings = { ...appDefaults, name: 'Many', redirectUris: [RETURN] }
  return (await services.apps.add(settings, 'test')).app
}

/** Creates the connection of an account, with one grant. @param index a number that no other has */
export async function connectOne(
  { services: { store, vault, redeem }, standIn, clock }: Headless,
  app: App,
  index: number,
): Promise<Device> {
  const id = `con_${index}`
  const [code, verifier, now] = [`code-${index}`, `verifier-${index}`, clock.now()]
  const seal = (column: string, secret: string) =>
    vault.seal(`connections/${id}/${column}`, new Secret(secret))
  await store.saveConnection({
    id,
    expectedGeneration: null,
    accountId: `account-${index}`,
    username: `user${index}`,
    tokens: {
      refreshToken: seal('refresh_token', standIn.grant(`user${index}`)),
      accessToken: seal('access_token', 'none'),
      accessTokenExpiresAt: 0,
      accessTokenFetchedAt: 0,
    },
    now,
    code: {
      codeHash: sha256(code),
      appId: app.id,
      redirectUri: RETURN,
      challenge: sha256(verifier),
      nonce: null,
      jkt: null,
      connectionId: id,
      scope: 'projects',
      device: 'test',
      browserHash: null,
      policy: null,
      externalId: null,
      createdAt: now,
      expiresAt: now + 600_000,
    },
    events: [],
  })
  const proof = {
    code: new Secret(code),
    verifier: new Secret(verifier),
    redirectUri: undefined,
    proof: null,
  }
  const { token } = await redeem.redeem({ app, ...proof, address: 'test' })
  return { connectionId: id, token }
}

/** Does one swap and returns the status. @param body of `/exchange` */
export async function swapAt(url: string, token: string, options: object = {}): Promise<number> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const body = JSON.stringify(options)
  const response = await fetch(`${url}/exchange`, { method: 'POST', headers, body })
  await response.arrayBuffer()
  return response.status
}

/** A worker's pause after each swap: in `npm test` other tests need the processor too. */
const PAUSE_MS = size(10, 0)

/** Swaps that always refresh, at several brokers in turn, until `stop`, which returns the count of each status. */
export function startLoad(
  t: Test,
  broker: Headless,
  urls: string[],
  devices: Device[],
  workers = 3,
) {
  ageTokens(broker.services.config.dataDir)
  let isRunning = true
  const statuses: Record<number, number> = {}
  const work = async (worker: number): Promise<void> => {
    for (let round = worker; isRunning; round += workers) {
      const device = devices[round % devices.length]
      const url = urls[round % urls.length]
      if (!device || url === undefined) return
      const status = await swapAt(url, device.token, { min_ttl: 9999 }).catch(() => 0)
      statuses[status] = (statuses[status] ?? 0) + 1
      if (PAUSE_MS > 0) await sleep(PAUSE_MS)
    }
  }
  const all = Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)))
  const stop = async () => {
    isRunning = false
    await all
    return statuses
  }
  t.teardown(stop)
  return { stop }
}
