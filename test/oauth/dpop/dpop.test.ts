import t from 'tap'
import type { App } from '../../../db/store.ts'
import {
  addApp,
  addAppWithSecret,
  authorize,
  buildBroker,
  connect,
  exchange,
  postForm,
} from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import { addDevice, DEVICE_CODE, allowDevice } from '../device/begin.ts'
import { JWT, swapAtToken, TOKEN_EXCHANGE } from '../swap/begin.ts'
import { createProver } from './prover.ts'
import type { Prover } from './prover.ts'

/** Connects a user and redeems the code with a proof. */
async function redeem(
  broker: TestBroker,
  app: App,
  prover: Prover,
  options: { parameters?: Record<string, string>; client?: Record<string, string> } = {},
) {
  const { returned, verifier, parameters } = await authorize(broker, app, options)
  return prover.post('/oauth/token', {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: parameters.redirect_uri,
    code_verifier: verifier,
    ...options.client,
  })
}

const claimsOf = (token: unknown) =>
  JSON.parse(Buffer.from(String(token).split('.')[1] ?? '', 'base64url').toString()) as object

for (const alg of ['ES256', 'ES384', 'Ed25519', 'EdDSA']) {
  t.test(`a broker token bound to a key is swapped, renewed and revoked: ${alg}`, async (t) => {
    const broker = await buildBroker(t)
    const app = await addApp(broker)
    const prover = await createProver(broker, alg)
    const redeemed = await redeem(broker, app, prover)
    t.match(redeemed, { status: 200, body: { token_type: 'DPoP' } })
    const token = String(redeemed.body.access_token)
    t.match(claimsOf(token), { cnf: { jkt: prover.jkt } })

    const swapped = await prover.exchange(token)
    t.match(swapped, { status: 200, body: { token_type: 'Bearer' } })
    t.ok(broker.standIn.issued().includes(String(swapped.body.access_token)))
    const form = { grant_type: TOKEN_EXCHANGE, subject_token: token, subject_token_type: JWT }
    t.match(await prover.post('/oauth/token', form), {
      status: 200,
      body: { token_type: 'Bearer' },
    })
    const renew = { ...form, requested_token_type: JWT }
    const renewed = await prover.post('/oauth/token', renew)
    t.match(renewed, { status: 200, body: { token_type: 'DPoP', issued_token_type: JWT } })
    t.match(claimsOf(renewed.body.access_token), { cnf: { jkt: prover.jkt } })
    const next = String(renewed.body.access_token)
    t.equal((await prover.exchange(next)).status, 200)
    t.equal((await postForm(`${broker.url}/oauth/revoke`, { token: next })).status, 200)
    t.match(await prover.exchange(next), { status: 401, body: { error: 'invalid_token' } })
  })
}

t.test('a bound token is refused without its key', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const prover = await createProver(broker)
  const token = String((await redeem(broker, app, prover)).body.access_token)
  const thief = await createProver(broker)

  const bare = await exchange(broker, token)
  t.match(bare, { status: 401, body: { error: 'invalid_token', error_description: /DPoP proof/ } })
  t.match(await thief.exchange(token), { status: 401, body: { error: 'invalid_token' } })
  for (const more of [{}, { requested_token_type: JWT }]) {
    t.match(await swapAtToken(broker, token, more), {
      status: 400,
      body: { error: 'invalid_request' },
    })
    const form = {
      grant_type: TOKEN_EXCHANGE,
      subject_token: token,
      subject_token_type: JWT,
      ...more,
    }
    t.match(await thief.post('/oauth/token', form), {
      status: 400,
      body: { error: 'invalid_request' },
    })
  }
  t.equal((await prover.exchange(token)).status, 200, 'it is still valid with its key')
  t.match(await exchange(broker, token), { status: 401 })
})

