/** Connecting with the SDK, in Chromium. The page and the broker are on different sites. */
import type { Page } from 'playwright-core'
import t from 'tap'
import { noBrowser } from '../browser/chromium.ts'
import {
  allow,
  allowAgain,
  attempt,
  connectInPopup,
  isShown,
  openPage,
  openPopup,
  startPage,
} from './page.ts'

t.test('a popup', { skip: noBrowser }, async (t) => {
  const { context, url, broker } = await startPage(t)
  const page = await openPage(context, url)
  await isShown(page, 'not connected')
  const other = await openPage(context, url)
  await connectInPopup(page)
  await isShown(other, 'connected')
  t.equal(context.pages().length, 2, 'the popup closed itself')
  t.strictSame(await page.evaluate(() => sdk.events), ['connected'])
  const { accessToken, expiresAt } = await attempt(page, 'getToken')
  t.ok(broker.standIn.issued().includes(String(accessToken)))
  t.ok(Math.abs(Number(expiresAt) - Date.now() / 1000 - 3600) < 60, 'seconds')
  t.equal((await attempt(other, 'getToken')).accessToken, accessToken)

  await page.reload()
  await isShown(page, 'connected')
  t.strictSame(await page.evaluate(() => sdk.events), [], 'nothing changed')
  t.match(await attempt(page, 'user'), { username: 'amelie' })
  const link = await page.evaluate(() =>
    sdk.client.link('/account', { label: 'Mine', expiresIn: 600 }),
  )
  t.match(await (await fetch(link.url)).json(), { username: 'amelie' })
  t.ok(Math.abs(link.expiresAt - Date.now() / 1000 - 600) < 60)

  await attempt(page, 'disconnect')
  await isShown(page, 'not connected')
  await isShown(other, 'not connected')
  t.strictSame(await other.evaluate(() => sdk.events), ['connected', 'disconnected'])
  t.match(await attempt(other, 'getToken'), { code: 'not_connected' })
})

t.test('the user refuses', { skip: noBrowser }, async (t) => {
  const { context, url } = await startPage(t)
  const page = await openPage(context, url)
  const popup = await openPopup(page)
  await popup.getByRole('button', { name: 'Deny' }).click()
  await isShown(page, /^access_denied: /)
  await page.getByRole('button', { name: 'Redirect' }).click()
  await page.getByRole('button', { name: 'Deny' }).click()
  await isShown(page, /^access_denied: /)
  t.equal(page.url(), url, 'the error is gone from the URL')
})

t.test('a popup that is closed, and one that is given up', { skip: noBrowser }, async (t) => {
  const { context, url } = await startPage(t)
  const page = await openPage(context, url)
  const first = await openPopup(page)
  await first.close()
  const opened = context.waitForEvent('page')
  await page.evaluate(() => {
    globalThis.cancelling = new AbortController()
    const { signal } = cancelling
    globalThis.connecting = sdk.client.connect({ signal }).then(
      () => 'connected',
      (error: { code: string }) => error.code,
    )
  })
  const popup = await opened
  await isShown(page, /^cancelled: /)
  const closed = popup.waitForEvent('close')
  t.equal(await page.evaluate(() => (cancelling.abort(), connecting)), 'cancelled')
  await closed
  await connectInPopup(page)
})

t.test('a blocked popup becomes a redirect', { skip: noBrowser }, async (t) => {
  const { context, url } = await startPage(t, { prelude: 'window.open = () => null' })
  const page = await openPage(context, url)
  await page.getByRole('button', { name: 'Popup' }).click()
  await allow(page)
  await isShown(page, 'connected')
  t.equal(page.url(), url, 'the code is gone from the URL')
})

t.test('a redirect, and back', { skip: noBrowser }, async (t) => {
  const { context, url } = await startPage(t)
  const page = await openPage(context, `${url}?layer=3#12/52/4`)
  await page.getByRole('button', { name: 'Redirect' }).click()
  await allow(page)
  await isShown(page, 'connected')
  t.equal(page.url(), `${url}?layer=3#12/52/4`, 'the page is where it was')
  t.ok(await page.evaluate(() => sdk.handled))
  const { accessToken } = await attempt(page, 'getToken')

  // Back to Ellipsis Drive's page, whose form leads to the broker and to the page once more.
  await page.goBack()
  for (let presses = 0; presses < 5 && !page.url().startsWith(url); presses++) {
    const before = page.url()
    const button = page.getByRole('button', { name: /Continue to|Log in as Amelie|Allow/ })
    await button
      .or(page.getByRole('link', { name: /Back to/ }))
      .first()
      .click()
    await page.waitForURL((next) => next.href !== before)
  }
  await page.goto(url)
  await isShown(page, 'connected')
  t.equal((await attempt(page, 'getToken')).accessToken, accessToken)

  const stale = new URLSearchParams({ state: 'x', code: 'y', iss: await brokerOf(page) })
  await page.goto(`${url}?${stale}`)
  await isShown(page, 'connected')
  t.equal(page.url(), url, 'an old answer changes nothing')
  await attempt(page, 'disconnect')
  await page.goto(`${url}?${stale}`)
  await isShown(page, /^invalid_state: /)
  await page.goto(`${url}?state=x&code=y&iss=other`)
  await isShown(page, 'not connected')
  t.match(page.url(), /code=y/, 'left to another library')
})

