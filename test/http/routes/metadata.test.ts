import t from 'tap'
import { DPOP_ALGORITHMS } from '../../../server/oauth/dpop.ts'
import { buildBroker } from '../../helper.ts'

t.test('the metadata name each endpoint, and say what the server takes', async (t) => {
  const { url } = await buildBroker(t)
  const answer = await fetch(`${url}/.well-known/oauth-authorization-server`)
  t.equal(answer.status, 200)
  t.match(answer.headers.get('content-type'), /^application\/json/)
  const metadata = (await answer.json()) as Record<string, string | string[] | boolean>
  t.equal(metadata.issuer, url)
  t.equal(metadata.authorization_response_iss_parameter_supported, true)
  t.same(metadata.response_types_supported, ['code'])
  t.same(metadata.code_challenge_methods_supported, ['S256'], 'and not plain')
  t.same(metadata.dpop_signing_alg_values_supported, DPOP_ALGORITHMS)
  for (const alg of DPOP_ALGORITHMS) t.notMatch(alg, /^(none|HS)/)
  for (const name of ['token', 'revocation']) {
    t.same(
      metadata[`${name}_endpoint_auth_methods_supported`],
      ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
      name,
    )
  }
  const introspection = metadata.introspection_endpoint_auth_methods_supported
  t.notOk((introspection as string[]).includes('none'))
  const grants = metadata.grant_types_supported as string[]
  for (const refused of ['implicit', 'password']) {
    t.notOk(grants.includes(refused), refused)
  }
  for (const [name, value] of Object.entries(metadata)) {
    if (Array.isArray(value)) t.ok(value.length > 0, `${name} is left out where it is empty`)
    if (!name.endsWith('_endpoint') && name !== 'jwks_uri') continue
    const there = await fetch(String(value), { headers: { accept: 'application/json' } })
    t.not(there.status, 404, `${name} is there`)
  }
})

t.test('metadata under another name of this machine is explained in the log, once', async (t) => {
  const broker = await buildBroker(t)
  const { port } = new URL(broker.url)
  const warnings = () => broker.logged.filter((line) => line.includes('compare the issuer'))
  const path = '/.well-known/openid-configuration'
  await fetch(broker.url + path)
  await broker.app.inject({ url: path, headers: { host: 'broker.example.com' } })
  t.strictSame(warnings(), [])
  for (const name of ['localhost', '[::1]', 'localhost']) {
    const answer = await broker.app.inject({ url: path, headers: { host: `${name}:${port}` } })
    t.equal(answer.json().issuer, broker.url)
  }
  t.match(warnings(), [`configure it as ${broker.url}`])
  t.match(warnings(), [`"requested":"http://localhost:${port}"`])

  const hosted = await buildBroker(t, { env: { BROKER_PUBLIC_URL: 'https://broker.example.com' } })
  await hosted.app.inject({ url: path, headers: { host: `localhost:${port}` } })
  t.notOk(hosted.logged.some((line) => line.includes('compare the issuer')))
})
