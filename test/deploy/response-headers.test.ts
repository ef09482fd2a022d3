import { randomBytes } from 'node:crypto'
import t from 'tap'
import { RETURN, addApp, allow, authorizationRequest, buildBroker, freePort } from '../helper.ts'
import { Visitor } from '../visitor.ts'
import { nginxMissing, startNginx } from './nginx.ts'

const STATES: Record<string, string> = {
  short: 'x',
  'longest, ASCII': 'x'.repeat(1024),
  'longest, three bytes a character': '€'.repeat(341),
  'longest, all escaped': '"'.repeat(1024),
}

t.test('the longest redirects pass the example nginx', { skip: nginxMissing }, async (t) => {
  for (const tokenLength of [0, 5000, 9000]) {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const env = { BROKER_PUBLIC_URL: url, BROKER_TRUST_PROXY: '127.0.0.1' }
    const broker = await buildBroker(t, { env, switches: { tokenLength } })
    await startNginx(t, Number(new URL(broker.url).port), port)
    for (const deliver of ['fragment', 'code'] as const) {
      const app = await addApp(broker, { deliver })
      for (const [name, state] of Object.entries(STATES)) {
        const visitor = new Visitor()
        const { parameters } = authorizationRequest(app, { state })
        const query = new URLSearchParams(parameters).toString()
        const consent = await visitor.open(`${url}/oauth/authorize?${query}`, RETURN)
        const upstream = await visitor.press(consent, 'Continue to Ellipsis Drive', {}, RETURN)
        const { url: returned, status } = await allow(visitor, upstream, 'amelie', RETURN)
        t.equal(status, 303, `${deliver}, a token of ${tokenLength}, state: ${name}`)
        const { hash, searchParams } = new URL(returned)
        const answer = deliver === 'fragment' ? new URLSearchParams(hash.slice(1)) : searchParams
        t.equal(answer.get('state'), state)
        const token = answer.get('access_token') ?? ''
        if (deliver === 'fragment') t.ok(token.length >= tokenLength)
      }
    }
  }
})

t.test('a state is limited in bytes', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const open = async (state: string) => {
    const { parameters } = authorizationRequest(app, { state })
    const query = new URLSearchParams(parameters).toString()
    return new Visitor().open(`${broker.url}/oauth/authorize?${query}`, RETURN)
  }
  for (const state of Object.values(STATES)) t.match(await open(state), { status: 200 })
  const tooLong = [
    'x'.repeat(1025),
    '€'.repeat(342),
    '😀'.repeat(257),
    randomBytes(700).toString('hex'),
  ]
  for (const state of tooLong) {
    const { url } = await open(state)
    const { searchParams } = new URL(url)
    t.equal(searchParams.get('error'), 'invalid_request')
    t.match(searchParams.get('error_description'), /state.*1,024 bytes/)
    t.equal(searchParams.get('state'), null)
  }
})
