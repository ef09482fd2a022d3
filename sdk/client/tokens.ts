import { BrokerError } from '../shared/error.ts'
import type { Call, Sender } from './calls.ts'
import { loadKey } from './dpop.ts'
import type { Key } from './dpop.ts'
import { openStorage } from './storage.ts'
import type { ClientStorage } from './storage.ts'

/** What a client stores about its connection. */
interface Connection {
  token: string
  /** When the user connected. */
  since: number
  /** Names the key that the token is bound to. */
  key?: string | undefined
  scope: string
  /** Where requests for Ellipsis Drive go: its API, or the broker's proxy. */
  api: string
  /** Half the token's life, milliseconds since the epoch by this device's clock. */
  renewAt: number
  /** Ellipsis Drive ended the connection: the user can renew it there. */
  reconnectUrl?: string | undefined
}

/** An access token of Ellipsis Drive. */
export interface AccessToken {
  accessToken: string
  /** Seconds since the epoch, by the broker's clock. */
  expiresAt: number
}

export type ClientEvent = 'connected' | 'disconnected' | 'reconnect-required'

/** An answer with a token of the broker, or of Ellipsis Drive. */
interface TokenAnswer {
  access_token: string
  refresh_token?: string
  expires_in: number
  expires_at: number
  scope: string
  api_url?: string
  broker_token?: string
  broker_token_expires_in?: number
}

interface TokensOptions {
  /** Names storage, key, lock and channel of the client. */
  name: string
  clientId: string
  broker: string
  call: Call
  storage: 'memory' | 'session' | 'local' | ClientStorage
  dpop: boolean
  emit: (event: ClientEvent) => void
}

/** A tab may be frozen while it holds the lock. */
const LOCK_TIMEOUT_MS = 10_000
const JSON_TYPE = { 'content-type': 'application/json' }
const TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:jwt'
const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:token-exchange'

export type Tokens = ReturnType<typeof createTokens>

