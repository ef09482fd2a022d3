/** The SDK in Chromium as users have it: it blocks popups, and keeps pages for Back. Playwright turns both off. */
import t from 'tap'
import { noBrowser } from '../browser/chromium.ts'
import { allow, allowAgain, attempt, connectInPopup, isShown, openPage, startPage } from './page.ts'

const chromium = { without: ['--disable-popup-blocking', '--disable-back-forward-cache'] }

/** A page that connects when it loads if it is in a frame, or its URL has `#connect`. */
const CONNECT_ON_LOAD = `if (window !== top || location.hash === '#connect')
  globalThis.connecting = new Promise((resolve) => setTimeout(resolve))
    .then(() => sdk.client.connect())
    .catch(({ code }) => code)`

t.test('the browser blocks a popup', { skip: noBrowser }, async (t) => {
  const { context, url } = await startPage(t, { chromium, prelude: CONNECT_ON_LOAD })
  const page = await context.newPage()
  await page.goto(`${url}#connect`)
  await allow(page)
  await isShown(page, 'connected')
  t.equal(page.url(), `${url}#connect`, 'it became a redirect')
  t.equal(context.pages().length, 1)

  await page.goto(`${url}frame`)
  const frame = page.frames()[1]
  if (!frame) throw new Error('no frame')
  await frame.locator('#ready').waitFor()
  t.equal(await frame.evaluate(() => connecting), 'popup_blocked', 'a frame cannot be redirected')
  t.equal(page.frames().length, 2)
  t.equal(frame.url(), url)
})

t.test('Back, to a page that the browser kept', { skip: noBrowser }, async (t) => {
  const { context, url, broker } = await startPage(t, { chromium })
  const page = await openPage(context, url)
  const position = await page.evaluate(() => history.length)
  const mark = () => page.evaluate(() => void Object.assign(globalThis, { isKept: true }))
  const isKept = () => page.evaluate(() => 'isKept' in globalThis)
  const goBack = async (steps = 1) => {
    const left = page.waitForEvent('framenavigated')
    // Later: the page ends before it could answer.
    await page.evaluate((steps) => void setTimeout(() => history.go(-steps)), steps)
    await left
    await page.locator('#ready').waitFor()
  }

  await t.test('while the user is away', async (t) => {
    await mark()
    await page.getByRole('button', { name: 'Redirect' }).click()
    await page.getByRole('button', { name: 'Continue to Ellipsis Drive' }).waitFor()
    await goBack()
    t.ok(await isKept())
    await connectInPopup(page)
    t.equal(context.pages().length, 1, 'the click opened a popup, which closed itself')
  })

  await t.test('after the user connected', async (t) => {
    await attempt(page, 'disconnect')
    await page.getByRole('button', { name: 'Redirect' }).click()
    await allowAgain(page)
    await isShown(page, 'connected')
    await goBack((await page.evaluate(() => history.length)) - position)
    t.equal(page.url(), url)
    await isShown(page, 'connected')
    const { accessToken } = await attempt(page, 'getToken')
    t.ok(broker.standIn.issued().includes(String(accessToken)))
  })

  await t.test('after another tab emptied the storage', async (t) => {
    await mark()
    await page.goto(broker.url)
    const other = await openPage(context, url)
    await other.evaluate(() => localStorage.clear())
    await goBack()
    t.ok(await isKept())
    await isShown(page, 'not connected')
  })
})
