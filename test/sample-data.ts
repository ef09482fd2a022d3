import type { App } from '../db/store.ts'
import { appDefaults } from '../server/oauth/app-settings.ts'
import { sha256 } from '../server/crypto/hash.ts'
import { Secret } from '../server/secret.ts'
import { PASSWORD } from './admin.ts'
import type { TestBroker } from './helper.ts'
import { addSecondFactor } from './db/rows.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Difficult names: long, right-to-left, and with markup. */
const USERNAMES = [
  'amelie',
  'bo.lindqvist',
  'Carla Esposito',
  'עדה לבלייס \u202eאחורה',
  '<script>alert(1)</script>',
  'w'.repeat(200),
  'zoë "quoted" & co',
]
const DEVICES = ['Firefox on Linux', 'Safari on iOS', 'Chrome on Android', 'Edge on Windows']

/** E-mail address of an admin with a second factor. */
export const CAREFUL = 'careful@example.com'

/** Ids of the sample data. */
export interface SampleData {
  appId: string
  confidentialAppId: string
  /** Its name contains markup and right-to-left text. */
  oddAppId: string
  connectionId: string
  troubledId: string
  erasedId: string
  revokedId: string
  grantId: string
  linkId: string
  webhookId: string
  kid: string
}

/** Adds users, apps, devices and events of every kind to a broker, without a browser. */
export async function fillBroker({ services }: TestBroker): Promise<SampleData> {
  const { apps, bulks, connections, keys, store, clock } = services
  const actor = 'admin:ada@example.com'
  await addAdminWithSecondFactor(services)
  const add = async (name: string, more: object = {}) =>
    (
      await apps.add(
        { ...appDefaults, name, redirectUris: ['https://map.example.com/'], ...more },
        actor,
      )
    ).app
  const map = await add('Flood map')
  const server = await add('Nightly report', { confidential: true })
  const fragment = await add(`Old <b onclick=alert(1)>viewer</b> \u202e${'w'.repeat(60)}`, {
    deliver: 'fragment',
  })
  const all = [map, server, fragment]

  const names = [...USERNAMES, ...Array.from({ length: 28 }, (_, index) => `person${index + 1}`)]
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
    retryAt: clock.now() + HOUR_MS,
    dropPrevious: false,
    isRejection: true,
    events: [
      {
        at: clock.now() - HOUR_MS,
        actor: 'system',
        action: 'connection.needs_reconnect',
        connectionId: 'con_sample1',
      },
    ],
  })
  await connections.revoke('con_sample2', actor)
  await connections.erase('con_sample9', actor)
  await keys.rotate(actor)
  await bulks.begin(['con_sample5', 'con_sample6', 'con_sample7'], actor)
  const currentHour = Math.floor(clock.now() / HOUR_MS) * HOUR_MS
  await store.recordUse({
    grants: await lastUses(services, names.length),
    counts: Array.from({ length: 24 * 30 }, (_, index) => ({
      appId: map.id,
      hour: currentHour - index * HOUR_MS,
      outcome: index % 50 === 0 ? 'temporarily_unavailable' : 'ok',
      kind: 'swap' as const,
      count: 40 + (index % 24) * 3,
    })),
  })
  // Grants that began at the same time are in no fixed order.
  const grants = await store.listGrants('con_sample8')
  const grantIdOf = (app: App) => grants.find((grant) => grant.appId === app.id)?.id ?? ''
  await connections.revokeGrant(grantIdOf(server), actor)
  const linkId = 'link_sample'
  const tiles = '/path/7/raster/timestamp/9/tile/{z}/{x}/{y}'
  const [now, label] = [clock.now(), 'Roads and paths']
  const link = { id: linkId, secretHash: sha256('link'), grantId: grantIdOf(map), label }
  const times = { createdAt: now, expiresAt: now + DAY_MS, lastUsedAt: now }
  await store.addLink(
    { ...link, ...times, path: tiles, isPrefix: true, uses: 1234 },
    { max: 9, events: [] },
  )
  await apps.rotateSecret(server.id, 86_400, actor)
  const [key] = await keys.list()
  return {
    appId: map.id,
    confidentialAppId: server.id,
    oddAppId: fragment.id,
    connectionId: 'con_sample8',
    erasedId: 'con_sample9',
    troubledId: 'con_sample1',
    revokedId: 'con_sample2',
    grantId: grantIdOf(map),
    linkId,
    webhookId: await addWebhooks(services, fragment),
    kid: key?.kid ?? '',
  }
}

