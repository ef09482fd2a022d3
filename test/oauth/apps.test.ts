import t from 'tap'
import { addApp, addAppWithSecret, buildBroker } from '../helper.ts'

t.test('invalid changes are refused', async (t) => {
  const broker = await buildBroker(t)
  const { apps } = broker.services
  const app = await addApp(broker)
  await t.rejects(apps.set(app.id, { confidential: true }, 'test'), { code: 'invalid_request' })
  t.match(await apps.set(app.id, { confidential: false, name: 'Same' }, 'test'), { name: 'Same' })
  await t.rejects(apps.rotateSecret(app.id, 60, 'test'), /public and has no secret/)
  await t.rejects(apps.set('app_unknown', {}, 'test'), /no app/)
  const many = Array.from({ length: 21 }, (_, index) => `https://app.example/${index}`)
  await t.rejects(apps.set(app.id, { redirectUris: many }, 'test'), /at most 20/)
  for (const tokenLifetimeSeconds of [59, 401 * 86_400, 60.5]) {
    await t.rejects(apps.set(app.id, { tokenLifetimeSeconds }, 'test'), /a minute and 400 days/)
  }
  t.equal(await apps.remove('app_unknown', 'test'), false)
})

t.test('a third secret replaces the oldest', async (t) => {
  const broker = await buildBroker(t)
  const { apps } = broker.services
  const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const works = (secret: typeof clientSecret) =>
    apps.authenticate({ clientId: app.id, clientSecret: secret }).then(
      () => true,
      () => false,
    )
  const second = await apps.rotateSecret(app.id, 3600, 'test')
  t.same([await works(clientSecret), await works(second)], [true, true])
  const third = await apps.rotateSecret(app.id, 60, 'test')
  t.same([await works(clientSecret), await works(second), await works(third)], [false, true, true])
  broker.clock.advance(61_000)
  t.same([await works(second), await works(third)], [false, true])
})

