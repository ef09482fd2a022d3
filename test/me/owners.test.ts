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

const addLink = async (broker: TestBroker, brokerToken: string, label: string) => {
  const answer = await fetch(`${broker.url}/links`, {
    method: 'POST',
    headers: { authorization: `Bearer ${brokerToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ path: '/path/x', label }),
  })
  return ((await answer.json()) as { id: string }).id
}

for (const isShared of [false, true]) {
  const name = isShared ? 'another browser on the same connection' : 'another account'
  t.test(`no route shows or changes what belongs to ${name}`, async (t) => {
    const broker = await buildBroker(t, { switches: { accountWithoutId: isShared } })
    const { services, clock } = broker
    const app = await addApp(broker)
    const own = await connect(broker, app, { user: 'amelie' })
    const { connectionId } = own
    const linkId = await addLink(broker, own.brokerToken, 'Secret dikes')
    const secrets = ['Secret dikes', own.grantId, linkId, ...(isShared ? [] : ['amelie'])]
    const secret = new RegExp(secrets.join('|'))
    const checkUntouched = async (name: string) => {
      t.equal((await exchange(broker, own.brokerToken)).status, 200, name)
      const links = await services.store.listLinks({ connectionId, now: clock.now() })
      t.ok(
        links.some(({ id }) => id === linkId),
        name,
      )
    }
    const routes = routesOf(broker).map(({ url, method }) => ({
      method,
      url: url
        .replace(/devices\/:id/, `devices/${own.grantId}`)
        .replace(/apps\/:id/, `apps/${app.id}`)
        .replace(/links\/:id/, `links/${linkId}`),
    }))
    t.ok(routes.length >= 14, 'all routes')
    t.notMatch(routes.map(({ url }) => url).join(), ':id')

    // The stranger has a device, an app and a link, too: each route finds something that it may change.
    for (const route of routes) {
      const stranger = new Visitor()
      const user = isShared ? 'amelie' : 'bo'
      const parameters = isShared ? { connection: connectionId } : {}
      const theirs = await connect(broker, app, { visitor: stranger, user, parameters })
      t.equal(theirs.connectionId === connectionId, isShared)
      await addLink(broker, theirs.brokerToken, 'Own dunes')
      const { page } = await signInAtMe(broker, user, stranger)
      t.match(textOf(page), 'Own dunes')
      const answer = await send(stranger, broker, route, csrfTokenOf(page))
      const name = `${route.method} ${route.url}`
      t.ok(answer.status < 400, name)
      t.notMatch(await answer.text(), secret, name)
      await checkUntouched(name)
      if (!route.url.includes(own.grantId) && !route.url.includes(linkId)) continue
      t.match(answer.headers.getSetCookie().join(), 'me-notice=already', name)
      t.equal((await exchange(broker, theirs.brokerToken)).status, 200, name)
    }

    await services.usage.flush()
    await services.upstream.flush()
    const changed = watchCommits(t, broker.dataDir)
    for (const route of routes) {
      const answer = await send(new Visitor(), broker, route, '')
      t.notMatch(await answer.text(), secret, 'without a session')
    }
    t.equal(changed(), false)
  })
}

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
