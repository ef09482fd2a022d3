/** The consent page says what the app's access policy allows, and nothing else. */
import t from 'tap'
import type { AccessPolicy, App } from '../../db/store.ts'
import { findGrant } from '../db/rows.ts'
import { RETURN, addApp, allow, authorizationRequest, buildBroker, postForm } from '../helper.ts'
import { begin as beginDevice, enterCode } from '../oauth/device/begin.ts'
import type { TestBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'

const VIEW = 'can view your maps, layers and files'
const CHANGE = 'can add, change and delete them'
const NO_CHANGE = 'cannot add, change or delete anything'
const PROXY = 'can reach your drive only through this broker'
const PARTS = 'can view parts of your Ellipsis Drive'
const SOME_CHANGES = 'can make some changes, which may add, change or delete data'
const NO_VIEW = 'cannot view your maps, layers and files'
const ONLY = 'can send only these requests'
const ALL = [VIEW, CHANGE, NO_CHANGE, PROXY, PARTS, SOME_CHANGES, NO_VIEW, ONLY]

const rule = 'GET /path/*/raster/**'
const cases: [policy: Partial<AccessPolicy>, texts: string[]][] = [
  [{}, [VIEW, CHANGE]],
  [{ access: 'proxy' }, [VIEW, CHANGE, PROXY]],
  [{ access: 'proxy', readOnly: true }, [VIEW, NO_CHANGE, PROXY]],
  [{ access: 'proxy', allow: [rule] }, [PARTS, NO_CHANGE, PROXY, ONLY, rule]],
  [
    { access: 'proxy', allow: [rule, 'PUT /path/*'] },
    [PARTS, SOME_CHANGES, PROXY, ONLY, rule, 'PUT /path/*'],
  ],
  [
    { access: 'proxy', allow: ['POST /path/**'] },
    [NO_VIEW, SOME_CHANGES, PROXY, ONLY, 'POST /path/**'],
  ],
  [{ access: 'proxy', allow: ['* /path/**'] }, [PARTS, SOME_CHANGES, PROXY, ONLY, '* /path/**']],
  [
    { access: 'proxy', readOnly: true, allow: ['* /path/**', 'DELETE /x'] },
    [PARTS, NO_CHANGE, PROXY, ONLY, 'GET /path/**'],
  ],
]

const redeem = (broker: TestBroker, app: App, returned: string, verifier: string) =>
  postForm(`${broker.url}/oauth/token`, {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: new URL(returned).searchParams.get('code') ?? '',
    code_verifier: verifier,
  })

const listOf = (body: string): string => /<ul class="may">.*?<p>Access lasts/s.exec(body)?.[0] ?? ''

t.test('what the page says follows from the policy', async (t) => {
  const broker = await buildBroker(t)
  for (const [policy, texts] of cases) {
    const { parameters } = authorizationRequest(await addApp(broker, policy))
    const query = new URLSearchParams(parameters).toString()
    const page = await new Visitor().open(`${broker.url}/oauth/authorize?${query}`)
    const list = listOf(page.body)
    for (const text of texts) t.ok(list.includes(text), `${JSON.stringify(policy)}: ${text}`)
    for (const text of ALL.filter((each) => !texts.includes(each))) {
      t.notOk(list.includes(text), `${JSON.stringify(policy)}: not ${text}`)
    }
    t.match(list, 'cannot change your password')
    t.notMatch(list, 'DELETE /x', 'a rule without effect')
    const verb = policy.readOnly === true || policy.allow?.[0] === rule ? 'view' : 'use'
    if (policy.allow?.length !== 2) t.match(page.body, `asks to ${verb} your Ellipsis Drive`)

    const other = new URLSearchParams({ ...parameters, scope: 'openid' }).toString()
    const identity = await new Visitor().open(`${broker.url}/oauth/authorize?${other}`)
    t.match(listOf(identity.body), 'cannot view, add, change or delete your maps')
    for (const text of ALL.slice(0, -2)) t.notOk(listOf(identity.body).includes(text), text)
  }
})

t.test('a form that shows another policy is shown again', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { access: 'proxy', readOnly: true })
  const { parameters } = authorizationRequest(app)
  const visitor = new Visitor()
  const url = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
  const page = await visitor.open(url)
  await broker.services.apps.set(app.id, { readOnly: false }, 'test')
  const again = await visitor.press(page, 'Continue to Ellipsis Drive', {}, RETURN)
  t.equal(again.url, `${broker.url}/oauth/authorize`)
  t.match(again.body, 'has changed since this page was opened')
  t.match(listOf(again.body), CHANGE)
  await broker.services.apps.set(app.id, { access: 'token' }, 'test')
  const third = await visitor.press(again, 'Continue to Ellipsis Drive', {}, RETURN)
  t.match(third.body, 'has changed since this page was opened')
  const denied = await visitor.press(third, 'Deny', {}, RETURN)
  t.equal(new URL(denied.url).searchParams.get('error'), 'access_denied')
  const upstream = await visitor.press(third, 'Continue to Ellipsis Drive', {}, RETURN)
  t.match(upstream.body, 'Log in as')
})

