import type { App } from '../../../db/store.ts'
import { addApp, buildBroker, connect, postForm } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const JWT = 'urn:ietf:params:oauth:token-type:jwt'
export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'

/** Swaps by token exchange. */
export const swapAtToken = (
  broker: TestBroker,
  brokerToken: string,
  more: Record<string, string> = {},
) =>
  postForm(`${broker.url}/oauth/token`, {
    grant_type: TOKEN_EXCHANGE,
    subject_token: brokerToken,
    subject_token_type: JWT,
    ...more,
  })

/** A broker with an app and a connected user. */
export async function begin(
  t: Parameters<typeof buildBroker>[0],
  options = {},
  settings: Partial<App> = {},
) {
  const broker = await buildBroker(t, options)
  const app = await addApp(broker, settings)
  return { broker, app, ...(await connect(broker, app)) }
}
