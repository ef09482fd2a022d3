import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignJWT, UnsecuredJWT, exportJWK, generateKeyPair } from 'jose'
import type { JWTPayload } from 'jose'
import type { Test } from 'tap'

const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout'

export const OIDC_CLIENT = { id: 'ellipsis-broker', secret: 'a secret of the tests' }

/** How a fake issuer answers; a test changes it at any time. */
export interface IssuerAnswers {
  /** Claims of the next ID tokens, over those of the protocol. `undefined` as value: omitted. */
  claims: JWTPayload
  /** Claims of the userinfo endpoint besides `sub`. */
  userInfo: Record<string, unknown>
  /** Changes what the browser brings back. */
  callback: (parameters: URLSearchParams) => void
  /** Signs the next ID tokens: with its own key, an unknown key, or not at all. */
  signature: 'own' | 'unknown' | 'none'
  /** Metadata over the usual ones. */
  metadata: Record<string, unknown>
  /** Every request fails with this status. */
  outage: number | null
}

/**
 * An OpenID provider whose every answer can be changed, where everyone is signed in already. The tests against
 * oidc-provider show that the broker works with one that was not made for it.
 */
export async function startIssuer(t: Pick<Test, 'teardown'>) {
  const answers: IssuerAnswers = {
    claims: {},
    userInfo: {},
    callback: () => undefined,
    signature: 'own',
    metadata: {},
    outage: null,
  }
  const [own, unknown] = await Promise.all([newKey(), newKey()])
  const flows = new Map<string, URLSearchParams>()
  /** Paths of the requests, without those of browsers. */
  const calls: string[] = []
  const requested: URLSearchParams[] = []

  const sign = (payload: JWTPayload, signature = answers.signature, typ = 'JWT') => {
    if (signature === 'none') return new UnsecuredJWT(payload).encode()
    const { privateKey } = signature === 'own' ? own : unknown
    return new SignJWT(payload)
      .setProtectedHeader({ alg: 'RS256', kid: 'k1', typ })
      .sign(privateKey)
  }

  const idToken = (nonce: string | null) => {
    const now = Math.floor(Date.now() / 1000)
    const payload = { iss: url, aud: OIDC_CLIENT.id, sub: 'u1', iat: now, exp: now + 60, nonce }
    return sign({ ...payload, ...answers.claims })
  }

  const handle = async (path: string, query: URLSearchParams, body: URLSearchParams) => {
    switch (path) {
      case '/.well-known/openid-configuration':
        return {
          issuer: url,
          authorization_endpoint: `${url}/authorize`,
          token_endpoint: `${url}/token`,
          userinfo_endpoint: `${url}/userinfo`,
          jwks_uri: `${url}/jwks`,
          response_types_supported: ['code'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['RS256'],
          code_challenge_methods_supported: ['S256'],
          ...answers.metadata,
        }
      case '/jwks':
        return {
          keys: [{ ...(await exportJWK(own.publicKey)), kid: 'k1', alg: 'RS256', use: 'sig' }],
        }
      case '/authorize': {
        const code = `code-${flows.size}`
        flows.set(code, query)
        requested.push(query)
        const back = new URL(query.get('redirect_uri') ?? '')
        back.searchParams.set('code', code)
        back.searchParams.set('state', query.get('state') ?? '')
        answers.callback(back.searchParams)
        return back
      }
      case '/token': {
        const flow = flows.get(body.get('code') ?? '')
        flows.delete(body.get('code') ?? '')
        const challenge = createHash('sha256').update(body.get('code_verifier') ?? '')
        if (flow?.get('code_challenge') !== challenge.digest('base64url')) return null
        return {
          access_token: 'at',
          token_type: 'Bearer',
          expires_in: 60,
          id_token: await idToken(flow.get('nonce')),
        }
      }
      case '/userinfo':
        return { sub: answers.claims.sub ?? 'u1', ...answers.userInfo }
      default:
        return null
    }
  }

  const respond = async (request: IncomingMessage, response: ServerResponse) => {
    const { pathname, searchParams } = new URL(request.url ?? '', url)
    const chunks = await request.toArray()
    const body = new URLSearchParams(Buffer.concat(chunks as Buffer[]).toString())
    if (pathname !== '/authorize') calls.push(pathname)
    if (answers.outage !== null) return response.writeHead(answers.outage).end()
    const answer = await handle(pathname, searchParams, body)
    if (answer instanceof URL) return response.writeHead(303, { location: answer.href }).end()
    const status = answer === null ? 400 : 200
    response.writeHead(status, { 'content-type': 'application/json' })
    return response.end(JSON.stringify(answer ?? { error: 'invalid_grant' }))
  }
  const server = createServer((request, response) => void respond(request, response))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const stop = () => {
    server.closeAllConnections()
    server.close()
  }
  t.teardown(stop)

  return {
    url,
    answers,
    calls,
    /** The authorization requests. */
    requested,
    /** From now on nothing answers. */
    stop,
    /** Makes a logout token. @param claims over the usual ones; `undefined` as value: omitted */
    logoutToken(claims: JWTPayload, signature: IssuerAnswers['signature'] = 'own') {
      const now = Math.floor(Date.now() / 1000)
      const payload = {
        iss: url,
        aud: OIDC_CLIENT.id,
        iat: now,
        exp: now + 60,
        jti: `j${Math.random()}`,
      }
      const events = { [LOGOUT_EVENT]: {} }
      return sign({ ...payload, events, ...claims }, signature, 'logout+jwt')
    },
    /** Settings of a broker that signs in here. */
    env: {
      BROKER_ADMIN_OIDC_ISSUER: url,
      BROKER_ADMIN_OIDC_CLIENT_ID: OIDC_CLIENT.id,
      BROKER_ADMIN_OIDC_CLIENT_SECRET: OIDC_CLIENT.secret,
      BROKER_ADMIN_OIDC_ADMIN_VALUES: 'broker-admins, ops',
      BROKER_ADMIN_OIDC_VIEWER_VALUES: 'broker-viewers',
    },
  }
}

const newKey = () => generateKeyPair('RS256', { extractable: true })
