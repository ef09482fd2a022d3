import type { App } from '../db/store.ts'
import { appDefaults } from '../server/oauth/apps.ts'
import { sha256 } from '../server/crypto/hash.ts'
import { Secret } from '../server/secret.ts'
import { PASSWORD } from './admin.ts'
import type { TestBroker } from './helper.ts'
import { addSecondFactor } from './db/rows.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

/** Names as the world has them: long, from right to left, and with markup. */
const PEOPLE = [
  'amelie',
  'bo.lindqvist',
  'Carla Esposito',
  'עדה לבלייס \u202eאחורה',
  '<script>alert(1)</script>',
  'w'.repeat(200),
  'zoë "quoted" & co',
]
const DEVICES = ['Firefox on Linux', 'Safari on iOS', 'Chrome on Android', 'Edge on Windows']

/** An admin who has a second factor. */
export const CAREFUL = 'careful@example.com'

/** What pages are shown with: ids of what there is. */
export interface SampleData {
  appId: string
  confidentialAppId: string
  /** Its name has markup, and turns from right to left. */
  oddAppId: string
  connectionId: string
  troubledId: string
  erasedId: string
  revokedId: string
  grantId: string
  kid: string
}

/** Fills a broker with people, apps, devices and events of every kind, without a browser. */
export async function fillBroker({ services }: TestBroker): Promise<SampleData> {
  const { apps, bulks, connections, keys, store, clock } = services
  const by = 'admin:ada@example.com'
  await addCareful(services)
  const add = async (name: string, more: object = {}) =>
    (
      await apps.add(
        { ...appDefaults, name, redirectUris: ['https://map.example.com/'], ...more },
        by,
      )
    ).app
  const map = await add('Flood map')
  const server = await add('Nightly report', { confidential: true })
  const fragment = await add(`Old <b onclick=alert(1)>viewer</b> \u202e${'w'.repeat(60)}`, {
    deliver: 'fragment',
  })
  const all = [map, server, fragment]

  const names = [...PEOPLE, ...Array.from({ length: 28 }, (_, index) => `person${index + 1}`)]
  for (const [index, username] of names.entries()) {
    const id = `con_sample${index}`
    await connect(services, { id, username, apps: all.slice(0, (index % 3) + 1), index })
  }
  await store.saveFailure({
    id: 'con_sample1',
    expectedGeneration: (1 % 3) + 1,
    owner: 'none',
    status: 'needs_reconnect',
    lastError: 'Ellipsis Drive refused the refresh token (invalid_grant).',
    retryAt: clock.now() + HOUR,
    dropPrevious: false,
    events: [
      {
        at: clock.now() - HOUR,
        actor: 'system',
        action: 'connection.needs_reconnect',
        connectionId: 'con_sample1',
      },
    ],
  })
  await connections.revoke('con_sample2', by)
  await connections.erase('con_sample9', by)
  await keys.rotate(by)
  await bulks.begin(['con_sample5', 'con_sample6', 'con_sample7'], by)
  const hour = Math.floor(clock.now() / HOUR) * HOUR
  await store.recordUse({
    grants: await lastUses(services, names.length),
    counts: Array.from({ length: 24 * 30 }, (_, index) => ({
      appId: map.id,
      hour: hour - index * HOUR,
      outcome: index % 50 === 0 ? 'temporarily_unavailable' : 'ok',
      kind: 'swap' as const,
      count: 40 + (index % 24) * 3,
    })),
  })
  // By app: grants of one moment come in any order.
  const grants = await store.listGrants('con_sample8')
  const of = (app: App) => grants.find((grant) => grant.appId === app.id)?.id ?? ''
  await connections.revokeGrant(of(server), by)
  await apps.rotateSecret(server.id, 86_400, by)
  const [key] = await keys.list()
  return {
    appId: map.id,
    confidentialAppId: server.id,
    oddAppId: fragment.id,
    connectionId: 'con_sample8',
    erasedId: 'con_sample9',
    troubledId: 'con_sample1',
    revokedId: 'con_sample2',
    grantId: of(map),
    kid: key?.kid ?? '',
  }
}

/** Most were used some hours ago, a few never. */
async function lastUses({ store, clock }: TestBroker['services'], count: number) {
  const uses = Array.from({ length: count }, async (_, index) => {
    const [grant] = await store.listGrants(`con_sample${index}`)
    const lastUsedAt = clock.now() - (index + 1) * HOUR
    return grant && index % 6 !== 5 ? [{ id: grant.id, lastUsedAt }] : []
  })
  return (await Promise.all(uses)).flat()
}

async function addCareful({ admins, secondFactors, store, clock }: TestBroker['services']) {
  const { id, email } = await admins.add(CAREFUL, new Secret(PASSWORD), 'cli', 'viewer')
  await secondFactors.propose({ id, email })
  const factor = { since: clock.now(), lastStep: 0, recoveryCodes: ['hash'] }
  await addSecondFactor(store, id, factor)
}

/** A connection with a device for each of those apps. */
async function connect(
  { store, vault, redeem, clock }: TestBroker['services'],
  given: { id: string; username: string; apps: App[]; index: number },
): Promise<void> {
  const { id, username, apps, index } = given
  const now = clock.now()
  for (const [number, app] of apps.entries()) {
    const [code, verifier] = [`code ${id} ${number}`, `verifier ${id} ${number}`]
    await store.saveConnection({
      id,
      expectedGeneration: number === 0 ? null : number,
      accountId: `account-${index}`,
      username,
      tokens: {
        refreshToken: vault.seal(`connections/${id}/refresh_token`, new Secret('none')),
        accessToken: vault.seal(`connections/${id}/access_token`, new Secret('none')),
        accessTokenExpiresAt: now + (index % 5) * HOUR - HOUR,
        accessTokenFetchedAt: now - HOUR,
      },
      now: now - index * DAY,
      code: {
        codeHash: sha256(code),
        appId: app.id,
        redirectUri: 'https://map.example.com/',
        challenge: sha256(verifier),
        jkt: null,
        connectionId: id,
        scope: 'projects',
        device: DEVICES[(index + number) % DEVICES.length] ?? '',
        createdAt: now,
        expiresAt: now + 60_000,
      },
      events: [
        {
          at: now - index * DAY,
          actor: 'user',
          action: 'connection.connected',
          connectionId: id,
          appId: app.id,
          address: '192.0.2.17',
        },
      ],
    })
    await redeem.redeem({
      app,
      code: new Secret(code),
      verifier: new Secret(verifier),
      redirectUri: undefined,
      proof: null,
      address: '192.0.2.17',
    })
  }
}
