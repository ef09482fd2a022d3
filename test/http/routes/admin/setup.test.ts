import t from 'tap'
import { PASSWORD } from '../../../admin.ts'
import { buildBroker } from '../../../helper.ts'
import { serve } from '../../../processes.ts'
import { Visitor } from '../../../visitor.ts'

const HOUR = 3_600_000

t.test('the first admin is made at the setup address, and is signed in', async (t) => {
  const broker = await buildBroker(t)
  const secret = await broker.services.setup.invite()
  const address = `${broker.url}/admin/setup/${secret?.reveal()}`
  const visitor = new Visitor()
  t.match((await visitor.open(`${broker.url}/admin`)).body, 'There is no admin yet')
  const page = await visitor.open(address)
  t.match(page, { status: 200, body: 'Set up this broker' })

  const wrong = [
    { email: 'nonsense', password: PASSWORD },
    { email: 'ada@example.com', password: 'short' },
    { email: `${'a'.repeat(250)}@b.example`, password: PASSWORD },
    { email: 'ada\u202e@example.com', password: PASSWORD },
  ]
  for (const given of wrong) {
    const answer = await visitor.press(page, 'Make the first admin', given)
    t.match(answer, { status: 422, body: /role="alert">(Choose a password|.* is no e-mail)/ })
  }
  const given = { email: ' Ada@Example.com', password: PASSWORD }
  const inside = await visitor.press(page, 'Make the first admin', given)
  t.equal(inside.url, `${broker.url}/admin`)
  t.match(inside.body, 'You are the first admin')
  t.match(inside.body, 'Signed in as <bdi>ada@example.com')
  t.notMatch((await visitor.open(`${broker.url}/admin`)).body, 'first admin', 'told once')

  const again = await visitor.press(page, 'Make the first admin', given)
  t.match(again, { status: 404, body: 'This address has ended' })
  t.match(await visitor.open(address), { status: 404 })
  t.equal(await broker.services.setup.invite(), undefined)
  const [event] = (await broker.services.store.listEvents({ limit: 2 })).rows
  t.match(event, { action: 'admin.signed_in', actor: 'admin:ada@example.com' })
})

t.test('a setup address ends after an hour, and no other opens', async (t) => {
  const broker = await buildBroker(t)
  const secret = (await broker.services.setup.invite())?.reveal()
  const open = async (secret = '') =>
    (await new Visitor().open(`${broker.url}/admin/setup/${secret}`)).status
  t.equal(await open(secret), 200)
  t.equal(await open(`${secret}x`), 404)
  broker.clock.advance(HOUR)
  t.equal(await open(secret), 404)
})

t.test('two who set up at once: one is the first admin', async (t) => {
  const broker = await buildBroker(t)
  const answers = await Promise.all(
    ['ada', 'bob'].map(async (name) => {
      const secret = await broker.services.setup.invite()
      const visitor = new Visitor()
      const page = await visitor.open(`${broker.url}/admin/setup/${secret?.reveal()}`)
      const given = { email: `${name}@example.com`, password: PASSWORD }
      return (await visitor.press(page, 'Make the first admin', given)).status
    }),
  )
  t.strictSame(answers.sort(), [200, 404])
  t.equal((await broker.services.admins.list()).length, 1)
})

t.test('serve prints it while there is no admin; each process its own, all good', async (t) => {
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
})