t.test('a policy that changes while the user signs in ends the flow', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { access: 'proxy' })
  const { parameters } = authorizationRequest(app)
  const visitor = new Visitor()
  const url = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
  const upstream = await visitor.press(await visitor.open(url), 'Continue to Ellipsis Drive')
  await broker.services.apps.set(app.id, { access: 'token' }, 'test')
  const end = await allow(visitor, upstream, 'amelie', RETURN)
  t.equal(end.status, 400)
  t.match(end.body, 'has changed since you were asked')
  t.equal((await Array.fromAsync(broker.services.connections.all())).length, 0)
})

t.test('the grant has the policy that the user allowed, with many long rules', async (t) => {
  const broker = await buildBroker(t)
  const rules = Array.from({ length: 50 }, (_, index) => `GET /path/${'a'.repeat(200)}${index}/**`)
  const policy: AccessPolicy = { access: 'proxy', readOnly: true, allow: rules }
  const app = await addApp(broker, policy)
  const { parameters, verifier } = authorizationRequest(app)
  const visitor = new Visitor()
  const url = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
  const upstream = await visitor.press(await visitor.open(url), 'Continue to Ellipsis Drive')
  const [cookie = ''] = [...visitor.cookies(broker.url)].filter(([name]) => name.includes('flow-'))
  t.ok(cookie.toString().length < 4096, 'browsers keep the cookie')
  const end = await allow(visitor, upstream, 'amelie', RETURN)
  const redeemed = await redeem(broker, app, end.url, verifier)
  t.equal(redeemed.status, 200)
  t.same((await findGrant(broker.services.store, app.id))?.policy, policy)
})

t.test('the page for devices says the same, and is shown again', async (t) => {
  const { broker, app, start, poll } = await beginDevice(t, { access: 'proxy', readOnly: true })
  const { body } = await start()
  const visitor = new Visitor()
  const page = await enterCode(broker, body.user_code, visitor)
  for (const text of [VIEW, NO_CHANGE, PROXY]) t.ok(listOf(page.body).includes(text), text)
  t.notMatch(page.body, 'has changed since')
  await broker.services.apps.set(app.id, { readOnly: false }, 'test')
  const again = await visitor.press(page, 'Continue to Ellipsis Drive')
  t.match(again.body, 'has changed since this page was opened')
  t.match(listOf(again.body), CHANGE)
  const upstream = await visitor.press(again, 'Continue to Ellipsis Drive')
  await allow(visitor, upstream, 'amelie')
  t.equal((await poll(body.device_code)).status, 200)
  const grant = await findGrant(broker.services.store, app.id)
  t.same(grant?.policy, { access: 'proxy', readOnly: false, allow: [] })
})

t.test('trusted apps are not asked: their next grants have the new policy', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { trusted: true, access: 'proxy', readOnly: true })
  await broker.services.apps.set(app.id, { readOnly: false }, 'test')
  const { parameters, verifier } = authorizationRequest(app)
  const query = new URLSearchParams(parameters).toString()
  const visitor = new Visitor()
  const upstream = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
  t.match(upstream.body, 'Log in as')
  const end = await allow(visitor, upstream, 'amelie', RETURN)
  t.equal((await redeem(broker, app, end.url, verifier)).status, 200)
  const policy = { access: 'proxy', readOnly: false, allow: [] }
  t.same((await findGrant(broker.services.store, app.id))?.policy, policy)
})
