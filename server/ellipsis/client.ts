import type { Secret } from '../secret.ts'
import { readAccount } from './account.ts'
import type { Account } from './account.ts'
import type { EllipsisError } from './errors.ts'
import { bearerRequest, tokenRequest } from './request.ts'
import type { Client } from './request.ts'
import { losesRefreshToken, readTokens } from './tokens.ts'
import type { Tokens } from './tokens.ts'
import { call } from './transport.ts'
import type { Answer } from './transport.ts'

export type { Account } from './account.ts'
export { EllipsisError } from './errors.ts'
export type { Tokens } from './tokens.ts'

export interface EllipsisClientOptions extends Client {
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
  onCall?: (call: { endpoint: Endpoint; outcome: Outcome; durationMs: number }) => void
}

export type Endpoint = 'token' | 'refresh' | 'account'

/**
 * How a call ended, for counting: well; well, but with a refresh token that can't be used; refused;
 * misconfigured; without an answer; with a 2xx that can't be used; or else with that status.
 */
export type Outcome =
  'ok' | 'refresh_token_lost' | 'refused' | 'misconfigured' | 'failed' | 'unusable' | `${number}`

/** Ellipsis Drive, as far as the broker needs it: the only outbound HTTP. Nothing is retried in here. */
export interface EllipsisClient {
  /**
   * Where the browser goes to authorize (docs: oauth/authorize). S256, scope `projects`.
   * @throws RangeError if upstream couldn't store the state or the challenge
   */
  authorizationUrl(flow: { state: string; challenge: string }): string
  /** A code works once, within a minute. @throws EllipsisError */
  exchangeCode(flow: { code: Secret; verifier: Secret }): Promise<Tokens>
  /** @throws EllipsisError */
  refresh(refreshToken: Secret): Promise<Tokens>
  /** `null`: refused to an OAuth token, which is possible. @throws EllipsisError */
  account(accessToken: Secret): Promise<Account | null>
}

/** Bounds of a call, milliseconds. The account's is shorter: a browser waits, and it may be asked again. */
const TIMEOUT = 20_000
const ACCOUNT_TIMEOUT = 10_000

/** Upstream's columns for state and challenge hold so many characters. */
const COLUMN = 50

export function createEllipsisClient(options: EllipsisClientOptions): EllipsisClient {
  const { apiUrl, now, timeoutMs = TIMEOUT } = options

  /** Makes the call, reads its answer, and tells how it ended. */
  const send = async <T>(
    request: { endpoint: Endpoint; path: string; init: RequestInit; timeoutMs: number },
    read: (answer: Answer) => { value: T; outcome: Outcome },
  ): Promise<T> => {
    const { endpoint, path, init, timeoutMs } = request
    const startedAt = performance.now()
    const tell = (outcome: Outcome): void => {
      try {
        options.onCall?.({ endpoint, outcome, durationMs: performance.now() - startedAt })
      } catch {
        // Whoever only counts must not cost the tokens.
      }
    }
    try {
      const { value, outcome } = read(await call(options.fetch, apiUrl + path, init, timeoutMs))
      tell(outcome)
      return value
    } catch (error) {
      tell(outcomeOf(error as EllipsisError))
      throw error
    }
  }

  const requestTokens = (endpoint: Endpoint, fields: Record<string, string>): Promise<Tokens> => {
    const fetchedAt = now()
    const assumedSeconds = options.accessTokenLifetimeSeconds
    const init = tokenRequest(options, fields)
    return send({ endpoint, path: '/oauth/token', init, timeoutMs }, (answer) => ({
      value: readTokens(answer, { fetchedAt, now: now(), assumedSeconds }),
      outcome: losesRefreshToken(answer) ? 'refresh_token_lost' : 'ok',
    }))
  }

  return {
    authorizationUrl({ state, challenge }) {
      if (state.length > COLUMN || challenge.length > COLUMN) {
        throw new RangeError(`Ellipsis Drive stores state and challenge in ${COLUMN} characters`)
      }
      const url = new URL(`${apiUrl}/oauth/authorize`)
      url.search = new URLSearchParams({
        response_type: 'code',
        client_id: options.clientId,
        redirect_uri: options.redirectUri,
        scope: 'projects',
        state,
        code_challenge: challenge,
        code_challenge_method: 'S256',
      }).toString()
      return url.href
    },

    async exchangeCode({ code, verifier }) {
      return requestTokens('token', {
        grant_type: 'authorization_code',
        // The documentation names it the second way, RFC 6749 the first; unknown ones are ignored (3.2).
        code: code.reveal(),
        authorization_code: code.reveal(),
        redirect_uri: options.redirectUri,
        code_verifier: verifier.reveal(),
      })
    },

    async refresh(refreshToken) {
      const fields = { grant_type: 'refresh_token', refresh_token: refreshToken.reveal() }
      return requestTokens('refresh', fields)
    },

    async account(accessToken) {
      const init = bearerRequest(accessToken)
      const bound = Math.min(timeoutMs, ACCOUNT_TIMEOUT)
      return send({ endpoint: 'account', path: '/account', init, timeoutMs: bound }, (answer) => {
        const value = readAccount(answer, now())
        return { value, outcome: value === null ? 'refused' : 'ok' }
      })
    },
  }
}

function outcomeOf({ kind, status }: EllipsisError): Outcome {
  if (kind !== 'transient') return kind
  if (status === null) return 'failed'
  return status < 300 ? 'unusable' : `${status}`
}
