import type { Admin, Store } from '../../db/store.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Log } from '../log.ts'
import { ProviderError } from '../oidc/provider.ts'
import type { Claims, IdentityProvider } from '../oidc/provider.ts'
import type { Clock, Random } from '../runtime.ts'
import { Secret } from '../secret.ts'
import { visibleStart } from '../visible-text.ts'
import type { Actor } from './actor.ts'
import { hasPassword } from './admins.ts'
import { createLoginAttempts } from './login-attempts.ts'
import type { LoginThrottle } from './login-throttle.ts'
import { createOidcAdmins } from './oidc-admins.ts'
import type { OidcAccount } from './oidc-admins.ts'
import { createOidcFlows } from './oidc-flow.ts'
import type { OidcFlow, OidcPurpose } from './oidc-flow.ts'
import { readClaim, roleOf } from './oidc-roles.ts'
import type { RoleMapping } from './oidc-roles.ts'
import { isFresh } from './sessions.ts'
import type { Browser, Sessions, SignedIn } from './sessions.ts'

const MAX_LABEL_LENGTH_CHARS = 100
/** How long used logout tokens are remembered: longer than they are accepted. */
const LOGOUT_MEMORY_MS = 3_600_000

/** Why a person who came back from the identity provider is not signed in. */
export type OidcRefusal =
  /** The flow is unknown here, has ended, or was used; or the session that began it has ended. */
  | 'expired'
  /** See `ProviderError`. */
  | ProviderError['kind']
  /** No value of the claim gives a role. */
  | 'no_role'
  /** Another account came back than the admin's. */
  | 'other_account'
  /** The provider did not ask the person again, or does not say when it did (`auth_time`). */
  | 'not_recent'
  /** The account is linked to another admin. */
  | 'taken'
  /** Too many attempts of this network failed. */
  | 'slowed'

export type OidcOutcome =
  | { kind: 'signed_in'; session: Secret; device: Secret; next: string; keptRole: boolean }
  | { kind: 'linked'; label: string; next: string }
  | { kind: 'refused'; reason: OidcRefusal; purpose: OidcPurpose; next: string; label: string }

/**
 * Sign-in with an identity provider (OpenID Connect). `iss` and `sub` identify an admin; e-mail addresses are labels.
 * The provider is responsible for second factors.
 */
export interface OidcSignIn {
  /** The host of the provider, for people. */
  name: string
  /** Can this admin sign in with the provider? */
  isLinked(admin: Pick<Admin, 'oidcIssuer'>): boolean
  /** @throws ProviderError `unreachable` */
  begin(
    purpose: OidcPurpose,
    next: string,
  ): Promise<{ location: string; stateHash: string; cookie: Secret }>
  /**
   * @param callback the query of the callback
   * @param readCookie the cookie that `begin` returned with that hash
   * @param signedIn the session of this browser, if any
   */
  finish(
    callback: URLSearchParams,
    readCookie: (stateHash: string) => Secret | undefined,
    signedIn: SignedIn | undefined,
    browser: Browser,
  ): Promise<OidcOutcome>
  /** Ends the link of a local admin. `false`: nothing is linked, or the admin has no password to sign in with. */
  unlink(signedIn: SignedIn, actor: Actor): Promise<boolean>
  /**
   * Ends the sessions that a logout token names (OpenID Connect Back-Channel Logout 1.0). Returns their number.
   * @throws ProviderError `invalid` also for a token that was used before
   */
  logout(token: string, address: string): Promise<number>
}

