/** Tokens of the SDK in Chromium: tabs that renew at once, and everything that goes wrong meanwhile. */
import t from 'tap'
import type { Test } from 'tap'
import { launch, noBrowser, visit } from '../browser/chromium.ts'
import { findGrant } from '../db/rows.ts'
import { postForm } from '../helper.ts'
import { size } from '../size.ts'
import { allowAgain, attempt, connectInPopup, isShown, openPage, startPage } from './page.ts'

const HOUR_MS = 3_600_000

/** Two connected tabs, whose broker token lives an hour. */
async function startTabs(t: Test, options: Parameters<typeof startPage>[1] = {}) {
  const lifetimes = { tokenLifetimeSeconds: 3600, grantLifetimeSeconds: null }
  const started = await startPage(t, { ...options, app: { ...lifetimes, ...options.app } })
  await started.context.clock.install()
  const tabs = [
    await openPage(started.context, started.url),
    await openPage(started.context, started.url),
  ] as const
  await connectInPopup(tabs[0])
  await isShown(tabs[1], 'connected')
  const isRevoked = async () =>
    (await findGrant(started.broker.services.store, started.app.id))?.revokedAt !== null
  const storedToken = () =>
    tabs[0].evaluate(() => {
      const [name = ''] = Object.keys(localStorage)
      return (JSON.parse(localStorage.getItem(name) ?? '{}') as { token: string }).token
    })
  return { ...started, tabs, isRevoked, storedToken }
}

for (const dpop of [true, false]) {
  t.test(`two tabs renew at once, DPoP: ${dpop}`, { skip: noBrowser }, async (t) => {
    const started = await startTabs(t, { client: { dpop } })
    const { context, tabs, advance, isRevoked, storedToken } = started
    const sent = new Set<string | undefined>()
    context.on('request', (request) => {
      if (request.method() !== 'POST') return
      sent.add(request.headers().authorization?.split(' ')[1])
    })
    let last = await storedToken()
    let adopted = 0
    for (let round = 0; round < size(3, 20); round++) {
      await advance(0.6 * HOUR_MS)
      sent.clear()
      const answers = await Promise.all(
        [...tabs, ...tabs].map((tab) => attempt(tab, 'getToken', { minTtl: 3000 })),
      )
      for (const answer of answers) t.match(answer, { accessToken: String }, `round ${round}`)
      const token = await storedToken()
      t.not(token, last, 'renewed')
      t.ok(
        [...sent].every((each) => each === last || each === token),
        'no third token',
      )
      if (sent.size === 2) adopted++
      last = token
    }
    // The storage of the other process may be late; the broker then repeats the renewed token.
    t.ok(adopted > size(3, 20) / 2, `${adopted} times, a tab took the token of the other one`)
    t.notOk(await isRevoked())
    t.strictSame(await tabs[1].evaluate(() => sdk.events), ['connected'])
  })
}

t.test('a tab is frozen over a renewal', { skip: noBrowser }, async (t) => {
  const { context, tabs, advance, isRevoked, storedToken } = await startTabs(t, {
    // Without a key, a second holder of a token gets another successor, and only one may be used.
    client: { dpop: false },
  })
  const [frozen, other] = tabs
  const first = await storedToken()
  await advance(0.6 * HOUR_MS)
  const answered = Promise.withResolvers<undefined>()
  const thawed = Promise.withResolvers<undefined>()
  await frozen.route('**/exchange', async (route) => {
    const response = await route.fetch()
    answered.resolve(undefined)
    await thawed.promise
    await route.fulfill({ response })
  })
  const late = attempt(frozen, 'getToken', { minTtl: 3000 })
  await answered.promise
  const session = await context.newCDPSession(frozen)
  await session.send('Page.setWebLifecycleState', { state: 'frozen' })
  // Later than the broker repeats a successor.
  await advance(2 * 60_000)
  t.match(await attempt(other, 'getToken', { minTtl: 3000 }), { accessToken: String })
  t.match(await attempt(other, 'getToken', { force: true }), { accessToken: String })
  const second = await storedToken()
  t.not(second, first)
  await session.send('Page.setWebLifecycleState', { state: 'active' })
  thawed.resolve(undefined)
  t.match(await late, { accessToken: String })
  t.equal(await storedToken(), second, 'the late successor is dropped')
  await frozen.unroute('**/exchange')
  await advance(0.6 * HOUR_MS)
  for (const tab of tabs)
    t.match(await attempt(tab, 'getToken', { minTtl: 3000 }), { accessToken: String })
  t.notOk(await isRevoked())
})

