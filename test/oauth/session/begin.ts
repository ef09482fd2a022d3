import type { App } from '../../../db/store.ts'
import { addApp, allow } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import type { AppSettings } from '../../../server/oauth/app-settings.ts'
import { Visitor } from '../../visitor.ts'

/** The origin of the app's page: the broker's host, another port. Nothing listens there. */
export const PAGE = 'http://127.0.0.1:5173'
export const RETURN_TO_PAGE = `${PAGE}/map`

export const addSessionApp = (broker: TestBroker, settings: Partial<AppSettings> = {}) =>
  addApp(broker, {
    session: 'cookie',
    access: 'proxy',
    redirectUris: [RETURN_TO_PAGE],
    ...settings,
  })

export const cookieNameOf = ({ id }: App): string => `session-${id}`

/** Connects a user by the connect link. Returns where the app's page gets the browser back. */
export async function signIn(
  broker: TestBroker,
  app: App,
  options: { visitor?: Visitor; user?: string; scope?: string; state?: string } = {},
) {
  const { visitor = new Visitor(), user = 'amelie', scope, state = 'of the page' } = options
  const [redirectUri = ''] = app.redirectUris
  const query = new URLSearchParams({ redirect_uri: redirectUri, state, ...(scope && { scope }) })
  const url = `${broker.url}/connect/${app.id}?${query.toString()}`
  const consent = await visitor.open(url, redirectUri)
  const upstream = await visitor.press(consent, 'Continue to Ellipsis Drive', {}, redirectUri)
  const returned = await allow(visitor, upstream, user, redirectUri)
  const cookie = visitor.cookies(new URL(broker.url).origin).get(cookieNameOf(app)) ?? ''
  return { visitor, returned: new URL(returned.url), headers: returned.headers, cookie }
}

/** The headers that a browser sends from the app's page. @param cookie empty: no cookie is sent */
export const sessionHeaders = (app: App, cookie: string): Record<string, string> => ({
  origin: PAGE,
  'sec-fetch-site': 'same-site',
  'x-client-id': app.id,
  ...(cookie !== '' && { cookie: `${cookieNameOf(app)}=${cookie}` }),
})

/** A request as the browser sends it from the app's page; `undefined` leaves a header out. */
export async function fromPage(
  broker: TestBroker,
  app: App,
  cookie: string,
  options: {
    method?: string
    path?: string
    headers?: Record<string, string | undefined>
  } = {},
) {
  const { method = 'GET', path = '/session' } = options
  const sent: Record<string, string | undefined> = {
    ...sessionHeaders(app, cookie),
    ...options.headers,
  }
  const headers = Object.fromEntries(
    Object.entries(sent).filter((pair): pair is [string, string] => pair[1] !== undefined),
  )
  const response = await fetch(broker.url + path, { method, headers })
  const text = await response.text()
  const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>
  const [setCookie] = response.headers.getSetCookie()
  return { status: response.status, headers: response.headers, body, setCookie }
}

/** The value that a `Set-Cookie` header sets. */
export const valueOf = (setCookie: string | undefined): string =>
  /^[^=]+=([^;]*)/.exec(setCookie ?? '')?.[1] ?? ''

/** The grant that a session's token names, and when the token expires, seconds since the epoch. */
export function claimsOf(cookie: string): { grant_id: string; exp: number } {
  const payload = Buffer.from(cookie.split('.')[1] ?? '', 'base64url').toString()
  return JSON.parse(payload) as { grant_id: string; exp: number }
}

export const grantOf = (cookie: string): string => claimsOf(cookie).grant_id

/** Days until the cookie expires, rounded: a second may pass before it is set. */
export const maxAgeDays = (setCookie: string | undefined): number =>
  Math.round(Number(/Max-Age=(\d+)/.exec(setCookie ?? '')?.[1]) / 86_400)
