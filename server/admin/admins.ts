import type { Admin, Hash, NewAdmin, NewEvent, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { newId } from '../crypto/hash.ts'
import type { Passwords } from './password.ts'

/** Result of a change that must leave one admin who may change things. `none`: there is no such admin. */
export type AdminChange = 'done' | 'none' | 'last'

/** The people who run this broker. */
export interface Admins {
  /** @throws BrokerError `invalid_request` if the address is taken, or something is wrong */
  add(email: string, password: Secret, actor: string, role?: Admin['role']): Promise<NewAdmin>
  /** An admin to be stored. @throws BrokerError `invalid_request` if something is wrong */
  make(email: string, password: Secret, role: Admin['role']): Promise<NewAdmin>
  list(): Promise<Admin[]>
  /** Ends their sessions too. `keepOne`: not the last who may change things (`last`). */
  remove(email: string, actor: string, options?: { keepOne?: boolean }): Promise<AdminChange>
  setRole(email: string, role: Admin['role'], actor: string): Promise<AdminChange>
  /**
   * Ends all their sessions. `false`: there is none.
   * @throws BrokerError `invalid_request` for a password that is too short
   */
  setPassword(email: string, password: Secret, actor: string): Promise<boolean>
  /**
   * An admin changes their own password; all their sessions but `session` end. `false`: that one has
   * ended meanwhile, as when somebody else set a password; nothing changed.
   * @throws BrokerError `invalid_request` for a password that is too short
   */
  changePassword(admin: Pick<Admin, 'email'>, password: Secret, session: Hash): Promise<boolean>
}

/** NIST SP 800-63B-4 3.1.1.2: length, and no rules of composition. */
const [SHORTEST, LONGEST] = [12, 1024]
/** RFC 5321 4.5.3.1.3. */
const LONGEST_EMAIL = 254

export function createAdmins(needs: {
  store: Store
  passwords: Passwords
  clock: Clock
  random: Random
}): Admins {
  const { store, passwords, clock, random } = needs
  const event = (actor: string, action: string, email: string, more = '') => [
    { at: clock.now(), actor, action, details: email + more },
  ]

  const make = async (
    address: string,
    password: Secret,
    role: Admin['role'],
  ): Promise<NewAdmin> => {
    const email = normal(address)
    checkEmail(email)
    checkPassword(password)
    const passwordHash = await passwords.hash(password)
    return { id: newId(random, 'adm'), email, passwordHash, role, createdAt: clock.now() }
  }

  /** Changes an admin as they are by now: changes that others make at the same time stay. */
  const update = async (
    email: string,
    change: (admin: Admin) => Admin | null,
    options: { keepSession?: Hash; allowNoAdmin?: boolean; events: NewEvent[] },
  ): Promise<AdminChange> => {
    for (;;) {
      const before = await store.findAdmin(email)
      if (!before) return 'none'
      const outcome = await store.updateAdmin(before, change(before), options)
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
      if (!added) throw problem(`There is an admin ${email} already.`)
      return admin
    },

    list: () => store.listAdmins(),

    remove(address, actor, { keepOne = false } = {}) {
      const email = normal(address)
      const events = event(actor, 'admin.removed', email)
      return update(email, () => null, { allowNoAdmin: !keepOne, events })
    },

    setRole(address, role, actor) {
      const email = normal(address)
      const events = event(actor, 'admin.role_set', email, ` (${role})`)
      return update(email, (admin) => ({ ...admin, role }), { events })
    },

    async setPassword(address, password, actor) {
      const email = normal(address)
      checkPassword(password)
      const passwordHash = await passwords.hash(password)
      const events = event(actor, 'admin.password_set', email)
      return (await update(email, (admin) => ({ ...admin, passwordHash }), { events })) === 'done'
    },

    async changePassword({ email }, password, keepSession) {
      checkPassword(password)
      const passwordHash = await passwords.hash(password)
      const events = event(`admin:${email}`, 'admin.password_set', email)
      const change = (admin: Admin) => ({ ...admin, passwordHash })
      return (await update(email, change, { keepSession, events })) === 'done'
    },
  }
}

const normal = (address: string): string => address.trim().toLowerCase()

function checkEmail(email: string): void {
  const isOne = /^[^@\s\p{Cc}\p{Bidi_Control}]+@[^@\s\p{Cc}\p{Bidi_Control}]+$/u.test(email)
  if (!isOne || email.length > LONGEST_EMAIL) throw problem(`${email} is no e-mail address.`)
}

function checkPassword(password: Secret): void {
  const length = Array.from(password.reveal()).length
  if (length < SHORTEST || length > LONGEST) {
    throw problem(`Choose a password of ${SHORTEST} to ${LONGEST} characters.`)
  }
}

const problem = (description: string): BrokerError =>
  new BrokerError('invalid_request', { description })
