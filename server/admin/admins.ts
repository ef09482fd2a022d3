import type { Admin, AdminChange, Hash, NewAdmin, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { newId } from '../crypto/hash.ts'
import type { Passwords } from './password.ts'

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

  return {
    make,

    async add(address, password, actor, role = 'admin') {
      const admin = await make(address, password, role)
      const { email } = admin
      const added = await store.addAdmin(admin, event(actor, 'admin.added', email, ` (${role})`))
      if (!added) throw problem(`There is an admin ${email} already.`)
      return admin
    },

    list: () => store.listAdmins(),

    remove(address, actor, { keepOne = false } = {}) {
      const email = normal(address)
      return store.removeAdmin({ email, keepOne }, event(actor, 'admin.removed', email))
    },

    setRole(address, role, actor) {
      const email = normal(address)
      const events = event(actor, 'admin.role_set', email, ` (${role})`)
      return store.setAdminRole({ email, role }, events)
    },

    async setPassword(address, password, actor) {
      const email = normal(address)
      checkPassword(password)
      const passwordHash = await passwords.hash(password)
      const events = event(actor, 'admin.password_set', email)
      return store.setAdminPassword({ email, passwordHash }, events)
    },

    async changePassword({ email }, password, keepSession) {
      checkPassword(password)
      const passwordHash = await passwords.hash(password)
      const events = event(`admin:${email}`, 'admin.password_set', email)
      return store.setAdminPassword({ email, passwordHash, keepSession }, events)
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
