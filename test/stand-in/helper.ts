import { createHash, randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import { standInDefaults, startStandIn } from '../../server/stand-in/app.ts'
import type { AppOptions } from '../../server/stand-in/app.ts'
import type { StandIn } from '../../server/stand-in/stand-in.ts'
import { testClock } from '../clock.ts'
import type { TestClock } from '../clock.ts'
import { Visitor } from '../visitor.ts'
import type { Page } from '../visitor.ts'

/** The client's redirect URI. Nothing listens there. */
export const REDIRECT_URI = 'https://broker.example.com/callback'
export const client = { ...standInDefaults.client, redirectUris: [REDIRECT_URI] }

export interface TestStandIn {
  url: string
  apiUrl: string
  standIn: StandIn
  clock: TestClock
  close(): Promise<void>
}

/** Starts a stand-in with a clock that the test controls. It stops when the test ends. */
export async function start(t: Test, options: Partial<AppOptions> = {}): Promise<TestStandIn> {
  const clock = testClock({ frozen: true })
  const { now, sleep } = clock
  const running = await startStandIn({ clients: [client], port: 0, now, sleep, ...options })
  t.teardown(() => running.close())
  return { ...running, clock }
}

/** The authorization request's URL. Parameters that are `undefined` are omitted. */
export function authorizeUrl(
  { apiUrl }: TestStandIn,
  query: Record<string, string | undefined> = {},
) {
  const url = new URL(`${apiUrl}/oauth/authorize`)
  const all = { response_type: 'code', client_id: client.id, redirect_uri: REDIRECT_URI, ...query }
  for (const [name, value] of Object.entries(all)) {
    if (value !== undefined) url.searchParams.set(name, value)
  }
  return url.href
}

export const LOGIN_BUTTONS = {
  amelie: 'Log in as Amelie Laurent (amelie)',
  bo: 'Log in as Bo Lindqvist (bo)',
}

/** The parameters of the authorization response. */
export const readRedirectParameters = ({ url }: Page) =>
  Object.fromEntries(new URL(url).searchParams)

/** Logs in as amelie, allows the client, and returns the code. */
export async function authorize(
  running: TestStandIn,
  query: Record<string, string | undefined> = {},
) {
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running, query), REDIRECT_URI)
  const next = await visitor.press(login, LOGIN_BUTTONS.amelie, {}, REDIRECT_URI)
  const isAllowed = next.url.startsWith(REDIRECT_URI)
  return (
    readRedirectParameters(isAllowed ? next : await visitor.press(next, 'Allow', {}, REDIRECT_URI))
      .code ?? ''
  )
}

export interface TestResponse {
  status: number
  headers: Headers
  text: string
  // The parsed JSON; undefined for other content.
  body: any // eslint-disable-line @typescript-eslint/no-explicit-any
}

async function read(response: Response): Promise<TestResponse> {
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json') && text.endsWith('}')
  const body = isJson ? JSON.parse(text) : undefined
  return { status: response.status, headers: response.headers, text, body }
}

export const get = async (url: string, headers: Record<string, string> = {}) =>
  read(await fetch(url, { headers }))

export const send = async (method: string, url: string, body?: unknown) =>
  read(
    await fetch(url, {
      method,
      ...(body !== undefined && {
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      }),
    }),
  )

export const CREDENTIALS = { client_id: client.id, client_secret: client.secret }

/** Posts a form to the token endpoint. The client authenticates in the body, unless `headers` has credentials. */
export const postForm = async (
  { apiUrl }: TestStandIn,
  parameters: Record<string, string>,
  headers: Record<string, string> = {},
) => {
  const body = new URLSearchParams(
    headers.authorization ? parameters : { ...CREDENTIALS, ...parameters },
  )
  return read(await fetch(`${apiUrl}/oauth/token`, { method: 'POST', body, headers }))
}

export const redeem = (running: TestStandIn, code: string, more: Record<string, string> = {}) =>
  postForm(running, {
    grant_type: 'authorization_code',
    authorization_code: code,
    redirect_uri: REDIRECT_URI,
    ...more,
  })

export const refresh = (running: TestStandIn, token: string) =>
  postForm(running, { grant_type: 'refresh_token', refresh_token: token })

/** Issues an access token for the user. */
export async function accessToken(running: TestStandIn, username = 'amelie'): Promise<string> {
  const { body } = await refresh(running, running.standIn.grant(username))
  return body.access_token
}

/** RFC 7636 4.1 and 4.2. */
export function pkce() {
  const verifier = randomBytes(32).toString('base64url')
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') }
}
