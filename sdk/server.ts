/** The server SDK, for back ends in Node, Deno and Bun: standard `fetch` and WebCrypto only. */
import { createApiCall } from './server/app-token.ts'
import { pushAuthorization, redeemCallback } from './server/authorization.ts'
import type {
  AuthorizationFlow,
  AuthorizationOptions,
  CallbackRequest,
  Connected,
} from './server/authorization.ts'
import { createAuthentication } from './server/client-authentication.ts'
import type { Credentials } from './server/client-authentication.ts'
import {
  camelCase,
  createCall,
  formOf,
  jsonOf,
  parametersOf,
  standardRuntime,
} from './server/http.ts'
import type { Answer, CallOptions, Runtime } from './server/http.ts'

export { BrokerError } from './shared/error.ts'
export { verifyWebhook } from './server/webhooks.ts'
export type { WebhookMessage, WebhookRequest } from './server/webhooks.ts'
export type {
  AuthorizationFlow,
  AuthorizationOptions,
  CallbackRequest,
  CallOptions,
  Connected,
  Credentials,
}
export type { PrivateJwk } from './server/client-authentication.ts'

/** Options of `createServerClient`: a confidential app. */
export type ServerClientOptions = Credentials & {
  /** The broker's public URL, such as `https://broker.example.com`. */
  broker: string
  clientId: string
  /** Longest total wait of a call while the broker is busy or does not answer, seconds. Default 10. */
  retryForSeconds?: number
  /** Limit of one attempt, milliseconds. Default 30,000. */
  timeoutMs?: number
  /** Replaces the global `fetch`, for example to use an outgoing proxy. */
  fetch?: typeof fetch
}

/** One user's authorization of this app, on one device. */
export interface Grant {
  grantId: string
  connectionId: string
  /** The app's own id of the user. */
  externalId: string | null
  /** Empty if the user granted no scope that tells it. */
  username: string
  status: 'active' | 'needs_reconnect' | 'revoked'
  device: string
  /** Separated by spaces. */
  scope: string
  /** Unix seconds. */
  createdAt: number
  /** Unix seconds. */
  lastUsedAt: number | null
  /** Where the user connects again; `null` if the grant is active. */
  reconnectUrl: string | null
}

/** An access token of Ellipsis Drive. */
export interface AccessToken {
  accessToken: string
  /** Unix seconds. */
  expiresAt: number
}

/** What to ask of an access token. */
export interface TokenOptions extends CallOptions {
  /** Seconds that it must stay valid. */
  minTtl?: number
  /** Do not use a cached one, because Ellipsis Drive refused it. */
  force?: boolean
}

/** Which grants to list. */
export interface ListOptions extends CallOptions {
  status?: Grant['status']
  externalId?: string
  /** The id of the last grant that is done. */
  after?: string
}

/**
 * A client of the broker for an app with a back end. It keeps one app token in memory; share it between requests.
 * Every method rejects with `BrokerError`: `network_error` if the broker does not answer.
 */
export interface ServerClient {
  /**
   * Begins to connect a user, by a pushed request (RFC 9126). Keep `flow` in the user's session, and send the user to `url`.
   */
  createAuthorization(
    options: AuthorizationOptions,
  ): Promise<{ url: string; flow: AuthorizationFlow }>
  /**
   * Ends it, when the user comes back to the redirect URI. Call it once for each flow, and forget the flow first.
   * @throws BrokerError `access_denied` if the user refused; `invalid_state` if the answer is not for this flow
   */
  handleCallback(
    callback: CallbackRequest,
    flow: AuthorizationFlow,
    options?: CallOptions,
  ): Promise<Connected>
  /** All grants of an app with offline access, in the order of their ids. Pages are fetched as they are needed. */
  listGrants(options?: ListOptions): AsyncGenerator<Grant, void, undefined>
  /** One grant. @throws BrokerError `invalid_request` if the app has none with this id */
  getGrant(grantId: string, options?: CallOptions): Promise<Grant>
  /** Sets the app's own id of the user; `null` removes it. */
  setExternalId(grantId: string, externalId: string | null, options?: CallOptions): Promise<Grant>
  /** Signs the device out. Does nothing if the grant is revoked already. */
  revokeGrant(grantId: string, options?: CallOptions): Promise<void>
  /**
   * An access token for a grant of an app with offline access. The broker caches: ask before each use.
   * @throws BrokerError with `reconnectUrl` if the user must connect again
   */
  getToken(grantId: string, options?: TokenOptions): Promise<AccessToken>
  /**
   * An access token for a broker token, without offline access (RFC 8693). Store `brokerToken` if there is one: it
   * replaces the one given, in one place for all processes.
   * @throws BrokerError with `reconnectUrl`, or `invalid_request`, if the user must connect again
   */
  swap(brokerToken: string, options?: TokenOptions): Promise<AccessToken & { brokerToken?: string }>
  /** Revokes the grant of a broker token (RFC 7009). */
  revoke(brokerToken: string, options?: CallOptions): Promise<void>
}

