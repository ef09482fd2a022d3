import { associatedData } from '../../../db/associated-data.ts'
import type { App } from '../../../db/store.ts'
import { Secret } from '../../../server/secret.ts'
import type { TestBroker } from '../../helper.ts'

/** Adds connected users whose access tokens have expired, with a grant of the app each. Returns the grants' ids. */
export async function addUsers(
  { services: { store, vault, clock }, standIn }: TestBroker,
  app: App,
  count: number,
): Promise<string[]> {
  const now = clock.now()
  const nowSeconds = Math.floor(now / 1000)
  const ids: string[] = []
  for (let index = 0; index < count; index++) {
    const [connectionId, grantId] = [`con_many${index}`, `grant_many${index}`]
    const seal = (data: Parameters<typeof vault.seal>[0], value: string) =>
      vault.seal(data, new Secret(value))
    await store.saveConnection({
      id: connectionId,
      expectedGeneration: null,
      accountId: null,
      username: `person${index}`,
      tokens: {
        refreshToken: seal(associatedData.refreshToken(connectionId), standIn.grant('amelie')),
        accessToken: seal(associatedData.accessToken(connectionId), 'expired'),
        accessTokenExpiresAt: now - 1000,
        accessTokenFetchedAt: now - 3_601_000,
      },
      now,
      code: null,
      events: [],
    })
    await store.addGrant(
      {
        id: grantId,
        appId: app.id,
        connectionId,
        scope: 'projects',
        jti: grantId,
        jkt: null,
        issuedAtSeconds: nowSeconds,
        expiresAtSeconds: nowSeconds + 60,
        jtiUsedAt: null,
        previousJti: null,
        successorsSinceSeconds: null,
        device: '',
        browserHash: null,
        policy: null,
        externalId: `user-${index}`,
        createdAt: now,
        lastUsedAt: null,
        revokedAt: null,
      },
      { source: null, now, events: [] },
    )
    ids.push(grantId)
  }
  return ids
}
