import type { App } from '../../../../db/store.ts'
import { newApp } from '../../rows.ts'
import { call, HOUR, several } from './context.ts'
import type { Command, Context } from './context.ts'

const MAX_APPS = 4

const fields = (at: Context) => ({
  origins: at.some(['https://a.example', 'http://localhost:3000', 'http://localhost:4000']),
  session: at.choose<App['session']>('token', 'cookie'),
  offline: at.chance(30),
  grantLifetimeSeconds: at.choose(null, 3600, 40 * 86_400),
  requestsPerDay: at.choose(null, 5),
  allow: at.some(['GET /a', 'POST /b']),
  secrets: at.some([{ hash: 'secret', createdAt: at.now, expiresAt: at.now + HOUR }]),
})

export const appCommands: Record<string, Command> = {
  addApp: (at) => {
    if (at.tables.apps.size >= MAX_APPS) return null
    const app = newApp(at.fresh('app'), { ...fields(at), createdAt: at.now })
    return call('addApp', app, at.events('app.added', { appId: app.id }))
  },

  updateApp: (at) => {
    const app = at.one(at.tables.apps.values())
    if (!app) return null
    const before = at.asRead(app, { name: 'Earlier name' })
    const isRemoved = at.chance(30)
    const after = isRemoved ? null : { ...app, ...fields(at) }
    const events = at.events(isRemoved ? 'app.removed' : 'app.changed', { appId: app.id })
    return call('updateApp', before, after, events)
  },

  hasOrigin: (at) => {
    const origin = at.choose('https://a.example', 'http://localhost:5000', 'http://localhost')
    const anyPortOf = at.choose(null, 'http://localhost')
    const session = at.choose<{ session?: 'token' | 'cookie' }>({}, { session: 'cookie' })
    return call('hasOrigin', { origin, anyPortOf, ...session })
  },

  revokeGrantsOfRemovedApps: (at) => {
    const bounds = { now: at.now, limit: at.choose(1, 100) }
    return several(`revokeGrantsOfRemovedApps(${JSON.stringify(bounds)}), all`, async (store) => {
      while ((await store.revokeGrantsOfRemovedApps(bounds)) > 0);
    })
  },
}
