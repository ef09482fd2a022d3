import { createHash, randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import { standInDefaults, startStandIn } from '../../server/stand-in/app.ts'
import type { AppOptions } from '../../server/stand-in/app.ts'
import type { StandIn } from '../../server/stand-in/stand-in.ts'
import { testClock } from '../clock.ts'
import type { TestClock } from '../clock.ts'
import { Visitor } from '../visitor.ts'
import type { Page } from '../visitor.ts'

/** Where the client has its users return to. Nothing listens there. */
export const RETURN = 'https://broker.example.com/callback'
export const client = { ...standInDefaults.client, redirectUris: [RETURN] }

export interface Running {
  url: string
  apiUrl: string
  standIn: StandIn
  clock: TestClock
  close(): Promise<void>
}

/** A stand-in that listens, with a clock that the test moves; it ends with the test. */
export async function start(t: Test, options: Partial<AppOptions> = {}): Promise<Running> {
  const clock = testClock({ frozen: true })
  const { now, sleep } = clock
  const running = await startStandIn({ clients: [client], port: 0, now, sleep, ...options })
  t.teardown(() => running.close())
  return { ...running, clock }
}

/** The address to send a browser to. What is `undefined` is left out. */
export function authorizeUrl({ apiUrl }: Running, query: Record<string, string | undefined> = {}) {
  const url = new URL(`${apiUrl}/oauth/authorize`)
  const all = { response_type: 'code', client_id: client.id, redirect_uri: RETURN, ...query }
  for (const [name, value] of Object.entries(all)) {
    if (value !== undefined) url.searchParams.set(name, value)
  }
  return url.href
}

export const LOG_IN = {
  amelie: 'Log in as Amelie Laurent (amelie)',
  bo: 'Log in as Bo Lindqvist (bo)',
}

/** Parameters with which a browser came back to the client. */
export const broughtBack = ({ url }: Page) => Object.fromEntries(new URL(url).searchParams)

/** Logs in, allows if asked, and answers the code. */
export async function authorize(running: Running, query: Record<string, string | undefined> = {}) {
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running, query), RETURN)
  const next = await visitor.press(login, LOG_IN.amelie, {}, RETURN)
  const isBack = next.url.startsWith(RETURN)
  return broughtBack(isBack ? next : await visitor.press(next, 'Allow', {}, RETURN)).code ?? ''
}

export interface Answered {
  status: number
  headers: Headers
  text: string
  // What JSON there is; a test says what it expects of it.
  body: any // eslint-disable-line @typescript-eslint/no-explicit-any
}

async function read(response: Response): Promise<Answered> {
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

/** A form to the token endpoint; the client authenticates in the body unless told otherwise. */
export const postForm = async (
  { apiUrl }: Running,
  parameters: Record<string, string>,
  headers: Record<string, string> = {},
) => {
  const body = new URLSearchParams(
    headers.authorization ? parameters : { ...CREDENTIALS, ...parameters },
  )
  return read(await fetch(`${apiUrl}/oauth/token`, { method: 'POST', body, headers }))
}

export const redeem = (running: Running, code: string, more: Record<string, string> = {}) =>
  postForm(running, {
    grant_type: 'authorization_code',
    authorization_code: code,
    redirect_uri: RETURN,
    ...more,
  })

export const refresh = (running: Running, token: string) =>
  postForm(running, { grant_type: 'refresh_token', refresh_token: token })

/** An access token of that user. */
export async function accessToken(running: Running, username = 'amelie'): Promise<string> {
  const { body } = await refresh(running, running.standIn.grant(username))
  return body.access_token
}

/** RFC 7636 4.1 and 4.2. */
export function pkce() {
  const verifier = randomBytes(32).toString('base64url')
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') }
}
