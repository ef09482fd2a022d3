import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Page } from 'playwright-core'
import { addApp, authorizationRequest, buildBroker } from '../helper.ts'
import { listConnections } from '../db/rows.ts'
import { launch, noBrowser, visit } from './chromium.ts'

const button = (page: Page, name: string | RegExp) => page.getByRole('button', { name })

t.test('the wrong account is signed in at Ellipsis Drive', { skip: noBrowser }, async (t) => {
  const broker = await buildBroker(t)
  const server = createServer((_request, response) => response.end('arrived'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const redirectUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/return`
  const app = await addApp(broker, { redirectUris: [redirectUri] })
  const context = await visit(t, await launch(t))
  const page = await context.newPage()
  const usernames = async () =>
    (await listConnections(broker.services.store)).map(({ username }) => username)
  const ask = async () => {
    const { parameters } = authorizationRequest(app, { login_hint: 'amelie' })
    const query = new URLSearchParams(parameters).toString()
    await page.goto(`${broker.url}/oauth/authorize?${query}`)
    await button(page, 'Continue to Ellipsis Drive').click()
  }
  const isArrived = (url: URL): boolean => url.pathname === '/return'

  await ask()
  await button(page, /^Log in as Bo/).click()
  await button(page, 'Allow').click()
  await page.getByRole('heading', { name: 'Which account' }).waitFor()
  t.same(await usernames(), [], 'nothing is stored')

  // Bo is still signed in there, and comes back at once.
  await button(page, 'Use another account').click()
  await page.getByRole('heading', { name: 'Which account' }).waitFor()
  t.same(await usernames(), [])

  broker.standIn.switches.askAgain = true
  await button(page, 'Use another account').dblclick({ noWaitAfter: true })
  await button(page, 'Log in as someone else').click()
  await button(page, /^Log in as Amelie/).click()
  await button(page, 'Allow').click()
  await page.waitForURL(isArrived)
  t.ok(new URL(page.url()).searchParams.get('code'))
  t.same(await usernames(), ['amelie'], 'the right one, and no other')

  broker.standIn.switches.askAgain = true
  await ask()
  await button(page, 'Log in as someone else').click()
  await button(page, /^Log in as Bo/).click()
  await button(page, 'Allow').click()
  await button(page, 'Continue as bo').dblclick({ noWaitAfter: true })
  await page.waitForURL(isArrived)
  t.ok(new URL(page.url()).searchParams.get('code'))
  t.same((await usernames()).sort(), ['amelie', 'bo'])
})
