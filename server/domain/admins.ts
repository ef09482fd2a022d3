import type { Admin, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import type { Clock, Random } from './clock.ts'
import { newId } from './hash.ts'
import { hashPassword } from './password.ts'

/** The people who run this broker. */
export interface Admins {
  /** @throws BrokerError `invalid_request` if the address is taken, or something is wrong */
  add(email: string, password: Secret, actor: string, role?: Admin['role']): Promise<Admin>
  list(): Promise<Admin[]>
  /** `false`: there is none. */
  remove(email: string, actor: string): Promise<boolean>
  /** `false`: there is none. @throws BrokerError `invalid_request` for a password that is too short */
  setPassword(email: string, password: Secret, actor: string): Promise<boolean>
}

/** NIST SP 800-63B-4 3.1.1.2: length, and no rules of composition. */
const [SHORTEST, LONGEST] = [12, 1024]

export function createAdmins(needs: { store: Store; clock: Clock; random: Random }): Admins {
  const { store, clock, random } = needs
  const event = (actor: string, action: string, email: string) => [
    { at: clock.now(), actor, action, details: email },
  ]

  return {
    async add(address, password, actor, role = 'admin') {
      const email = address.trim().toLowerCase()
      if (!/^[^@\s]+@[^@\s]+$/.test(email)) throw problem(`${email} is no e-mail address.`)
      checkPassword(password)
      const passwordHash = await hashPassword(password, random)
      const admin: Admin = {
        id: newId(random, 'adm'),
        email,
        passwordHash,
        role,
        createdAt: clock.now(),
      }
      const added = await store.addAdmin(admin, event(actor, 'admin.added', email))
      if (!added) throw problem(`There is an admin ${email} already.`)
      return admin
    },

    list: () => store.listAdmins(),

    remove(address, actor) {
      const email = address.trim().toLowerCase()
      return store.removeAdmin(email, event(actor, 'admin.removed', email))
    },

    async setPassword(address, password, actor) {
      const email = address.trim().toLowerCase()
      checkPassword(password)
      const passwordHash = await hashPassword(password, random)
      const events = event(actor, 'admin.password_set', email)
      return store.setAdminPassword({ email, passwordHash }, events)
    },
  }
}

function checkPassword(password: Secret): void {
  const length = Array.from(password.reveal()).length
  if (length < SHORTEST || length > LONGEST) {
    throw problem(`Choose a password of ${SHORTEST} to ${LONGEST} characters.`)
  }
}

const problem = (description: string): BrokerError =>
  new BrokerError('invalid_request', { description })
