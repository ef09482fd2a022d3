import type { Page } from 'playwright-core'
import t from 'tap'
import { confirm, openDashboard, testInBrowser } from './admin-browser.ts'
import { visit } from './chromium.ts'
import { addApp, connect, exchange } from '../helper.ts'
import type { TestBroker } from '../helper.ts'

/** Searches the list and opens the page of the user with exactly this name. */
async function find(page: Page, search: string, name: string): Promise<void> {
  await page.getByRole('link', { name: 'Users', exact: true }).click()
  await page.getByLabel('Name or ID').fill(search)
  await page.getByRole('button', { name: 'Search' }).click()
  await page.getByRole('link', { name, exact: true }).click()
  await page.getByRole('heading', { name, level: 1 }).waitFor()
}

/** Makes Ellipsis Drive reject the refresh token, and lets the access token expire. */
async function loseRefreshToken({ services, standIn, clock }: TestBroker, id: string) {
  const { connection } = await services.connections.show(id)
  const sealed = connection.refreshToken ?? new Uint8Array()
  standIn.revokeRefreshToken(
    services.vault.open(`connections/${id}/refresh_token`, sealed).reveal(),
  )
  clock.advance(3_590_000)
}

testInBrowser(
  t,
  'a device, an app and everything are revoked, and the user is erased',
  async (t, admin) => {
    const { broker, page } = admin
    const [map, other] = [await addApp(broker), await addApp(broker, { name: 'Other map' })]
    const [phone, laptop] = [await connect(broker, map), await connect(broker, map)]
    const elsewhere = await connect(broker, other)
    await connect(broker, map, { user: 'bo' })
    const swaps = async () => {
      const answers = [phone, laptop, elsewhere].map((one) => exchange(broker, one.brokerToken))
      return (await Promise.all(answers)).map(({ status }) => status)
    }
    const section = (name: string) => page.getByRole('region', { name })

    await openDashboard(admin, '/users')
    await find(page, 'AME', 'amelie')
    await page.getByRole('button', { name: 'Refresh now' }).click()
    await page.getByText('Refreshed. The new access token is valid until').waitFor()

    await section('Test map').locator(`a[href*="${phone.grantId}"]`).click()
    const asked = await page.getByRole('main').innerText()
    t.match(asked, 'Other devices and apps keep working.')
    t.match(asked, /already issued work until .+ at the latest: Ellipsis Drive cannot revoke/)
    await page.getByRole('link', { name: 'Cancel' }).click()
    t.strictSame(await swaps(), [200, 200, 200], 'the confirmation page changes nothing')
    await section('Test map').locator(`a[href*="${phone.grantId}"]`).click()
    await page.getByRole('button', { name: 'Revoke device' }).click()
    await page.getByText(/^Revoked .* for /).waitFor()
    t.strictSame(await swaps(), [401, 200, 200])

    await section('Test map').getByRole('link', { name: 'Revoke app…' }).click()
    t.match(await page.getByRole('main').innerText(), 'Other apps keep working.')
    await page.getByRole('button', { name: 'Revoke app' }).click()
    await page.getByText(/^Revoked .* on 1 device\.$/).waitFor()
    t.strictSame(await swaps(), [401, 401, 200])

    const all = await confirm(page, 'Revoke everything…', 'Revoke everything')
    t.match(all, 'No more tokens are handed out: 1 device loses access')
    t.match(all, 'the tokens that this broker stores are deleted permanently')
    await page
      .getByText('Revoked everything, on 1 device. Access tokens already issued work')
      .waitFor()
    t.strictSame(await swaps(), [401, 401, 401])

    t.match(await confirm(page, 'Erase user…', 'Revoke and erase'), 'What is kept')
    await page.getByRole('heading', { name: 'Erased user' }).waitFor()
    t.notMatch(await page.content(), 'amelie')
  },
)

testInBrowser(
  t,
  'a rejected connection is recognized, and its reconnect link restores it',
  async (t, admin) => {
    const { broker, page } = admin
    const app = await addApp(broker)
    await connect(broker, app)
    const { connectionId, brokerToken } = await connect(broker, app, { user: 'bo' })
    await loseRefreshToken(broker, connectionId)
    t.equal((await exchange(broker, brokerToken)).status, 403)

    await openDashboard(admin, '/users')
    await page.getByLabel('Status').selectOption('Needs reconnecting')
    await page.getByLabel('App').selectOption('Test map')
    await page.getByRole('button', { name: 'Search' }).click()
    await page.getByText('1 user matches.').waitFor()
    await page.getByRole('link', { name: 'bo', exact: true }).click()
    await page.locator('.badge', { hasText: 'Needs reconnecting' }).waitFor()
    await page.getByText('Last error').waitFor()

    const link = await page.getByLabel('Send this link to the user').inputValue()
    const person = await (await visit(t, admin.browser)).newPage()
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
    t.equal((await exchange(broker, brokerToken)).status, 200, 'the device works again')
  },
)
