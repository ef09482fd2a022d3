import t from 'tap'
import { openDashboard, testInBrowser } from './admin-browser.ts'
import type { AdminBrowser } from './admin-browser.ts'
import { launch, noBrowser, visit } from './chromium.ts'
import { signInBrowser } from '../admin.ts'
import { addApp, buildBroker, connect, exchange, RETURN } from '../helper.ts'

const HOUR_MS = 3_600_000

/** From the overview to the page of a user. */
async function findUser({ page }: AdminBrowser, search: string, name: string): Promise<void> {
  await page.getByLabel('Find a user by name or ID').fill(search)
  await page.getByRole('button', { name: 'Find' }).click()
  await page.getByRole('link', { name, exact: true }).click()
  await page.getByRole('heading', { name, level: 1 }).waitFor()
}

testInBrowser(t, 'the overview leads to what is wrong in a few clicks', async (t, admin) => {
  const { broker, page } = admin
  const { standIn, clock } = broker
  const app = await addApp(broker)
  const { brokerToken } = await connect(broker, app, { user: 'bo' })
  const phone = await connect(broker, app)
  const laptop = await connect(broker, app)
  // The access tokens have to be refreshed.
  clock.advance(3_590_000)
  standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 2 })
  await exchange(broker, brokerToken)

  await openDashboard(admin, '')
  const failing = page.getByRole('region', { name: 'Failing connections' })
  t.match(await failing.innerText(), /bo\n.*Ellipsis Drive refused the refresh token/)
  await findUser(admin, 'BO', 'bo')
  const why = await page.getByRole('main').innerText()
  t.match(why, 'The user has to reconnect: send them a reconnect link.')
  t.ok(await page.getByLabel('Send this link to the user').isVisible(), 'it is needed')

  await page.getByRole('link', { name: 'Overview' }).click()
  await findUser(admin, 'amelie', 'amelie')
  t.notOk(await page.getByLabel('Send this link to the user').isVisible(), 'not needed')
  await page.getByRole('link', { name: phone.grantId }).click()
  await page.getByRole('button', { name: 'Revoke device' }).click()
  await page.getByText(/^Revoked .* for /).waitFor()
  t.equal((await exchange(broker, phone.brokerToken)).status, 401)

  const upstream = page.getByRole('region', { name: 'Ellipsis Drive' })
  await page.getByRole('link', { name: 'Overview' }).click()
  t.match(await upstream.innerText(), /Up\s/)
  standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 9 })
  await clock.hurry(exchange(broker, laptop.brokerToken))
  await page.reload()
  t.match(await upstream.innerText(), /Failing\s+First failure .*status 503/)
})

t.test(
  'times are relative, and exact on hover in the time zone of the reader',
  {
    skip: noBrowser,
  },
  async (t) => {
    const [broker, browser] = [await buildBroker(t), await launch(t)]
    await connect(broker, await addApp(broker))
    const context = await visit(t, browser, { timezoneId: 'Asia/Tokyo', locale: 'en-GB' })
    await signInBrowser(broker, context)
    const page = await context.newPage()
    const at = broker.clock.now()
    const cell = page.getByRole('row').nth(1).locator('time').first()
    for (const [passedMs, text] of [
      [30_000, 'just now'],
      [3.5 * HOUR_MS, '3 hours ago'],
      [24 * HOUR_MS, '1 day ago'],
      [800 * 24 * HOUR_MS, '2 years ago'],
      [-1.5 * HOUR_MS, 'in 1 hour'],
    ] as const) {
      await page.clock.setFixedTime(at + passedMs)
      await page.goto(`${broker.url}/admin/users`)
      await cell.filter({ hasText: text }).waitFor()
    }
    const exact = new Date(at).toLocaleString('en-GB', {
      timeZone: 'Asia/Tokyo',
      dateStyle: 'full',
    })
    const title = await cell.getAttribute('title')
    t.ok(title?.startsWith(exact), title ?? '')
    t.match(title, /\(Asia\/Tokyo\)$/)
    await cell.click()
    t.equal(await cell.innerText(), title, 'or on a tap')
  },
)

