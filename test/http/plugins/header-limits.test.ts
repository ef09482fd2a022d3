import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import type { IncomingMessage } from 'node:http'
import t from 'tap'
import { buildBroker } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'

const FAILURE_LIMIT = 60
const REMOTE_URL = 'https://broker.example.com'

/** Headers by which a client may pretend to be a proxy. */
const CLAIMS: Record<string, string>[] = [
  {},
  { 'x-forwarded-for': '203.0.113.9' },
  { forwarded: 'for=203.0.113.9' },
  { via: '1.1 proxy' },
  { 'x-real-ip': '203.0.113.9' },
  { 'x-forwarded-host': 'broker.example.com' },
  { 'x-forwarded-proto': 'https' },
]

/** A client at a real address of its own. */
interface Client {
  broker: TestBroker
  address: string
  headers: Record<string, string>
}

async function send({ broker, address, headers }: Client, path: string, form?: object) {
  const { port } = new URL(broker.url)
  const { host } = new URL(broker.services.config.publicUrl)
  const body = form && new URLSearchParams(Object.entries(form)).toString()
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const sent = request({
      ...{ host: '127.0.0.1', port, path, localAddress: address },
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        host,
        ...(body !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }),
        ...headers,
      },
    })
    sent.on('response', resolve).on('error', reject).end(body)
  })
  return { status: answer.statusCode, headers: answer.headers, body: await text(answer) }
}

/** Opens the page of a form, and returns a function that posts it. */
async function openForm(client: Client, path: string) {
  const page = await send(client, path)
  const _csrf = /name="_csrf" value="([^"]+)"/.exec(page.body)?.[1] ?? ''
  const cookie = page.headers['set-cookie']?.map((line) => line.split(';')[0]).join('; ') ?? ''
  const withCookie = { ...client, headers: { ...client.headers, cookie } }
  return (form: object) => send(withCookie, path, { _csrf, ...form })
}

const guesses: Record<
  string,
  (client: Client) => Promise<(count: number) => ReturnType<typeof send>>
> = {
  async 'codes at the token endpoint'(client) {
    const form = { grant_type: 'authorization_code', code_verifier: 'x', client_id: client.address }
    return (count) => send(client, '/oauth/token', { ...form, code: `guess-${count}` })
  },
  async 'user codes'(client) {
    const post = await openForm(client, '/device')
    return () => post({ user_code: 'BBBB-BBBB' })
  },
  async 'sign-ins'(client) {
    const post = await openForm(client, '/admin/sign-in')
    return (count) => post({ email: `${count}@example.com`, password: 'wrong' })
  },
}

/** How many guesses are answered before the first that is not. */
async function countGuesses(guess: (count: number) => ReturnType<typeof send>, most: number) {
  for (let count = 0; count < most; count++) {
    if ((await guess(count)).status === 429) return count
  }
  return most
}

const cases = [
  { publicUrl: 'of this machine', env: {}, expected: [60, 2, 10] },
  {
    publicUrl: 'of a host, where the peer may be a proxy with a larger budget',
    env: { BROKER_PUBLIC_URL: REMOTE_URL },
    expected: [180, 6, 30],
  },
]

for (const { publicUrl, env, expected } of cases) {
  t.test(`no header loosens a limit; the public URL is one ${publicUrl}`, async (t) => {
    const limits = { BROKER_FAILURE_LIMIT: String(FAILURE_LIMIT) }
    const broker = await buildBroker(t, { env: { ...limits, ...env } })
    for (const [index, [name, prepare]] of Object.entries(guesses).entries()) {
      for (const [claim, headers] of CLAIMS.entries()) {
        const client = { broker, address: `127.0.${index + 1}.${claim + 1}`, headers }
        const most = (expected[index] ?? 0) + 5
        const count = await countGuesses(await prepare(client), most)
        t.equal(count, expected[index], `${name}, with ${JSON.stringify(headers)}`)
      }
      // The same address without, then with each header.
      const address = `127.0.${index + 1}.100`
      await countGuesses(await prepare({ broker, address, headers: {} }), expected[index] ?? 0)
      for (const headers of CLAIMS) {
        const client = { broker, address, headers: {} }
        const guess = await prepare({ ...client, headers }).catch(() => null)
        t.equal((await guess?.(0))?.status, 429, `${name}, then with ${JSON.stringify(headers)}`)
      }
    }
  })
}

t.test('an unknown proxy is logged once, with the setting that names it', async (t) => {
  const broker = await buildBroker(t)
  const warnings = () => broker.logged.filter((line) => line.includes('BROKER_TRUST_PROXY'))
  await send({ broker, address: '127.0.0.1', headers: {} }, '/')
  t.strictSame(warnings(), [])
  const headers = { 'x-forwarded-for': '203.0.113.9' }
  for (const address of ['127.0.0.5', '127.0.0.6'])
    await send({ broker, address, headers }, '/admin/sign-in')
  t.equal(warnings().length, 1)
  t.match(JSON.parse(warnings()[0] ?? ''), {
    level: 40,
    peer: '127.0.0.5',
    fix: /set BROKER_TRUST_PROXY to 127\.0\.0\.5/,
  })
})

t.test('a proxy that BROKER_TRUST_PROXY names is not logged', async (t) => {
  const broker = await buildBroker(t, { env: { BROKER_TRUST_PROXY: '127.0.0.5' } })
  const headers = { 'x-forwarded-for': '203.0.113.9' }
  await send({ broker, address: '127.0.0.5', headers }, '/admin/sign-in')
  t.notMatch(broker.logged.join(''), 'unknown proxy')
})
