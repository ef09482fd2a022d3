import type { Call, Sender } from './calls.ts'
import { loadKey } from './dpop.ts'
import { BrokerError } from './error.ts'
import { memoryStorage, openStorage } from './storage.ts'
import type { ClientStorage } from './storage.ts'

/** What a client stores about its connection. */
interface Connection {
  token: string
  /** Is the token bound to the key of this browser? */
  isBound: boolean
  scope: string
  /** Where requests for Ellipsis Drive go: its API, or the broker's proxy. */
  api: string
  /** Past half the token's life, milliseconds since the epoch by this device's clock. */
  renewAt: number
  /** Ellipsis Drive ended the connection; it can be renewed there. */
  reconnectUrl?: string
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
const LOCK_TIMEOUT_MS = 15_000
const TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:jwt'
const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:token-exchange'

export type Tokens = ReturnType<typeof createTokens>

/** The stored connection of a client, and its tokens. */
export function createTokens(options: TokensOptions) {
  const { name, clientId, broker, call, emit } = options
  const channel = new BroadcastChannel(name)
  let cached: (AccessToken & { validUntil: number; of: string }) | undefined
  let known: Connection | null = null
  let pausedUntil = 0
  let pause: BrokerError | undefined
  const flights = new Map<string, Promise<AccessToken>>()

  let opened: Promise<{ storage: ClientStorage; key: CryptoKeyPair | undefined }> | undefined
  const open = () =>
    (opened ??= (async () => {
      const key = options.dpop ? await loadKey(name) : undefined
      // A token is worthless without its key.
      const storage = key?.isKept === false ? memoryStorage() : openStorage(options.storage)
      return { storage, key: key?.pair }
    })())

  /** Reads the connection as the last tab wrote it, and tells of what changed. */
  async function read(): Promise<Connection | null> {
    const { storage } = await open()
    const text = await storage.getItem(name)
    const before = known
    known = text ? (JSON.parse(text) as Connection) : null
    if (!known !== !before) emit(known ? 'connected' : 'disconnected')
    else if (known?.reconnectUrl && !before?.reconnectUrl) emit('reconnect-required')
    return known
  }

  async function write(connection: Connection | null): Promise<void> {
    const { storage } = await open()
    if (connection) await storage.setItem(name, JSON.stringify(connection))
    else await storage.removeItem(name)
    await read()
    channel.postMessage('')
  }

  /** Changes the connection, unless another tab replaced its token since it was read. */
  async function update(from: Connection, to: Connection | null): Promise<void> {
    if ((await read())?.token === from.token) await write(to)
  }

  const post = (body: Record<string, string>, sender?: Sender) =>
    call('/oauth/token', { method: 'POST', body: new URLSearchParams(body) }, sender).then(
      (response) => response.json() as Promise<TokenAnswer>,
    )

  /** Runs work in one tab at a time. A frozen tab, or a browser without locks, holds nobody up. */
  function lock<Result>(work: () => Promise<Result>): Promise<Result> {
    let result: Promise<Result> | undefined
    const start = () => (result ??= work())
    const { locks } = navigator
    return locks
      .request(name, { signal: AbortSignal.timeout(LOCK_TIMEOUT_MS) }, start)
      .catch(() => result ?? locks.request(name, { steal: true }, start))
      .catch(start)
  }

  async function current(): Promise<Connection> {
    const connection = await read()
    if (connection) return connection
    throw new BrokerError('not_connected', 'The user is not connected.')
  }

  const senderOf = async (connection: Connection): Promise<Sender> => ({
    token: connection.token,
    key: connection.isBound ? (await open()).key : undefined,
  })

  const renewalTime = (expiresIn: number): number => Date.now() + expiresIn * 500

  /** Notes what an error says about the connection. */
  async function note(error: unknown, connection: Connection): Promise<void> {
    const { code, reconnectUrl } = error as BrokerError
    if (code === 'invalid_token') await update(connection, null)
    if (code === 'reconnect_required' && reconnectUrl)
      await update(connection, { ...connection, reconnectUrl })
  }

  /** Swaps the broker token for an access token, and stores a newer broker token. */
  async function swap(minTtl: number, force: boolean): Promise<AccessToken> {
    const connection = await current()
    if (!force && isFresh(minTtl)) return cached as AccessToken
    if (pause && Date.now() < pausedUntil) throw pause
    const init = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ min_ttl: minTtl, force }),
    }
    try {
      const response = await call('/exchange', init, await senderOf(connection))
      const answer = (await response.json()) as TokenAnswer
      const { broker_token: token, broker_token_expires_in: expiresIn = 0 } = answer
      const { reconnectUrl: _, ...rest } = connection
      const next = token ? { ...rest, token, renewAt: renewalTime(expiresIn) } : rest
      if (token || connection.reconnectUrl) await update(connection, next)
      cached = {
        accessToken: answer.access_token,
        expiresAt: answer.expires_at,
        validUntil: Date.now() + answer.expires_in * 1000,
        of: next.token,
      }
      return cached
    } catch (error) {
      const { code, retryAfter } = error as BrokerError
      if (retryAfter) [pause, pausedUntil] = [error as BrokerError, Date.now() + retryAfter * 1000]
      if (/^(network|temp|slow)/.test(code) && !force && isFresh(0)) return cached as AccessToken
      await note(error, connection)
      throw error
    }
  }

  const isFresh = (minTtl: number): boolean =>
    cached !== undefined &&
    cached.of === known?.token &&
    cached.validUntil > Date.now() + minTtl * 1000

  /** Renews the broker token past half its life, for clients that never swap it. */
  async function renew(): Promise<void> {
    const connection = await current()
    if (Date.now() < connection.renewAt) return
    const { token, ...sender } = await senderOf(connection)
    const answer = await post(
      {
        grant_type: GRANT_TYPE,
        client_id: clientId,
        subject_token: token ?? '',
        subject_token_type: TOKEN_TYPE,
        requested_token_type: TOKEN_TYPE,
      },
      sender,
    )
    const renewAt = renewalTime(answer.expires_in)
    await update(connection, { ...connection, token: answer.access_token, renewAt })
  }

  channel.onmessage = () => void read()
  addEventListener('pageshow', ({ persisted }) => persisted && void read())

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
      await write({
        token: answer.refresh_token ?? answer.access_token,
        isBound: key !== undefined,
        scope: answer.scope,
        api: answer.api_url ?? `${broker}/drive`,
        renewAt: renewalTime(answer.expires_in),
      })
      cached = undefined
      if (before) await this.revoke(before.token).catch(() => undefined)
    },

    /** An access token that is valid for `minTtl` more seconds. */
    async get(minTtl = 60, force = false): Promise<AccessToken> {
      if (!force && isFresh(minTtl)) return cached as AccessToken
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
      try {
        return await call(path, init, await senderOf(connection))
      } catch (error) {
        await note(error, connection)
        throw error
      }
    },

    async revoke(token: string): Promise<void> {
      const body = new URLSearchParams({ client_id: clientId, token })
      await call('/oauth/revoke', { method: 'POST', body })
    },

    write,
  }
}
