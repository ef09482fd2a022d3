/** Flows in progress are in cookies of the browser, and nothing about them is stored. */
import t from 'tap'
import { associatedData } from '../../db/associated-data.ts'
import { sealFlow } from '../../server/connections/flow.ts'
import { sha256 } from '../../server/crypto/hash.ts'
import { Secret } from '../../server/secret.ts'
import { watchCommits } from '../commits.ts'
import { RETURN, addApp, allow, authorizationRequest, buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'

async function start(broker: TestBroker, visitor: Visitor, parameters: Record<string, string>) {
  const query = new URLSearchParams(parameters).toString()
  const asked = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const state = new URL(login.url).searchParams.get('state') ?? ''
  return { login, state }
}

const flowCookies = (visitor: Visitor, broker: TestBroker) =>
  [...visitor.cookies(broker.url)].filter(([name]) => name.startsWith('flow-'))

const callbackUrl = (broker: TestBroker, state: string) =>
  `${broker.url}/callback?error=access_denied&state=${state}`

t.test('starts and refusals of flows write nothing', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  await broker.services.sweeper.stop()
  const changed = watchCommits(t, broker.dataDir)
  for (let count = 0; count < 20; count++) {
    const visitor = new Visitor()
    const { parameters } = authorizationRequest(app)
    const { state } = await start(broker, visitor, parameters)
    const refused = await visitor.open(callbackUrl(broker, state), RETURN)
    t.equal(new URL(refused.url).searchParams.get('state'), parameters.state)
  }
  t.equal(changed(), false)
})

t.test('the longest state and redirect URI fit into a cookie, unchanged', async (t) => {
  const broker = await buildBroker(t)
  const redirectUri = `https://app.example.com/${'r'.repeat(470)}`
  const app = await addApp(broker, { redirectUris: [redirectUri] })
  for (const sign of ['x', '"', '\n', '\u{1f5fa}']) {
    const visitor = new Visitor()
    const state = sign.repeat(1024 / Buffer.byteLength(sign))
    const jkt = sha256('key')
    const { parameters } = authorizationRequest(app, { state, dpop_jkt: jkt })
    const { login } = await start(broker, visitor, parameters)
    const [[name, value] = ['', '']] = flowCookies(visitor, broker)
    t.ok(name.length + value.length < 3000, `${name.length + value.length} characters`)
    const returned = await allow(visitor, login, 'amelie', redirectUri)
    t.equal(new URL(returned.url).searchParams.get('state'), state)
  }
})

t.test('a browser with many flows keeps the newest', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const visitor = new Visitor()
  const started: { state: string; appState: string }[] = []
  for (let count = 0; count < 30; count++) {
    const { parameters } = authorizationRequest(app)
    const { state } = await start(broker, visitor, parameters)
    started.push({ state, appState: parameters.state ?? '' })
    const length = flowCookies(visitor, broker).join('; ').length
    t.ok(length < 6500, `${length} characters, of 8 KiB that proxies accept`)
  }
  for (const { state, appState } of started.slice(-12)) {
    const refused = await visitor.open(callbackUrl(broker, state), RETURN)
    t.equal(new URL(refused.url).searchParams.get('state'), appState)
  }
  const [oldest] = started
  const gone = await visitor.open(callbackUrl(broker, oldest?.state ?? ''))
  t.match(gone, { status: 400, body: /connect again/ })
})

t.test('a state that another process has used works no more', async (t) => {
  const broker = await buildBroker(t)
  const visitor = new Visitor()
  const { parameters } = authorizationRequest(await addApp(broker))
  const { login, state } = await start(broker, visitor, parameters)
  const expiresAt = broker.clock.now() + 600_000
  await broker.services.store.useState({ stateHash: sha256(state), expiresAt })
  const page = await allow(visitor, login, 'amelie', RETURN)
  t.match(page, { status: 400, body: /already complete/ })
  t.equal(broker.standIn.calls.token, 0, 'the code was not touched')
})

t.test('cookies that are no flow of that state start again', async (t) => {
  const broker = await buildBroker(t)
  const { vault } = broker.services
  const app = await addApp(broker)
  const visitor = new Visitor()
  const { state } = await start(broker, visitor, authorizationRequest(app).parameters)
  const [[name, value] = ['', '']] = flowCookies(visitor, broker)
  const flow = {
    ...{ appId: app.id, redirectUri: RETURN, appState: 's', challenge: null, nonce: null },
    ...{ jkt: null, scope: 'projects', reconnect: null, device: '', deviceCodeHash: null },
    policyHash: '',
    ...{ loginHint: null, isStrictAccount: false, externalId: null, pushedHash: null },
  }
  const newFlow = (stateHash: string, expiresAt: number) =>
    sealFlow(vault, { ...flow, verifier: new Secret('v'), stateHash, expiresAt }).reveal()
  const flipped = Buffer.from(value, 'base64url')
  flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1
  const otherKey = Buffer.from(value, 'base64url')
  otherKey[3] = (otherKey[3] ?? 0) ^ 1
  const place = associatedData.flowCookie(sha256(state))
  const fields = vault.open(place, Buffer.from(value, 'base64url')).reveal()
  const older = new Secret(fields.replace(/^\[\d+/, '[0'))
  const later = broker.clock.now() + 600_000
  for (const [what, cookie] of Object.entries({
    'of a version that stored flows': 'A'.repeat(43),
    'of another version': Buffer.from(vault.seal(place, older)).toString('base64url'),
    empty: '',
    changed: flipped.toString('base64url'),
    'sealed with an unknown key': otherKey.toString('base64url'),
    'of another state': newFlow(sha256('another'), later),
    expired: newFlow(sha256(state), broker.clock.now() - 1),
  })) {
    const headers = { cookie: `${name}=${cookie}` }
    const answer = await fetch(`${broker.url}/callback?code=x&state=${state}`, { headers })
    t.equal(answer.status, 400, what)
    t.match(await answer.text(), /connect again/, what)
  }
  t.equal(broker.standIn.calls.token, 0)
})
