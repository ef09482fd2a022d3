/** The part of the Store contract that is about the people who run the broker; see db/store.ts. */
import type { Hash, Millis, NewEvent, Sealed } from '../model.ts'

export interface Admin {
  id: string
  email: string
  /** PHC string of argon2id. */
  passwordHash: string
  role: 'admin' | 'viewer'
  createdAt: Millis
  /** When a second factor was confirmed; `null`: there is none. */
  secondFactorSince: Millis | null
}

/** What a new admin has. */
export type NewAdmin = Omit<Admin, 'secondFactorSince'>

/** What somebody who signs in was checked against. */
export type Checked = Pick<Admin, 'passwordHash' | 'secondFactorSince'>

/** An admin who is signed in, in one browser. */
export interface Session {
  /** Hash of the cookie; also what the session is called in lists. */
  idHash: Hash
  adminId: string
  createdAt: Millis
  lastSeenAt: Millis
  /** When it ends unless it is used before: the nearer of its idle and its absolute end. */
  expiresAt: Millis
  address: string | null
  userAgent: string | null
  /** `false`: the password was right, and the second factor is still to come. */
  complete: boolean
}

/** A second factor (TOTP, RFC 6238), confirmed or proposed. */
export interface SecondFactor {
  /** Sealed under `admins/ID/second_factor`. */
  secret: Sealed
  /** `null`: proposed, and not confirmed by a first code. */
  since: Millis | null
  /** The last time step whose code was used; one is good once (RFC 6238 5.2). */
  lastStep: number | null
  /** Hashes of the recovery codes that are left. */
  recoveryCodes: Hash[]
}

/** How often something may be tried until its window ends. */
export interface Budget {
  key: Hash
  most: number
  /** When the window ends that a first attempt now would begin. */
  until: Millis
}

/** What came of a change that must leave one admin who may change things. */
export type AdminChange = 'done' | 'none' | 'last'

export interface AdminStore {
  /** `false`: that e-mail address is taken. */
  addAdmin(admin: NewAdmin, events: NewEvent[]): Promise<boolean>
  /** Makes the first admin, and ends all setup links. `false`: there is an admin, or no such live link. */
  addFirstAdmin(first: {
    admin: NewAdmin
    linkHash: Hash
    now: Millis
    events: NewEvent[]
  }): Promise<boolean>
  listAdmins(): Promise<Admin[]>
  findAdmin(email: string): Promise<Admin | undefined>
  /**
   * Sets a password, ends the admin's sessions but `keepSession`, and forgets their devices where no
   * session is kept. `false`: there is no such admin, or the session to be kept is gone; nothing changed.
   */
  setAdminPassword(
    admin: Pick<Admin, 'email' | 'passwordHash'> & { keepSession?: Hash },
    events: NewEvent[],
  ): Promise<boolean>
  /** `last`: nobody with the role `admin` would be left; nothing changed. */
  setAdminRole(admin: Pick<Admin, 'email' | 'role'>, events: NewEvent[]): Promise<AdminChange>
  /**
   * Removes an admin with sessions, devices and second factor (overwritten).
   * `last`: `keepOne`, and nobody with the role `admin` would be left; nothing changed.
   */
  removeAdmin(admin: { email: string; keepOne: boolean }, events: NewEvent[]): Promise<AdminChange>

  /** `false`: there is an admin, and nothing to set up. */
  addSetupLink(link: { secretHash: Hash; expiresAt: Millis }): Promise<boolean>
  /** Is that link live, and no admin there? */
  hasSetupLink(link: { secretHash: Hash; now: Millis }): Promise<boolean>

  /**
   * Begins a session; one that it replaces ends, and the browser is remembered as the admin's `device`.
   * `false`: the admin was removed, has another password or second factor than was `checked`, or the
   * one to be replaced has ended.
   */
  addSession(
    session: Session,
    options: {
      checked: Checked
      replaces?: Hash
      device?: { secretHash: Hash; expiresAt: Millis }
      events: NewEvent[]
    },
  ): Promise<boolean>
  /** A session that hasn't ended, and whose it is. */
  getSession(key: {
    idHash: Hash
    now: Millis
  }): Promise<{ session: Session; admin: Admin } | undefined>
  /** Puts off the idle end. A loss of power may undo it. */
  touchSession(session: Pick<Session, 'idHash' | 'lastSeenAt' | 'expiresAt'>): Promise<void>
  /** The admin's complete sessions, last seen first. */
  listSessions(filter: { adminId: string; now: Millis }): Promise<Session[]>
  /** `false`: that admin has no such session. */
  endSession(session: { idHash: Hash; adminId: string; events: NewEvent[] }): Promise<boolean>
  /** Ends the admin's sessions but one. Answers how many. */
  endOtherSessions(sessions: { adminId: string; keep: Hash; events: NewEvent[] }): Promise<number>
  /** Did that admin sign in with that device before? */
  isDevice(device: { secretHash: Hash; adminId: string; now: Millis }): Promise<boolean>

  /**
   * Counts an attempt against every one of these budgets, if none is used up; else changes nothing.
   * `refusedUntil`: when the last of those that are used up ends; `null`: counted. `wasLast`: this one
   * used one up.
   */
  takeAttempt(attempt: {
    budgets: Budget[]
    now: Millis
  }): Promise<{ refusedUntil: Millis | null; wasLast: boolean }>
  /** The attempt was no failure: gives it back. */
  returnAttempt(keys: Hash[]): Promise<void>

  getSecondFactor(adminId: string): Promise<SecondFactor | undefined>
  /** Puts a secret in the place of another that was proposed. `false`: no such admin, or one is confirmed. */
  proposeSecondFactor(factor: { adminId: string; secret: Sealed }): Promise<boolean>
  /** Confirms what was proposed. `false`: nothing is, or it was confirmed before. */
  confirmSecondFactor(factor: {
    adminId: string
    step: number
    recoveryCodes: Hash[]
    now: Millis
    events: NewEvent[]
  }): Promise<boolean>
  /** Uses the code of a time step. `false`: that one, or a later one, was used before. */
  useSecondFactor(use: { adminId: string; step: number }): Promise<boolean>
  /** Uses a recovery code. `false`: there is none such (any more). */
  useRecoveryCode(use: { adminId: string; codeHash: Hash; events: NewEvent[] }): Promise<boolean>
  /** Replaces the recovery codes of a confirmed second factor. `false`: there is none. */
  setRecoveryCodes(codes: {
    adminId: string
    recoveryCodes: Hash[]
    events: NewEvent[]
  }): Promise<boolean>
  /** Drops a second factor, confirmed or proposed; the secret is overwritten. `false`: there is none. */
  dropSecondFactor(factor: { email: string; events: NewEvent[] }): Promise<boolean>
}