t.test('concurrent changes of an app are all kept', async (t) => {
  const broker = await buildBroker(t)
  const { apps } = broker.services
  const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const authenticate = (secret: typeof clientSecret) =>
    apps.authenticate({ clientId: app.id, clientSecret: secret })
  const [fresh] = await Promise.all([
    apps.rotateSecret(app.id, 0, 'test'),
    apps.set(app.id, { name: 'Renamed' }, 'test'),
    apps.set(app.id, { trusted: true }, 'test'),
  ])
  await t.rejects(authenticate(clientSecret), { code: 'invalid_client' })
  t.match(await authenticate(fresh), { name: 'Renamed', trusted: true })

  const [second] = await Promise.all([
    apps.rotateSecret(app.id, 3600, 'test'),
    apps.endOldSecret(app.id, 'test'),
    apps.rotateSecret(app.id, 0, 'test'),
  ])
  await t.rejects(authenticate(fresh), { code: 'invalid_client' })
  await t.rejects(authenticate(second), { code: 'invalid_client' })

  const contradictory = [{ deliver: 'fragment' }, { dpop: 'required' }] as const
  const publicApp = await addApp(broker)
  const set = contradictory.map((changes) => apps.set(publicApp.id, changes, 'test'))
  const outcomes = await Promise.allSettled(set)
  t.strictSame(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
})

t.test('derived origins follow the redirect URIs, chosen ones stay', async (t) => {
  const broker = await buildBroker(t)
  const { apps } = broker.services
  const [one, two] = ['https://one.example/', 'https://two.example/return']
  const originsAfter = async (
    settings: Parameters<typeof addApp>[1],
    changes: Parameters<typeof apps.set>[1],
  ) => {
    const app = await addApp(broker, settings)
    const { origins } = await apps.set(app.id, changes, 'test')
    return origins
  }
  const derived = { redirectUris: [one, 'http://127.0.0.1/'] }
  const chosen = { redirectUris: [one], origins: ['https://chosen.example'] }
  const confidential = { redirectUris: [one], confidential: true }
  t.strictSame(await originsAfter(derived, { redirectUris: [two] }), ['https://two.example'])
  t.strictSame(await originsAfter(derived, { redirectUris: ['com.example.app:/x'] }), [])
  t.strictSame(await originsAfter(chosen, { redirectUris: [two] }), ['https://chosen.example'])
  t.strictSame(await originsAfter({ ...derived, origins: [] }, { redirectUris: [two] }), [])
  t.strictSame(await originsAfter(derived, { name: 'Other' }), [
    'https://one.example',
    'http://127.0.0.1',
  ])
  t.strictSame(
    await originsAfter(derived, { redirectUris: [two], origins: ['https://x.example'] }),
    ['https://x.example'],
  )
  t.strictSame(await originsAfter(confidential, { redirectUris: [two] }), [])
})

t.test('a name is cleaned on change as on creation', async (t) => {
  const broker = await buildBroker(t)
  const { apps } = broker.services
  const names: [string, string][] = [
    ['  Flood map \n', 'Flood map'],
    ['\u200bFlood\u202e map\u00ad', 'Flood map'],
    ['نقشه\u200cها 👩‍🚒', 'نقشه\u200cها 👩‍🚒'],
    ['🗺'.repeat(200), '🗺'.repeat(200)],
  ]
  for (const [name, clean] of names) {
    const app = await addApp(broker, { name })
    t.equal(app.name, clean)
    t.equal((await apps.set((await addApp(broker)).id, { name }, 'test')).name, clean)
    t.equal((await apps.get(app.id)).name, clean)
  }
  const app = await addApp(broker)
  for (const name of ['', '  ', '\u200b\u2060', '🗺'.repeat(201)]) {
    await t.rejects(apps.set(app.id, { name }, 'test'), /1 to 200 characters/)
    await t.rejects(addApp(broker, { name }), /1 to 200 characters/)
  }
})

t.test('a redirect URI that an older broker accepted stays valid', async (t) => {
  const broker = await buildBroker(t)
  const { apps, store } = broker.services
  const app = await addApp(broker)
  const old = { ...app, redirectUris: ['https:app.example.com/return'] }
  t.equal(await store.updateApp(app, old, []), true)
  t.match(await apps.set(app.id, { name: 'Renamed' }, 'test'), { redirectUris: old.redirectUris })
  const more = [...old.redirectUris, 'https://new.example/']
  t.match(await apps.set(app.id, { redirectUris: more }, 'test'), { redirectUris: more })
  const wrong = [...more, 'https:new.example/']
  await t.rejects(apps.set(app.id, { redirectUris: wrong }, 'test'), /write it as https:\/\/new/)
})

t.test('access through the proxy fits the other settings', async (t) => {
  const broker = await buildBroker(t, {
    env: { BROKER_PUBLIC_URL: 'https://broker.example.com' },
  })
  const rules = (count: number) => Array.from({ length: count }, (_, index) => `GET /${index}`)
  const cookie = { access: 'proxy', session: 'cookie' } as const
  const wrong: [Parameters<typeof addApp>[1], RegExp][] = [
    [{ readOnly: true }, /read-only access and rules need access through the proxy/],
    [{ allow: ['GET /a'] }, /read-only access and rules need access through the proxy/],
    [{ access: 'proxy', tokens: 'ellipsis' }, /choose one/],
    [{ access: 'proxy', deliver: 'fragment' }, /choose one/],
    [{ access: 'proxy', allow: rules(51) }, /at most 50 rules/],
    [{ access: 'proxy', allow: ['GET /a/../b', 'x'] }, /no segment of dots.*\n.*“x”: Write METHOD/],
    [{ access: 'proxy', allow: [`GET /${'a'.repeat(500)}`] }, /at most 500 characters/],
    [{ requestsPerMinute: 0 }, /between 1 and/],
    [{ requestsPerDay: 1.5 }, /between 1 and/],
    [{ session: 'cookie' }, /cookie needs access through the proxy/],
    [{ ...cookie, confidential: true }, /only for public apps/],
    [{ ...cookie, redirectUris: ['com.example.app:/x'] }, /only for public apps/],
    [{ ...cookie, redirectUris: [], device: true }, /only for public apps/],
    [{ ...cookie, device: true }, /excludes the device flow/],
    [{ ...cookie, dpop: 'required' }, /excludes .* required DPoP/],
    [{ ...cookie, par: 'required' }, /excludes .* required pushed requests/],
  ]
  for (const [settings, problem] of wrong) await t.rejects(addApp(broker, settings), problem)
  for (const settings of [
    { access: 'proxy', readOnly: true, allow: rules(50), requestsPerDay: 1 } as const,
    cookie,
  ]) {
    t.match(await addApp(broker, settings), settings)
  }
  const app = await addApp(broker, { access: 'proxy', readOnly: true })
  const { apps } = broker.services
  await t.rejects(apps.set(app.id, { access: 'token' }, 'test'), /need access through the proxy/)
  t.match(await apps.set(app.id, { access: 'token', readOnly: false }, 'test'), { readOnly: false })
})
