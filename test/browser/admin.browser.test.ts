import { Secret as OtpSecret, TOTP } from 'otpauth'
import type { Page } from 'playwright-core'
import t from 'tap'
import { PASSWORD } from '../admin.ts'
import { EMAIL, fillSignInForm, openDashboard, testInBrowser } from './admin-browser.ts'
import { launch, noBrowser, visit } from './chromium.ts'
import { buildBroker } from '../helper.ts'

/** Creates the first admin at the setup URL. */
async function setUp(page: Page, setupUrl: string): Promise<void> {
  await page.goto(setupUrl)
  await page.getByLabel('E-mail address').fill(EMAIL)
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Create first admin' }).click()
  await page.getByText('You are the first admin').waitFor()
}

testInBrowser(
  t,
  'a new admin sets up, adds a second factor, rotates keys and adds an admin',
  async (t, { broker, page, javaScriptEnabled }) => {
    const secret = await broker.services.setup.invite()
    await setUp(page, `${broker.url}/admin/setup/${secret?.reveal()}`)

    await page.getByRole('link', { name: 'Account', exact: true }).click()
    await page.getByRole('link', { name: 'Set up' }).click()
    await page.getByLabel('Current password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Set up' }).click()
    const key = await page.locator('#key').innerText()
    const totp = new TOTP({ secret: OtpSecret.fromBase32(key.replaceAll(' ', '')) })
    await page
      .getByLabel('Code', { exact: true })
      .fill(totp.generate({ timestamp: broker.clock.now() }))
    await page.getByRole('button', { name: 'Enable second factor' }).click()
    const recovery = await page.locator('#codes li').first().innerText()
    await page.getByRole('link', { name: 'I have saved them' }).click()

    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.goto(`${broker.url}/admin/keys`)
    await fillSignInForm(page)
    await page.getByLabel('Code', { exact: true }).fill(recovery)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('heading', { name: 'Signing keys' }).waitFor()

    await page.getByRole('link', { name: 'Rotate keys' }).click()
    await page.getByRole('link', { name: 'Cancel' }).click()
    await page.getByRole('link', { name: 'Rotate keys' }).click()
    await page.getByRole('button', { name: 'Rotate keys' }).click()
    await page.getByRole('status').filter({ hasText: 'is now the active key' }).waitFor()
    await page
      .getByRole('link', { name: /^Revoke… the key/ })
      .last()
      .click()
    await page.getByRole('button', { name: 'Revoke key' }).click()
    await page.getByRole('status').filter({ hasText: 'are now rejected' }).waitFor()

    await page.getByRole('link', { name: 'Admins' }).click()
    await page.getByLabel('E-mail address').fill('vic@example.com')
    await page.getByLabel('Initial password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Add admin' }).click()
    await page.getByText('Added vic@example.com as viewer').waitFor()
    await page.getByRole('link', { name: 'Remove… vic@example.com' }).click()
    await page.getByRole('button', { name: 'Remove admin' }).click()
    await page.getByText('Removed vic@example.com').waitFor()

    const time = page.locator('time').first()
    const shown = await time.innerText()
    if (javaScriptEnabled) t.notMatch(shown, 'UTC', 'in the reader’s zone')
    else t.match(shown, 'UTC')
    t.ok(await time.getAttribute('title'))
  },
)

t.test(
  'keyboard only: a skip link leads to the content, and focus is visible',
  { skip: noBrowser },
  async (t) => {
    const broker = await buildBroker(t)
    const secret = await broker.services.setup.invite()
    const page = await (await visit(t, await launch(t))).newPage()
    await setUp(page, `${broker.url}/admin/setup/${secret?.reveal()}`)
    await page.keyboard.press('Tab')
    const focused = page.locator(':focus')
    t.equal(await focused.innerText(), 'Skip to content')
    t.ok(((await focused.boundingBox())?.x ?? -1) >= 0, 'the skip link is visible')
    await page.keyboard.press('Tab')
    t.equal(await focused.innerText(), 'Ellipsis Broker')
    const outline = 'getComputedStyle(document.activeElement).outlineStyle'
    t.equal(await page.evaluate(outline), 'solid', 'focus is visible')
    await page.keyboard.press('Shift+Tab')
    await page.keyboard.press('Enter')
    t.equal(await page.evaluate('document.activeElement.id'), 'content')
  },
)

t.test('a form is submitted once, and a key is copied', { skip: noBrowser }, async (t) => {
  const broker = await buildBroker(t)
  const secret = await broker.services.setup.invite()
  const context = await visit(t, await launch(t))
  await context.grantPermissions(['clipboard-read', 'clipboard-write'])
  const page = await context.newPage()
  await setUp(page, `${broker.url}/admin/setup/${secret?.reveal()}`)
  await page.goto(`${broker.url}/admin/account/second-factor`)
  await page.getByLabel('Current password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Set up' }).click()
  await page.getByRole('button', { name: 'Copy' }).click()
  await page.getByRole('button', { name: 'Copied' }).waitFor()
  t.equal(
    await page.evaluate('navigator.clipboard.readText()'),
    await page.locator('#key').innerText(),
  )

  await page.goto(`${broker.url}/admin/keys/rotate`)
  let posts = 0
  const clicked = Promise.withResolvers<undefined>()
  await page.route('**/keys/rotate', async (route) => {
    if (route.request().method() === 'POST') posts++
    // Keeps this page open until both clicks are done.
    await clicked.promise
    await route.continue()
  })
  // Chromium also drops the second of two equal submissions, so the page reports the state of the button.
  await page.evaluate(`document.addEventListener('submit', ({ submitter }) =>
    setTimeout(() => console.log('disabled: ' + submitter.disabled)), { once: true })`)
  const buttonState = page.waitForEvent('console', (message) =>
    message.text().startsWith('disabled: '),
  )
  await page.getByRole('button', { name: 'Rotate keys' }).dblclick()
  t.equal((await buttonState).text(), 'disabled: true')
  clicked.resolve(undefined)
  await page.getByText('is now the active key').waitFor()
  t.equal(posts, 1)
})

testInBrowser(t, 'after signing out, Back shows nothing of the dashboard', async (t, admin) => {
  const { broker, page } = admin
  await openDashboard(admin, '/admins')
  await page
    .getByRole('cell', { name: EMAIL })
    .or(page.getByRole('rowheader', { name: EMAIL }))
    .first()
    .waitFor()
  await page.getByRole('link', { name: 'Account', exact: true }).click()
  await page.getByRole('heading', { name: 'Change password' }).waitFor()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('Password').waitFor()
  for (const address of ['/admin/account', '/admin/admins']) {
    await page.goBack()
    await page.waitForURL(`${broker.url}/admin/sign-in?next=${encodeURIComponent(address)}`)
    t.notMatch(await page.content(), EMAIL)
  }
  const stored = () => [Object.keys(localStorage), Object.keys(sessionStorage)]
  t.strictSame(await page.evaluate(stored), [[], []])
})