t.test('a superseded token without its key does not revoke the grant', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const prover = await createProver(broker)
  const token = String((await redeem(broker, app, prover)).body.access_token)
  const form = { grant_type: TOKEN_EXCHANGE, subject_token: token, subject_token_type: JWT }
  const renewed = await prover.post('/oauth/token', { ...form, requested_token_type: JWT })
  const next = String(renewed.body.access_token)
  t.equal((await prover.exchange(next)).status, 200)
  broker.clock.advance(301_000)
  t.equal((await exchange(broker, token)).status, 401)
  await prover.post('/oauth/token', {})
  t.equal((await prover.exchange(next)).status, 200)
})

t.test('the first answer asks for a nonce, and each answer has the next one', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const prover = await createProver(broker)
  const without = { claims: { nonce: undefined } }
  const asked = await prover.post(
    '/oauth/token',
    { grant_type: 'refresh_token', refresh_token: 'x' },
    without,
  )
  t.match(asked, { status: 400, body: { error: 'use_dpop_nonce' } })
  t.match(asked.headers.get('dpop-nonce'), /^[\w-]{27}$/)
  t.equal(asked.headers.get('cache-control'), 'no-store')
  const token = String((await redeem(broker, app, prover)).body.access_token)
  const there = await prover.exchange(token, without)
  t.match(there, { status: 401, body: { error: 'use_dpop_nonce' } })
  t.match(there.headers.get('www-authenticate'), /^DPoP error="use_dpop_nonce", algs="ES256 /)
  t.type((await prover.exchange(token)).headers.get('dpop-nonce'), 'string')

  const nonce = prover.nonce()
  broker.clock.advance(5 * 60_000)
  t.equal(
    (await prover.exchange(token, { claims: { nonce } })).status,
    200,
    'a nonce of the previous window',
  )
  broker.clock.advance(5 * 60_000)
  const late = await prover.exchange(token, { claims: { nonce } })
  t.match(late, { status: 401, body: { error: 'use_dpop_nonce' } })
  t.not(late.headers.get('dpop-nonce'), nonce)
  t.equal((await prover.exchange(token)).status, 200)
})

t.test('dpop_jkt binds the authorization code to the key', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const prover = await createProver(broker)
  const parameters = { dpop_jkt: prover.jkt }
  t.match(await redeem(broker, app, prover, { parameters }), {
    status: 200,
    body: { token_type: 'DPoP' },
  })
  const thief = await createProver(broker)
  t.match(await redeem(broker, app, thief, { parameters }), {
    status: 400,
    body: { error: 'invalid_grant', error_description: /dpop_jkt/ },
  })
  const { returned, verifier } = await authorize(broker, app, { parameters })
  const form = { grant_type: 'authorization_code', client_id: app.id, code_verifier: verifier }
  const code = returned.searchParams.get('code') ?? ''
  t.match(await postForm(`${broker.url}/oauth/token`, { ...form, code }), {
    status: 400,
    body: { error: 'invalid_grant' },
  })
  const refused = await authorize(broker, app, { parameters: { dpop_jkt: 'short' } }).catch(
    () => null,
  )
  t.equal(refused, null)
})

t.test('an app with required DPoP gets no token without a proof', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { dpop: 'required' })
  const { returned, verifier } = await authorize(broker, app)
  const form = {
    ...{ grant_type: 'authorization_code', client_id: app.id, code_verifier: verifier },
    code: returned.searchParams.get('code') ?? '',
  }
  t.match(await postForm(`${broker.url}/oauth/token`, form), {
    status: 400,
    body: { error: 'invalid_dpop_proof', error_description: /Send a DPoP proof/ },
  })
  const prover = await createProver(broker)
  t.match(await prover.post('/oauth/token', form), { status: 200, body: { token_type: 'DPoP' } })
  const other = await addApp(broker)
  const { brokerToken } = await connect(broker, other)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  await broker.services.apps.set(other.id, { dpop: 'required' }, 'test')
  t.match(await exchange(broker, brokerToken), { status: 401, body: { error: 'invalid_token' } })
  t.match(await prover.exchange(brokerToken), { status: 401, body: { error: 'invalid_token' } })
})

