/** The people who run the broker, and their sessions; see db/store.ts. */
import type { Hash, Millis, NewEvent, Sealed } from '../model.ts'

export interface Admin {
  id: string
  email: string
  /** PHC string of argon2id. Empty: none, so only the identity provider signs this account in. */
  passwordHash: string
  role: 'admin' | 'viewer'
  createdAt: Millis
  /** When a second factor was confirmed; `null`: the admin has none. */
  secondFactorSince: Millis | null
  /** The credential ids of their passkeys, sorted. */
  passkeyIds: string[]
  /** The account at the identity provider that signs in as this admin: `iss` and `sub`; `null`: none. */
  oidcIssuer: string | null
  oidcSubject: string | null
  /** Its e-mail address or name when it last signed in, for people: it identifies nobody. */
  oidcLabel: string | null
}

/** An admin to be added. */
export type NewAdmin = Omit<Admin, 'secondFactorSince' | 'passkeyIds' | OidcField> &
  Partial<Pick<Admin, OidcField>>

type OidcField = 'oidcIssuer' | 'oidcSubject' | 'oidcLabel'

/** What a sign-in was verified against. */
export type VerifiedAdmin = Pick<
  Admin,
  'passwordHash' | 'secondFactorSince' | 'passkeyIds' | 'oidcIssuer' | 'oidcSubject'
>

/** The ways to sign in that count: a password, and an account of that identity provider. */
export interface SignInWays {
  password: boolean
  issuer: string | null
}

/** An admin who is signed in, in one browser. */
export interface Session {
  /** Hash of the cookie; also the session's id in lists. */
  idHash: Hash
  adminId: string
  createdAt: Millis
  lastSeenAt: Millis
  /** The earlier of its idle and its absolute end. */
  expiresAt: Millis
  address: string | null
  userAgent: string | null
  /** `false`: the password was right; the second factor, or a passkey, is still missing. */
  complete: boolean
  /** When the admin proved who they are; `null`: at `createdAt`. 0: the identity provider did not say. */
  authenticatedAt: Millis | null
  /** The account and session at the identity provider that began it; `null`: begun here, or it has no session id. */
  oidcIssuer: string | null
  oidcSubject: string | null
  oidcSid: string | null
}

/** A second factor (TOTP, RFC 6238), confirmed or proposed. */
export interface SecondFactor {
  /** Sealed for the admin's id: see db/associated-data.ts. */
  secret: Sealed
  /** When a first code confirmed it; `null`: it is only proposed. */
  since: Millis | null
  /** The last time step whose code was used; a code works once (RFC 6238 5.2). */
  lastStep: number | null
  /** Hashes of the unused recovery codes. */
  recoveryCodes: Hash[]
}

/** How often something may be tried until its window ends. */
export interface Budget {
  key: Hash
  most: number
  /** When the window ends, if this attempt is its first. */
  until: Millis
}

export interface AdminStore {
  /**
   * `false`: the e-mail address or the account at the identity provider is taken.
   * @param options.setupLink only as the first with the role `admin`, by this live link, which ends all setup links;
   *   `false`: there is one, or no such live link
   */
  addAdmin(
    admin: NewAdmin,
    options: { setupLink?: { secretHash: Hash; now: Millis }; events: NewEvent[] },
  ): Promise<boolean>
  /** By e-mail address. */
  listAdmins(): Promise<Admin[]>
  findAdmin(email: string): Promise<Admin | undefined>
  findAdminByOidc(account: { issuer: string; subject: string }): Promise<Admin | undefined>
  /**
   * Sets password, role and account at the identity provider of an admin who is still as they were read (`before`),
   * or removes them (`after` `null`) with all sessions, devices, passkeys and second factor, which is overwritten. A new
   * password ends their sessions but `keepSession`, and forgets their devices. Another account at the identity
   * provider ends the sessions that the one before began, but `keepSession`.
   * @param options.mustRemain nobody loses the role `admin` unless another one with that role remains who can sign in
   *   in one of these ways
   * @returns `changed`: the admin was changed or removed since, or `keepSession` has ended; `last`: nobody with
   *   the role `admin` would remain; `taken`: the account at the identity provider is another admin's
   */
  updateAdmin(
    before: Admin,
    after: Admin | null,
    options: { keepSession?: Hash; mustRemain?: SignInWays; events: NewEvent[] },
  ): Promise<'done' | 'changed' | 'last' | 'taken'>

  /** Confirmed or proposed. */
  getSecondFactor(adminId: string): Promise<SecondFactor | undefined>
  /**
   * Adds, replaces or removes (`null`) the second factor, if it is still as it was read (`before`; `null`: there
   * was none). A secret that goes is overwritten. `false`: it was changed since, or there is no such admin.
   */
  updateSecondFactor(
    adminId: string,
    before: SecondFactor | null,
    after: SecondFactor | null,
    events: NewEvent[],
  ): Promise<boolean>

  /** `false`: there is someone with the role `admin`, so nothing is to set up. */
  addSetupLink(link: { secretHash: Hash; expiresAt: Millis }): Promise<boolean>
  /** Is there nobody with the role `admin`, and is that link live? */
  hasSetupLink(link: { secretHash: Hash; now: Millis }): Promise<boolean>
}

export interface SessionStore {
  /**
   * Begins a session; ends the one that it replaces, and remembers the browser as the admin's `device`.
   * `false`: the admin was removed, has another password, second factor or other passkeys than were `verified`,
   * or the session to be replaced has ended.
   */
  addSession(
    session: Session,
    options: {
      verified: VerifiedAdmin
      replaces?: Hash
      device?: { secretHash: Hash; expiresAt: Millis }
      events: NewEvent[]
    },
  ): Promise<boolean>
  /** A session that has not expired, and its admin. */
  getSession(key: {
    idHash: Hash
    now: Millis
  }): Promise<{ session: Session; admin: Admin } | undefined>
  /** Postpones the idle end. May be lost with the power. */
  touchSession(session: Pick<Session, 'idHash' | 'lastSeenAt' | 'expiresAt'>): Promise<void>
  /** The admin's complete sessions, last seen first. */
  listSessions(filter: { adminId: string; now: Millis }): Promise<Session[]>
  /** Ends one of the admin's sessions, or all but one. Returns how many. */
  endSessions(
    sessions: { adminId: string; events: NewEvent[] } & ({ only: Hash } | { except: Hash }),
  ): Promise<number>
  /**
   * Ends sessions that an account of an identity provider began: those with the session id `sid`, or all of `subject`;
   * with both, those that match both. Records an event for each admin, with the e-mail address in its details.
   */
  endOidcSessions(
    which: { issuer: string } & (
      { subject: string; sid: string | null } | { subject: null; sid: string }
    ),
    event: NewEvent,
  ): Promise<number>
  /** Has that admin signed in with that device before? */
  isDevice(device: { secretHash: Hash; adminId: string; now: Millis }): Promise<boolean>

  /**
   * Counts an attempt against all of these budgets, or none if one is used up.
   * @returns `refusedUntil`: when the last of the used up ones ends; `null`: it was counted. `wasLast`: this
   *   attempt used one up.
   */
  takeAttempt(attempt: {
    budgets: Budget[]
    now: Millis
  }): Promise<{ refusedUntil: Millis | null; wasLast: boolean }>
  /**
   * The attempt did not fail: it no longer counts.
   * @param cleared budgets of which earlier attempts no longer count either
   */
  returnAttempt(keys: Hash[], cleared?: Hash[]): Promise<void>
}
