import t from 'tap'
import { siteProblem } from '../../server/oauth/same-site.ts'
import { addApp, buildBroker } from '../helper.ts'

t.test('origins that may be on the same site as the broker', async (t) => {
  for (const [origin, publicUrl] of [
    ['https://app.example.com', 'https://broker.example.com'],
    ['https://app.example.com:8443', 'https://broker.example.com/base'],
    ['https://example.com', 'https://broker.example.com'],
    ['https://a.b.c.example.com', 'https://example.com'],
    ['http://127.0.0.1:5173', 'http://127.0.0.1:4000'],
    ['http://localhost:5173', 'http://localhost:4000'],
    ['http://[::1]:5173', 'http://[::1]:4000'],
    // Without the public suffix list, only browsers know that these are two sites.
    ['https://a.co.uk', 'https://b.co.uk'],
  ] as const)
    t.equal(siteProblem(origin, publicUrl), null, `${origin} ${publicUrl}`)
})

t.test('origins that share no domain with the broker', async (t) => {
  for (const [origin, publicUrl] of [
    ['https://app.example.org', 'https://broker.example.com'],
    ['https://notexample.com', 'https://broker.example.com'],
    ['https://com', 'https://broker.example.com'],
    ['http://app.example.com', 'https://broker.example.com'],
    ['http://localhost:5173', 'http://127.0.0.1:4000'],
    ['http://127.0.0.1:5173', 'http://127.1.0.1:4000'],
    ['http://10.1.0.1', 'http://10.2.0.1'],
    ['http://[::1]:5173', 'http://[::2]:4000'],
    ['capacitor://localhost', 'http://localhost:4000'],
    ['nonsense', 'https://broker.example.com'],
  ] as const)
    t.match(siteProblem(origin, publicUrl), 'another site', `${origin} ${publicUrl}`)
  t.match(siteProblem('https://b.example', 'https://b.example/base'), 'own origin')
})

t.test('an app with sessions is refused on another site', async (t) => {
  const broker = await buildBroker(t, { env: { BROKER_PUBLIC_URL: 'https://broker.example.com' } })
  const settings = { session: 'cookie', access: 'proxy' } as const
  const add = (host: string, more: object = {}) =>
    addApp(broker, { ...settings, redirectUris: [`https://${host}/map`], ...more })
  await add('app.example.com')
  await t.rejects(add('app.example.org'), {
    message: /Origin https:\/\/app\.example\.org is on an/,
  })
  await t.rejects(add('broker.example.com'), { message: /own origin/ })
  await t.rejects(add('app.example.com', { origins: [] }), { message: /needs an origin/ })
  for (const more of [{ dpop: 'required' }, { device: true }, { confidential: true }])
    await t.rejects(add('app.example.com', more), { message: /only for public apps|excludes/ })
  const plain = await addApp(broker, { redirectUris: ['https://app.example.org/map'] })
  await t.rejects(broker.services.apps.set(plain.id, settings, 'test'), { message: /another site/ })
})
