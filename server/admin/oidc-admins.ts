import type { Admin, NewEvent, Store } from '../../db/store.ts'
import { newId, sha256 } from '../crypto/hash.ts'
import type { Clock, Random } from '../runtime.ts'
import { normalizeEmail } from '../visible-text.ts'
import { actorFields } from './actor.ts'
import type { Actor } from './actor.ts'
import { hasPassword } from './admins.ts'
import type { OidcOrigin, SignedIn } from './sessions.ts'

const NAME_HASH_LENGTH_CHARS = 10
/** How often a change that lost a race is retried. */
const MAX_TRIES = 5

/** An account at the identity provider, as a person came back from it. */
export interface OidcAccount extends OidcOrigin {
  /** For people. */
  label: string
  role: Admin['role'] | null
}

type AccountWithRole = OidcAccount & { role: Admin['role'] }

/** The admins of accounts at the identity provider. Each change is in the audit log. */
export interface OidcAdmins {
  find(account: OidcAccount): Promise<Admin | undefined>
  /** The admin of an account with the role of its claims, added at the first sign-in. `undefined`: races were lost. */
  update(
    account: AccountWithRole,
    address: string,
  ): Promise<{ admin: Admin; keptRole: boolean } | undefined>
  /** @returns `taken`: another admin has the account; `changed`: the admin was changed, or the session has ended */
  link(
    account: OidcAccount,
    signedIn: SignedIn,
    address: string,
  ): Promise<'done' | 'taken' | 'changed'>
  /** Ends the link of an admin. `false`: the admin was changed, or the session has ended. */
  unlink(signedIn: SignedIn, actor: Actor): Promise<boolean>
  /** Ends sessions that the provider began. Returns their number. */
  endSessions(which: OidcSessions, address: string): Promise<number>
}

/** Sessions that the provider began: those of `sid`, or all of `subject`. */
export type OidcSessions = { subject: string; sid: string | null } | { subject: null; sid: string }

export function createOidcAdmins(dependencies: {
  store: Store
  clock: Clock
  random: Random
  issuer: string
}): OidcAdmins {
  const { store, clock, random, issuer } = dependencies

  const event = (actor: Actor, action: string, details: string): NewEvent => ({
    at: clock.now(),
    ...actorFields(actor),
    action,
    details,
  })
  const bySystem = (address: string): Actor => ({ actor: 'system', address })

  const add = ({ subject, label, role }: AccountWithRole, address: string) => {
    const email = accountName(label, { issuer, subject })
    const admin = {
      id: newId(random, 'adm'),
      email,
      passwordHash: '',
      role,
      createdAt: clock.now(),
    }
    const details = `${email} (${role}), by the identity provider`
    return store.addAdmin(
      { ...admin, oidcIssuer: issuer, oidcSubject: subject, oidcLabel: label },
      { events: [event(bySystem(address), 'admin.added', details)] },
    )
  }

  return {
    find: ({ subject }) => store.findAdminByOidc({ issuer, subject }),

    async update(account, address) {
      const { subject, label, role } = account
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const before = await store.findAdminByOidc({ issuer, subject })
        if (!before) {
          await add(account, address)
          continue
        }
        const after = { ...before, role, oidcLabel: label }
        if (before.role === role && before.oidcLabel === label)
          return { admin: before, keptRole: false }
        // The last local admin keeps the role, whatever the provider says.
        const options = hasPassword(before) && { mustRemain: { password: true, issuer: null } }
        const details = `${before.email} (${role}), by the identity provider`
        const events =
          before.role === role ? [] : [event(bySystem(address), 'admin.role_set', details)]
        const outcome = await store.updateAdmin(before, after, { ...options, events })
        if (outcome === 'done') return { admin: after, keptRole: false }
        if (outcome === 'last') return { admin: before, keptRole: true }
      }
      return undefined
    },

    async link({ subject, label }, { admin, session }, address) {
      const after = { ...admin, oidcIssuer: issuer, oidcSubject: subject, oidcLabel: label }
      const actor = { actor: `admin:${admin.email}`, address }
      const details = `${admin.email}: ${label} at ${issuer}`
      const outcome = await store.updateAdmin(admin, after, {
        keepSession: session.idHash,
        events: [event(actor, 'admin.oidc_linked', details)],
      })
      return outcome === 'last' ? 'changed' : outcome
    },

    async unlink({ admin, session }, actor) {
      const after = { ...admin, oidcIssuer: null, oidcSubject: null, oidcLabel: null }
      const details = `${admin.email}: ${admin.oidcLabel ?? ''} at ${admin.oidcIssuer}`
      const outcome = await store.updateAdmin(admin, after, {
        keepSession: session.idHash,
        events: [event(actor, 'admin.oidc_unlinked', details)],
      })
      return outcome === 'done'
    },

    endSessions: (which, address) =>
      store.endOidcSessions(
        { issuer, ...which },
        event(bySystem(address), 'admin.session_ended', ''),
      ),
  }
}

/**
 * The name of an admin who was added by the provider: their label, and after `#` a hash of who they are. So nobody
 * takes the name of another admin, here or in the audit log, by changing an e-mail address there.
 */
const accountName = (
  label: string,
  { issuer, subject }: { issuer: string; subject: string },
): string =>
  normalizeEmail(
    `${label.replace(/\s+/g, '-')}#${sha256(`${issuer} ${subject}`).slice(0, NAME_HASH_LENGTH_CHARS)}`,
  )
