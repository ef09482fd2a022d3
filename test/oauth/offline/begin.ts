import type { App } from '../../../db/store.ts'
import type { AppSettings } from '../../../server/oauth/app-settings.ts'
import { addAppWithSecret, authorize, postForm } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'

export interface OfflineApp {
  app: App
  /** As the form parameters of client authentication. */
  credentials: { client_id: string; client_secret: string }
}

/** Registers a confidential app with offline access. */
export async function addOfflineApp(
  broker: TestBroker,
  settings: Partial<AppSettings> = {},
): Promise<OfflineApp> {
  const more = { confidential: true, offline: true, ...settings }
  const { app, clientSecret } = await addAppWithSecret(broker, more)
  const secret = clientSecret?.reveal() ?? ''
  return { app, credentials: { client_id: app.id, client_secret: secret } }
}

/** Asks for an app token. */
export const askAppToken = (
  broker: Pick<TestBroker, 'url'>,
  credentials: Record<string, string>,
  more: Record<string, string> = {},
) =>
  postForm(`${broker.url}/oauth/token`, {
    grant_type: 'client_credentials',
    ...credentials,
    ...more,
  })

/** An app token, which must be issued. */
export async function getAppToken(
  broker: Pick<TestBroker, 'url'>,
  { credentials }: OfflineApp,
): Promise<string> {
  const { status, body } = await askAppToken(broker, credentials)
  if (status !== 200) throw new Error(JSON.stringify(body))
  return String(body.access_token)
}

/** Connects a user of a confidential app. Returns the answer of the token endpoint. */
export async function connectUser(
  broker: TestBroker,
  { app, credentials }: OfflineApp,
  {
    form = {},
    ...options
  }: { form?: Record<string, string> } & Parameters<typeof authorize>[2] = {},
) {
  const { returned, verifier } = await authorize(broker, app, options)
  const answer = await postForm(`${broker.url}/oauth/token`, {
    ...{ grant_type: 'authorization_code', code_verifier: verifier, ...credentials },
    code: returned.searchParams.get('code') ?? '',
    ...form,
  })
  const payload = String(answer.body.access_token).split('.')[1] ?? ''
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString() || '{}') as Record<
    string,
    string
  >
  return {
    ...answer,
    brokerToken: String(answer.body.access_token),
    grantId: claims.grant_id ?? '',
    connectionId: claims.sub ?? '',
  }
}

/** Calls the app API. */
export async function callApi(
  { url }: Pick<TestBroker, 'url'>,
  token: string,
  path: string,
  { method = 'GET', body }: { method?: string; body?: object } = {},
) {
  const response = await fetch(`${url}/v1/grants${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  const json = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>
  return { status: response.status, headers: response.headers, body: json }
}

export const swapForApp = (
  broker: Pick<TestBroker, 'url'>,
  token: string,
  grantId: string,
  body?: object,
) => callApi(broker, token, `/${grantId}/token`, { method: 'POST', ...(body && { body }) })
