import t from 'tap'
import { addApp, buildBroker, connect, exchange } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { watchCommits } from '../commits.ts'
import { csrfTokenOf } from '../http/routes/admin/dashboard.ts'
import { Visitor } from '../visitor.ts'
import { signInAtMe, textOf } from './begin.ts'

/** All routes of `/me`, with a method. */
const routesOf = ({ app }: TestBroker) =>
  app.routeTable
    .filter(({ url }) => url === '/me' || url.startsWith('/me/'))
    .flatMap(({ url, method }) => [method].flat().map((one) => ({ url, method: one })))
    .filter(({ method }) => method !== 'HEAD')

const send = (
  visitor: Visitor,
  broker: TestBroker,
  { method, url }: { method: string; url: string },
  csrf: string,
) => {
  const cookie = [...visitor.cookies(broker.url)].map((pair) => pair.join('=')).join('; ')
  return fetch(broker.url + url, {
    method,
    redirect: 'manual',
    headers: { cookie, accept: 'text/html' },
    ...(method === 'POST' && { body: new URLSearchParams({ _csrf: csrf }) }),
  })
}

t.test('no route shows or changes what belongs to another account', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { name: 'Flood map' })
  const own = await connect(broker, app, { user: 'amelie' })
  const link = await fetch(`${broker.url}/links`, {
    method: 'POST',
    headers: { authorization: `Bearer ${own.brokerToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ path: '/path/x', label: 'Secret dikes' }),
  })
  const { id: linkId } = (await link.json()) as { id: string }
  const { visitor: stranger, page } = await signInAtMe(broker, 'bo')
  t.match(textOf(page), 'Signed in as bo')
  const csrf = csrfTokenOf(page)
  await broker.services.usage.flush()
  await broker.services.upstream.flush()

  const urls = routesOf(broker).map(({ url, method }) => ({
    method,
    url: url
      .replace(/devices\/:id/, `devices/${own.grantId}`)
      .replace(/apps\/:id/, `apps/${app.id}`)
      .replace(/links\/:id/, `links/${linkId}`),
  }))
  t.ok(urls.length >= 14, 'all routes')
  t.notMatch(urls.map(({ url }) => url).join(), ':id')
  const changed = watchCommits(t, broker.dataDir)
  for (const route of urls) {
    if (route.url === '/me/sign-out') continue
    const answer = await send(stranger, broker, route, csrf)
    const name = `${route.method} ${route.url}`
    t.ok(answer.status < 400, name)
    t.notMatch(await answer.text(), /Secret dikes|Flood map|amelie/, name)
  }
  t.equal(changed(), false)

  for (const route of urls) {
    const answer = await send(new Visitor(), broker, route, '')
    t.notMatch(await answer.text(), /Secret dikes|Flood map|amelie/, 'without a session')
  }
  t.equal(changed(), false)
  t.equal((await exchange(broker, own.brokerToken)).status, 200)
})

t.test('without an account, a person sees what was connected in this browser', async (t) => {
  const broker = await buildBroker(t, { switches: { accountWithoutId: true } })
  const map = await addApp(broker, { name: 'Flood map' })
  const report = await addApp(broker, { name: 'Storm report' })
  const [here, elsewhere] = [new Visitor(), new Visitor()]
  const own = await connect(broker, map, { visitor: here })
  const other = await connect(broker, report, { visitor: elsewhere })
  t.not(own.connectionId, other.connectionId)

  const { page } = await signInAtMe(broker, 'amelie', here)
  t.match(textOf(page), 'only what was connected in this browser')
  t.match(textOf(page), 'Flood map')
  t.notMatch(page.body, 'Storm report')
  const data = await here.open(`${broker.url}/me/data.json`)
  t.match(data.body, own.grantId)
  t.notMatch(data.body, other.grantId)

  const stranger = await signInAtMe(broker, 'amelie')
  t.match(textOf(stranger.page), 'No app uses your Ellipsis Drive')

  const question = await here.open(`${broker.url}/me/erase`)
  t.match(textOf(await here.press(question, 'Erase what is stored')), 'is erased')
  t.equal((await exchange(broker, own.brokerToken)).status, 401)
  t.equal((await exchange(broker, other.brokerToken)).status, 200)
})

t.test('another browser’s grant on the same connection is not touched', async (t) => {
  const broker = await buildBroker(t, { switches: { accountWithoutId: true } })
  const app = await addApp(broker)
  const [here, elsewhere] = [new Visitor(), new Visitor()]
  const own = await connect(broker, app, { visitor: here })
  const parameters = { connection: own.connectionId }
  const other = await connect(broker, app, { visitor: elsewhere, parameters })
  t.equal(other.connectionId, own.connectionId)
  const { page } = await signInAtMe(broker, 'amelie', here)
  t.notMatch(page.body, 'Erase', 'it is not all of this browser')
  const question = await here.open(`${broker.url}/me/disconnect`)
  await here.press(question, 'Disconnect everything')
  t.equal((await exchange(broker, own.brokerToken)).status, 401)
  t.equal((await exchange(broker, other.brokerToken)).status, 200)
})