/** Most grants were used some hours ago, a few never. */
async function lastUses({ store, clock }: TestBroker['services'], count: number) {
  const uses = Array.from({ length: count }, async (_, index) => {
    const [grant] = await store.listGrants(`con_sample${index}`)
    const lastUsedAt = clock.now() - (index + 1) * HOUR_MS
    return grant && index % 6 !== 5 ? [{ id: grant.id, lastUsedAt }] : []
  })
  return (await Promise.all(uses)).flat()
}

/** Adds an endpoint with deliveries in every state, and a disabled one of an app. Returns the id of the first. */
async function addWebhooks({ webhooks, store, clock }: TestBroker['services'], app: App) {
  const actor = 'admin:ada@example.com'
  const now = clock.now()
  const { webhook } = await webhooks.add(
    {
      url: `https://ops.example.com/events?of=${'long'.repeat(30)}`,
      appId: null,
      types: [
        'connection.revoked',
        'connection.needs_reconnect',
        'app.added',
        'app.secret_rotated',
      ],
      signing: 'v1a',
    },
    actor,
  )
  await webhooks.replayRange(webhook.id, { from: 0, to: now + 1 }, actor)
  await webhooks.rotateSecret(webhook.id, actor)
  const owner = 'sample'
  const times = { forMs: HOUR_MS, now, maxPauseMs: HOUR_MS }
  await store.takeOutbox({ owner, ...times, deadOwner: null })
  const { rows } = await webhooks.listDeliveries(webhook.id, { cursor: null, limit: 4 })
  const outcomes = [
    {
      status: 'pending',
      answer: null,
      error: 'no answer within 15 seconds',
      nextAt: now + HOUR_MS,
    },
    { status: 'failed', answer: 500, error: 'status 500', nextAt: null },
    { status: 'delivered', answer: 204, error: null, nextAt: null },
  ] as const
  for (const [index, outcome] of outcomes.entries()) {
    const { id = 0, attempts: expectedAttempts = 0 } = rows[index] ?? {}
    const made = { ...outcome, attemptedAt: now }
    await store.recordAttempt({ id, owner, expectedAttempts, outcome: made })
  }
  await store.releaseOutbox(owner)
  const own = { url: 'https://map.example.com/hook', appId: app.id, types: [] }
  const disabled = await webhooks.add({ ...own, signing: 'v1' }, actor)
  await webhooks.setEnabled(disabled.webhook.id, false, actor)
  return webhook.id
}

async function addAdminWithSecondFactor({
  admins,
  secondFactors,
  store,
  clock,
}: TestBroker['services']) {
  const { id, email } = await admins.add(CAREFUL, new Secret(PASSWORD), 'cli', 'viewer')
  await secondFactors.propose({ id, email })
  const factor = { since: clock.now(), lastStep: 0, recoveryCodes: ['hash'] }
  await addSecondFactor(store, id, factor)
}

/** Adds a connection with one device per app. */
async function connect(
  { store, vault, redeem, clock }: TestBroker['services'],
  options: { id: string; username: string; apps: App[]; index: number },
): Promise<void> {
  const { id, username, apps, index } = options
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
        accessTokenExpiresAt: now + (index % 5) * HOUR_MS - HOUR_MS,
        accessTokenFetchedAt: now - HOUR_MS,
      },
      now: now - index * DAY_MS,
      code: {
        codeHash: sha256(code),
        appId: app.id,
        redirectUri: 'https://map.example.com/',
        challenge: sha256(verifier),
        nonce: null,
        jkt: null,
        connectionId: id,
        scope: 'projects',
        device: DEVICES[(index + number) % DEVICES.length] ?? '',
        browserHash: null,
        policy: null,
        externalId: null,
        createdAt: now,
        expiresAt: now + 60_000,
      },
      events: [
        {
          at: now - index * DAY_MS,
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
