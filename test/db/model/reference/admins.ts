import type { Admin, Session, SignInWays } from '../../../../db/store.ts'
import { deleteWhere, isSame, sortBy, writeEvents } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods =
  | 'addAdmin'
  | 'listAdmins'
  | 'findAdmin'
  | 'findAdminByOidc'
  | 'updateAdmin'
  | 'getSecondFactor'
  | 'updateSecondFactor'
  | 'addSetupLink'
  | 'hasSetupLink'
  | 'listPasskeys'
  | 'findPasskey'
  | 'updatePasskey'

export const adminRules = (tables: Tables): Answering<Methods> => {
  const { admins, secondFactors, passkeys, sessions, setupLinks } = tables
  const all = (): Admin[] => [...admins.keys()].map((id) => adminOf(tables, id) as Admin)
  const isTaken = (oidc: Pick<Admin, 'id'> & Partial<Admin>): boolean =>
    typeof oidc.oidcSubject === 'string' &&
    all().some((other) => other.id !== oidc.id && isSameAccount(other, oidc))
  const hasAdmin = (): boolean => all().some(({ role }) => role === 'admin')
  const isLive = ({ secretHash, now }: { secretHash: string; now: number }): boolean =>
    (setupLinks.get(secretHash) ?? 0) > now

  return {
    addAdmin(admin, { setupLink, events }) {
      if (setupLink && (admin.role !== 'admin' || hasAdmin() || !isLive(setupLink))) return false
      if (all().some(({ email }) => email === admin.email) || isTaken(admin)) return false
      admins.set(admin.id, { oidcIssuer: null, oidcSubject: null, oidcLabel: null, ...admin })
      if (setupLink) setupLinks.clear()
      writeEvents(tables, events)
      return true
    },

    listAdmins: () => sortBy(all(), ({ email }) => email),

    findAdmin: (email) => all().find((admin) => admin.email === email),

    findAdminByOidc: ({ issuer, subject }) =>
      all().find(({ oidcIssuer, oidcSubject }) => oidcIssuer === issuer && oidcSubject === subject),

    updateAdmin(before, after, { keepSession, mustRemain, events }) {
      const { id } = before
      if (!isSame(adminOf(tables, id), before)) return 'changed'
      if (keepSession !== undefined && sessions.get(keepSession)?.adminId !== id) return 'changed'
      const losesRole = before.role === 'admin' && after?.role !== 'admin'
      const others = all().filter((other) => other.id !== id && other.role === 'admin')
      if (losesRole && mustRemain && !others.some((other) => canSignIn(other, mustRemain)))
        return 'last'
      if (after && isTaken(after)) return 'taken'

      const endSessions = (matches: (session: Session) => boolean): void => {
        deleteWhere(
          sessions,
          (session) => session.adminId === id && session.idHash !== keepSession && matches(session),
        )
      }
      if (after === null) {
        admins.delete(id)
        deleteWhere(sessions, ({ adminId }) => adminId === id)
        secondFactors.delete(id)
        deleteWhere(passkeys, ({ adminId }) => adminId === id)
      } else {
        const { passwordHash, role, oidcIssuer, oidcSubject, oidcLabel } = after
        const { email, createdAt } = before
        const account = { oidcIssuer, oidcSubject, oidcLabel }
        admins.set(id, { id, email, createdAt, passwordHash, role, ...account })
        if (!isSameAccount(before, after)) endSessions(({ oidcIssuer }) => oidcIssuer !== null)
      }
      if (after?.passwordHash !== before.passwordHash) {
        endSessions(() => true)
        deleteWhere(tables.devices, ({ adminId }) => adminId === id)
      }
      writeEvents(tables, events)
      return 'done'
    },

    getSecondFactor: (adminId) => secondFactors.get(adminId),

    updateSecondFactor(adminId, before, after, events) {
      if (!admins.has(adminId) || !isSame(secondFactors.get(adminId) ?? null, before)) return false
      if (after) secondFactors.set(adminId, after)
      else secondFactors.delete(adminId)
      writeEvents(tables, events)
      return true
    },

    addSetupLink({ secretHash, expiresAt }) {
      if (hasAdmin()) return false
      setupLinks.set(secretHash, expiresAt)
      return true
    },

    hasSetupLink: (link) => !hasAdmin() && isLive(link),

    listPasskeys: (adminId) =>
      sortBy(
        [...passkeys.values()].filter((passkey) => passkey.adminId === adminId),
        ({ createdAt }) => createdAt,
      ),

    findPasskey(id) {
      const passkey = passkeys.get(id)
      return passkey && { passkey, admin: adminOf(tables, passkey.adminId) as Admin }
    },

    updatePasskey(before, after, events) {
      const id = (before ?? after)?.id ?? ''
      if (!isSame(passkeys.get(id) ?? null, before)) return false
      if (after && !admins.has(after.adminId)) return false
      if (after) passkeys.set(id, after)
      else passkeys.delete(id)
      writeEvents(tables, events)
      return true
    },
  }
}

export function adminOf(
  { admins, secondFactors, passkeys }: Tables,
  id: string,
): Admin | undefined {
  const admin = admins.get(id)
  const own = [...passkeys.values()].filter(({ adminId }) => adminId === id)
  return (
    admin && {
      ...admin,
      secondFactorSince: secondFactors.get(id)?.since ?? null,
      passkeyIds: sortBy(
        own.map(({ id }) => id),
        (id) => id,
      ),
    }
  )
}

type Account = Partial<Pick<Admin, 'oidcIssuer' | 'oidcSubject'>>

/** Is that the same account at the same identity provider, or are both none? */
const isSameAccount = (one: Account, other: Account): boolean =>
  one.oidcIssuer === other.oidcIssuer && one.oidcSubject === other.oidcSubject

const canSignIn = (admin: Admin, { password, issuer }: SignInWays): boolean =>
  (password && admin.passwordHash !== '') || (issuer !== null && admin.oidcIssuer === issuer)
