import { existsSync } from 'node:fs'
import type { Page } from 'playwright-core'
import t from 'tap'
import { startDemo } from '../../server/cli/demo.ts'
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

  const connectApp = async (page: Page, user = 'Amelie Laurent') => {
    await page.goto(sampleUrl)
    await page.getByRole('button', { name: 'Connect Ellipsis Drive' }).click()
    await page
      .getByRole('heading', { name: 'Sample map asks to use your Ellipsis Drive' })
      .waitFor()
    await page.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
    await page.getByRole('button', { name: `Log in as ${user}` }).click()
    const allow = page.getByRole('button', { name: 'Allow' })
    const drive = page.getByRole('heading', { name: 'The drive of' })
    await allow.or(drive).waitFor()
    // Ellipsis Drive asks a user once per client.
    if (await allow.isVisible()) await allow.click()
    await drive.waitFor()
  }

  await t.test('connect, list, open a folder, revoke, list rejected', async (t) => {
    const page = await (await visit(t, browser)).newPage()
    await connectApp(page)
    await page.locator('#list li.folder').first().waitFor()
    const folder = page.locator('#list li.folder button').first()
    const name = await folder.innerText()
    await folder.click()
    await page.locator('#trail button', { hasText: name }).waitFor()
    await page.locator('#list li').first().waitFor()
    t.notMatch(page.url(), 'code=')

    const listed = await cli(['connection', 'list', '--json'], { BROKER_DATA_DIR: dataDir })
    const [connection] = JSON.parse(listed.stdout) as { id: string; username: string }[]
    t.equal(connection?.username, 'amelie')
    const revoked = await cli(['connection', 'revoke', connection?.id ?? ''], {
      BROKER_DATA_DIR: dataDir,
    })
    t.equal(revoked.code, 0)
    t.match(revoked.stdout, 'stay valid until they expire')

    await page.getByRole('button', { name: 'Refresh' }).click()
    await page.getByText('This connection has ended').waitFor()
    await page.getByRole('button', { name: 'Connect Ellipsis Drive' }).waitFor()
  })

  await t.test('deny access at the broker, and refuse it at Ellipsis Drive', async (t) => {
    const page = await (await visit(t, browser)).newPage()
    await page.goto(sampleUrl)
    await page.getByRole('button', { name: 'Connect Ellipsis Drive' }).click()
    await page.getByRole('button', { name: 'Deny' }).click()
    await page.getByText('You refused, so nothing was connected').waitFor()

    await page.getByRole('button', { name: 'Connect Ellipsis Drive' }).click()
    await page.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
    await page.getByRole('button', { name: 'Log in as Bo Lindqvist' }).click()
    await page.getByRole('button', { name: 'Refuse' }).click()
    await page.getByText('You refused, so nothing was connected').waitFor()
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

  await t.test('two tabs at once', async (t) => {
    const context = await visit(t, browser)
    const tabs = [await context.newPage(), await context.newPage()] as const
    for (const tab of tabs) {
      await tab.goto(sampleUrl)
      await tab.getByRole('button', { name: 'Connect Ellipsis Drive' }).click()
    }
    for (const tab of tabs) {
      await tab.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
    }
    await tabs[1].getByRole('button', { name: 'Log in as Bo' }).click()
    await tabs[1].getByRole('button', { name: 'Allow' }).click()
    await tabs[1].getByRole('heading', { name: 'The drive of bo' }).waitFor()
    await tabs[0].getByRole('button', { name: 'Log in as Bo' }).click()
    await tabs[0].getByRole('heading', { name: 'The drive of bo' }).waitFor()
  })

  await t.test('disconnect', async (t) => {
    const page = await (await visit(t, browser)).newPage()
    await connectApp(page, 'Bo Lindqvist')
    await page.getByRole('button', { name: 'Disconnect' }).click()
    await page.getByRole('button', { name: 'Connect Ellipsis Drive' }).waitFor()
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
