import { and, asc, eq, isNotNull, ne, or, sql } from 'drizzle-orm'
import { signingKeys } from './schema.ts'
import type { NewEvent, Sealed, SigningKey, Store } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { bytesOf, type SealedValues } from './sealed.ts'

type Methods =
  | 'listSigningKeys'
  | 'addSigningKey'
  | 'rotateSigningKeys'
  | 'noteTokensUntil'
  | 'revokeSigningKey'
  | 'removeSigningKey'

export function keyMethods(engine: Engine, sealedValues: SealedValues): Pick<Store, Methods> {
  const { db, read, write } = engine
  const list = db
    .select({
      kid: signingKeys.kid,
      publicJwk: signingKeys.publicJwk,
      privateKey: bytesOf<Sealed>(signingKeys.privateKey),
      status: signingKeys.status,
      createdAt: signingKeys.createdAt,
      activatedAt: signingKeys.activatedAt,
      endedAt: signingKeys.endedAt,
      tokensUntil: signingKeys.tokensUntil,
    })
    .from(signingKeys)
    .orderBy(asc(signingKeys.createdAt), asc(signingKeys.kid))
    .prepare()

  const retireActive = (now: number): void => {
    const retired = { status: 'retired', endedAt: now } as const
    db.update(signingKeys).set(retired).where(eq(signingKeys.status, 'active')).run()
  }

  const kidOf = (status: SigningKey['status']): string | undefined =>
    db
      .select({ kid: signingKeys.kid })
      .from(signingKeys)
      .where(eq(signingKeys.status, status))
      .get()?.kid

  const insert = (key: SigningKey, events: NewEvent[]): void => {
    const privateKey = sealedValues.add(key.privateKey)
    db.insert(signingKeys)
      .values({ ...key, privateKey })
      .run()
    insertEvents(engine, events)
  }

  return {
    listSigningKeys: () => read(() => list.all()),

    addSigningKey: (key, events) =>
      write(() => {
        if (key.status === 'next' && kidOf('next') !== undefined) return false
        if (key.status === 'active') retireActive(key.createdAt)
        insert(key, events)
        return true
      }),

    rotateSigningKeys: ({ expectedActive, following, now, events }) =>
      write(() => {
        const next = kidOf('next')
        if (next === undefined || kidOf('active') !== (expectedActive ?? undefined)) return false
        retireActive(now)
        const active = { status: 'active', activatedAt: now } as const
        db.update(signingKeys).set(active).where(eq(signingKeys.kid, next)).run()
        insert(following, events)
        return true
      }),

    noteTokensUntil: ({ kid, until }) =>
      write(() => {
        const tokensUntil = sql`max(coalesce(${signingKeys.tokensUntil}, 0), ${until})`
        db.update(signingKeys).set({ tokensUntil }).where(eq(signingKeys.kid, kid)).run()
      }),

    revokeSigningKey: ({ kid, now, events, activated }) =>
      write(() => {
        const live = and(eq(signingKeys.kid, kid), ne(signingKeys.status, 'revoked'))
        const next = kidOf('active') === kid ? kidOf('next') : undefined
        const revoked = db
          .update(signingKeys)
          .set({ status: 'revoked', endedAt: sql`coalesce(${signingKeys.endedAt}, ${now})` })
          .where(live)
          .returning({ privateKey: signingKeys.privateKey })
          .all()
        for (const { privateKey } of revoked) sealedValues.blank(privateKey)
        if (revoked.length > 0) insertEvents(engine, events)
        if (next !== undefined) {
          const active = { status: 'active', activatedAt: now } as const
          db.update(signingKeys).set(active).where(eq(signingKeys.kid, next)).run()
          if (activated) insertEvents(engine, [{ ...activated, details: next }])
        }
        return revoked.length > 0
      }),

    removeSigningKey: ({ kid, events }) =>
      write(() => {
        const erased = and(eq(signingKeys.status, 'revoked'), isNotNull(signingKeys.erasedAt))
        const ended = and(eq(signingKeys.kid, kid), or(eq(signingKeys.status, 'retired'), erased))
        const removed = db
          .delete(signingKeys)
          .where(ended)
          .returning({ privateKey: signingKeys.privateKey })
          .all()
        sealedValues.erase(removed.map(({ privateKey }) => privateKey))
        if (removed.length > 0) insertEvents(engine, events)
        return removed.length > 0
      }),
  }
}
