import t from 'tap'
import type { Page } from 'playwright-core'
import { PASSWORD } from '../admin.ts'
import { EMAIL, fillSignInForm } from './admin-browser.ts'
import { launch, noBrowser, visit } from './chromium.ts'
import { addApp, authorizationRequest, buildBroker, postForm } from '../helper.ts'
import { listen } from '../listen.ts'
import { listConnections } from '../db/rows.ts'
import { Secret } from '../../server/secret.ts'

async function build(t: Parameters<typeof visit>[0]) {
  const broker = await buildBroker(t)
  const origin = await listen(t, (_request, response) =>
    response.setHeader('content-type', 'text/html').end('<title>arrived</title>'),
  )
  const redirectUri = `${origin}/return`
  const app = await addApp(broker, { redirectUris: [redirectUri] })
  const context = await visit(t, await launch(t))
  const request = () => {
    const { parameters, verifier } = authorizationRequest(app)
    const query = new URLSearchParams(parameters).toString()
    return { url: `${broker.url}/oauth/authorize?${query}`, parameters, verifier }
  }
  /** Redeems the code that the page has arrived with. */
  const redeem = (page: Page, verifier: string) =>
    postForm(`${broker.url}/oauth/token`, {
      grant_type: 'authorization_code',
      client_id: app.id,
      code: new URL(page.url()).searchParams.get('code') ?? '',
      redirect_uri: redirectUri,
      code_verifier: verifier,
    })
  return { broker, app, context, request, redeem }
}

const continueButton = (page: Page) =>
  page.getByRole('button', { name: 'Continue to Ellipsis Drive' })

const isArrived = (url: URL): boolean => url.pathname === '/return'

t.test('double clicks on every button of the way to the app', { skip: noBrowser }, async (t) => {
  const { broker, context, request, redeem } = await build(t)
  const { url, verifier, parameters } = request()
  const page = await context.newPage()
  await page.goto(url)
  await continueButton(page).dblclick({ noWaitAfter: true })
  await page.getByRole('button', { name: /Amelie/ }).click()
  await page.getByRole('button', { name: 'Allow' }).dblclick({ noWaitAfter: true })
  // The second click ends the navigation of the first, and with it a wait that began before.
  await page.waitForURL(isArrived).catch(() => page.waitForURL(isArrived))
  t.equal(new URL(page.url()).searchParams.get('state'), parameters.state)
  t.equal((await redeem(page, verifier)).status, 200)
  t.equal((await listConnections(broker.services.store)).length, 1)
})

t.test('Back and again, from Ellipsis Drive and from the app', { skip: noBrowser }, async (t) => {
  const { context, request, redeem } = await build(t)
  const { url, verifier } = request()
  const page = await context.newPage()
  await page.goto(url)
  await continueButton(page).click()
  await page.getByRole('button', { name: /Amelie/ }).waitFor()
  await page.goBack()
  await continueButton(page).click()
  await page.getByRole('button', { name: /Amelie/ }).click()
  await page.getByRole('button', { name: 'Allow' }).click()
  await page.waitForURL(isArrived)
  t.equal((await redeem(page, verifier)).status, 200)

  const next = request()
  await page.goto(next.url)
  await continueButton(page).click()
  await page.waitForURL(isArrived)
  const first = page.url()
  await page.goBack()
  await continueButton(page).click()
  await page.waitForURL((to) => isArrived(to) && to.href !== first)
  t.equal((await redeem(page, next.verifier)).status, 200, 'the second code works')
})

t.test(
  'several tabs in a new browser, each from consent to the app',
  { skip: noBrowser },
  async (t) => {
    const { context, request, redeem } = await build(t)
    const tabs = await Promise.all(
      [request(), request(), request()].map(async (request) => {
        const page = await context.newPage()
        await page.goto(request.url)
        return { page, ...request }
      }),
    )
    for (const [index, { page, verifier }] of tabs.entries()) {
      await continueButton(page).click()
      if (index === 0) {
        await page.getByRole('button', { name: /Amelie/ }).click()
        await page.getByRole('button', { name: 'Allow' }).click()
      }
      await page.waitForURL(isArrived)
      t.equal((await redeem(page, verifier)).status, 200, `tab ${index + 1}`)
    }
  },
)

t.test('tabs that the browser restored without its cookies', { skip: noBrowser }, async (t) => {
  const { broker, context, request } = await build(t)
  await broker.services.admins.add(EMAIL, new Secret(PASSWORD), 'test')
  const [consent, signIn] = [await context.newPage(), await context.newPage()]
  await consent.goto(request().url)
  await signIn.goto(`${broker.url}/admin/sign-in?next=%2Fadmin%2Fkeys`)
  await context.clearCookies()

  await continueButton(consent).click()
  await consent.getByRole('alert').waitFor()
  await continueButton(consent).click()
  await consent.getByRole('button', { name: /Amelie/ }).click()
  await consent.getByRole('button', { name: 'Allow' }).click()
  await consent.waitForURL(isArrived)

  await context.clearCookies()
  await fillSignInForm(signIn)
  await signIn.getByRole('alert').waitFor()
  t.equal(await signIn.getByLabel('E-mail address').inputValue(), EMAIL)
  await fillSignInForm(signIn)
  await signIn.waitForURL(`${broker.url}/admin/keys`)
})

t.test('the broker opened as localhost', { skip: noBrowser }, async (t) => {
  const { broker, context, request, redeem } = await build(t)
  const { url, verifier } = request()
  const page = await context.newPage()
  for (let visit = 1; visit <= 2; visit++) {
    await page.goto(url.replace('127.0.0.1', 'localhost'))
    t.ok(page.url().startsWith(broker.url), `visit ${visit}`)
    await page.goto(`${broker.url.replace('127.0.0.1', 'localhost')}/device`)
    t.equal(page.url(), `${broker.url}/device`, `visit ${visit}`)
    await context.clearCookies()
  }
  await page.goto(url.replace('127.0.0.1', 'localhost'))
  await continueButton(page).click()
  await page.getByRole('button', { name: /Amelie/ }).click()
  await page.getByRole('button', { name: 'Allow' }).click()
  await page.waitForURL(isArrived)
  t.equal((await redeem(page, verifier)).status, 200)
})