export function createOidcSignIn(dependencies: {
  store: Store
  vault: Vault
  sessions: Sessions
  loginThrottle: LoginThrottle
  provider: IdentityProvider
  settings: RoleMapping & { issuer: string }
  /** May admins sign in with passwords? */
  passwords: boolean
  clock: Clock
  random: Random
  log: Log
}): OidcSignIn {
  const { store, sessions, loginThrottle, provider, settings, passwords } = dependencies
  const { clock, log } = dependencies
  const { issuer } = settings
  const flows = createOidcFlows({ ...dependencies, issuer })
  const admins = createOidcAdmins({ ...dependencies, issuer })
  const { recordFailure } = createLoginAttempts(dependencies)

  const logFailure = ({ kind, message }: ProviderError): void =>
    log.warn({ reason: message }, `sign-in with the identity provider failed: ${kind}`)
  const accountOf = (claims: Claims & { sub: string }): OidcAccount => {
    const { sub: subject, sid, auth_time: authTime } = claims
    const names = [claims.email, claims.preferred_username, claims.name, subject]
    const label = names
      .map((name) => (typeof name === 'string' ? visibleStart(name, MAX_LABEL_LENGTH_CHARS) : ''))
      .find((name) => name !== '')
    return {
      issuer,
      subject,
      label: label ?? 'unnamed',
      sid: typeof sid === 'string' ? sid : null,
      // A provider whose clock is ahead makes no session fresh for longer.
      authenticatedAt: typeof authTime === 'number' ? Math.min(authTime * 1000, clock.now()) : 0,
      role: roleOf(claims, settings),
    }
  }

  /** Also ends the sessions that the provider began: the person may have lost their role. */
  const refuseWithoutRole = async (account: OidcAccount, browser: Browser) => {
    const note = { note: `${account.label} has no role at the identity provider` }
    const admin = await admins.find(account)
    await recordFailure('admin.oidc_refused', admin, browser, { wasLast: false, ...note })
    await admins.endSessions({ subject: account.subject, sid: null }, browser.address)
  }

  const signIn = async (
    account: OidcAccount & { role: Admin['role'] },
    flow: OidcFlow,
    browser: Browser,
    replaced: SignedIn | undefined,
  ): Promise<OidcOutcome> => {
    const updated = await admins.update(account, browser.address)
    const begun =
      updated &&
      (await sessions.begin(updated.admin, browser, {
        oidc: account,
        ...(replaced && { replaces: replaced.session.idHash, action: 'admin.identity_confirmed' }),
        details: `with ${account.label} at ${issuer}`,
      }))
    if (!begun) return refuse('expired', flow, account)
    return { kind: 'signed_in', ...begun, next: flow.next, keptRole: updated.keptRole }
  }

  const link = async (
    account: OidcAccount,
    flow: OidcFlow,
    signedIn: SignedIn,
    { address }: Browser,
  ): Promise<OidcOutcome> => {
    const outcome = await admins.link(account, signedIn, address)
    if (outcome === 'done') return { kind: 'linked', label: account.label, next: flow.next }
    return refuse(outcome === 'taken' ? 'taken' : 'expired', flow, account)
  }

  return {
    name: new URL(issuer).host,

    isLinked: ({ oidcIssuer }) => oidcIssuer === issuer,

    async begin(purpose, next) {
      const { sealed, checks } = flows.begin(purpose, next)
      const reauthenticate = typeof purpose === 'object' && 'confirm' in purpose
      const location = await provider
        .authorizationUrl(checks, { reauthenticate })
        .catch((error: unknown) => {
          if (error instanceof ProviderError) logFailure(error)
          throw error
        })
      return { location, stateHash: sha256(checks.state.reveal()), cookie: sealed }
    },

    async finish(callback, readCookie, signedIn, browser) {
      const unknown = { purpose: 'sign-in', next: '' } as const
      const state = callback.get('state') ?? ''
      const cookie = readCookie(sha256(state))
      const flow = cookie && (await flows.use(new Secret(state), cookie))
      if (!flow) return refuse('expired', unknown)
      const { purpose } = flow
      const own =
        purpose === 'sign-in' ? undefined : 'link' in purpose ? purpose.link : purpose.confirm
      if (own !== undefined && (!signedIn?.session.complete || signedIn.session.idHash !== own))
        return refuse('expired', flow)

      // Each attempt calls the provider, and anyone can begin a flow.
      const target = { account: sha256(state), browser, own: own ?? null }
      const attempt = await loginThrottle.take({ kind: 'oidc', ...target })
      if ('refusedUntil' in attempt) return refuse('slowed', flow)
      let account: OidcAccount
      try {
        const { roleClaim } = settings
        const isComplete = (claims: Claims) => readClaim(claims, roleClaim) !== undefined
        account = accountOf(await provider.redeem(callback, flow.checks, isComplete))
      } catch (error) {
        if (!(error instanceof ProviderError)) throw error
        logFailure(error)
        return refuse(error.kind, flow)
      }
      const { role } = account
      if (role === null) {
        log.info({ account: account.label, claim: settings.roleClaim }, NO_ROLE)
        await refuseWithoutRole(account, browser)
        return refuse('no_role', flow, account)
      }
      // An account without a role would fill the audit log.
      await attempt.giveBack()
      if (purpose === 'sign-in' || !signedIn)
        return signIn({ ...account, role }, flow, browser, undefined)
      if ('link' in purpose) return link(account, flow, signedIn, browser)
      const { oidcIssuer, oidcSubject } = signedIn.admin
      if (oidcIssuer !== issuer || oidcSubject !== account.subject)
        return refuse('other_account', flow, account)
      const proved = { createdAt: clock.now(), authenticatedAt: account.authenticatedAt }
      if (!isFresh(proved, clock.now())) return refuse('not_recent', flow, account)
      return signIn({ ...account, role }, flow, browser, signedIn)
    },

    async unlink(signedIn, actor) {
      const { admin } = signedIn
      if (!passwords || !hasPassword(admin) || admin.oidcIssuer === null) return false
      return admins.unlink(signedIn, actor)
    },

    async logout(token, address) {
      const { jti, ...which } = await provider.verifyLogout(token)
      const stateHash = sha256(`logout token ${issuer} ${jti}`)
      if ((await store.listUsedStates([stateHash])).length > 0)
        throw new ProviderError('invalid', 'this logout token was used before')
      const count = await admins.endSessions(which, address)
      // Last: if the sessions could not be ended, the provider sends the token again.
      await store.useState({ stateHash, expiresAt: clock.now() + LOGOUT_MEMORY_MS })
      return count
    },
  }
}

const NO_ROLE = 'sign-in with the identity provider refused: no value of the claim gives a role'

const refuse = (
  reason: OidcRefusal,
  { purpose, next }: Pick<OidcFlow, 'purpose' | 'next'>,
  account?: OidcAccount,
): OidcOutcome => ({ kind: 'refused', reason, purpose, next, label: account?.label ?? '' })
