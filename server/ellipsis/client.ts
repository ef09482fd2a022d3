import type { Secret } from '../secret.ts'
import { readAccount } from './account.ts'
import type { Account } from './account.ts'
import type { EllipsisError } from './errors.ts'
import { losesRefreshToken, readTokens } from './tokens.ts'
import type { Tokens } from './tokens.ts'
import { bearerRequest, callUpstream, tokenRequest } from './transport.ts'
import type { ClientCredentials } from './transport.ts'
import type { UpstreamResponse } from './errors.ts'

export type { Account } from './account.ts'
export type { Tokens } from './tokens.ts'

export interface EllipsisClientOptions extends ClientCredentials {
  /** Such as `https://api.ellipsis-drive.com/v3`. */
  apiUrl: string
  /** The broker's callback, as registered. */
  redirectUri: string
  /** Lifetime of an access token if the response has none. */
  accessTokenLifetimeSeconds: number
  fetch: typeof fetch
  /** Milliseconds since the epoch. */
  now: () => number
  /** Timeout of one call, including the body. */
  timeoutMs?: number
  /** Called after every call. */
  onCall?: (call: {
    endpoint: Endpoint
    outcome: Outcome
    durationMs: number
    /** The `Date` header of the response, if any. */
    date: string | null
  }) => void
}

/** `drive`: a request of an app that the broker passes on, until the answer's headers. */
export type Endpoint = 'token' | 'refresh' | 'account' | 'drive'

/**
 * Outcome of a call, for counting. `refresh_token_lost`: success, but with an unusable refresh token;
 * `failed`: no response; `4xx`, `5xx`: errors of the app's own requests; `unusable`: a 2xx response without what was asked for; a number: that status.
 */
export type Outcome =
  | 'ok'
  | 'refresh_token_lost'
  | 'refused'
  | 'misconfigured'
  | 'failed'
  | 'unusable'
  | `${number}`
  | `${number}xx`

/** The part of Ellipsis Drive that the broker uses: the only outbound HTTP calls. Retries nothing. */
export interface EllipsisClient {
  /**
   * The URL that the browser is sent to for authorization. PKCE with S256, scope `projects`.
   * @throws RangeError if the state or challenge is too long for upstream
   */
  authorizationUrl(flow: { state: string; challenge: string }): string
  /** Redeems a code, which works once and within a minute. @throws EllipsisError */
  exchangeCode(flow: { code: Secret; verifier: Secret }): Promise<Tokens>
  /** @throws EllipsisError */
  refresh(refreshToken: Secret): Promise<Tokens>
  /** `null`: OAuth tokens may not read the account. @throws EllipsisError */
  account(accessToken: Secret): Promise<Account | null>
}

const CALL_TIMEOUT_MS = 20_000
/** Shorter, because a browser waits and the call can be repeated. */
const ACCOUNT_TIMEOUT_MS = 10_000

/** Upstream stores state and challenge in columns of this size. */
const MAX_STATE_LENGTH_CHARS = 50

export function createEllipsisClient(options: EllipsisClientOptions): EllipsisClient {
  const { apiUrl, now, timeoutMs = CALL_TIMEOUT_MS } = options

  /** Makes the call, reads its response, and reports the outcome. */
  const send = async <T>(
    request: { endpoint: Endpoint; path: string; init: RequestInit; timeoutMs: number },
    read: (response: UpstreamResponse) => { value: T; outcome: Outcome },
  ): Promise<T> => {
    const { endpoint, path, init, timeoutMs } = request
    const startedAt = performance.now()
    let date: string | null = null
    const report = (outcome: Outcome): void => {
      try {
        options.onCall?.({ endpoint, outcome, durationMs: performance.now() - startedAt, date })
      } catch {
        // An error in counting must not lose the tokens.
      }
    }
    try {
      const response = await callUpstream(options.fetch, apiUrl + path, init, timeoutMs)
      date = response.headers.get('date')
      const { value, outcome } = read(response)
      report(outcome)
      return value
    } catch (error) {
      report(outcomeOf(error as EllipsisError))
      throw error
    }
  }

  const requestTokens = (endpoint: Endpoint, fields: Record<string, string>): Promise<Tokens> => {
    const fetchedAt = now()
    const defaultLifetimeSeconds = options.accessTokenLifetimeSeconds
    const init = tokenRequest(options, fields)
    return send({ endpoint, path: '/oauth/token', init, timeoutMs }, (response) => ({
      value: readTokens(response, { fetchedAt, now: now(), defaultLifetimeSeconds }),
      outcome: losesRefreshToken(response) ? 'refresh_token_lost' : 'ok',
    }))
  }

  return {
    authorizationUrl({ state, challenge }) {
      if (state.length > MAX_STATE_LENGTH_CHARS || challenge.length > MAX_STATE_LENGTH_CHARS) {
        throw new RangeError(
          `Ellipsis Drive takes at most ${MAX_STATE_LENGTH_CHARS} characters of state and challenge`,
        )
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
        // RFC 6749 names it `code`, the documentation `authorization_code`; unknown ones are ignored (3.2).
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
      const accountTimeoutMs = Math.min(timeoutMs, ACCOUNT_TIMEOUT_MS)
      return send(
        { endpoint: 'account', path: '/account', init, timeoutMs: accountTimeoutMs },
        (response) => {
          const value = readAccount(response, now())
          return { value, outcome: value === null ? 'refused' : 'ok' }
        },
      )
    },
  }
}

function outcomeOf({ kind, status }: EllipsisError): Outcome {
  if (kind !== 'transient') return kind
  if (status === null) return 'failed'
  return status < 300 ? 'unusable' : `${status}`
}
