import type { Secret } from '../secret.ts'
import { EllipsisError } from './errors.ts'
import { failureOf } from './failure.ts'
import { parse, readTokens } from './tokens.ts'
import type { Tokens } from './tokens.ts'
import { call } from './transport.ts'
import type { Answer } from './transport.ts'

export type { Tokens } from './tokens.ts'

export interface EllipsisClientOptions {
  /** Such as `https://api.ellipsis-drive.com/v3`. */
  apiUrl: string
  clientId: string
  clientSecret: Secret
  /** The broker's callback, as registered. */
  redirectUri: string
  /** Body encoding of token requests: not documented, so a setting. */
  tokenRequest: 'form' | 'json'
  /** Life to assume of an access token where nothing tells. */
  accessTokenLifetimeSeconds: number
  fetch: typeof fetch
  /** Milliseconds since the epoch. */
  now: () => number
  /** Bound of one call with its body. */
  timeoutMs?: number
  /** Told of every call when it has ended. */
  onCall?: (call: { endpoint: Endpoint; outcome: string; durationMs: number }) => void
}

export type Endpoint = 'token' | 'refresh' | 'account'

/** Whose account it is. */
export interface Account {
  /** `null`: not told. Only this identifies an account. */
  id: string | null
  /** A label; may be empty. */
  username: string
}

/** Ellipsis Drive, as far as the broker needs it: the only outbound HTTP. Nothing is retried in here. */
export interface EllipsisClient {
  /** Where the browser goes to authorize (docs: oauth/authorize). S256, scope `projects`. */
  authorizationUrl(flow: { state: string; challenge: string }): string
  /** A code works once, within a minute. @throws EllipsisError */
  exchangeCode(flow: { code: Secret; verifier: Secret }): Promise<Tokens>
  /** @throws EllipsisError */
  refresh(refreshToken: Secret): Promise<Tokens>
  /** `null`: refused to an OAuth token, which is possible. @throws EllipsisError */
  account(accessToken: Secret): Promise<Account | null>
}

const TIMEOUT = 20_000

export function createEllipsisClient(options: EllipsisClientOptions): EllipsisClient {
  const { apiUrl, clientId, clientSecret, redirectUri, now, timeoutMs = TIMEOUT } = options

  const send = async (endpoint: Endpoint, path: string, init: RequestInit): Promise<Answer> => {
    const startedAt = performance.now()
    const tell = (outcome: string) =>
      options.onCall?.({ endpoint, outcome, durationMs: performance.now() - startedAt })
    try {
      const answer = await call(options.fetch, apiUrl + path, init, timeoutMs)
      tell(String(answer.status))
      return answer
    } catch (error) {
      tell('failed')
      throw error
    }
  }

  /** A token request: Basic for a form, in the body for JSON, as first-party clients send it. */
  const requestTokens = async (
    endpoint: Endpoint,
    fields: Record<string, string>,
  ): Promise<Tokens> => {
    const fetchedAt = now()
    const json = options.tokenRequest === 'json'
    const credentials = { client_id: clientId, client_secret: clientSecret.reveal() }
    const body = json
      ? JSON.stringify({ ...fields, ...credentials })
      : new URLSearchParams(fields).toString()
    const headers = {
      accept: 'application/json',
      'content-type': json ? 'application/json' : 'application/x-www-form-urlencoded',
      ...(!json && { authorization: basic(clientId, clientSecret) }),
    }
    const answer = await send(endpoint, '/oauth/token', { method: 'POST', headers, body })
    // 200 is what is documented; in a 201 too, tokens would be the only ones there are.
    if (answer.status !== 200 && answer.status !== 201) throw failureOf(answer, now())
    return readTokens(answer, fetchedAt, options.accessTokenLifetimeSeconds)
  }

  return {
    authorizationUrl({ state, challenge }) {
      const url = new URL(`${apiUrl}/oauth/authorize`)
      url.search = new URLSearchParams({
        response_type: 'code',
        client_id: clientId,
        redirect_uri: redirectUri,
        scope: 'projects',
        state,
        code_challenge: challenge,
        code_challenge_method: 'S256',
      }).toString()
      return url.href
    },

    exchangeCode({ code, verifier }) {
      const value = code.reveal()
      return requestTokens('token', {
        grant_type: 'authorization_code',
        // The documentation names it the second way, RFC 6749 the first; unknown ones are ignored.
        code: value,
        authorization_code: value,
        redirect_uri: redirectUri,
        code_verifier: verifier.reveal(),
      })
    },

    refresh(refreshToken) {
      const fields = { grant_type: 'refresh_token', refresh_token: refreshToken.reveal() }
      return requestTokens('refresh', fields)
    },

    async account(accessToken) {
      const headers = {
        accept: 'application/json',
        authorization: `Bearer ${accessToken.reveal()}`,
      }
      const answer = await send('account', '/account', { headers })
      if ([401, 403, 404].includes(answer.status)) return null
      if (answer.status !== 200) throw failureOf(answer, now())
      return readAccount(answer)
    },
  }
}

/** RFC 6749 2.3.1: both parts are form-encoded first. */
function basic(id: string, secret: Secret): string {
  const encode = (text: string) => new URLSearchParams({ '': text }).toString().slice(1)
  const pair = `${encode(id)}:${encode(secret.reveal())}`
  return `Basic ${Buffer.from(pair).toString('base64')}`
}

/** `username` is certain, `id` likely, a string or a number. */
function readAccount(answer: Answer): Account {
  const { id, username } = parse(answer)
  const known = typeof id === 'number' ? String(id) : id
  return {
    id: typeof known === 'string' && known !== '' && known.length <= 200 ? known : null,
    username: typeof username === 'string' ? username.slice(0, 200) : '',
  }
}

export { EllipsisError }
