import t from 'tap'
import { addApp, authorize, buildBroker } from '../../helper.ts'
import { serve } from '../../processes.ts'
import { createProver } from './prover.ts'

t.test('DPoP in two processes', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const prover = await createProver(broker)
  const { returned, verifier } = await authorize(broker, app)
  const redeemed = await prover.post('/oauth/token', {
    ...{ grant_type: 'authorization_code', client_id: app.id, code_verifier: verifier },
    code: returned.searchParams.get('code') ?? '',
  })
  const token = String(redeemed.body.access_token)
  const other = await serve(t, broker.env)

  /** Sends a proof to one of the processes; both have the same public URL. */
  const swapAt = async (url: string, dpop: string) => {
    const headers = { authorization: `DPoP ${token}`, dpop }
    const response = await fetch(`${url}/exchange`, { method: 'POST', headers })
    const body = (await response.json()) as Record<string, unknown>
    return { status: response.status, body, nonce: response.headers.get('dpop-nonce') }
  }

  t.test('a proof that one process has accepted is refused by the other', async (t) => {
    for (const [first, second] of [
      [broker.url, other.url],
      [other.url, broker.url],
    ] as const) {
      const proof = await prover.prove('/exchange', token)
      t.match(await swapAt(first, proof), { status: 200 })
      const refused = { error: 'invalid_dpop_proof', error_description: /before/ }
      t.match(await swapAt(second, proof), { status: 401, body: refused })
    }
  })

  t.test('a proof that is sent to both processes many times is accepted once', async (t) => {
    const proof = await prover.prove('/exchange', token)
    const urls = Array.from({ length: 20 }, (_, index) => (index % 2 ? broker.url : other.url))
    const answers = await Promise.all(urls.map((url) => swapAt(url, proof)))
    const accepted = answers.filter(({ status }) => status === 200)
    t.equal(accepted.length, 1)
    t.equal(answers.filter(({ status }) => status === 401).length, 19)
  })

  t.test('a nonce of one process is accepted by the other', async (t) => {
    const { nonce } = await swapAt(other.url, await prover.prove('/exchange', token))
    t.match(nonce, /^[\w-]{27}$/)
    const proof = await prover.prove('/exchange', token, { claims: { nonce } })
    t.equal((await swapAt(broker.url, proof)).status, 200)
    const made = { claims: { nonce: 'x'.repeat(27) } }
    const refused = await swapAt(other.url, await prover.prove('/exchange', token, made))
    t.match(refused, { status: 401, body: { error: 'use_dpop_nonce' } })
  })
})