t.test('a token that is not bound to a key is a bearer token', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken } = await connect(broker, await addApp(broker))
  const prover = await createProver(broker)
  t.match(await prover.exchange(brokerToken), {
    status: 401,
    body: { error: 'invalid_token', error_description: /bound to no key/ },
  })
  const headers = { authorization: `DPoP ${brokerToken}` }
  const without = await fetch(`${broker.url}/exchange`, { method: 'POST', headers })
  t.equal(without.status, 401)
  t.match(without.headers.get('www-authenticate'), /^DPoP error="invalid_dpop_proof"/)
  t.equal((await exchange(broker, brokerToken)).status, 200)
})

t.test(
  'DPoP with a client secret, a refresh token, the device flow, and introspection',
  async (t) => {
    const broker = await buildBroker(t)
    const prover = await createProver(broker)
    const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true })
    const client = { client_id: app.id, client_secret: clientSecret?.reveal() ?? '' }
    const { body } = await redeem(broker, app, prover, { client })
    const token = String(body.access_token)
    const form = { grant_type: TOKEN_EXCHANGE, subject_token: token, subject_token_type: JWT }
    t.equal((await prover.post('/oauth/token', { ...form, ...client })).status, 200)
    t.equal((await postForm(`${broker.url}/oauth/token`, { ...form, ...client })).status, 400)
    const seen = await postForm(`${broker.url}/oauth/introspect`, { token, ...client })
    t.match(seen.body, { active: true, token_type: 'DPoP', cnf: { jkt: prover.jkt } })

    const plain = await addApp(broker, { tokens: 'ellipsis' })
    const both = await redeem(broker, plain, prover)
    t.match(both.body, { token_type: 'Bearer' }, 'Ellipsis Drive’s own token is not bound to a key')
    const refresh = {
      ...{ grant_type: 'refresh_token', client_id: plain.id },
      refresh_token: String(both.body.refresh_token),
    }
    t.equal((await prover.post('/oauth/token', refresh)).status, 200)
    t.match(await postForm(`${broker.url}/oauth/token`, refresh), {
      status: 400,
      body: { error: 'invalid_grant' },
    })

    const device = await addDevice(broker, { dpop: 'required' })
    const started = await device.start()
    const poll = {
      ...{ grant_type: DEVICE_CODE, client_id: device.app.id },
      device_code: String(started.body.device_code),
    }
    t.match(await prover.post('/oauth/token', poll), { body: { error: 'authorization_pending' } })
    await allowDevice(broker, started.body.user_code)
    t.match(await device.poll(started.body.device_code), { body: { error: 'invalid_dpop_proof' } })
    t.match(await prover.post('/oauth/token', poll), { status: 200, body: { token_type: 'DPoP' } })
  },
)

t.test('browsers may send proofs, and read nonces', async (t) => {
  const broker = await buildBroker(t)
  await addApp(broker)
  const origin = 'https://app.example.com'
  const asks = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'dpop' }
  const url = `${broker.url}/exchange`
  const preflight = await fetch(url, { method: 'OPTIONS', headers: { origin, ...asks } })
  t.match(preflight.headers.get('access-control-allow-headers'), 'dpop')
  const answer = await fetch(url, { method: 'POST', headers: { origin } })
  t.match(answer.headers.get('access-control-expose-headers'), 'dpop-nonce')
})

t.test('no token if the grant is revoked while the proof is stored', async (t) => {
  const broker = await buildBroker(t)
  const prover = await createProver(broker, 'ES256')
  const redeemed = await redeem(broker, await addApp(broker), prover)
  const token = String(redeemed.body.access_token)
  t.equal(
    (await prover.exchange(token)).status,
    200,
    'the token was used, and its access token is cached',
  )
  const { store, connections } = broker.services
  const { grant_id: grantId } = claimsOf(token) as { grant_id: string }
  const useProof = store.useProof.bind(store)
  store.useProof = async (proof) => {
    const isNew = await useProof(proof)
    await connections.revokeGrant(grantId, 'test')
    return isNew
  }
  t.match(await prover.exchange(token), { status: 401, body: { error: 'invalid_token' } })
})
