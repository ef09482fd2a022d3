import { createCall } from './client/calls.ts'
import { createConnector } from './client/connect.ts'
import type { ConnectOptions } from './client/connect.ts'
import type { ClientStorage } from './client/storage.ts'
import { createTokens } from './client/tokens.ts'
import type { AccessToken, ClientEvent } from './client/tokens.ts'
import { BrokerError } from './shared/error.ts'

export { BrokerError }
export type { AccessToken, ClientEvent, ClientStorage, ConnectOptions }

export interface ClientOptions {
  /** The broker's public URL. */
  broker: string
  clientId: string
  /** A registered redirect URI, of a page that calls `handleRedirect`. Default: this page without query and fragment. */
  redirectUri?: string
  /** Default: that of the broker, `projects`. */
  scope?: string
  /** Where the broker token is kept. Default: `local`. */
  storage?: 'memory' | 'session' | 'local' | ClientStorage
  /** Bind the token to a key of this browser (RFC 9449). Default: `true`. */
  dpop?: boolean
}

export interface LinkOptions {
  /** Seconds; a day if omitted. */
  expiresIn?: number
  /** For people. */
  label?: string
  /** Everything below the path, too. */
  prefix?: boolean
}

/** A read-only URL to one part of the user's drive. */
export interface Link {
  id: string
  url: string
  /** Seconds since the epoch. */
  expiresAt: number
}

export interface User {
  /** The account, the same for every app of this broker. Only with the scope `openid`. */
  sub?: string
  username: string
}

export interface Client {
  /**
   * Lets the user connect. A popup resolves when they have; a redirect leaves the page.
   * @throws BrokerError `access_denied`, `cancelled`, `popup_blocked`
   */
  connect(options?: ConnectOptions): Promise<void>
  /**
   * Call it when the page has loaded.
   * @returns `true`: this page load was an answer, and it is handled. In a popup, the window closes
   * @throws BrokerError
   */
  handleRedirect(): Promise<boolean>
  /** Whether a connection is stored. Also `true` while the user must connect again at Ellipsis Drive. */
  isConnected(): Promise<boolean>
  /**
   * An access token of Ellipsis Drive. Call it before each request.
   * @param options `minTtl`: seconds that it must stay valid, 60 if omitted. `force`: Ellipsis Drive rejected the last one
   * @throws BrokerError
   */
  getToken(options?: { minTtl?: number; force?: boolean }): Promise<AccessToken>
  /**
   * Sends a request to Ellipsis Drive: directly, or through the broker, as the app is registered.
   * @param path of Ellipsis Drive's API, such as `/account`
   * @throws BrokerError what the broker refuses. Every other answer is Ellipsis Drive's
   */
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** Creates a link. @param path as `fetch`, and may have placeholders such as `{z}` */
  link(path: string, options?: LinkOptions): Promise<Link>
  user(): Promise<User>
  /** Ends the connection of this browser: revokes its grant. */
  disconnect(): Promise<void>
  /**
   * Listens to changes by this tab and others. When the page loads, nothing has changed: ask `isConnected`.
   * @returns stops listening
   */
  on(event: ClientEvent, listener: () => void): () => void
}

/** The client of an app in a browser. */
export function createClient(options: ClientOptions): Client {
  const { clientId, scope, dpop = true, storage = 'local' } = options
  const broker = options.broker.replace(/\/+$/, '')
  const { redirectUri = location.origin + location.pathname } = options
  const name = `ellipsis-broker ${broker} ${clientId}`
  const listeners = new Map<ClientEvent, Set<() => void>>()
  const listenersOf = (event: ClientEvent) => {
    const set = listeners.get(event) ?? new Set()
    listeners.set(event, set)
    return set
  }
  // A listener that throws must not fail the call that emits.
  const emit = (event: ClientEvent) => listenersOf(event).forEach(queueMicrotask)
  const call = createCall(broker)
  const tokens = createTokens({ name, clientId, broker, call, storage, dpop, emit })
  const connector = createConnector({ name, broker, clientId, redirectUri, scope, tokens })

  const client: Client = {
    connect: (options = {}) => connector.connect(options),
    handleRedirect: connector.handleRedirect,
    isConnected: async () => (await tokens.read()) !== null,

    getToken: ({ minTtl, force } = {}) => tokens.get(minTtl, force),

    async fetch(path, init = {}) {
      const relative = path.replace(/^\/?/, '/')
      const send = async (force: boolean): Promise<Response> => {
        const { api } = await tokens.current()
        // Dots would lead the token to other endpoints.
        if (!new URL(api + relative).href.startsWith(`${api}/`))
          throw new BrokerError('invalid_request', `This is not a path of the API: ${path}`)
        if (api === `${broker}/drive`) return tokens.send(`/drive${relative}`, init)
        const headers = new Headers(init.headers)
        const { accessToken } = await tokens.get(undefined, force)
        headers.set('authorization', `Bearer ${accessToken}`)
        return fetch(api + relative, { ...init, headers })
      }
      const response = await send(false).catch(async (error: unknown) => {
        if (!(error instanceof BrokerError) || error.code !== 'unauthorized_client') throw error
        await tokens.useProxy()
        return send(false)
      })
      // A stream cannot be sent again.
      const isRefused = response.status === 401 && !(init.body instanceof ReadableStream)
      return isRefused ? send(true).catch(() => response) : response
    },

    async link(path, { expiresIn: expires_in, ...options } = {}) {
      const response = await tokens.send('/links', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ path, expires_in, ...options }),
      })
      const { expires_at: expiresAt, ...link } = (await response.json()) as Omit<
        Link,
        'expiresAt'
      > & { expires_at: number }
      return { ...link, expiresAt }
    },

    async user() {
      const { scope } = await tokens.current()
      if (!/\bopenid\b/.test(scope)) {
        const { username } = (await (await client.fetch('/account')).json()) as User
        return { username }
      }
      const claims = (await (await tokens.send('/oauth/userinfo', {})).json()) as {
        sub: string
        preferred_username?: string
      }
      return { sub: claims.sub, username: claims.preferred_username ?? '' }
    },

    disconnect: tokens.disconnect,

    on(event, listener) {
      listenersOf(event).add(listener)
      return () => void listenersOf(event).delete(listener)
    },
  }
  return client
}
