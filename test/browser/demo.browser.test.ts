import { existsSync } from 'node:fs'
import type { Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { startDemo } from '../../server/cli/demo.ts'
import { findViolations } from './axe.ts'
import { launch, noBrowser, visit } from './chromium.ts'
import { freePorts } from '../helper.ts'
import { cli } from '../processes.ts'
import { Visitor } from '../visitor.ts'

t.test('the demo in a browser', { skip: noBrowser }, async (t) => {
  const port = await freePorts(3)
  const demo = await startDemo({ port })
  t.teardown(() => demo.stop())
  const [brokerUrl, sampleUrl] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${port + 2}/`]
  t.match(demo.instructions, sampleUrl)
  const dataDir = /BROKER_DATA_DIR=(\S+)/.exec(demo.instructions)?.[1] ?? ''
  const secondApp = /http:\S+\/connect\/\S+/.exec(demo.instructions)?.[0] ?? ''
  const browser = await launch(t)

  /** Clicks on the button that opens a popup of the broker. */
  const openPopup = async (page: Page, name = 'Connect Ellipsis Drive') => {
    const button = page.getByRole('button', { name })
    return (await Promise.all([page.waitForEvent('popup'), button.click()]))[0]
  }

  /** Allows in the popup, until it has closed. Ellipsis Drive asks for sign-in and consent only once. */
  const allowIn = async (popup: Page, user = 'Amelie Laurent') => {
    const closed = popup.waitForEvent('close')
    await popup.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
    for (const name of [`Log in as ${user}`, 'Allow']) {
      await Promise.race([popup.getByRole('button', { name }).click(), closed]).catch(() => null)
    }
    await closed
  }

  const connectApp = async (page: Page, user?: string) => {
    await page.goto(sampleUrl)
    await allowIn(await openPopup(page), user)
    await page.getByRole('heading', { name: 'The drive of' }).waitFor()
  }

  /** Waits for a tile that a link, or the token, gives. */
  const waitForTile = (page: Page, by: 'link' | 'token') =>
    page.waitForResponse((response) => {
      const isTile = response.url().includes('/tile/') && response.ok()
      return isTile && response.url().startsWith(`${brokerUrl}/l/`) === (by === 'link')
    })

  const revokeConnection = async (t: Test) => {
    const env = { BROKER_DATA_DIR: dataDir }
    const listed = await cli(['connection', 'list', '--json'], env)
    const connections = JSON.parse(listed.stdout) as Record<'id' | 'username' | 'status', string>[]
    const connection = connections.find(
      ({ username, status }) => username === 'amelie' && status === 'active',
    )
    const revoked = await cli(['connection', 'revoke', connection?.id ?? ''], env)
    t.match(revoked, { code: 0, stdout: 'stay valid until they expire' })
  }

  await t.test('connect, show layers by token and link, open a folder, revoke', async (t) => {
    const page = await (await visit(t, browser)).newPage()
    const tile = waitForTile(page, 'token')
    await connectApp(page)
    await tile
    t.ok(await page.getByLabel('Elevation Provence').isChecked(), 'the first layer')
    const linked = waitForTile(page, 'link')
    await page.getByLabel('Link').check()
    await linked
    await page.getByLabel('Flood risk Provence').check()
    await page.locator('.leaflet-layer').nth(1).waitFor({ state: 'attached' })
    await page.getByRole('button', { name: 'Camargue wetlands' }).click()
    await page.getByLabel('Flood extent 2024').waitFor()
    t.equal(await page.locator('.leaflet-layer').count(), 2, 'layers of other folders stay')
    await page.getByRole('button', { name: 'My Drive' }).click()
    await page.getByLabel('Elevation Provence').uncheck()
    await page.locator('.leaflet-layer').nth(1).waitFor({ state: 'detached' })
    t.notMatch(page.url(), 'code=')

    await revokeConnection(t)
    await page.getByRole('button', { name: 'Refresh' }).click()
    await page.getByText('This connection has ended').waitFor()
    await allowIn(await openPopup(page))
    await page.getByRole('heading', { name: 'The drive of amelie' }).waitFor()
    t.notOk(await page.getByText('This connection has ended').isVisible())

    // A link ends at once, so the page learns it from its tiles.
    await page.getByLabel('World relief').waitFor()
    await revokeConnection(t)
    await page.getByRole('button', { name: 'Zoom in' }).click()
    await page.getByText('This connection has ended').waitFor()
  })

  await t.test('deny access at the broker, and refuse it at Ellipsis Drive', async (t) => {
    const page = await (await visit(t, browser)).newPage()
    await page.goto(sampleUrl)
    const popup = await openPopup(page)
    await popup.getByRole('button', { name: 'Deny' }).click()
    await page.getByText('You refused, so nothing was connected').waitFor()

    const again = await openPopup(page)
    await again.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
    await again.getByRole('button', { name: 'Log in as Bo Lindqvist' }).click()
    const closed = again.waitForEvent('close')
    await again.getByRole('button', { name: 'Refuse' }).click()
    await closed
    await page.getByText('You refused, so nothing was connected').waitFor()
  })

  await t.test('by keyboard, on a phone, in a dark scheme', async (t) => {
    const viewport = { width: 390, height: 844 }
    const page = await (await visit(t, browser, { viewport, colorScheme: 'dark' })).newPage()
    await page.goto(sampleUrl)
    t.strictSame(await findViolations(page), [], 'before')
    await page.getByRole('button', { name: 'Connect Ellipsis Drive' }).focus()
    const [popup] = await Promise.all([page.waitForEvent('popup'), page.keyboard.press('Enter')])
    await allowIn(popup, 'Bo Lindqvist')
    await page.getByLabel('Snowmobile routes').or(page.getByText('Snowmobile routes')).waitFor()
    await page.getByRole('button', { name: 'Forest inventory' }).press('Enter')
    await page.getByLabel('Canopy height').press('Space')
    await page.locator('.leaflet-tile-loaded').first().waitFor()
    for (const colorScheme of ['dark', 'light'] as const) {
      await page.emulateMedia({ colorScheme })
      t.strictSame(await findViolations(page), [], colorScheme)
    }
    t.equal(await page.evaluate(() => document.documentElement.scrollWidth), viewport.width)
  })

  await t.test('a browser that blocks popups gets a redirect', async (t) => {
    const page = await (await visit(t, browser)).newPage()
    await page.addInitScript('window.open = () => null')
    await page.goto(sampleUrl)
    await page.getByRole('button', { name: 'Connect Ellipsis Drive' }).click()
    await page.getByRole('button', { name: 'Deny' }).click()
    await page.getByText('You refused, so nothing was connected').waitFor()
    t.equal(page.url(), sampleUrl)
  })

  await t.test(
    'a second app needs its own consent, although Ellipsis Drive does not ask again',
    async (t) => {
      const page = await (await visit(t, browser)).newPage()
      await connectApp(page)
      await page.goto(secondApp)
      await page.getByRole('heading', { name: 'Second app asks to use' }).waitFor()
      t.ok(page.url().startsWith(brokerUrl), 'nothing happened without a click')
      await page.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
      await page.getByRole('heading', { name: 'You are connected' }).waitFor()
    },
  )

  await t.test('two tabs share a connection', async (t) => {
    const context = await visit(t, browser)
    const [one, other] = [await context.newPage(), await context.newPage()]
    await other.goto(sampleUrl)
    await connectApp(one, 'Bo Lindqvist')
    await other.getByRole('heading', { name: 'The drive of bo' }).waitFor()
    await one.getByRole('button', { name: 'Disconnect' }).click()
    await other.getByText('This connection has ended').waitFor()
    await one.getByText('You disconnected').waitFor()
    await allowIn(await openPopup(one), 'Bo Lindqvist')
    await one.getByRole('heading', { name: 'The drive of bo' }).waitFor()
    await other.getByRole('heading', { name: 'The drive of bo' }).waitFor()
    await other.getByRole('button', { name: 'Disconnect' }).click()
    await one.getByText('This connection has ended').waitFor()
  })
})

t.test('the demo deletes its data when it stops', async (t) => {
  const demo = await startDemo({ port: await freePorts(3) })
  const dataDir = /BROKER_DATA_DIR=(\S+)/.exec(demo.instructions)?.[1] ?? ''
  t.ok(existsSync(dataDir))
  await demo.stop()
  t.notOk(existsSync(dataDir))
})

t.test('the printed URL and password open the dashboard', async (t) => {
  const demo = await startDemo({ port: await freePorts(3) })
  t.teardown(() => demo.stop())
  const [, url = '', email = '', password = ''] =
    /Dashboard +(\S+) +sign in as (\S+), password (\S+)/.exec(demo.instructions) ?? []
  const visitor = new Visitor()
  const inside = await visitor.press(await visitor.open(url), 'Sign in', { email, password })
  t.equal(inside.url, url)
  t.match(inside.body, `Signed in as <bdi>${email}`)
})