t.test('a duplicated tab with sessionStorage of its own', { skip: noBrowser }, async (t) => {
  const { context, url, advance } = await startPage(t, {
    app: { tokenLifetimeSeconds: 3600, grantLifetimeSeconds: null },
    client: { storage: 'session', dpop: false },
  })
  await context.clock.install()
  const page = await openPage(context, url)
  await connectInPopup(page)
  const [copy] = await Promise.all([
    page.waitForEvent('popup'),
    page.evaluate(() => void open(location.href)),
  ])
  await isShown(copy, 'connected')
  for (let round = 0; round < 3; round++) {
    await advance(0.6 * HOUR_MS)
    t.match(await attempt(page, 'getToken', { minTtl: 3000 }), { accessToken: String })
    // The newer broker token is used, so the older one ends after five minutes.
    await advance(10 * 60_000)
    t.match(await attempt(page, 'getToken', { minTtl: 3001 }), { accessToken: String })
    await advance(10 * 60_000)
    t.match(await attempt(copy, 'getToken', { minTtl: 3000 }), { accessToken: String })
  }
})

t.test('1,000 tokens cost one call in each tab', { skip: noBrowser }, async (t) => {
  const { context, tabs } = await startTabs(t)
  let count = 0
  context.on('request', (request) => {
    if (request.method() === 'POST') count++
  })
  for (const tab of tabs) {
    await tab.evaluate(() => Promise.all(Array.from({ length: 1000 }, () => sdk.client.getToken())))
  }
  t.ok(count <= 4, `${count}: with the nonce of the first proof, two in each`)
})

t.test('offline, and back', { skip: noBrowser }, async (t) => {
  const { context, tabs, advance } = await startTabs(t)
  const [tab] = tabs
  const { accessToken } = await attempt(tab, 'getToken')
  await context.setOffline(true)
  await advance(0.9 * HOUR_MS)
  t.equal((await attempt(tab, 'getToken', { minTtl: 600 })).accessToken, accessToken, 'it lives')
  await advance(0.2 * HOUR_MS)
  t.match(await attempt(tab, 'getToken'), { code: 'network_error' })
  t.ok(await tab.evaluate(() => sdk.client.isConnected()))
  await context.setOffline(false)
  const gone = await attempt(tab, 'getToken')
  t.match(gone, { code: 'invalid_token' }, 'the broker token expired meanwhile')
  await isShown(tab, 'not connected')
})

t.test('Ellipsis Drive is down', { skip: noBrowser }, async (t) => {
  const { context, tabs, advance, broker } = await startTabs(t, {
    app: { tokenLifetimeSeconds: 86_400 },
  })
  const [tab] = tabs
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 1000 })
  await advance(1.1 * HOUR_MS)
  const failed = await broker.clock.hurry(attempt(tab, 'getToken', { minTtl: 600 }))
  t.match(failed, { code: 'temporarily_unavailable', retryAfter: Number })
  let count = 0
  context.on('request', () => count++)
  t.match(await attempt(tab, 'getToken', { minTtl: 600 }), { code: 'temporarily_unavailable' })
  t.equal(count, 0, 'it waits as long as Retry-After says')
  t.ok(await tab.evaluate(() => sdk.client.isConnected()))
  broker.standIn.clearFaults()
  await advance((failed.retryAfter ?? 0) * 1000 + 60_000)
  t.match(await attempt(tab, 'getToken', { minTtl: 600 }), { accessToken: String })
})

for (const byMs of [HOUR_MS, -HOUR_MS]) {
  t.test(`a clock that is wrong by ${byMs} ms`, { skip: noBrowser }, async (t) => {
    const { url, broker, app } = await startPage(t, { app: { dpop: 'required' } })
    const context = await visit(t, await launch(t))
    await context.clock.install({ time: Date.now() + byMs })
    const page = await openPage(context, url)
    await connectInPopup(page)
    const { accessToken, expiresAt } = await attempt(page, 'getToken')
    t.ok(broker.standIn.issued().includes(String(accessToken)))
    t.ok(Math.abs(Number(expiresAt) - Date.now() / 1000 - 3600) < 60, 'by the broker’s clock')
    let count = 0
    context.on('request', () => count++)
    t.equal((await attempt(page, 'getToken', { minTtl: 3000 })).accessToken, accessToken)
    t.equal(count, 0, 'the token counts as fresh')
    await page.reload()
    t.match(await attempt(page, 'user'), { username: 'amelie' })
    t.ok(await findGrant(broker.services.store, app.id))
  })
}