t.test('a page on the way cuts the link to the opener', { skip: noBrowser }, async (t) => {
  const { context, url, broker } = await startPage(t)
  await context.route(`${broker.url}/oauth/authorize?*`, async (route) => {
    const response = await route.fetch()
    const policy = { 'cross-origin-opener-policy': 'same-origin' }
    await route.fulfill({ response, headers: { ...response.headers(), ...policy } })
  })
  const page = await openPage(context, url)
  const popup = await openPopup(page)
  await popup.getByRole('button', { name: 'Continue to Ellipsis Drive' }).waitFor()
  t.notOk(await popup.evaluate(() => opener !== null), 'it is cut')
  await allow(popup)
  await isShown(page, 'connected')
})

t.test('a token in memory is told to no other page', { skip: noBrowser }, async (t) => {
  const { context, url, broker, app } = await startPage(t, {
    client: { storage: 'memory', dpop: false },
  })
  const [page, other] = [await openPage(context, url), await openPage(context, url)]
  const heard = await other.evaluateHandle((name) => {
    const messages: unknown[] = []
    new BroadcastChannel(name).onmessage = ({ data }) => messages.push(data)
    return messages
  }, `ellipsis-broker ${broker.url} ${app.id}`)
  await connectInPopup(page)
  await attempt(page, 'getToken')
  await attempt(page, 'disconnect')
  await isShown(page, 'not connected')
  const answer = await heard.jsonValue()
  t.match(answer, [/^\?code=/], 'the code, which needs its verifier')
  t.equal(answer.length, 1)
})

t.test('an answer of another server is refused', { skip: noBrowser }, async (t) => {
  const { context, url } = await startPage(t)
  const page = await openPage(context, url)
  const popup = await openPopup(page)
  await popup.waitForURL(/authorize/)
  const state = new URL(popup.url()).searchParams.get('state') ?? ''
  const answer = new URLSearchParams({ state, code: 'x', iss: 'https://evil.test' })
  // It closes itself before it has loaded.
  await popup.goto(`${url}?${answer}`).catch(() => undefined)
  await isShown(page, /^invalid_state: /)
})

t.test('a page with a strict content security policy', { skip: noBrowser }, async (t) => {
  const policy = [
    "default-src 'none'; script-src BROKER/ 'self'; connect-src BROKER API/",
    "require-trusted-types-for 'script'; trusted-types 'none'; img-src data:",
  ]
  const headers = { 'content-security-policy': policy.join('; ') }
  const { context, url } = await startPage(t, { headers })
  const page = await openPage(context, url)
  await connectInPopup(page)
  t.match(await attempt(page, 'user'), { username: 'amelie' })
})

t.test('private mode: no IndexedDB, or no storage at all', { skip: noBrowser }, async (t) => {
  const deny = (name: string) =>
    `Object.defineProperty(window, '${name}', { get() { throw new DOMException('denied', 'SecurityError') } })`
  const preludes = [
    'Object.defineProperty(window, "indexedDB", { value: null })',
    ['indexedDB', 'localStorage', 'sessionStorage'].map(deny).join('\n'),
  ]
  for (const [index, prelude] of preludes.entries()) {
    const { context, url, broker } = await startPage(t, { prelude, app: { dpop: 'required' } })
    const page = await openPage(context, url)
    await connectInPopup(page)
    const { accessToken } = await attempt(page, 'getToken')
    t.ok(broker.standIn.issued().includes(String(accessToken)))
    await page.reload()
    await isShown(page, 'not connected')
    if (index > 0) continue
    await page.getByRole('button', { name: 'Redirect' }).click()
    await allowAgain(page)
    await isShown(page, 'connected')
  }
})

t.test('a frame on another site, with partitioned storage', { skip: noBrowser }, async (t) => {
  const { context, url } = await startPage(t, {
    chromium: { with: ['--disable-features=none'] },
  })
  const page = await context.newPage()
  await page.goto(`${url.replace('localhost', '127.0.0.1')}frame`)
  const frame = page.frames()[1]
  if (!frame) throw new Error('no frame')
  await frame.locator('#ready').waitFor()
  await allow(await openPopup(frame))
  await isShown(frame, 'connected')
  t.match(await attempt(frame, 'user'), { username: 'amelie' })
  const own = await openPage(context, url)
  await isShown(own, 'not connected')
})

const brokerOf = (page: Page) =>
  page.evaluate(() => Object.keys(localStorage)[0]?.split(' ')[1] ?? '')

declare global {
  var cancelling: AbortController
  var connecting: Promise<string>
}
