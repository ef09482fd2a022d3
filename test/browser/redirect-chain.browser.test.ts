import type { RequestListener } from 'node:http'
import t from 'tap'
import { launch, noBrowser, visit } from './chromium.ts'
import { addApp, authorizationRequest, buildBroker } from '../helper.ts'
import { listen } from '../listen.ts'

const redirectTo =
  (target: (url: string) => string): RequestListener =>
  ({ url = '' }, response) =>
    void response.writeHead(302, { location: target(url) }).end()

t.test('consent leads through redirects to other origins', { skip: noBrowser }, async (t) => {
  const end = await listen(t, ({ url }, response) => {
    response.setHeader('content-type', 'text/html')
    response.end(`<title>${url?.includes('code=') ? 'arrived' : 'refused'}</title>`)
  })
  const between = await listen(
    t,
    redirectTo((url) => end + url),
  )
  const app = await listen(
    t,
    redirectTo((url) => between + url),
  )
  const broker = await buildBroker(t)
  const registered = await addApp(broker, { redirectUris: [`${app}/return`] })
  const context = await visit(t, await launch(t))

  const goTo = async () => {
    const page = await context.newPage()
    const { parameters } = authorizationRequest(registered)
    await page.goto(`${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`)
    return page
  }
  const first = await goTo()
  await first.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
  await first.getByRole('button', { name: /Amelie/ }).click()
  await first.getByRole('button', { name: 'Allow' }).click()
  await first.waitForURL(`${end}/**`)
  t.equal(await first.title(), 'arrived')

  // Ellipsis Drive knows the visitor: one chain from the button to the app.
  const again = await goTo()
  await again.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
  await again.waitForURL(`${end}/**`)
  t.equal(await again.title(), 'arrived')

  const denied = await goTo()
  await denied.getByRole('button', { name: 'Deny' }).click()
  await denied.waitForURL(`${end}/**`)
  t.equal(await denied.title(), 'refused')
})
