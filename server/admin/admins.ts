import type { Admin, Hash, NewAdmin, NewEvent, SignInWays, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { newId } from '../crypto/hash.ts'
import { actorFields } from './actor.ts'
import type { Actor } from './actor.ts'
import type { Passwords } from './password.ts'
import { checkNewPassword } from './password-strength.ts'
import { normalizeEmail, visibleText } from '../visible-text.ts'

/** Result of a change that must leave one admin with the role `admin`. `none`: there is no such admin. */
export type AdminChange = 'done' | 'none' | 'last'

/** Is this a local account? Otherwise only the identity provider, or a link, signs it in. */
export const hasPassword = ({ passwordHash }: Pick<Admin, 'passwordHash'>): boolean =>
  passwordHash !== ''

/** Management of admin accounts. */
export interface Admins {
  /**
   * @param password `null`: none; the admin signs in with links (sign-in-link.ts)
   * @throws BrokerError `invalid_request` if the address is taken or invalid, or the password is refused
   */
  add(email: string, password: Secret | null, actor: Actor, role?: Admin['role']): Promise<NewAdmin>
  /** Builds a record without storing it. @throws BrokerError `invalid_request` for an invalid address or a refused password */
  make(email: string, password: Secret | null, role: Admin['role']): Promise<NewAdmin>
  list(): Promise<Admin[]>
  find(email: string): Promise<Admin | undefined>
  /** Removes an admin and their sessions. @param options.keepOne refuse (`last`) to remove the last with role `admin` */
  remove(email: string, actor: Actor, options?: { keepOne?: boolean }): Promise<AdminChange>
  setRole(email: string, role: Admin['role'], actor: Actor): Promise<AdminChange>
  /**
   * Sets a password and ends all sessions of this admin, whose passkeys stay. `undefined`: there is no such admin.
   * @throws BrokerError `invalid_request` for a refused password
   */
  setPassword(email: string, password: Secret, actor: Actor): Promise<Admin | undefined>
  /**
   * Changes an admin's own password, forgets the browsers they have signed in with, and ends all their sessions
   * except `session`.
   * @returns the changed admin; `undefined`: that session has ended meanwhile, for example because someone else
   *   set a password; nothing changed
   * @throws BrokerError `invalid_request` for a refused password
   */
  changePassword(
    admin: Admin,
    password: Secret,
    options: { session: Hash; actor: Actor },
  ): Promise<Admin | undefined>
}

/** Does signing in take more than the password? A passkey is a second factor too. */
export const hasSecondFactor = ({
  secondFactorSince,
  passkeyIds,
}: Pick<Admin, 'secondFactorSince' | 'passkeyIds'>): boolean =>
  secondFactorSince !== null || passkeyIds.length > 0

/** RFC 5321 4.5.3.1.3. */
const MAX_EMAIL_LENGTH_CHARS = 254

export function createAdmins(dependencies: {
  store: Store
  passwords: Passwords
  clock: Clock
  random: Random
  /** Of the host: no password may be made of it. */
  operatorName: string | null
  /** How admins can sign in: one with the role `admin` stays who can. */
  signInWays: SignInWays
}): Admins {
  const { store, passwords, clock, random, operatorName, signInWays } = dependencies
  const namesOf = (email: string): string[] =>
    operatorName === null ? [email] : [email, operatorName]
  const event = (actor: Actor, action: string, email: string, suffix = '') => [
    { at: clock.now(), ...actorFields(actor), action, details: email + suffix },
  ]

  const make = async (
    address: string,
    password: Secret | null,
    role: Admin['role'],
  ): Promise<NewAdmin> => {
    const email = normalizeEmail(address)
    checkEmail(email)
    if (password) await checkNewPassword(password, namesOf(email))
    const passwordHash = password ? await passwords.hash(password) : ''
    return { id: newId(random, 'adm'), email, passwordHash, role, createdAt: clock.now() }
  }

  /** Changes an admin as they are by now: changes that others make at the same time stay. */
  const update = async (
    email: string,
    change: (admin: Admin) => Admin | null,
    options: { keepSession?: Hash; mustRemain?: SignInWays; events: NewEvent[] },
  ): Promise<AdminChange> => {
    for (;;) {
      const before = await store.findAdmin(email)
      if (!before) return 'none'
      const outcome = await store.updateAdmin(before, change(before), options)
      /* c8 ignore next -- no change here is about an account at the identity provider */
      if (outcome === 'taken') return 'none'
      if (outcome !== 'changed') return outcome
      if (options.keepSession !== undefined && !(await hasSession(email, options.keepSession)))
        return 'none'
    }
  }

  const hasSession = async (email: string, idHash: Hash): Promise<boolean> =>
    (await store.getSession({ idHash, now: clock.now() }))?.admin.email === email

  return {
    make,

    async add(address, password, actor, role = 'admin') {
      const admin = await make(address, password, role)
      const { email } = admin
      const events = event(actor, 'admin.added', email, ` (${role})`)
      const added = await store.addAdmin(admin, { events })
      if (!added) throw invalidRequest(`The admin ${email} already exists.`)
      return admin
    },

    list: () => store.listAdmins(),

    find: (address) => store.findAdmin(normalizeEmail(address)),

    remove(address, actor, { keepOne = false } = {}) {
      const email = normalizeEmail(address)
      const events = event(actor, 'admin.removed', email)
      return update(email, () => null, { ...(keepOne && { mustRemain: signInWays }), events })
    },

    setRole(address, role, actor) {
      const email = normalizeEmail(address)
      const events = event(actor, 'admin.role_set', email, ` (${role})`)
      return update(email, (admin) => ({ ...admin, role }), { mustRemain: signInWays, events })
    },

    async setPassword(address, password, actor) {
      const email = normalizeEmail(address)
      await checkNewPassword(password, namesOf(email))
      const passwordHash = await passwords.hash(password)
      const events = event(actor, 'admin.password_set', email)
      let changed: Admin | undefined
      const change = (admin: Admin) => (changed = { ...admin, passwordHash })
      return (await update(email, change, { events })) === 'done' ? changed : undefined
    },

    async changePassword({ email }, password, { session: keepSession, actor }) {
      await checkNewPassword(password, namesOf(email))
      const passwordHash = await passwords.hash(password)
      const events = event(actor, 'admin.password_set', email)
      let changed: Admin | undefined
      const change = (admin: Admin) => (changed = { ...admin, passwordHash })
      const outcome = await update(email, change, { keepSession, events })
      return outcome === 'done' ? changed : undefined
    },
  }
}

function checkEmail(email: string): void {
  // After `#`, the names of admins whom the identity provider added have a hash.
  const isValid = /^[^@\s]+@[^@\s#]+$/u.test(email) && visibleText(email) === email
  if (!isValid || email.length > MAX_EMAIL_LENGTH_CHARS)
    throw invalidRequest(`${email} is not an e-mail address.`)
}

const invalidRequest = (description: string): BrokerError =>
  new BrokerError('invalid_request', { description })
