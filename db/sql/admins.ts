import { isDeepStrictEqual } from 'node:util'
import { and, asc, eq, isNotNull, ne, or, sql } from 'drizzle-orm'
import { admins, devices, sessions, setupLinks } from './schema.ts'
import type { Admin, AdminStore, Hash, Sealed, SecondFactor, SignInWays } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { bytesOf, type SealedValues } from './sealed.ts'

/** In a query from `admins`. */
const passkeyIds = sql<string[]>`(select json_group_array(id) from
  (select id from passkeys where admin_id = admins.id order by id) as own)`.mapWith(
  (ids: string) => JSON.parse(ids) as string[],
)

/** An admin's columns in the contract: without the second factor's secret and the passkeys' keys. */
export const adminColumns = {
  id: admins.id,
  email: admins.email,
  passwordHash: admins.passwordHash,
  role: admins.role,
  createdAt: admins.createdAt,
  secondFactorSince: admins.secondFactorSince,
  passkeyIds,
  oidcIssuer: admins.oidcIssuer,
  oidcSubject: admins.oidcSubject,
  oidcLabel: admins.oidcLabel,
}

/** Admins, their second factors, and the setup links that create the first admin. */
export function adminMethods(engine: Engine, sealedValues: SealedValues): AdminStore {
  const { db, read, write } = engine
  const find = db
    .select(adminColumns)
    .from(admins)
    .where(eq(admins.email, sql.placeholder('email')))
    .prepare()
  const list = db.select(adminColumns).from(admins).orderBy(asc(admins.email)).prepare()
  const findByOidc = db
    .select(adminColumns)
    .from(admins)
    .where(
      and(
        eq(admins.oidcIssuer, sql.placeholder('issuer')),
        eq(admins.oidcSubject, sql.placeholder('subject')),
      ),
    )
    .prepare()
  const findAny = db
    .select({ id: admins.id })
    .from(admins)
    .where(eq(admins.role, 'admin'))
    .limit(1)
    .prepare()
  const findLink = db
    .select({ hash: setupLinks.secretHash })
    .from(setupLinks)
    .where(
      sql`${setupLinks.secretHash} = ${sql.placeholder('secretHash')} and ${setupLinks.expiresAt} > ${sql.placeholder('now')}`,
    )
    .prepare()

  /** Does another admin have the role `admin`, and one of these ways to sign in? */
  const hasOther = (id: string, { password, issuer }: SignInWays): boolean => {
    const canSignIn = or(
      password ? ne(admins.passwordHash, '') : undefined,
      issuer === null ? undefined : eq(admins.oidcIssuer, issuer),
    )
    return (
      canSignIn !== undefined &&
      db
        .select({ id: admins.id })
        .from(admins)
        .where(and(eq(admins.role, 'admin'), ne(admins.id, id), canSignIn))
        .get() !== undefined
    )
  }

  const isTaken = ({ id, oidcIssuer: issuer, oidcSubject: subject }: Admin): boolean =>
    issuer !== null && (findByOidc.get({ issuer, subject })?.id ?? id) !== id

  /** Ends the sessions that another account at the identity provider began. */
  const endOidcSessions = (id: string, keepSession: Hash | undefined): void => {
    const others = keepSession === undefined ? undefined : ne(sessions.idHash, keepSession)
    const begun = isNotNull(sessions.oidcIssuer)
    db.delete(sessions)
      .where(and(eq(sessions.adminId, id), begun, others))
      .run()
  }

  const hasSession = (adminId: string, idHash: Hash): boolean =>
    db
      .select({ id: sessions.idHash })
      .from(sessions)
      .where(and(eq(sessions.idHash, idHash), eq(sessions.adminId, adminId)))
      .get() !== undefined

  const isSetupOpen = ({ secretHash, now }: { secretHash: string; now: number }): boolean =>
    findAny.get() === undefined && findLink.get({ secretHash, now }) !== undefined

  const remove = (id: string): void => {
    const { secondFactor: secret } = admins
    const removed = db.delete(admins).where(eq(admins.id, id)).returning({ secret }).all()
    sealedValues.erase(removed.map(({ secret }) => secret))
  }

  const setPassword = (id: string, passwordHash: string, keepSession: Hash | undefined): void => {
    db.update(admins).set({ passwordHash }).where(eq(admins.id, id)).run()
    const others = keepSession === undefined ? undefined : ne(sessions.idHash, keepSession)
    db.delete(sessions)
      .where(and(eq(sessions.adminId, id), others))
      .run()
    db.delete(devices).where(eq(devices.adminId, id)).run()
  }

  const findSecondFactor = (
    adminId: string,
  ): (SecondFactor & { sealedId: number | null }) | undefined =>
    db
      .select({
        sealedId: admins.secondFactor,
        secret: bytesOf<Sealed>(admins.secondFactor),
        since: admins.secondFactorSince,
        lastStep: admins.secondFactorStep,
        recoveryCodes: admins.recoveryCodes,
      })
      .from(admins)
      .where(and(eq(admins.id, adminId), isNotNull(admins.secondFactor)))
      .get()

  const putSecret = (sealedId: number | null, secret: Sealed | null): number | null => {
    if (secret) return sealedValues.replace(sealedId, secret)
    sealedValues.erase([sealedId])
    return null
  }

  return {
    addAdmin: (admin, { setupLink, events }) =>
      write(() => {
        if (setupLink && !isSetupOpen(setupLink)) return false
        const added = db.insert(admins).values(admin).onConflictDoNothing().run()
        if (added.changes === 0) return false
        if (setupLink) db.delete(setupLinks).run()
        insertEvents(engine, events)
        return true
      }),

    listAdmins: () => read(() => list.all()),

    findAdmin: (email) => read(() => find.get({ email })),

    findAdminByOidc: (account) => read(() => findByOidc.get({ ...account })),

    updateAdmin: (before, after, { keepSession, mustRemain, events }) =>
      write(() => {
        const { id, email } = before
        const isUnchanged = isDeepStrictEqual(find.get({ email }), before)
        if (!isUnchanged || (keepSession !== undefined && !hasSession(id, keepSession))) {
          return 'changed'
        }
        const losesRole = before.role === 'admin' && after?.role !== 'admin'
        if (losesRole && mustRemain && !hasOther(id, mustRemain)) return 'last'
        if (!after) remove(id)
        else if (isTaken(after)) return 'taken'
        else {
          const { role, passwordHash, oidcIssuer, oidcSubject, oidcLabel } = after
          const columns = { role, oidcIssuer, oidcSubject, oidcLabel }
          db.update(admins).set(columns).where(eq(admins.id, id)).run()
          if (oidcIssuer !== before.oidcIssuer || oidcSubject !== before.oidcSubject)
            endOidcSessions(id, keepSession)
          if (passwordHash !== before.passwordHash) setPassword(id, passwordHash, keepSession)
        }
        insertEvents(engine, events)
        return 'done'
      }),

    getSecondFactor: (adminId) =>
      read(() => {
        const found = findSecondFactor(adminId)
        return found && withoutSealedId(found)
      }),

    updateSecondFactor: (adminId, before, after, events) =>
      write(() => {
        const stored = findSecondFactor(adminId)
        if (!isSameFactor(stored ?? null, before)) return false
        const own = eq(admins.id, adminId)
        if (!db.select({ id: admins.id }).from(admins).where(own).get()) return false
        const sealedId = stored?.sealedId ?? null
        const isSameSecret = before && after && isEqual(before.secret, after.secret)
        const columns = {
          secondFactor: isSameSecret ? sealedId : putSecret(sealedId, after?.secret ?? null),
          secondFactorSince: after?.since ?? null,
          secondFactorStep: after?.lastStep ?? null,
          recoveryCodes: after?.recoveryCodes ?? [],
        }
        db.update(admins).set(columns).where(own).run()
        insertEvents(engine, events)
        return true
      }),

    addSetupLink: (link) =>
      write(() => {
        if (findAny.get() !== undefined) return false
        db.insert(setupLinks).values(link).run()
        return true
      }),

    hasSetupLink: (link) => read(() => isSetupOpen(link)),
  }
}

const isEqual = (one: Sealed, other: Sealed): boolean => Buffer.compare(one, other) === 0

function isSameFactor(one: SecondFactor | null, other: SecondFactor | null): boolean {
  if (!one || !other) return one === other
  return (
    one.since === other.since &&
    one.lastStep === other.lastStep &&
    isDeepStrictEqual(one.recoveryCodes, other.recoveryCodes) &&
    isEqual(one.secret, other.secret)
  )
}

const withoutSealedId = ({
  sealedId: _unused,
  ...factor
}: SecondFactor & { sealedId: number | null }) => factor
