import type { App, Event, Grant } from '../../../db/store.ts'
import type { Models } from '../../../views/models.ts'
import type { Translator } from '../../../views/translate.ts'
import { tokensUntil } from '../../connections/connections.ts'
import { browserHashOf, listDevices } from '../../connections/devices.ts'
import type { Device } from '../../connections/devices.ts'
import type { OwnConnection, Visitor } from '../../me/my-access.ts'
import { grantEndSeconds } from '../../oauth/grants.ts'
import { reconnectUrl } from '../../oauth/token-authentication.ts'
import type { HttpServices } from '../../services.ts'

/** What belongs to a visitor, and all apps. */
interface Mine {
  visitor: Visitor
  own: OwnConnection[]
  apps: App[]
  now: number
}

type MyPage = Omit<Models['me'], 'notice' | 'csrf' | 'operator'>
type MyApp = MyPage['apps'][number]

export function toMyPage(mine: Mine, translator: Translator, { config }: HttpServices): MyPage {
  const { visitor, own } = mine
  const current = own.filter(({ connection }) => connection.status !== 'revoked')
  const context = { ...mine, translator, publicUrl: config.publicUrl }
  return {
    name: visitor.person.username || (visitor.person.accountId ?? ''),
    isThisBrowser: visitor.person.accountId === null,
    needsReconnect: current.some(({ connection }) => connection.status === 'needs_reconnect'),
    apps: current
      .flatMap((one) => appsOf(one, context))
      .sort((one, other) => one.name.localeCompare(other.name)),
    hasData: own.length > 0,
    isConnected: current.length > 0,
    mayErase: own.length > 0 && own.every(({ isWhole }) => isWhole),
    tokensUntil: lastToken(mine),
    now: mine.now,
  }
}

type Context = Mine & { translator: Translator; publicUrl: string }

/** The apps with access, each with its devices and links. */
function appsOf(own: OwnConnection, context: Context): MyApp[] {
  const { apps, now, translator, publicUrl } = context
  const active = own.grants.filter((grant) => isActive(grant, appOf(grant, apps), now))
  return [...Map.groupBy(active, ({ appId }) => appId)].map(([appId, grants]): MyApp => {
    const app = apps.find(({ id }) => id === appId)
    const mayReconnect = own.connection.status === 'needs_reconnect' && app
    return {
      name: app?.name ?? translator.text('me.removedApp'),
      offline: app?.offline ?? false,
      reconnect: mayReconnect ? (reconnectUrl(publicUrl, app, own.connection.id) ?? null) : null,
      disconnect: `/me/apps/${encodeURIComponent(appId)}/disconnect`,
      devices: listDevices(grants, now).map((device) => deviceOf(device, app, own, context)),
      links: own.links
        .filter((link) => link.appId === appId)
        .map(({ id, label, path, expiresAt }) => ({
          name: label || path,
          expiresAt,
          revoke: `/me/links/${encodeURIComponent(id)}/revoke`,
        })),
    }
  })
}

function deviceOf(
  { grant, lastUsedAt }: Device,
  app: App | undefined,
  { connection, events }: OwnConnection,
  { visitor, translator }: Context,
): MyApp['devices'][number] {
  const { browser } = visitor
  const endSeconds = app?.offline ? grantEndSeconds(grant, app) : grant.expiresAtSeconds
  return {
    name: deviceName(grant.device, translator),
    isHere:
      browser !== null && grant.browserHash === browserHashOf(browser, grant.appId, connection.id),
    connectedAt: grant.createdAt,
    address: addressOf(grant, events),
    lastUsedAt,
    endsAt: endSeconds === Infinity ? null : endSeconds * 1000,
    disconnect: `/me/devices/${encodeURIComponent(grant.id)}/disconnect`,
  }
}

const appOf = ({ appId }: Grant, apps: App[]) => apps.find(({ id }) => id === appId)