t.test('revoked while the page is open', { skip: noBrowser }, async (t) => {
  const { tabs, broker, app, storedToken } = await startTabs(t)
  await attempt(tabs[0], 'getToken')
  const token = await storedToken()
  await postForm(`${broker.url}/oauth/revoke`, { client_id: app.id, token })
  t.match(await attempt(tabs[0], 'getToken', { force: true }), { code: 'invalid_token' })
  for (const tab of tabs) {
    await isShown(tab, 'not connected')
    t.strictSame(await tab.evaluate(() => sdk.events), ['connected', 'disconnected'])
    t.match(await attempt(tab, 'getToken'), { code: 'not_connected' })
  }
  await connectInPopup(tabs[1], allowAgain)
  await isShown(tabs[0], 'connected')
})

t.test('Ellipsis Drive ends the connection', { skip: noBrowser }, async (t) => {
  const { tabs, broker, advance } = await startTabs(t)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
  await advance(0.9 * HOUR_MS)
  const refused = await attempt(tabs[0], 'getToken', { minTtl: 1800 })
  t.match(refused, { code: 'reconnect_required', reconnectUrl: /\/connect\// })
  const events = (tab: (typeof tabs)[number]) => tab.evaluate(() => sdk.events)
  await tabs[1].waitForFunction(() => sdk.events.includes('reconnect-required'))
  t.strictSame(await events(tabs[0]), ['connected', 'reconnect-required'])
  broker.standIn.clearFaults()
  await connectInPopup(tabs[0], allowAgain)
  await tabs[1].waitForFunction(() => sdk.events.length === 3)
  t.strictSame(await events(tabs[1]), ['connected', 'reconnect-required', 'connected'])
  t.match(await attempt(tabs[1], 'getToken'), { accessToken: String })
})

t.test('the browser loses the key', { skip: noBrowser }, async (t) => {
  const { tabs } = await startTabs(t)
  await tabs[0].evaluate(
    () =>
      new Promise((resolve) => {
        const open = indexedDB.open('ellipsis-broker')
        open.onsuccess = () => {
          const clear = open.result.transaction('keys', 'readwrite').objectStore('keys').clear()
          clear.onsuccess = resolve
        }
      }),
  )
  await tabs[0].reload()
  await isShown(tabs[0], 'not connected')
  await connectInPopup(tabs[0], allowAgain)
  t.match(await attempt(tabs[0], 'user'), { username: 'amelie' })
})

t.test('an app of the proxy', { skip: noBrowser }, async (t) => {
  const { tabs, advance, broker, storedToken } = await startTabs(t, {
    app: { access: 'proxy' },
    client: { scope: 'openid profile projects' },
  })
  const [tab] = tabs
  t.match(await attempt(tab, 'getToken'), { code: 'unauthorized_client' })
  t.match(await attempt(tab, 'user'), { username: 'amelie', sub: String })
  const read = () =>
    tab.evaluate(async () => {
      const answer = await sdk.client.fetch('account', { headers: { accept: 'application/json' } })
      return { url: answer.url, body: (await answer.json()) as object }
    })
  const expected = { url: `${broker.url}/drive/account`, body: { username: 'amelie' } }
  t.match(await read(), expected)
  const first = await storedToken()
  for (let round = 0; round < 2; round++) {
    await advance(0.6 * HOUR_MS)
    t.match(await read(), expected)
  }
  t.not(await storedToken(), first, 'the broker token was renewed')
  const status = await tab.evaluate(async () => (await sdk.client.fetch('/path/none')).status)
  t.ok(status >= 400, 'an error of Ellipsis Drive is an answer')
  const refused = (path: string) =>
    tab.evaluate(
      (path) => sdk.client.fetch(path).catch((error: { message: string }) => error.message),
      path,
    )
  t.match(await refused('/account//x'), /segment/, 'an error of the broker is thrown')
  t.match(await refused('/%2e%2e/oauth/revoke'), /not a path/, 'no other endpoint gets the token')
})

t.test('a token that Ellipsis Drive refuses', { skip: noBrowser }, async (t) => {
  const { tabs, broker, advance } = await startTabs(t)
  const [tab] = tabs
  const { accessToken } = await attempt(tab, 'getToken')
  // A token that was just fetched is not fetched again.
  await advance(60_000)
  broker.standIn.addFault({ endpoint: 'account', kind: 'status', status: 401 })
  t.match(await attempt(tab, 'user'), { username: 'amelie' })
  t.not((await attempt(tab, 'getToken')).accessToken, accessToken)
})

t.test('an app that loses access tokens', { skip: noBrowser }, async (t) => {
  const { tabs, broker, app } = await startTabs(t)
  const [tab] = tabs
  const read = () => tab.evaluate(async () => (await sdk.client.fetch('/account')).url)
  t.equal(await read(), `${broker.standInApiUrl}/account`)
  await broker.services.apps.set(app.id, { access: 'proxy' }, 'test')
  await tab.reload()
  t.equal(await read(), `${broker.url}/drive/account`)
})
