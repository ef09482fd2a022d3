import { createRemoteJWKSet, jwtVerify } from 'jose'
import type { App } from '../../../db/store.ts'
import { authorize, postForm } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'

/** A token response with the claims of its ID token, verified against the published keys. */
export async function signIn(
  broker: TestBroker,
  app: App,
  options: {
    parameters?: Record<string, string>
    secret?: string | undefined
    user?: string
  } = {},
) {
  const { returned, verifier, parameters } = await authorize(broker, app, {
    ...(options.user !== undefined && { user: options.user }),
    parameters: { scope: 'openid profile projects', ...options.parameters },
  })
  const { body } = await postForm(`${broker.url}/oauth/token`, {
    ...{ grant_type: 'authorization_code', client_id: app.id },
    ...(options.secret !== undefined && { client_secret: options.secret }),
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: parameters.redirect_uri,
    ...(parameters.code_challenge !== '' && { code_verifier: verifier }),
  })
  const claims =
    typeof body.id_token === 'string' ? await verifyIdToken(broker, app, body.id_token) : undefined
  return { body, claims, accessToken: String(body.access_token) }
}

/** The claims of an ID token, as a library verifies it. */
export async function verifyIdToken(broker: TestBroker, app: App, token: string) {
  const keys = createRemoteJWKSet(new URL(`${broker.url}/.well-known/jwks.json`))
  const options = { issuer: broker.url, audience: app.id, algorithms: ['RS256'] }
  const currentDate = new Date(broker.clock.now())
  return (await jwtVerify(token, keys, { ...options, currentDate })).payload
}

/** The answer of the userinfo endpoint. */
export async function userInfo(broker: TestBroker, token: string, init: RequestInit = {}) {
  const response = await fetch(`${broker.url}/oauth/userinfo`, {
    headers: { authorization: `Bearer ${token}` },
    ...init,
  })
  const body = (await response.json()) as Record<string, unknown>
  return { status: response.status, headers: response.headers, body }
}