/** The grant of an offline app does not end with its broker token. That of a removed app gives nothing. */
const isActive = (grant: Grant, app: App | undefined, now: number): boolean =>
  app !== undefined &&
  grant.revokedAt === null &&
  (app.offline ? grantEndSeconds(grant, app) : grant.expiresAtSeconds) * 1000 > now

/** The events in which a person connected a device. */
const CONNECT_ACTIONS = ['connection.connected', 'connection.renewed', 'device.allowed']

/** From where the person connected: the event right before the grant; the newest events come first. */
const addressOf = ({ appId, createdAt }: Grant, events: Event[]): string | null =>
  events.find(
    (event) =>
      CONNECT_ACTIONS.includes(event.action) && event.appId === appId && event.at <= createdAt,
  )?.address ?? null

/** The label of a device (server/connections/device-label.ts), in the language of the page. */
export function deviceName(label: string, { text }: Translator): string {
  if (label === '') return text('me.server')
  const [, browser = label, system] = /^(.+) on (\w+)$/.exec(label) ?? []
  const known = browser === 'Unknown browser' ? text('me.unknownBrowser') : browser
  if (system !== undefined) return text('me.onSystem', { browser: known, system })
  return known.replace(/^A device\b/, text('me.anyDevice'))
}

type Question = Omit<Models['me-confirm'], 'action' | 'csrf' | 'now'>

/** What each change asks before it is made; `null`: there is nothing to change. */
export const confirmations = {
  device(mine: Mine, id: string, translator: Translator): Question | null {
    const { text } = translator
    const { own, apps } = mine
    const grant = own.flatMap(({ grants }) => grants).find((one) => one.id === id)
    if (!grant || grant.revokedAt !== null) return null
    const app = appOf(grant, apps)?.name ?? text('me.removedApp')
    return {
      title: text('me.askDevice', { device: deviceName(grant.device, translator) }),
      paragraphs: [text('me.askDeviceText', { app }), text('me.again')],
      ...{ tokensUntil: lastToken(mine), button: text('me.disconnect') },
    }
  },

  app(mine: Mine, id: string, { text }: Translator): Question | null {
    const { own, apps } = mine
    const grants = own.flatMap(({ grants }) => grants)
    if (!grants.some(({ appId, revokedAt }) => appId === id && revokedAt === null)) return null
    const app = apps.find((one) => one.id === id)?.name ?? text('me.removedApp')
    return {
      title: text('me.askApp', { app }),
      paragraphs: [text('me.askAppText', { app }), text('me.again')],
      ...{ tokensUntil: lastToken(mine), button: text('me.disconnect') },
    }
  },

  link({ own }: Mine, id: string, { text }: Translator): Question | null {
    const link = own.flatMap(({ links }) => links).find((one) => one.id === id)
    if (!link) return null
    return {
      title: text('me.askLink'),
      paragraphs: [text('me.askLinkText', { link: link.label || link.path })],
      ...{ tokensUntil: null, button: text('me.revoke') },
    }
  },

  all(mine: Mine, _id: string, { text }: Translator): Question | null {
    if (mine.own.every(({ connection }) => connection.status === 'revoked')) return null
    return {
      title: text('me.askAll'),
      paragraphs: [text('me.askAllText'), text('me.again')],
      ...{ tokensUntil: lastToken(mine), button: text('me.disconnectAll') },
    }
  },

  erase(mine: Mine, _id: string, { text }: Translator): Question | null {
    if (mine.own.length === 0) return null
    return {
      title: text('me.askErase'),
      paragraphs: [text('me.askEraseText'), text('me.askEraseKept'), text('me.again')],
      ...{ tokensUntil: lastToken(mine), button: text('me.erase') },
    }
  },
}

/** When the last access token that was issued expires; `null`: none is valid. */
const lastToken = ({ own, now }: Mine): number | null => {
  const times = own.flatMap(({ connection }) => tokensUntil(connection, now) ?? [])
  return times.length === 0 ? null : Math.max(...times)
}
