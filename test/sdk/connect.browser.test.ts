/** Connecting with the SDK, in Chromium: the page and the broker are on different origins. */
import t from 'tap'
import { noBrowser } from '../browser/chromium.ts'
import { allow, connectInPopup, isShown, openPage, startPage } from './page.ts'

t.test('a popup', { skip: noBrowser }, async (t) => {
  const { context, url, broker } = await startPage(t)
  const page = await openPage(context, url)
  await isShown(page, 'not connected')
  await connectInPopup(page)
  t.strictSame(await page.evaluate(() => sdk.events), ['connected'])
  const token = await page.evaluate(() => sdk.client.getToken())
  t.ok(broker.standIn.issued().includes(token.accessToken))
  const answer = await page.evaluate(async () => (await sdk.client.fetch('/account')).json())
  t.match(answer, { username: 'amelie' })
})

t.test('a redirect', { skip: noBrowser }, async (t) => {
  const { context, url } = await startPage(t)
  const page = await openPage(context, `${url}?layer=3#12/52/4`)
  await page.getByRole('button', { name: 'Redirect' }).click()
  await allow(page)
  await isShown(page, 'connected')
  t.equal(page.url(), `${url}?layer=3#12/52/4`, 'the page is where it was')
})
