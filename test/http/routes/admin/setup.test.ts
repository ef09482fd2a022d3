import t from 'tap'
import { PASSWORD } from '../../../admin.ts'
import { buildBroker } from '../../../helper.ts'
import { serve } from '../../../processes.ts'
import { Visitor } from '../../../visitor.ts'

const HOUR_MS = 3_600_000

t.test('the setup URL creates the first admin and signs in', async (t) => {
  const broker = await buildBroker(t)
  const secret = await broker.services.setup.invite()
  const address = `${broker.url}/admin/setup/${secret?.reveal()}`
  const visitor = new Visitor()
  t.match((await visitor.open(`${broker.url}/admin`)).body, 'There is no admin yet')
  const page = await visitor.open(address)
  t.match(page, { status: 200, body: 'Set up this broker' })

  const invalid = [
    { email: 'nonsense', password: PASSWORD },
    { email: 'ada@example.com', password: 'short' },
    { email: `${'a'.repeat(250)}@b.example`, password: PASSWORD },
    { email: 'ada\u202e@example.com', password: PASSWORD },
  ]
  for (const fields of invalid) {
    const answer = await visitor.press(page, 'Create first admin', fields)
    t.match(answer, { status: 422, body: /role="alert">(Choose a password|.* is not an e-mail)/ })
  }
  const fields = { email: ' Ada@Example.com', password: PASSWORD }
  const inside = await visitor.press(page, 'Create first admin', fields)
  t.equal(inside.url, `${broker.url}/admin`)
  t.match(inside.body, 'You are the first admin')
  t.match(inside.body, 'Signed in as <bdi>ada@example.com')
  t.notMatch((await visitor.open(`${broker.url}/admin`)).body, 'first admin', 'shown once')

  const again = await visitor.press(page, 'Create first admin', fields)
  t.match(again, { status: 404, body: 'This setup URL has expired' })
  t.match(await visitor.open(address), { status: 404 })
  t.equal(await broker.services.setup.invite(), undefined)
  const [event] = (await broker.services.store.listEvents({ limit: 2 })).rows
  t.match(event, { action: 'admin.signed_in', actor: 'admin:ada@example.com' })
})

t.test('a setup URL expires after an hour, and a wrong one is rejected', async (t) => {
  const broker = await buildBroker(t)
  const secret = (await broker.services.setup.invite())?.reveal()
  const open = async (secret = '') =>
    (await new Visitor().open(`${broker.url}/admin/setup/${secret}`)).status
  t.equal(await open(secret), 200)
  t.equal(await open(`${secret}x`), 404)
  broker.clock.advance(HOUR_MS)
  t.equal(await open(secret), 404)
})

t.test('concurrent setups create one admin', async (t) => {
  const broker = await buildBroker(t)
  const answers = await Promise.all(
    ['ada', 'bob'].map(async (name) => {
      const secret = await broker.services.setup.invite()
      const visitor = new Visitor()
      const page = await visitor.open(`${broker.url}/admin/setup/${secret?.reveal()}`)
      const fields = { email: `${name}@example.com`, password: PASSWORD }
      return (await visitor.press(page, 'Create first admin', fields)).status
    }),
  )
  t.strictSame(answers.sort(), [200, 404])
  t.equal((await broker.services.admins.list()).length, 1)
})

t.test(
  'each process prints its own setup URL while there is no admin, and all are valid',
  async (t) => {
    const broker = await buildBroker(t)
    const others = [await serve(t, broker.env), await serve(t, broker.env)]
    const visitor = new Visitor()
    for (const { output, url } of others) {
      let path: string | undefined
      while (!(path = /\/admin\/setup\/[\w-]{43}/.exec(output())?.[0])) {
        await new Promise((resolve) => setTimeout(resolve, 25))
      }
      t.match((await visitor.open(url + path)).body, 'Set up this broker')
      t.match((await visitor.open(broker.url + path)).body, 'Set up this broker')
    }
    const { Secret } = await import('../../../../server/secret.ts')
    await broker.services.admins.add('ada@example.com', new Secret(PASSWORD), 'cli')
    const path = /\/admin\/setup\/[\w-]{43}/.exec(others[0]?.output() ?? '')?.[0] ?? ''
    t.match(await visitor.open(others[1]?.url + path), { status: 404 })
    const late = await serve(t, broker.env)
    await late.stop()
    t.notMatch(late.output(), '/admin/setup/')
  },
)
