import t from 'tap'
import type { Connection, Event, ListedLink } from '../../../db/store.ts'
import { browserHashOf } from '../../../server/connections/devices.ts'
import { confirmations, deviceName, toMyPage } from '../../../server/http/routes/me-view.ts'
import type { OwnConnection } from '../../../server/me/my-access.ts'
import { Secret } from '../../../server/secret.ts'
import type { HttpServices } from '../../../server/services.ts'
import { translators } from '../../../views/translate.ts'
import { NOW, newApp, newGrant } from '../../db/rows.ts'

const SECOND = NOW / 1000
const browser = new Secret('browser')
const apps = [
  newApp('map', { name: 'Map', grantLifetimeSeconds: 600 }),
  newApp('job', { name: 'Job', offline: true, grantLifetimeSeconds: 600 }),
  newApp('ever', { name: 'Ever', offline: true }),
]

const newOwn = (
  connection: Partial<Connection>,
  fields: Partial<OwnConnection>,
): OwnConnection => ({
  connection: {
    id: 'con',
    status: 'active',
    accessTokenExpiresAt: null,
    ...connection,
  } as Connection,
  ...{ grants: [], links: [], events: [], isWhole: true },
  ...fields,
})

const mineOf = (...own: OwnConnection[]) => ({
  visitor: { person: { accountId: '7', username: '', connectionIds: [] }, browser, address: '::1' },
  ...{ own, apps, now: NOW },
})

const services = { config: { publicUrl: 'https://broker.example.com' } } as HttpServices
const see = (...own: OwnConnection[]) => toMyPage(mineOf(...own), translators.en, services)

const newLink = (id: string, appId: string, label = '') =>
  ({ id, appId, label, path: `/path/${id}`, expiresAt: NOW }) as ListedLink
const newEvent = (action: string, appId: string, at: number, address: string) =>
  ({ action, appId, at, address }) as Event

t.test('apps are listed with access that still holds, and what belongs to each', async (t) => {
  const browserHash = browserHashOf(browser, 'map', 'con')
  const grants = [
    newGrant('map', { appId: 'map', expiresAtSeconds: SECOND + 60, browserHash }),
    newGrant('late', { appId: 'map', expiresAtSeconds: SECOND }),
    newGrant('revoked', { appId: 'map', revokedAt: NOW }),
    newGrant('job', { appId: 'job', expiresAtSeconds: SECOND - 60 }),
    newGrant('ended', { appId: 'job', createdAt: NOW - 600_000 }),
    newGrant('ever', { appId: 'ever', expiresAtSeconds: SECOND - 60 }),
    newGrant('removed', { appId: 'removed' }),
  ]
  const links = [newLink('a', 'map', 'Dikes'), newLink('b', 'job')]
  const events = [
    newEvent('connection.renewed', 'map', NOW + 1, '192.0.2.1'),
    newEvent('connection.connected', 'job', NOW, '192.0.2.2'),
    newEvent('connection.refreshed', 'map', NOW, '192.0.2.3'),
    newEvent('connection.connected', 'map', NOW - 1, '192.0.2.4'),
  ]
  const page = see(newOwn({}, { grants, links, events }))
  t.strictSame(
    page.apps.map(({ name, devices, links }) => [
      name,
      devices.map(({ isHere, address, endsAt }) => ({ isHere, address, endsAt })),
      links.map(({ name }) => name),
    ]),
    [
      ['Ever', [{ isHere: false, address: null, endsAt: null }], []],
      ['Job', [{ isHere: false, address: '192.0.2.2', endsAt: NOW + 600_000 }], ['/path/b']],
      ['Map', [{ isHere: true, address: '192.0.2.4', endsAt: NOW + 60_000 }], ['Dikes']],
    ],
  )
  t.equal(page.name, '7', 'the id of an account without a name')
})

t.test('what is revoked is only left to download and erase', async (t) => {
  const former = newOwn({ status: 'revoked' }, { grants: [newGrant('map', { appId: 'map' })] })
  t.match(see(former), { apps: [], hasData: true, isConnected: false, mayErase: true })
  t.match(see(), { hasData: false, isConnected: false, mayErase: false })
  const part = newOwn({}, { isWhole: false })
  t.match(see(former, part), { isConnected: true, mayErase: false }, 'not what others use')
  t.equal(see(newOwn({ status: 'needs_reconnect' }, {})).needsReconnect, true)
})

t.test('the last token that was issued counts', async (t) => {
  const times = [NOW + 1, NOW + 3, NOW + 2, NOW, null]
  const own = times.map((time) => newOwn({ accessTokenExpiresAt: time }, {}))
  t.equal(see(...own).tokensUntil, NOW + 3)
  t.equal(see(...own.slice(3)).tokensUntil, null)
})

t.test('nothing is asked if there is nothing to change', async (t) => {
  const { device, app, link, all, erase } = confirmations
  const grants = [
    newGrant('here', { appId: 'map' }),
    newGrant('gone', { appId: 'job', revokedAt: NOW }),
  ]
  const mine = mineOf(newOwn({}, { grants, links: [newLink('a', 'map', 'Dikes')] }))
  const former = mineOf(newOwn({ status: 'revoked' }, { grants }))
  const { en } = translators
  t.match(device(mine, 'here', en), { title: 'Disconnect Firefox on Linux?' })
  for (const id of ['gone', 'other']) t.equal(device(mine, id, en), null, id)
  t.match(app(mine, 'map', en), { title: 'Disconnect Map?' })
  for (const id of ['job', 'other']) t.equal(app(mine, id, en), null, id)
  t.match(link(mine, 'a', en), { paragraphs: [/Dikes/] })
  t.equal(link(mine, 'b', en), null)
  t.ok(all(mine, '', en))
  t.equal(all(former, '', en), null)
  t.ok(erase(former, '', en))
  t.equal(erase(mineOf(), '', en), null)
})

t.test('devices have names in the language of the page', async (t) => {
  const { de } = translators
  const names = [
    '',
    'Firefox on Linux',
    'Unknown browser on Linux',
    'Unknown browser',
    'A device (curl)',
  ]
  t.strictSame(
    names.map((name) => deviceName(name, de)),
    [
      ...['Der Server der App', 'Firefox unter Linux', 'Unbekannter Browser unter Linux'],
      ...['Unbekannter Browser', 'Ein Gerät (curl)'],
    ],
  )
})
