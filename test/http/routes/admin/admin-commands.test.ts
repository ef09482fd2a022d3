import t from 'tap'
import { Secret } from '../../../../server/secret.ts'
import { PASSWORD, signIn } from '../../../admin.ts'
import { buildBroker } from '../../../helper.ts'
import { cli, serve } from '../../../processes.ts'
import { startIssuer } from '../../../oidc-issuer.ts'
import { Visitor } from '../../../visitor.ts'
import { addSecondFactor, newPasskey } from '../../../db/rows.ts'

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

t.test('the command line counts passkeys, says that they stay, and removes them', async (t) => {
  const env = { BROKER_REQUIRE_SECOND_FACTOR: 'true' }
  const broker = await buildBroker(t, { env })
  const email = 'ada@example.com'
  await broker.services.admins.add(email, new Secret(PASSWORD), 'test')
  const { store } = broker.services
  const adminId = (await store.findAdmin(email))?.id ?? ''
  const run = (command: string, input?: string) => cli(command.split(' '), broker.env, input)
  t.match((await run('doctor')).stdout, /warning {2}second factors: .*ada@example/)
  const reset = `admin reset-password ${email} --password-stdin`
  t.notMatch((await run(reset, 'another horse battery')).stdout, 'without it')

  for (const id of ['one', 'two'])
    t.equal(await store.updatePasskey(null, newPasskey(id, { adminId }), []), true)
  t.match(JSON.parse((await run('admin list --json')).stdout), [
    { second_factor: 'yes', passkeys: 2 },
  ])
  t.notMatch((await run('admin list')).stdout, 'Without the second factor')
  t.match((await run('doctor')).stdout, /ok +second factors: every admin has one/)
  t.match((await run(reset, 'another battery horse')).stdout, /without it, with 2 passkeys/)
  t.equal((await store.listPasskeys(adminId)).length, 2)

  const removed = await run(`admin remove-second-factor ${email}`)
  t.match(removed, { code: 0, stdout: /Removed 2 passkeys of ada@example\.com/ })
  t.strictSame(await store.listPasskeys(adminId), [])
  const { rows } = await store.listEvents({ limit: 2 })
  for (const event of rows)
    t.match(event, { action: 'admin.passkey_removed', actor: 'cli', details: /of ada@example/ })
})

t.test('with passwords off, `admin add` prints a link that signs in once', async (t) => {
  const issuer = await startIssuer(t)
  const broker = await buildBroker(t, { env: { ...issuer.env, BROKER_ADMIN_PASSWORDS: 'false' } })
  const add = async (email: string) => (await cli(['admin', 'add', email], broker.env)).stdout
  const first = await add('Eve@Example.com')
  t.match(first, 'Added admin eve@example.com.')
  t.match(await add('eve@example.com'), 'There is already the admin eve@example.com.')
  const link = first.trim().split('\n').at(-1) ?? ''
  t.ok(link.startsWith(`${broker.url}/admin/sign-in/link/`))
  const visitor = new Visitor()
  const home = await visitor.press(await visitor.open(link), 'Sign in')
  t.equal(home.url, `${broker.url}/admin`)

  issuer.answers.claims = { groups: ['broker-viewers'], email: 'ada@example.com' }
  await new Visitor().open(`${broker.url}/admin/oidc/sign-in`)
  const listed = await cli(['admin', 'list', '--json'], broker.env)
  t.match(JSON.parse(listed.stdout), [
    { role: 'viewer', sign_in: `${issuer.url} (ada@example.com)` },
    { email: 'eve@example.com', role: 'admin', sign_in: 'link' },
  ])
})
