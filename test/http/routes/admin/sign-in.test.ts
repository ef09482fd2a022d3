import t from 'tap'
import { Secret } from '../../../../server/secret.ts'
import { PASSWORD, signIn } from '../../../admin.ts'
import { buildBroker } from '../../../helper.ts'
import { Visitor } from '../../../visitor.ts'
import { csrfTokenOf } from './dashboard.ts'

t.test('an admin signs in, opens pages and signs out', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker, { email: 'ada@example.com' })
  const home = await visitor.open(`${broker.url}/admin`)
  t.match(home, { status: 200, body: /Signed in as <bdi>ada@example.com/ })
  t.match(home.body, /<a href="\/admin" aria-current="page">Overview/)

  const account = await visitor.open(`${broker.url}/admin/account`)
  t.match(account.body, /Firefox on Linux.*>Current</s)
  t.match(account.body, /<a href="\/admin\/account" aria-current="page">Account/)

  const out = await visitor.press(home, 'Sign out')
  t.equal(out.url, `${broker.url}/admin/sign-in`)
  t.equal(visitor.cookies(broker.url).has('session'), false)
  t.match((await visitor.open(`${broker.url}/admin/account`)).url, '/admin/sign-in?next=')
})

t.test('a wrong password, an unknown account and an empty form get the same answer', async (t) => {
  const broker = await buildBroker(t)
  await signIn(broker, { email: 'ada@example.com' })
  const visitor = new Visitor()
  const page = await visitor.open(`${broker.url}/admin/sign-in`)
  const attempts = [
    { email: 'ada@example.com', password: 'wrong' },
    { email: 'nobody@example.com', password: PASSWORD },
    { email: '', password: '' },
  ]
  for (const fields of attempts) {
    const answer = await visitor.press(page, 'Sign in', fields)
    t.match(answer, { status: 401, body: /Incorrect e-mail address or password/ })
    t.equal(visitor.cookies(broker.url).has('session'), false)
  }
})

const cookiesOf = (visitor: Visitor, url: string): string =>
  [...visitor.cookies(new URL(url).origin)].map((pair) => pair.join('=')).join('; ')

t.test('after signing in, `next` leads to pages of the dashboard only', async (t) => {
  const broker = await buildBroker(t, { basePath: '/broker' })
  const { url } = broker
  const inside = await signIn(broker, { email: 'ada@example.com' })
  const cases: [string, string][] = [
    ['/broker/admin/account', '/broker/admin/account'],
    ['/broker/admin/account?a=b%20c', '/broker/admin/account?a=b%20c'],
    ['', '/broker/admin'],
    ['/broker/adminx', '/broker/admin'],
    ['/admin/account', '/broker/admin'],
    ['//evil.example/broker/admin/', '/broker/admin'],
    ['https://evil.example/broker/admin/', '/broker/admin'],
    ['/\\evil.example/broker/admin/', '/broker/admin'],
    ['/broker/admin/../../../evil.example', '/broker/admin'],
    ['\t//evil.example/broker/admin', '/broker/admin'],
    ['javascript:alert(1)//broker/admin', '/broker/admin'],
    ['http://[', '/broker/admin'],
  ]
  for (const [next, expected] of cases) {
    const visitor = new Visitor()
    const query = new URLSearchParams({ next }).toString()
    const page = await visitor.open(`${url}/admin/sign-in?${query}`)
    const answer = await fetch(`${url}/admin/sign-in`, {
      method: 'POST',
      redirect: 'manual',
      headers: { cookie: cookiesOf(visitor, url) },
      body: new URLSearchParams({
        _csrf: csrfTokenOf(page),
        email: 'ada@example.com',
        password: PASSWORD,
        next,
      }),
    })
    t.equal(answer.status, 303)
    t.equal(answer.headers.get('location'), expected, next)
    const already = await inside.open(`${url}/admin/sign-in?${query}`, 'never')
    t.equal(already.url, new URL(expected, url).href, `signed in already: ${next}`)
  }
})

t.test('address and password are accepted however the keyboard composes them', async (t) => {
  const broker = await buildBroker(t)
  const [email, password] = ['jos\u00e9@example.com', 'cr\u00e8me br\u00fbl\u00e9e \ufb01ne']
  await broker.services.admins.add(email, new Secret(password), 'test')
  for (const form of ['NFC', 'NFD', 'NFKD']) {
    const visitor = new Visitor()
    const page = await visitor.open(`${broker.url}/admin/sign-in`)
    const typed = { email: email.normalize(form), password: password.normalize(form) }
    t.equal((await visitor.press(page, 'Sign in', typed)).url, `${broker.url}/admin`, form)
  }
  const add = (address: string, secret = password) =>
    broker.services.admins.add(address, new Secret(secret), 'test')
  await t.rejects(add('jose\u0301@example.com'), /already exists/)
  for (const trick of ['\u200b', '\u00ad', '\u202e', '\u{e0041}']) {
    await t.rejects(add(`jos${trick}\u00e9@example.com`), /not an e-mail address/)
  }
  // Lengths count after normalisation.
  await t.rejects(add('a@example.com', 'e\u0301'.repeat(11)), /12 to 1024 characters/)
  await t.resolves(add('b@example.com', 'zq\ufb03x\ufb03kv\ufb03'))
  await t.rejects(add('c@example.com', '\ufb01'.repeat(513)), /12 to 1024 characters/)
})
