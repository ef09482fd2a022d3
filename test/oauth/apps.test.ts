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
