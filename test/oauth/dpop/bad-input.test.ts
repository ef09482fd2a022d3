import { exportJWK, generateKeyPair } from 'jose'
import t from 'tap'
import { addApp, authorize, buildBroker } from '../../helper.ts'
import { watchCommits } from '../../commits.ts'
import { createProver } from './prover.ts'
import type { ProofOverrides } from './prover.ts'

t.test('malformed DPoP proofs', async (t) => {
  const broker = await buildBroker(t)
  broker.clock.stop()
  const app = await addApp(broker)
  const prover = await createProver(broker)
  const { returned, verifier, parameters } = await authorize(broker, app)
  const tokenRequest = {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: parameters.redirect_uri,
    code_verifier: verifier,
  }

  const seconds = Math.floor(broker.clock.now() / 1000)
  const other = await generateKeyPair('ES256', { extractable: true })
  const secret = new Uint8Array(32).fill(7)

  const invalidProofs: Record<string, ProofOverrides> = {
    'another method': { claims: { htm: 'GET' } },
    'method in another case': { claims: { htm: 'post' } },
    'no method': { claims: { htm: undefined } },
    'method as number': { claims: { htm: 7 } },
    'another address': { claims: { htu: `${broker.url}/exchange/` } },
    'another host': { claims: { htu: 'https://evil.example/oauth/token' } },
    'no address': { claims: { htu: undefined } },
    'invalid address': { claims: { htu: 'nonsense' } },
    'no jti': { claims: { jti: undefined } },
    'jti as number': { claims: { jti: 7 } },
    'no iat': { claims: { iat: undefined } },
    'iat as text': { claims: { iat: String(seconds) } },
    'made long ago': { claims: { iat: seconds - 301 } },
    'made in the future': { claims: { iat: seconds + 302 } },
    'typ JWT': { header: { typ: 'JWT' } },
    'no typ': { header: { typ: undefined } },
    'no key': { header: { jwk: undefined } },
    'key by id': { header: { jwk: undefined, kid: 'x' } },
    'another key in the header': { header: { jwk: await exportJWK(other.publicKey) } },
    'signed with another key': { key: other.privateKey },
    'private key in the header': { header: { jwk: await exportJWK(prover.privateKey) } },
    'symmetric key': {
      header: { alg: 'HS256', jwk: { kty: 'oct', k: Buffer.from(secret).toString('base64url') } },
      key: secret,
    },
    'HS256 keyed with the public key': {
      header: { alg: 'HS256' },
      key: new Uint8Array(Buffer.from(JSON.stringify(prover.jwk))),
    },
    'very long': { claims: { x: 'x'.repeat(5000) } },
  }

  t.test('invalid proofs are refused, and change nothing', async (t) => {
    const changed = watchCommits(t, broker.dataDir)
    for (const [name, overrides] of Object.entries(invalidProofs)) {
      changed()
      const answer = await prover.post('/oauth/token', tokenRequest, overrides)
      t.match(answer, { status: 400, body: { error: 'invalid_dpop_proof' } }, name)
      t.notOk(changed(), name)
    }
    for (const nonce of [undefined, '', 7, 'x', 'x'.repeat(27), 'é'.repeat(27), [prover.nonce()]]) {
      const answer = await prover.post('/oauth/token', tokenRequest, { claims: { nonce } })
      t.match(answer, { status: 400, body: { error: 'use_dpop_nonce' } }, String(nonce))
    }
    t.notOk(changed())
  })

  t.test('malformed proofs, and two proofs in one request, are refused', async (t) => {
    const good = await prover.prove('/oauth/token')
    const [head, payload, signature = ''] = good.split('.')
    // The same bytes, with other unused bits in the last character.
    const last = String.fromCharCode(signature.charCodeAt(signature.length - 1) + 1)
    const respelled = `${head}.${payload}.${signature.slice(0, -1)}${last}`
    const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'dpop+jwt', jwk: prover.jwk }))
    const two = `${good}, ${await prover.prove('/oauth/token')}`
    for (const dpop of [
      'x',
      '',
      'a.b.c',
      `${head}.${payload}.`,
      respelled,
      `${none.toString('base64url')}.${payload}.`,
      two,
    ]) {
      const answer = await fetch(`${broker.url}/oauth/token`, {
        ...{ method: 'POST', body: new URLSearchParams(tokenRequest), headers: { dpop } },
      })
      t.equal(answer.status, 400, dpop.slice(0, 20))
      t.match(await answer.json(), { error: 'invalid_dpop_proof' })
      t.type(answer.headers.get('dpop-nonce'), 'string')
    }
  })

  t.test('a proof works once', async (t) => {
    const jti = 'the same'
    const first = await prover.post('/oauth/token', tokenRequest, { claims: { jti } })
    t.equal(first.status, 200, 'the code is still valid')
    const token = String(first.body.access_token)
    t.equal((await prover.exchange(token, { claims: { jti: 'again' } })).status, 200)
    const replayed = await prover.exchange(token, { claims: { jti: 'again' } })
    t.match(replayed, {
      status: 401,
      body: { error: 'invalid_dpop_proof', error_description: /before/ },
    })
    t.match(replayed.headers.get('www-authenticate'), /^DPoP error="invalid_dpop_proof"/)
    for (const overrides of Object.values(invalidProofs)) {
      t.match(await prover.exchange(token, overrides), { status: 401 })
    }
    const unhashed = { claims: { ath: undefined } }
    for (const overrides of [unhashed, { claims: { ath: 'x' } }, { claims: { ath: token } }]) {
      t.match(await prover.exchange(token, overrides), {
        status: 401,
        body: { error: 'invalid_dpop_proof' },
      })
    }
    const query = { claims: { htu: `${broker.url}/exchange?x=y#z` } }
    t.equal((await prover.exchange(token, query)).status, 200, 'query and fragment are ignored')
    const shouted = { claims: { htu: `${broker.url}/exchange`.replace('http:', 'HTTP:') } }
    t.equal((await prover.exchange(token, shouted)).status, 200)
  })
})
