import { asc, eq } from 'drizzle-orm'
import { signingKeys } from './schema.ts'
import type { Sealed, SigningKey, Store } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { bytesOf, type SealedValues } from './sealed.ts'

type Methods = 'listSigningKeys' | 'replaceSigningKeys'

export function signingKeyMethods(
  engine: Engine,
  sealedValues: SealedValues,
): Pick<Store, Methods> {
  const { db, read, write } = engine
  const list = db
    .select({
      kid: signingKeys.kid,
      alg: signingKeys.alg,
      publicJwk: signingKeys.publicJwk,
      privateKey: bytesOf<Sealed>(signingKeys.privateKey),
      status: signingKeys.status,
      createdAt: signingKeys.createdAt,
      activatedAt: signingKeys.activatedAt,
      endedAt: signingKeys.endedAt,
      erasedAt: signingKeys.erasedAt,
      tokensUntil: signingKeys.tokensUntil,
    })
    .from(signingKeys)
    .orderBy(asc(signingKeys.createdAt), asc(signingKeys.kid))
    .prepare()

  const findSealedId = (kid: string): number | null =>
    db
      .select({ id: signingKeys.privateKey })
      .from(signingKeys)
      .where(eq(signingKeys.kid, kid))
      .get()?.id ?? null

  const add = (key: SigningKey): void => {
    const privateKey = sealedValues.add(key.privateKey)
    db.insert(signingKeys)
      .values({ ...key, privateKey })
      .run()
  }

  const update = (before: SigningKey, { privateKey: _unchanged, ...after }: SigningKey): void => {
    db.update(signingKeys).set(after).where(eq(signingKeys.kid, after.kid)).run()
    const sealedId = findSealedId(after.kid)
    const isRevocation = after.status === 'revoked' && before.status !== 'revoked'
    if (isRevocation && sealedId !== null) sealedValues.blank(sealedId)
  }

  const remove = ({ kid }: SigningKey): void => {
    const sealedId = findSealedId(kid)
    db.delete(signingKeys).where(eq(signingKeys.kid, kid)).run()
    sealedValues.erase([sealedId])
  }

  return {
    listSigningKeys: () => read(() => list.all()),

    replaceSigningKeys: (before, after, events) =>
      write(() => {
        if (fingerprintOf(list.all()) !== fingerprintOf(before)) return false
        const [stored, kept] = [before, after].map(
          (keys) => new Map(keys.map((key) => [key.kid, key])),
        )
        for (const key of before) if (!kept?.has(key.kid)) remove(key)
        for (const key of after) {
          const earlier = stored?.get(key.kid)
          if (!earlier) add(key)
          else if (earlier !== key) update(earlier, key)
        }
        insertEvents(engine, events)
        return true
      }),
  }
}

/** All fields but the private keys, which may be sealed with another key at any time. */
const fingerprintOf = (keys: SigningKey[]): string =>
  JSON.stringify(
    keys
      .map(
        ({
          kid,
          alg,
          publicJwk,
          status,
          createdAt,
          activatedAt,
          endedAt,
          erasedAt,
          tokensUntil,
        }) => [
          ...[kid, alg, publicJwk, status, createdAt, activatedAt, endedAt, erasedAt, tokensUntil],
        ],
      )
      .sort(([one], [other]) => ((one ?? '') < (other ?? '') ? -1 : 1)),
  )
