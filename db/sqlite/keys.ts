import { and, asc, eq, ne, sql } from 'drizzle-orm'
import { signingKeys } from '../schema.sqlite.ts'
import type { Sealed, Store } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { bytesOf, type SealedValues } from './sealed.ts'

type Methods = 'listSigningKeys' | 'addSigningKey' | 'revokeSigningKey'

export function keyMethods(engine: Engine, sealedValues: SealedValues): Pick<Store, Methods> {
  const { db, read, write } = engine
  const list = db
    .select({
      kid: signingKeys.kid,
      publicJwk: signingKeys.publicJwk,
      privateKey: bytesOf<Sealed>(signingKeys.privateKey),
      status: signingKeys.status,
      createdAt: signingKeys.createdAt,
      endedAt: signingKeys.endedAt,
    })
    .from(signingKeys)
    .orderBy(asc(signingKeys.createdAt), asc(signingKeys.kid))
    .prepare()

  const retireActive = (now: number): void => {
    const retired = { status: 'retired', endedAt: now } as const
    db.update(signingKeys).set(retired).where(eq(signingKeys.status, 'active')).run()
  }

  return {
    listSigningKeys: () => read(() => list.all()),

    addSigningKey: (key, events) =>
      write(() => {
        if (key.status === 'active') retireActive(key.createdAt)
        const privateKey = sealedValues.add(key.privateKey)
        db.insert(signingKeys)
          .values({ ...key, privateKey })
          .run()
        insertEvents(engine, events)
      }),

    revokeSigningKey: ({ kid, now, events }) =>
      write(() => {
        const live = and(eq(signingKeys.kid, kid), ne(signingKeys.status, 'revoked'))
        const revoked = db
          .update(signingKeys)
          .set({ status: 'revoked', endedAt: sql`coalesce(${signingKeys.endedAt}, ${now})` })
          .where(live)
          .returning({ privateKey: signingKeys.privateKey })
          .all()
        for (const { privateKey } of revoked) sealedValues.blank(privateKey)
        if (revoked.length > 0) insertEvents(engine, events)
        return revoked.length > 0
      }),
  }
}
