import t from 'tap'
import { StoreUnavailableError } from '../../db/errors.ts'
import { sha256 } from '../../server/crypto/hash.ts'
import { addApp, allow, authorizationRequest, buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'

/** Words of protocols: no person can act on a message with one of them. */
const PROTOCOL_WORDS =
  /Retry-After|Content-Type|X-Request-Id|JSON|form-urlencoded|\bheader|redirect_uri|client_id|grant_type|endpoint|RFC|\bPOST\b|\bGET\b/

/** The text that a page addresses to its visitor: without what it says to developers and operators. */
const textFor = (body: string) =>
  body
    .replace(/^.*<main[^>]*>/s, '')
    .replace(/<\/main>.*$/s, '')
    .replace(/<p class="quiet">(?:For the|If this keeps happening).*?<\/p>/gs, '')
    .replace(/<pre>.*?<\/pre>/gs, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()

const html = { accept: 'text/html' }
const formType = { 'content-type': 'application/x-www-form-urlencoded' }

async function send(url: string, init: RequestInit = {}) {
  const headers = { ...html, ...(init.headers as Record<string, string> | undefined) }
  const response = await fetch(url, { redirect: 'manual', ...init, headers })
  return { status: response.status, headers: response.headers, body: await response.text() }
}

t.test('every error page says what its visitor can do', async (t) => {
  const broker = await buildBroker(t)
  const { url } = broker
  const app = await addApp(broker)
  const breakStore = async (work: () => Promise<unknown>, error: Error) => {
    const { getApp } = broker.services.store
    Object.assign(broker.services.store, { getApp: async () => Promise.reject(error) })
    await work()
    Object.assign(broker.services.store, { getApp })
  }
  const expect = async (
    status: number,
    says: RegExp,
    address: string,
    init: RequestInit = {},
  ): Promise<void> => {
    await t.test(`${status} ${init.method ?? 'GET'} ${address}`, async (t) => {
      const page = await send(url + address, init)
      const text = textFor(page.body)
      t.equal(page.status, status)
      t.match(text, says)
      t.notMatch(text, PROTOCOL_WORDS)
    })
  }
  const post = (body: string, headers: Record<string, string> = {}) => ({
    method: 'POST',
    body,
    headers: { ...formType, origin: url, ...headers },
  })

  await expect(400, /not registered at this broker.*tell its developer/, '/connect/app_unknown')
  await expect(400, /link .* does not work.*try again/, '/oauth/authorize')
  await expect(400, /expired, is already complete/, '/callback?state=none&code=none')
  await expect(400, /no state.*connect again/, '/callback')
  await expect(403, /Open this page in its own tab/, '/device', {
    headers: { 'sec-fetch-dest': 'iframe' },
  })
  const otherSite = { origin: 'https://evil.example' }
  await expect(403, /another site/, '/oauth/authorize', post('decision=allow', otherSite))
  await expect(404, /no page at this address.*go back to the app/, '/none')
  await expect(405, /Only forms and apps use this address\. Go back/, '/oauth/token')
  await expect(413, /could not read.*reload the page/, '/device', post('a'.repeat(40_000)))
  const json = { 'content-type': 'application/json' }
  await expect(415, /could not read.*reload the page/, '/device', post('{}', json))
  await expect(415, /could not read.*reload the page/, '/admin/sign-in', post('{}', json))
  await expect(404, /setup URL has expired/, '/admin/setup/none')
  await breakStore(
    () => expect(503, /busy\. Wait 5 seconds, then try again/, `/connect/${app.id}`),
    new StoreUnavailableError('SQLITE_BUSY', null),
  )
  await breakStore(
    () => expect(500, /problem of its own\. Go back and try again later/, `/connect/${app.id}`),
    new Error('broken'),
  )
})

t.test('too many failures: the page says how long to wait', async (t) => {
  const { url } = await buildBroker(t, { env: { BROKER_FAILURE_LIMIT: '1' } })
  // A forged cookie of a flow is a guess.
  const headers = { cookie: `flow-${sha256('none')}=forged` }
  await send(`${url}/callback?state=none&code=none`, { headers })
  const page = await send(`${url}/callback?state=none&code=none`, { headers })
  const seconds = page.headers.get('retry-after')
  t.equal(page.status, 429)
  t.match(textFor(page.body), `Wait ${seconds} seconds, then try again.`)
  t.notMatch(textFor(page.body), PROTOCOL_WORDS)
})

t.test('an outage of Ellipsis Drive: the page of a plain link says how long to wait', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  broker.standIn.addFault({ endpoint: 'token', kind: 'status', status: 503, times: 1 })
  const page = await connectByLink(broker, app.id)
  t.equal(page.status, 503)
  t.match(textFor(page.body), 'did not answer as it should. Try again in 2 seconds.')
})

t.test('an error that goes to the app names no header: a redirect has none', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app)
  const visitor = new Visitor()
  const consent = await visitor.open(
    `${broker.url}/oauth/authorize?${new URLSearchParams(parameters)}`,
  )
  const stopAt = parameters.redirect_uri
  const upstream = await visitor.press(consent, 'Continue to Ellipsis Drive', {}, stopAt)
  const { store } = broker.services
  const saveConnection = async () => Promise.reject(new Error('broken'))
  Object.assign(store, { saveConnection })
  const { url } = await broker.clock.hurry(allow(visitor, upstream, 'amelie', stopAt))
  const description = new URL(url).searchParams.get('error_description') ?? ''
  t.match(description, /^This broker has a problem of its own\. .* Request id: \S+$/)
  t.notMatch(description.replace(/Request id.*/, ''), PROTOCOL_WORDS)
})

async function connectByLink(broker: TestBroker, appId: string) {
  const visitor = new Visitor()
  const consent = await visitor.open(`${broker.url}/connect/${appId}`)
  const upstream = await visitor.press(consent, 'Continue to Ellipsis Drive')
  return allow(visitor, upstream, 'amelie')
}