testInBrowser(t, 'charts tell their values', async (t, admin) => {
  const { broker, page, javaScriptEnabled } = admin
  const { usage } = broker.services
  const app = await addApp(broker)
  for (let count = 0; count < 1234; count++) usage.count('swap', app.id, 'ok')
  await usage.flush()
  await openDashboard(admin, '')
  const chart = page.locator('.chart', { hasText: 'Swaps' })
  t.strictSame(await chart.locator('.counts li').allInnerTexts(), ['1,600', '800', '0'])
  t.equal(await chart.locator('.times time').count(), 4)
  const last = chart.locator('svg g').last()
  if (!javaScriptEnabled) {
    t.match(await last.locator('title').textContent(), /^1,234, from .* UTC$/)
    return
  }
  const value = chart.getByRole('status')
  await chart.getByRole('img').focus()
  await value.filter({ hasText: '1,234, from' }).waitFor()
  await page.keyboard.press('ArrowLeft')
  await value.filter({ hasText: /^0, from/ }).waitFor()
  await page.keyboard.press('End')
  await value.filter({ hasText: '1,234, from' }).waitFor()
  await page.keyboard.press('Tab')
  await value.filter({ hasText: /^$/ }).waitFor({ state: 'attached' })
  await last.hover()
  await value.filter({ hasText: '1,234, from' }).waitFor()
})

testInBrowser(t, 'the form of an app previews the consent page', async (t, admin) => {
  const { broker, page, context, javaScriptEnabled } = admin
  await openDashboard(admin, '/apps/new')
  const advanced = page.locator('details.advanced')
  t.equal(await advanced.getAttribute('open'), null)
  await page.getByLabel('Name').fill('Flood map')
  await page.getByLabel('Redirect URIs').fill(RETURN)
  await page.getByLabel('Read only').check()
  const see = async () => {
    if (javaScriptEnabled) return page
    const [preview] = await Promise.all([
      context.waitForEvent('page'),
      page.getByRole('button', { name: 'Preview the consent page' }).click(),
    ])
    return preview
  }
  const preview = (await see()).locator('main.card')
  await preview.getByText('Flood map asks to view your Ellipsis Drive').waitFor()
  await preview.getByText('Preview: nothing is saved.').waitFor()
  await preview.getByText('cannot add, change or delete anything').waitFor()
  await preview.getByText('but at most 90 days').waitFor()
  t.strictSame(await broker.services.apps.list(), [])

  await page.getByRole('button', { name: 'Register app' }).click()
  await page.getByText('read-only access and rules need access through the proxy').waitFor()
  t.equal(await advanced.getAttribute('open'), null, 'nothing is wrong in there')
  await page.getByText('Advanced settings').click()
  await page.getByLabel('Broker token lifetime').fill('soon')
  await page.getByRole('button', { name: 'Register app' }).click()
  await page.getByRole('alert').waitFor()
  t.ok(await page.getByLabel('Broker token lifetime').isVisible())
  await page.getByLabel('Broker token lifetime').fill('30d')
  await page.getByLabel('Only through this broker’s proxy').check()
  await page.getByRole('button', { name: 'Register app' }).click()
  await page.getByRole('heading', { name: 'Flood map' }).waitFor()
  await page.getByRole('link', { name: 'Edit' }).click()
  t.equal(await advanced.getAttribute('open'), null, 'all at their defaults')
})

testInBrowser(t, 'code samples are tabs', async (t, admin) => {
  const app = await addApp(admin.broker)
  await openDashboard(admin, `/apps/${app.id}`)
  const { page } = admin
  const code = (name: string) => page.getByRole('region', { name, exact: true })
  await code('Browser SDK').waitFor()
  t.equal(await code('Python').count(), 0)
  await page.getByText('Python', { exact: true }).click()
  await code('Python').waitFor()
  t.equal(await code('Browser SDK').count(), 0)
  await page.keyboard.press('ArrowLeft')
  await code('JavaScript').waitFor()
})

testInBrowser(t, 'the API reference is folded, and a link opens its endpoint', async (t, admin) => {
  const { broker, page } = admin
  await page.goto(`${broker.url}/docs`)
  t.equal(await page.locator('details.panel[open]').count(), 0)
  await page.goto(`${broker.url}/docs#exchange`)
  const endpoint = page.locator('details.panel[open]', { hasText: 'POST /exchange' })
  await endpoint.first().waitFor()
  t.ok(await endpoint.first().locator('summary').first().isVisible())
})
