import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { verifyWebhook } from '../../../sdk/server.ts'
import type { BrokerError } from '../../../sdk/server.ts'
import { errorOf } from './begin.ts'

const ID = 'evt_1'
const NOW_SECONDS = 1_800_000_000
const BODY = JSON.stringify({
  type: 'connection.revoked',
  timestamp: '2027-01-15T08:00:00.000Z',
  data: { connection_id: 'con_1', note: 'déjà vu' },
})

const newSecret = () => `whsec_${randomBytes(32).toString('base64')}`

function newKeyPair() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
  return { privateKey, key: `whpk_${raw.toString('base64')}` }
}

const signAsymmetric = (privateKey: KeyObject, body = BODY, id = ID): string => {
  const signed = Buffer.from(`${id}.${NOW_SECONDS}.${body}`)
  return `v1a,${sign(null, signed, privateKey).toString('base64')}`
}

const signSymmetric = (secret: string): string =>
  new Webhook(secret).sign(ID, new Date(NOW_SECONDS * 1000), BODY)

const headersOf = (signature: string, more: Record<string, string> = {}) => ({
  'webhook-id': ID,
  'webhook-timestamp': String(NOW_SECONDS),
  'webhook-signature': signature,
  ...more,
})

const verify = (
  signature: string,
  keys: string | string[],
  { now = NOW_SECONDS * 1000, body = BODY, headers = {} } = {},
) => verifyWebhook({ headers: headersOf(signature, headers), body }, keys, { now })

const refused = async (work: Promise<unknown>): Promise<BrokerError> => {
  const error = await errorOf(work)
  if (error.code !== 'invalid_webhook') throw error
  return error
}

const [pair, other] = [newKeyPair(), newKeyPair()]
const secret = newSecret()

t.test('both kinds of signature, in every form of a request', async (t) => {
  const expected = { id: ID, ...(JSON.parse(BODY) as object) }
  for (const [key, signature] of [
    [pair.key, signAsymmetric(pair.privateKey)],
    [secret, signSymmetric(secret)],
  ] as const) {
    const headers = headersOf(signature)
    const request = new Request('http://127.0.0.1/hook', { method: 'POST', headers, body: BODY })
    for (const form of [
      request,
      { headers, body: BODY },
      { headers, body: Buffer.from(BODY) },
      { headers: { ...headers, 'webhook-signature': [signature] }, body: BODY },
    ]) {
      t.strictSame(await verifyWebhook(form, key, { now: NOW_SECONDS * 1000 }), expected)
    }
  }
})

t.test('during a rotation: several signatures, several keys', async (t) => {
  const both = `${signAsymmetric(other.privateKey)} ${signAsymmetric(pair.privateKey)}`
  t.match(await verify(both, pair.key), { id: ID })
  t.match(await verify(both, other.key), { id: ID })
  t.match(await verify(signAsymmetric(pair.privateKey), [other.key, pair.key]), { id: ID })
  const mixed = `v2,abc ${signSymmetric(secret)} v1a,${'A'.repeat(86)}==`
  t.match(await verify(mixed, [pair.key, secret]), { id: ID })
})

t.test('what the key did not sign', async (t) => {
  const signature = signAsymmetric(pair.privateKey)
  await refused(verify(signature, other.key))
  await refused(verify(signature, secret))
  await refused(verify(signature, []))
  await refused(verify(signature, pair.key, { body: `${BODY} ` }))
  await refused(verify(signature, pair.key, { headers: { 'webhook-id': 'evt_2' } }))
  const later = String(NOW_SECONDS + 1)
  await refused(verify(signature, pair.key, { headers: { 'webhook-timestamp': later } }))
  for (const broken of ['', 'v1a', 'v1a,', 'v1a,***', 'v1a,AAAA', signature.slice(4), 'v1a,A']) {
    t.match(await refused(verify(broken, pair.key)), { message: /None/ }, broken)
  }
  // A public key must not work as the secret of an HMAC.
  const confused = signSymmetric(pair.key.replace('whpk_', 'whsec_'))
  await refused(verify(confused, pair.key))
  await refused(verify(signSymmetric(secret).replace('v1,', 'v1a,'), secret))
})

t.test('timestamps within five minutes', async (t) => {
  const signature = signAsymmetric(pair.privateKey)
  const at = (seconds: number) =>
    verify(signature, pair.key, { now: (NOW_SECONDS + seconds) * 1000 })
  for (const seconds of [-300, 0, 300]) t.match(await at(seconds), { id: ID })
  for (const seconds of [-301, 301]) t.match(await refused(at(seconds)), { message: /timestamp/ })
  for (const timestamp of ['', '1e9', '-5', `${NOW_SECONDS}.5`, '0x10']) {
    await refused(verify(signature, pair.key, { headers: { 'webhook-timestamp': timestamp } }))
  }
  await refused(verifyWebhook({ headers: headersOf(signature), body: BODY }, pair.key))
})

t.test('a signed body that is not JSON; a key that is none', async (t) => {
  const signature = signAsymmetric(pair.privateKey, 'text')
  t.match(await refused(verify(signature, pair.key, { body: 'text' })), { message: /JSON/ })
  for (const key of ['', 'whkey_AAAA', secret.slice(6), 'whpk_AAAA', 'whsec_', 'whsec_***']) {
    await t.rejects(verify(signature, key), TypeError)
  }
})
