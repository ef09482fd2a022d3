import type { Grant, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Clock } from '../runtime.ts'
import { Secret } from '../secret.ts'
import type { CodeRequest, Redeem } from './authorization-code.ts'
import { tokenRefused } from './broker-token.ts'
import type { BrokerTokens } from './broker-token.ts'
import type { Renewals, RenewedToken } from './renewal.ts'
import { PROFILE, includesScope } from './scope.ts'
import { reconnectUrl, sessionRefused } from './token-authentication.ts'
import { inspectGrant } from './token-status.ts'
import type { LiveGrant } from './token-status.ts'

/** The token of a session, for its cookie. */
export interface SessionToken {
  appId: string
  token: Secret
  /** Seconds. */
  expiresIn: number
}

/** What a page sends with a request. */
interface SessionRequest {
  /** The client id that the page names. */
  appId: string
  /** `undefined`: none was sent. */
  origin: string | undefined
  /** The cookie of that app; `null`: the browser sent none. */
  token: Secret | null
}

/** A valid session. */
export interface AppSession extends LiveGrant {
  /** The same token with a later expiry, for the cookie; `null`: not due. */
  renewed: RenewedToken | null
  expiresAtSeconds: number
}

/** What an app may know of a session. */
export interface SessionInfo {
  client_id: string
  /** With the scope `profile`, if Ellipsis Drive tells it. */
  username?: string
  scope: string
  /** Unix seconds. */
  expires_at: number
}

/**
 * Sessions of apps with `session: 'cookie'`: the broker is their backend for frontend (RFC 10017 6.1). A session is
 * a grant whose broker token is in a cookie of the broker, where no script can read it.
 */
export interface AppSessions {
  /**
   * Begins a session with the code of a flow. Earlier sessions of the app with this account in this browser end:
   * their cookie is replaced. Returns the grant's id.
   * @throws BrokerError `invalid_grant`
   */
  begin(request: CodeRequest): Promise<string>
  /** The token of a session as it is now; `null`: the session has ended. */
  token(grantId: string): Promise<SessionToken | null>
  /**
   * The app of a page, if its origin is registered exactly.
   * @throws BrokerError `unauthorized_client`, `access_denied`
   */
  checkOrigin(request: Omit<SessionRequest, 'token'>): Promise<void>
  /**
   * The session of a request, extended if due.
   * @throws BrokerError `token_refused`, `connection_revoked`, with `reconnectUrl`; and as `checkOrigin`
   */
  find(request: SessionRequest): Promise<AppSession>
  /** @throws BrokerError `needs_reconnect` */
  describe(session: AppSession): Promise<SessionInfo>
}

export function createAppSessions(deps: {
  store: Store
  redeem: Redeem
  tokens: BrokerTokens
  renewals: Renewals
  clock: Clock
  publicUrl: string
}): AppSessions {
  const { store, redeem, tokens, renewals, clock, publicUrl } = deps

  const endEarlier = async (begun: Grant, address: string): Promise<void> => {
    const { connectionId, appId, browserHash } = begun
    if (browserHash === null) return
    const now = clock.now()
    for (const { id, ...grant } of await store.listGrants(connectionId)) {
      const isSameBrowser = grant.appId === appId && grant.browserHash === browserHash
      if (!isSameBrowser || grant.revokedAt !== null || id === begun.id) continue
      const event = { at: now, actor: 'system', action: 'grant.revoked', grantId: id, address }
      const details = 'replaced: the user connected again in this browser'
      await store.revokeGrants({ id, now, events: [{ ...event, connectionId, appId, details }] })
    }
  }

  const getApp = async ({ appId, origin }: Omit<SessionRequest, 'token'>) => {
    const app = await store.getApp(appId)
    if (app?.session !== 'cookie') throw sessionRefused(true)
    if (origin === undefined || !app.origins.includes(origin)) {
      const description = 'Send this request from a page of an origin that the app has registered.'
      const reason = origin === undefined ? 'origin_missing' : 'origin_of_another_app'
      throw new BrokerError('access_denied', { description, reason, appId })
    }
    return app
  }

  const readSession = async (appId: string, token: Secret | null): Promise<AppSession> => {
    // Each visitor who has not connected yet gets this answer, so it is no guess.
    if (token === null) {
      const details = { reason: 'session_missing', isGuess: false } as const
      throw new BrokerError('token_refused', { ...details, description: NO_SESSION })
    }
    const claims = await tokens.verify(token.reveal())
    if (claims.clientId !== appId) throw tokenRefused('token_of_another_app')
    const live = await inspectGrant(store, claims, clock.now())
    const renewed = await renewals.extendIfDue(live.grant, live.app, claims)
    const now = Math.floor(clock.now() / 1000)
    return { ...live, renewed, expiresAtSeconds: renewed ? now + renewed.expiresIn : claims.exp }
  }

  return {
    async begin(request) {
      const { grant } = await redeem.redeem(request)
      await endEarlier(grant, request.address)
      return grant.id
    },

    async token(grantId) {
      const grant = await store.getGrant(grantId)
      const expiresIn = (grant?.expiresAtSeconds ?? 0) - Math.floor(clock.now() / 1000)
      if (!grant || grant.revokedAt !== null || expiresIn <= 0) return null
      return { appId: grant.appId, token: new Secret(await tokens.sign(grant)), expiresIn }
    },

    async checkOrigin(request) {
      await getApp(request)
    },

    async find({ appId, origin, token }) {
      const app = await getApp({ appId, origin })
      try {
        return await readSession(appId, token)
      } catch (error) {
        if (!(error instanceof BrokerError)) throw error
        const url = reconnectUrl(publicUrl, app, null)
        throw new BrokerError(error.code, { ...error.details, appId, reconnectUrl: url })
      }
    },

    async describe({ grant, connection, expiresAtSeconds }) {
      const { appId, scope } = grant
      if (connection.status === 'needs_reconnect') {
        const app = await store.getApp(appId)
        const url = app && reconnectUrl(publicUrl, app, connection.id)
        throw new BrokerError('needs_reconnect', { appId, ...(url && { reconnectUrl: url }) })
      }
      const { username = '' } = (await store.getConnection(connection.id)) ?? {}
      return {
        client_id: appId,
        ...(includesScope(scope, PROFILE) && username !== '' && { username }),
        scope,
        expires_at: expiresAtSeconds,
      }
    },
  }
}

const NO_SESSION =
  'This browser has no session of the app. Send the user to reconnect_url to connect.'
