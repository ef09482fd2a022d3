import type { Page } from 'playwright-core'
import t from 'tap'
import { confirm, enter, walk } from './admin-browser.ts'
import { visit } from './chromium.ts'
import { addApp, connect, exchange } from '../helper.ts'
import type { TestBroker } from '../helper.ts'

/** Opens a user's page by the list: searched for, and told apart from who is called alike. */
async function find(page: Page, search: string, name: string): Promise<void> {
  await page.getByRole('link', { name: 'Users', exact: true }).click()
  await page.getByLabel('Name or id').fill(search)
  await page.getByRole('button', { name: 'Search' }).click()
  await page.getByRole('link', { name, exact: true }).click()
  await page.getByRole('heading', { name, level: 1 }).waitFor()
}

/** Ellipsis Drive refuses the refresh token from now on, and the access token is at its end. */
async function loseRefreshToken({ services, standIn, clock }: TestBroker, id: string) {
  const { connection } = await services.connections.show(id)
  const sealed = connection.refreshToken ?? new Uint8Array()
  standIn.revokeRefreshToken(
    services.vault.open(`connections/${id}/refresh_token`, sealed).reveal(),
  )
  clock.advance(3_590_000)
}

walk(t, 'one device, one app, all of it, and the person', async (t, desk) => {
  const { broker, page } = desk
  const [map, other] = [await addApp(broker), await addApp(broker, { name: 'Other map' })]
  const [phone, laptop] = [await connect(broker, map), await connect(broker, map)]
  const elsewhere = await connect(broker, other)
  await connect(broker, map, { user: 'bo' })
  const swaps = async () => {
    const answers = [phone, laptop, elsewhere].map((one) => exchange(broker, one.brokerToken))
    return (await Promise.all(answers)).map(({ status }) => status)
  }
  const section = (name: string) => page.getByRole('region', { name })

  await enter(desk, '/users')
  await find(page, 'AME', 'amelie')
  await page.getByRole('button', { name: 'Refresh now' }).click()
  await page.getByText('Fetched a fresh access token, good until').waitFor()

  await section('Test map').locator(`a[href*="${phone.grantId}"]`).click()
  const asked = await page.getByRole('main').innerText()
  t.match(asked, 'Other devices and apps go on.')
  t.match(asked, /go on working until .+ at the latest: Ellipsis Drive has no way/)
  await page.getByRole('link', { name: 'Cancel' }).click()
  t.strictSame(await swaps(), [200, 200, 200], 'looking changes nothing')
  await section('Test map').locator(`a[href*="${phone.grantId}"]`).click()
  await page.getByRole('button', { name: 'Revoke this device' }).click()
  await page.getByText('is cut off from').waitFor()
  t.strictSame(await swaps(), [401, 200, 200])

  await section('Test map').getByRole('link', { name: 'Revoke this app…' }).click()
  t.match(await page.getByRole('main').innerText(), 'Other apps go on.')
  await page.getByRole('button', { name: 'Revoke this app' }).click()
  await page.getByText('is cut off, on 1 device.').waitFor()
  t.strictSame(await swaps(), [401, 401, 200])

  const all = await confirm(page, 'Revoke everything…', 'Revoke everything')
  t.match(all, 'From that moment on nothing new is handed out: 1 device is cut off')
  t.match(all, 'the tokens that this broker keeps are deleted for good')
  await page.getByText('Revoked, with 1 device. Access tokens that are out work').waitFor()
  t.strictSame(await swaps(), [401, 401, 401])

  t.match(await confirm(page, 'Erase this person…', 'Revoke and erase'), 'What is kept')
  await page.getByRole('heading', { name: 'Erased person' }).waitFor()
  t.notMatch(await page.content(), 'amelie')
})

walk(t, 'a dead connection is understood, and brought back by its link', async (t, desk) => {
  const { broker, page } = desk
  const app = await addApp(broker)
  await connect(broker, app)
  const { connectionId, brokerToken } = await connect(broker, app, { user: 'bo' })
  await loseRefreshToken(broker, connectionId)
  t.equal((await exchange(broker, brokerToken)).status, 403)

  await enter(desk, '/users')
  await page.getByLabel('Status').selectOption('Needs reconnecting')
  await page.getByLabel('App').selectOption('Test map')
  await page.getByRole('button', { name: 'Search' }).click()
  await page.getByText('1 user matches.').waitFor()
  await page.getByRole('link', { name: 'bo', exact: true }).click()
  await page.locator('.badge', { hasText: 'Needs reconnecting' }).waitFor()
  await page.getByText('Last trouble').waitFor()

  const link = await page.getByLabel('Reconnect link, to send to this user').inputValue()
  const person = await (await visit(t, desk.browser)).newPage()
  await person.goto(link)
  await person.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
  await person.getByRole('button', { name: 'Log in as Bo Lindqvist' }).click()
  const allow = person.getByRole('button', { name: 'Allow' })
  const connected = person.getByRole('heading', { name: 'You are connected' })
  await allow.or(connected).waitFor()
  if (await allow.isVisible()) await allow.click()
  await connected.waitFor()

  await page.reload()
  await page.locator('.head .badge', { hasText: 'Connected' }).waitFor()
  t.equal((await exchange(broker, brokerToken)).status, 200, 'the device goes on')
})