/** The stored connection of a client, and its tokens. */
export function createTokens(options: TokensOptions) {
  const { name, clientId, broker, call, emit } = options
  const channel = new BroadcastChannel(name)
  const flights = new Map<string, Promise<AccessToken>>()
  let cached: (AccessToken & { validUntil: number; since: number }) | undefined
  /** `undefined`: not read yet. */
  let known: Connection | null | undefined
  /** Until when the broker asked for no more requests, by the monotonic clock. */
  let pause: { error: unknown; until: number } | undefined

  let opened: Promise<{ storage: ClientStorage; key: Key | undefined }> | undefined
  const open = () =>
    (opened ??= (async () => {
      const key = options.dpop ? await loadKey(name) : undefined
      // A token is worthless without its key.
      return { storage: openStorage(key?.isKept === false ? 'memory' : options.storage), key }
    })())

  /** Reads the connection as the last tab wrote it, and tells what changed. */
  async function read(): Promise<Connection | null> {
    const { storage, key } = await open()
    const text = await storage.getItem(name)
    const before = known
    known = parse(text)
    // The browser lost the key.
    if (known?.key && known.key !== key?.publicKey.x) known = null
    const event = eventOf(known)
    if (before !== undefined && (event !== eventOf(before) || known?.since !== before?.since))
      emit(event)
    return known
  }

  async function store(connection: Connection | null): Promise<void> {
    const { storage } = await open()
    if (connection) await storage.setItem(name, JSON.stringify(connection))
    else await storage.removeItem(name)
    await read()
  }

  /**
   * Stores the connection, here and in other tabs. Tabs that do not share storage can have the same token all the
   * same: a duplicated tab has a copy of sessionStorage.
   */
  async function publish(from: Connection | null, to: Connection | null): Promise<void> {
    await store(to)
    // Every page of the origin can listen, also one that must not see a token in memory.
    if (options.storage !== 'memory') channel.postMessage({ from: from?.token, to })
  }

  /** Replaces the connection, unless another tab has replaced its token. */
  async function replace(from: Connection, to: Connection | null): Promise<void> {
    if ((await read())?.token === from.token) await publish(from, to)
  }

  channel.onmessage = async ({ data }: MessageEvent<{ from?: string; to: Connection | null }>) => {
    const connection = await read()
    if (connection && connection.token === data.from) await store(data.to)
  }
  // It comes when this tab can see what another one wrote, which may be later than the message.
  addEventListener('storage', ({ key }) => key === name && void read())
  addEventListener('pageshow', ({ persisted }) => persisted && void read())
  void read()

  const post = (body: Record<string, string>, sender?: Sender) =>
    call('/oauth/token', { method: 'POST', body: new URLSearchParams(body) }, sender).then(
      (response) => response.json() as Promise<TokenAnswer>,
    )

  /** Runs work in one tab at a time. A frozen tab, or a browser without locks, holds nothing up. */
  async function lock<Result>(work: () => Promise<Result>): Promise<Result> {
    let result: Promise<Result> | undefined
    const start = () => (result ??= work())
    const request = async (options: LockOptions) => {
      if (!result) await navigator.locks.request(name, options, start)
    }
    await request({ signal: AbortSignal.timeout(LOCK_TIMEOUT_MS) })
      .catch(() => request({ steal: true }))
      .catch(() => undefined)
    return start()
  }

  async function current(): Promise<Connection> {
    const connection = await read()
    if (connection) return connection
    throw new BrokerError('not_connected', 'The user is not connected.')
  }

  const senderOf = async (connection: Connection): Promise<Sender> => ({
    token: connection.token,
    key: connection.key ? (await open()).key : undefined,
  })

  const renewalTime = (expiresIn: number): number => Date.now() + expiresIn * 500

  /** Records what an error says about the connection. Throws it. */
  async function note(error: unknown, connection: Connection): Promise<never> {
    const { code, reconnectUrl } = error as BrokerError
    if (code === 'invalid_token') await replace(connection, null)
    if (code === 'reconnect_required') await replace(connection, { ...connection, reconnectUrl })
    throw error
  }

  /** Swaps the broker token for an access token, and stores a newer broker token. */
  async function swap(minTtl: number, force: boolean): Promise<AccessToken> {
    const connection = await current()
    const found = force ? undefined : findCached(minTtl)
    if (found) return found
    try {
      if (pause && performance.now() < pause.until) throw pause.error
      pause = undefined
      const body = JSON.stringify({ min_ttl: minTtl, force })
      const init = { method: 'POST', headers: JSON_TYPE, body }
      const response = await call('/exchange', init, await senderOf(connection))
      const answer = (await response.json()) as TokenAnswer
      const { broker_token: token, broker_token_expires_in: expiresIn = 0 } = answer
      const renewed = token && { token, renewAt: renewalTime(expiresIn) }
      if (renewed || connection.reconnectUrl)
        await replace(connection, { ...connection, reconnectUrl: undefined, ...(renewed || {}) })
      cached = {
        accessToken: answer.access_token,
        expiresAt: answer.expires_at,
        validUntil: Date.now() + answer.expires_in * 1000,
        since: connection.since,
      }
      return findCached(-Infinity) ?? (await current(), cached)
    } catch (error) {
      const { code, retryAfter } = error as BrokerError
      if (retryAfter && !force) pause ??= { error, until: performance.now() + retryAfter * 1000 }
      const living = /^(network|temp|slow)/.test(code) && !force && findCached(0)
      return living || note(error, connection)
    }
  }

  /** The last access token, if it is of this connection and valid for that many seconds. */
  const findCached = (minTtl: number): AccessToken | undefined =>
    cached?.since === known?.since && cached && cached.validUntil > Date.now() + minTtl * 1000
      ? { accessToken: cached.accessToken, expiresAt: cached.expiresAt }
      : undefined

  /** Renews the broker token past half its life, for clients that never swap it. */
  async function renew(): Promise<void> {
    const connection = await current()
    if (Date.now() < connection.renewAt) return
    const { token, key } = await senderOf(connection)
    const answer = await post(
      {
        grant_type: GRANT_TYPE,
        client_id: clientId,
        subject_token: token ?? '',
        subject_token_type: TOKEN_TYPE,
        requested_token_type: TOKEN_TYPE,
      },
      { key },
    )
    const renewAt = renewalTime(answer.expires_in)
    await replace(connection, { ...connection, token: answer.access_token, renewAt })
  }

  async function revoke(token: string): Promise<void> {
    const body = new URLSearchParams({ client_id: clientId, token })
    await call('/oauth/revoke', { method: 'POST', body })
  }

  return {
    channel,
    read,
    current,

    /** Redeems a code (RFC 6749 4.1.3) and stores the connection. The one before it ends. */
    async redeem(code: string, verifier: string, redirectUri: string): Promise<void> {
      const { key } = await open()
      const body = {
        grant_type: 'authorization_code',
        client_id: clientId,
        code,
        code_verifier: verifier,
        redirect_uri: redirectUri,
      }
      const answer = await post(body, { key })
      const before = await read()
      await publish(before, {
        token: answer.refresh_token ?? answer.access_token,
        since: Date.now(),
        key: key?.publicKey.x,
        scope: answer.scope,
        api: answer.api_url ?? `${broker}/drive`,
        renewAt: renewalTime(answer.expires_in),
      })
      if (before) await revoke(before.token).catch(() => undefined)
    },

    /** An access token that is valid for `minTtl` more seconds. */
    async get(minTtl = 60, force = false): Promise<AccessToken> {
      const found = force ? undefined : findCached(minTtl)
      if (found) return found
      const flight = `${minTtl} ${force}`
      const started = flights.get(flight)
      if (started) return started
      const promise = lock(() => swap(minTtl, force)).finally(() => flights.delete(flight))
      flights.set(flight, promise)
      return promise
    },

    /** Sends a request with the broker token. */
    async send(path: string, init: RequestInit): Promise<Response> {
      if (Date.now() > (await current()).renewAt) await lock(renew).catch(() => undefined)
      const connection = await current()
      const request = call(path, init, await senderOf(connection))
      return request.catch((error: unknown) => note(error, connection))
    },

    /** Sends requests through the proxy from now on, because the app gets no access tokens any more. */
    async useProxy(): Promise<void> {
      const connection = await current()
      await replace(connection, { ...connection, api: `${broker}/drive` })
    },

    async disconnect(): Promise<void> {
      const connection = await read()
      if (!connection) return
      await revoke(connection.token).finally(() => publish(connection, null))
    },
  }
}

const eventOf = (connection: Connection | null): ClientEvent =>
  !connection ? 'disconnected' : connection.reconnectUrl ? 'reconnect-required' : 'connected'

/** `null` for what this client did not write. */
function parse(text: string | null): Connection | null {
  try {
    return JSON.parse(text ?? 'null') as Connection | null
  } catch {
    return null
  }
}