/**
 * Creates a client for an app that can keep a secret or a private key.
 *
 * ```ts
 * const client = createServerClient({ broker, clientId, clientSecret })
 * for await (const grant of client.listGrants({ status: 'active' })) {
 *   const { accessToken } = await client.getToken(grant.grantId)
 * }
 * ```
 */
export function createServerClient(options: ServerClientOptions): ServerClient {
  const { clientId, retryForSeconds = 10, timeoutMs = 30_000 } = options
  const broker = options.broker.replace(/\/+$/, '')
  const runtime: Runtime = { ...standardRuntime, ...(options.fetch && { fetch: options.fetch }) }
  const { now } = runtime
  const call = createCall(runtime, { broker, timeoutMs, retryForSeconds })
  const authenticate = createAuthentication(broker, clientId, options, now)
  const callApi = createApiCall({ call, authenticate, now })
  const context = { call, authenticate, broker, clientId, now }

  const api = (method: string, path: string, options?: CallOptions, body?: object) =>
    callApi({ path: `/v1/grants${path}`, init: () => jsonOf(method, body) }, options)
  const pathOf = (grantId: string) => `/${encodeURIComponent(grantId)}`

  const postForm = (
    path: string,
    fields: Record<string, string | undefined>,
    options?: CallOptions,
  ) => call({ path, init: async () => formOf({ ...fields, ...(await authenticate()) }) }, options)

  return {
    createAuthorization: (options) => pushAuthorization(context, options),
    handleCallback: (...args) => redeemCallback(context, ...args),

    async *listGrants({ signal, status, externalId, after } = {}) {
      let next: string | null = after ?? ''
      while (next !== null) {
        const query = parametersOf({ status, external_id: externalId, after: next || undefined })
        const page: Answer = await api('GET', `?${query.toString()}`, { signal })
        for (const grant of page.grants as Answer[]) yield camelCase<Grant>(grant)
        next = page.next as string | null
      }
    },
    async getGrant(grantId, options) {
      return camelCase(await api('GET', pathOf(grantId), options))
    },
    async setExternalId(grantId, externalId, options) {
      return camelCase(await api('PATCH', pathOf(grantId), options, { external_id: externalId }))
    },
    async revokeGrant(grantId, options) {
      await api('DELETE', pathOf(grantId), options)
    },
    async getToken(grantId, { minTtl, force, ...options } = {}) {
      const body = { min_ttl: minTtl, force }
      return accessTokenOf(await api('POST', `${pathOf(grantId)}/token`, options, body), now())
    },

    async swap(brokerToken, { minTtl, force, ...options } = {}) {
      const fields = {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: brokerToken,
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        min_ttl: minTtl?.toString(),
        force: force?.toString(),
      }
      const answer = await postForm('/oauth/token', fields, options)
      const { broker_token: newer } = answer
      return {
        ...accessTokenOf(answer, now()),
        ...(typeof newer === 'string' && { brokerToken: newer }),
      }
    },
    async revoke(brokerToken, options) {
      await postForm('/oauth/revoke', { token: brokerToken }, options)
    },
  }
}

const accessTokenOf = (answer: Answer, nowMs: number): AccessToken => ({
  accessToken: String(answer.access_token),
  expiresAt: Number(answer.expires_at ?? Math.floor(nowMs / 1000) + Number(answer.expires_in)),
})
