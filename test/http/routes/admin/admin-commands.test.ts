import t from 'tap'
import { PASSWORD, signIn } from '../../../admin.ts'
import { buildBroker } from '../../../helper.ts'
import { cli, serve } from '../../../processes.ts'
import type { Visitor } from '../../../visitor.ts'
import { addSecondFactor } from '../../../db/rows.ts'

// Admins changed on the command line while servers run.

t.test(
  'removing an admin or resetting the password ends their sessions in every process',
  async (t) => {
    const broker = await buildBroker(t, { env: { BROKER_TRUST_PROXY: '127.0.0.1' } })
    const other = await serve(t, broker.env)
    const { host } = new URL(broker.url)
    /** Is the session valid in the other process? It is reached by the same name, as through a proxy. */
    const isSignedInThere = async (visitor: Visitor) => {
      const cookies = [...visitor.cookies(broker.url)].map((pair) => pair.join('=')).join('; ')
      const headers = { cookie: cookies, accept: 'text/html', 'x-forwarded-host': host }
      const path = `${other.url}/admin/account`
      return (await fetch(path, { headers, redirect: 'manual' })).status === 200
    }

    const [ada, bob] = [
      await signIn(broker, { email: 'ada@example.com' }),
      await signIn(broker, { email: 'bob@example.com' }),
    ]
    t.equal((await ada.open(`${broker.url}/admin`)).url, `${broker.url}/admin`)
    t.equal(await isSignedInThere(ada), true)
    const reset = ['admin', 'reset-password', 'ada@example.com', '--password-stdin']
    t.equal((await cli(reset, broker.env, 'another horse battery')).code, 0)
    t.strictSame(
      [await isSignedInThere(ada), (await ada.open(`${broker.url}/admin`)).url],
      [false, `${broker.url}/admin/sign-in?next=%2Fadmin`],
    )
    t.equal(await isSignedInThere(bob), true)
    t.match(await cli(['admin', 'remove', 'bob@example.com'], broker.env), {
      code: 0,
      stdout: /Removed/,
    })
    t.equal(await isSignedInThere(bob), false)
    t.equal(
      (await bob.open(`${broker.url}/admin`)).url,
      `${broker.url}/admin/sign-in?next=%2Fadmin`,
    )
  },
)

t.test('a lost second factor is removed on the command line', async (t) => {
  const broker = await buildBroker(t)
  await signIn(broker, { email: 'ada@example.com' })
  const remove = ['admin', 'remove-second-factor', 'Ada@example.com']
  t.match(await cli(remove, broker.env), { code: 2, stderr: /with a second factor/ })
  const admin = await broker.services.store.findAdmin('ada@example.com')
  if (!admin) throw new Error('no admin')
  await broker.services.secondFactors.propose(admin)
  await addSecondFactor(broker.services.store, admin.id)
  const list = () => cli(['admin', 'list', '--json'], broker.env)
  t.match((await list()).stdout, '"second_factor": "yes"')
  const reset = ['admin', 'reset-password', 'ada@example.com', '--password-stdin']
  t.equal((await cli(reset, broker.env, PASSWORD)).code, 0)
  t.match((await list()).stdout, '"second_factor": "yes"', 'a new password keeps it')
  t.match(await cli(remove, broker.env), { code: 0, stdout: /Ask them to add a new one/ })
  t.match((await list()).stdout, '"second_factor": "no"')
  const visitor = await signIn(broker, { email: 'ada@example.com' })
  t.match((await visitor.open(`${broker.url}/admin/account`)).body, '>Off</span>')
})
