/** Several tabs of one browser, and forms that are older than the browser's cookies. */
import t from 'tap'
import { PASSWORD } from '../admin.ts'
import { addApp, authorizationRequest, buildBroker, postForm } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'
import { Secret } from '../../server/secret.ts'
import { watchCommits } from '../commits.ts'

const CONTINUE = 'Continue to Ellipsis Drive'
const EMAIL = 'ada@example.com'

async function build(t: Parameters<typeof buildBroker>[0]) {
  const broker = await buildBroker(t)
  await broker.services.admins.add(EMAIL, new Secret(PASSWORD), 'test')
  const app = await addApp(broker, { device: true })
  const consentUrl = (): string => {
    const { parameters } = authorizationRequest(app)
    return `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
  }
  return { broker, app, consentUrl }
}

async function startDevice(broker: TestBroker, clientId: string): Promise<string> {
  const started = await postForm(`${broker.url}/oauth/device_authorization`, {
    client_id: clientId,
  })
  return String(started.body.user_code)
}

const csrfCookies = (visitor: Visitor, broker: TestBroker): string[] =>
  [...visitor.cookies(new URL(broker.url).origin).keys()].filter((name) => name.startsWith('csrf-'))

/** The browser closed: its session cookies are gone, its tabs are restored. */
const restart = (visitor: Visitor, broker: TestBroker): void =>
  visitor.cookies(new URL(broker.url).origin).clear()

t.test('tabs that load at the same time in a browser without a cookie all work', async (t) => {
  const { broker, app, consentUrl } = await build(t)
  const code = await startDevice(broker, app.id)
  const visitor = new Visitor()
  const [one, two, device, signIn] = await Promise.all([
    visitor.open(consentUrl()),
    visitor.open(`${broker.url}/connect/${app.id}`),
    visitor.open(`${broker.url}/device`),
    visitor.open(`${broker.url}/admin/sign-in`),
  ])
  t.ok(csrfCookies(visitor, broker).length > 1)
  for (const page of [one, two]) {
    const upstream = await visitor.press(page, CONTINUE)
    t.ok(upstream.url.startsWith(broker.services.config.ellipsis.apiUrl.replace(/\/v\d.*/, '')))
  }
  const asked = await visitor.press(device, 'Continue', { user_code: code })
  t.match(asked, { status: 200, body: 'Test map' })
  const overview = await visitor.press(signIn, 'Sign in', { email: EMAIL, password: PASSWORD })
  t.equal(overview.url, `${broker.url}/admin`)
})

t.test('later pages reuse the cookie, and the cookies of many tabs stay few', async (t) => {
  const { broker, consentUrl } = await build(t)
  const visitor = new Visitor()
  await visitor.open(consentUrl())
  await visitor.open(`${broker.url}/admin/sign-in`)
  await visitor.open(`${broker.url}/device`)
  t.equal(csrfCookies(visitor, broker).length, 1)

  const many = new Visitor()
  const tabs = await Promise.all(Array.from({ length: 30 }, () => many.open(consentUrl())))
  t.equal(csrfCookies(many, broker).length, 30)
  const later = await many.open(consentUrl())
  t.equal(csrfCookies(many, broker).length, 20)
  for (const page of [...tabs, later]) {
    const next = await many.press(page, CONTINUE)
    if (next.status !== 403) continue
    const last = await many.press(next, CONTINUE)
    t.equal(last.status, 200, 'a form whose cookie is gone is shown again')
  }
})

t.test('a restored form is shown again, and then works', async (t) => {
  const { broker, app, consentUrl } = await build(t)
  const code = await startDevice(broker, app.id)
  for (const hasOther of [false, true]) {
    const visitor = new Visitor()
    const lose = async () => {
      restart(visitor, broker)
      if (hasOther) await visitor.open(`${broker.url}/device`)
    }
    for (const path of [consentUrl(), `${broker.url}/connect/${app.id}`]) {
      for (const button of [CONTINUE, 'Deny']) {
        const page = await visitor.open(path)
        await lose()
        const changed = watchCommits(t, broker.dataDir)
        const again = await visitor.press(page, button)
        t.match(again, { status: 403, body: /had expired/ })
        t.equal(changed(), false)
        t.match(again.headers.get('content-security-policy'), /^((?!form-action).)*$/)
        const upstream = await visitor.press(again, CONTINUE)
        t.equal(upstream.status, 200)
      }
    }

    const typed = await visitor.open(`${broker.url}/device`)
    await lose()
    const typedAgain = await visitor.press(typed, 'Continue', { user_code: code.toLowerCase() })
    t.match(typedAgain, { status: 403, body: new RegExp(`value="${code}"`) })
    const asked = await visitor.press(typedAgain, 'Continue')
    t.match(asked.body, 'Test map')
    await lose()
    const askedAgain = await visitor.press(asked, CONTINUE)
    t.match(askedAgain, { status: 403, body: new RegExp(`value="${code}"`) })
    t.match(await visitor.press(askedAgain, 'Continue'), { status: 200, body: 'Test map' })

    const signIn = await visitor.open(`${broker.url}/admin/sign-in?next=%2Fadmin%2Fkeys`)
    await lose()
    const credentials = { email: EMAIL, password: PASSWORD }
    const signInAgain = await visitor.press(signIn, 'Sign in', credentials)
    t.match(signInAgain, { status: 403, body: new RegExp(`value="${EMAIL}"`) })
    t.notMatch(signInAgain.body, PASSWORD)
    const keys = await visitor.press(signInAgain, 'Sign in', credentials)
    t.match(keys, { status: 200, url: `${broker.url}/admin/keys` })
    await lose()
    const signedOut = await visitor.press(keys, 'Sign out')
    t.not(signedOut.status, 500)
  }
})

t.test('a form of another site is refused and not shown', async (t) => {
  const { broker, app, consentUrl } = await build(t)
  const page = await new Visitor().open(consentUrl())
  const body = new URLSearchParams(
    [...page.body.matchAll(/type="hidden" name="(\w+)" value="([^"]*)"/g)].map(
      ([, name = '', value = '']) => [name, value],
    ),
  )
  // Without it, the post is an authorization request like any link: it shows the form, and decides nothing.
  body.set('decision', 'allow')
  for (const headers of [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
  ]) {
    for (const path of ['/oauth/authorize', '/device', '/admin/sign-in', '/admin/setup/x']) {
      const answer = await fetch(broker.url + path, { method: 'POST', body, headers })
      t.equal(answer.status, 403, path)
      t.notMatch(await answer.text(), `<form|${app.name}`, path)
    }
  }
})

t.test('a device that is denied twice is denied, and no guess is counted', async (t) => {
  const { broker, app } = await build(t)
  const code = await startDevice(broker, app.id)
  const visitor = new Visitor()
  const typed = await visitor.open(`${broker.url}/device`)
  const asked = await visitor.press(typed, 'Continue', { user_code: code })
  for (const time of ['first', 'second'])
    t.match(
      await visitor.press(asked, 'Deny'),
      { status: 200, body: 'Nothing was connected' },
      time,
    )
  t.equal((await visitor.press(asked, CONTINUE)).status, 400, 'allowing it is too late')
})
