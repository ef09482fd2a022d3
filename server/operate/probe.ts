import type { Config } from '../config.ts'
import { newSecret, sha256 } from '../domain/hash.ts'
import { createEllipsisClient } from '../ellipsis/client.ts'
import { Secret } from '../secret.ts'
import type { World } from '../services.ts'

/** What Ellipsis Drive was found to do where its documentation is silent; `null`: it could not be told. */
export interface Probed {
  /** Encodings of a token request that it reads. */
  encodings: ('form' | 'json')[]
  /** Parameters in which it looks for the authorization code. */
  codeParameters: ('code' | 'authorization_code')[] | null
  errorShape: 'oauth' | 'message' | 'html' | 'empty' | null
  expiresIn: number | null
  accessToken: { length: number; jwt: boolean; jwtLifeSeconds: number | null } | null
  refreshToken: 'same' | 'rotated' | 'left out' | null
  /** Of a refresh token that was replaced; only asked where the grant may be lost by it. */
  reuse: 'works' | 'refused' | 'ends the grant' | null
  account: 'refused' | 'id and username' | 'username' | 'neither' | null
}

interface Answer {
  status: number
  text: string
  json: Record<string, unknown> | null
}

type Encoding = 'form' | 'json'
type Fields = Record<string, string>

/**
 * Asks Ellipsis Drive, with the host's own client. Bogus tokens and codes cost nothing; `authorize` costs
 * one authorization, whose grant ends unused.
 * @param authorize takes a person to the address; answers the address that the browser was sent back to.
 *   Left out: only what costs nothing is asked
 * @param options.reuse also use a replaced refresh token, which may end the grant
 */
export async function probe(
  config: Config,
  { fetch: fetchFn, clock, random }: World,
  authorize: ((url: string) => Promise<string>) | null,
  options: { reuse: boolean },
): Promise<Probed> {
  const { ellipsis, callbackUrl } = config
  const client = createEllipsisClient({
    ...ellipsis,
    redirectUri: callbackUrl,
    fetch: fetchFn,
    now: clock.now.bind(clock),
  })

  const ask = async (encoding: Encoding, fields: Fields, wrong = ''): Promise<Answer> => {
    const credentials = {
      client_id: ellipsis.clientId,
      client_secret: ellipsis.clientSecret.reveal() + wrong,
    }
    const all = { ...fields, ...credentials }
    const response = await fetchFn(`${ellipsis.apiUrl}/oauth/token`, {
      method: 'POST',
      redirect: 'manual',
      signal: AbortSignal.timeout(20_000),
      ...(encoding === 'form'
        ? { body: new URLSearchParams(all) }
        : { body: JSON.stringify(all), headers: { 'content-type': 'application/json' } }),
    })
    const text = await response.text()
    return { status: response.status, text, json: parse(text) }
  }

  const bogus = { grant_type: 'refresh_token', refresh_token: 'ellipsis-broker-probe' }
  const found: Probed = { ...NOTHING, encodings: [] }
  for (const encoding of ['form', 'json'] as const) {
    const right = await ask(encoding, bogus)
    // The secret alone differs: where the answers do, the body was read.
    if (differ(right, await ask(encoding, bogus, 'x'))) {
      found.encodings.push(encoding)
      found.errorShape ??= shapeOf(right)
    }
  }
  const [encoding] = found.encodings
  if (encoding === undefined) return found

  const exchange = { grant_type: 'authorization_code', redirect_uri: callbackUrl }
  const without = await ask(encoding, { ...exchange, code_verifier: 'x'.repeat(43) })
  const read: ('code' | 'authorization_code')[] = []
  for (const name of ['code', 'authorization_code'] as const) {
    const fields = { ...exchange, code_verifier: 'x'.repeat(43), [name]: 'ellipsis-broker-probe' }
    if (differ(without, await ask(encoding, fields))) read.push(name)
  }
  found.codeParameters = read.length > 0 ? read : null
  if (!authorize) return found

  const [state, verifier] = [newSecret(random), newSecret(random)]
  const returned = new URL(
    await authorize(client.authorizationUrl({ state, challenge: sha256(verifier) })),
  ).searchParams
  const code = returned.get('code')
  if (code === null || returned.get('state') !== state) throw new ProbeError()
  const both = { code, authorization_code: code }
  const first = await ask(encoding, { ...exchange, ...both, code_verifier: verifier })
  const accessToken = textOf(first.json?.access_token)
  if (accessToken === null) throw new ProbeError()
  found.expiresIn = typeof first.json?.expires_in === 'number' ? first.json.expires_in : null
  found.accessToken = describeToken(accessToken)
  found.account = await askAccount(fetchFn, ellipsis.apiUrl, accessToken)

  const refreshToken = textOf(first.json?.refresh_token)
  if (refreshToken === null) return found
  const use = (token: string) =>
    ask(encoding, { grant_type: 'refresh_token', refresh_token: token })
  const next = textOf((await use(refreshToken)).json?.refresh_token)
  if (next === null) return { ...found, refreshToken: 'left out' }
  found.refreshToken = next === refreshToken ? 'same' : 'rotated'
  if (found.refreshToken === 'same' || !options.reuse) return found
  if ((await use(refreshToken)).status === 200) found.reuse = 'works'
  else found.reuse = (await use(next)).status === 200 ? 'refused' : 'ends the grant'
  return found
}

/** The person did not come back with a code, or Ellipsis Drive gave no token for it. */
export class ProbeError extends Error {
  override name = 'ProbeError'
}

/** The settings that follow, as lines of a `.env`. */
export function settingsOf({ encodings, expiresIn, accessToken }: Probed): string[] {
  const lines = []
  if (encodings.length > 0) {
    lines.push(`ELLIPSIS_TOKEN_REQUEST=${encodings.includes('form') ? 'form' : 'json'}`)
  }
  const life = expiresIn ?? accessToken?.jwtLifeSeconds ?? null
  if (life !== null) lines.push(`ELLIPSIS_ACCESS_TOKEN_LIFETIME=${life}`)
  return lines
}

const NOTHING = {
  codeParameters: null,
  errorShape: null,
  expiresIn: null,
  accessToken: null,
  refreshToken: null,
  reuse: null,
  account: null,
}

const differ = (one: Answer, other: Answer): boolean =>
  one.status !== other.status || one.text !== other.text

function shapeOf({ text, json }: Answer): Probed['errorShape'] {
  if (typeof json?.error === 'string') return 'oauth'
  if (typeof json?.message === 'string') return 'message'
  return text.trim() === '' ? 'empty' : 'html'
}

function parse(text: string): Record<string, unknown> | null {
  try {
    return JSON.parse(text) as Record<string, unknown> | null
  } catch {
    return null
  }
}

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null)

function describeToken(token: string): NonNullable<Probed['accessToken']> {
  const payload = parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  const { exp, iat } = payload ?? {}
  const life = typeof exp === 'number' && typeof iat === 'number' ? exp - iat : null
  return { length: token.length, jwt: payload !== null, jwtLifeSeconds: life }
}

async function askAccount(
  fetchFn: typeof fetch,
  apiUrl: string,
  token: string,
): Promise<Probed['account']> {
  const authorization = `Bearer ${new Secret(token).reveal()}`
  const response = await fetchFn(`${apiUrl}/account`, { headers: { authorization } })
  const json = parse(await response.text())
  if (response.status !== 200) return 'refused'
  const [id, username] = [json?.id !== undefined, json?.username !== undefined]
  return id && username ? 'id and username' : username ? 'username' : 'neither'
}
