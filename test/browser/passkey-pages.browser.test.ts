import type { Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { Secret } from '../../server/secret.ts'
import { PASSWORD } from '../admin.ts'
import { buildBroker } from '../helper.ts'
import type { TestBroker, TestOptions } from '../helper.ts'
import { EMAIL, fillSignInForm } from './admin-browser.ts'
import { addAuthenticator } from './authenticator.ts'
import { launch, noBrowser, visit } from './chromium.ts'

const FRESH_PERIOD_MS = 10 * 60_000

/** A broker with an admin, and a window with an authenticator. */
async function open(t: Test, options: TestOptions & { javaScriptEnabled?: boolean } = {}) {
  const { javaScriptEnabled = true, ...rest } = options
  const broker = await buildBroker(t, { host: 'localhost', ...rest })
  await broker.services.admins.add(EMAIL, new Secret(PASSWORD), 'test')
  const context = await visit(t, await launch(t), { javaScriptEnabled })
  const page = await context.newPage()
  return { broker, page, authenticator: await addAuthenticator(page) }
}

const press = (page: Page, name: string) => page.getByRole('button', { name, exact: true }).click()

async function addPasskey({ url }: TestBroker, page: Page, name: string): Promise<void> {
  await page.goto(`${url}/admin/account/second-factor`)
  await page.getByLabel('Name of the passkey').fill(name)
  await press(page, 'Add passkey')
  await page.getByText(`Added the passkey “${name}”`).waitFor()
}

t.test('passkey pages', { skip: noBrowser }, async (t) => {
  for (const basePath of ['', '/broker/here']) {
    t.test(`a passkey is added and signs in, base path "${basePath}"`, async (t) => {
      const env = { BROKER_REQUIRE_SECOND_FACTOR: 'true' }
      const { broker, page } = await open(t, { basePath, env })
      await page.goto(`${broker.url}/admin/keys`)
      await fillSignInForm(page)
      await page.getByText('requires a second factor').waitFor()
      await addPasskey(broker, page, 'Laptop')
      t.match(await page.getByRole('main').innerText(), 'Add a second passkey')
      await page.getByRole('link', { name: 'Account', exact: true }).click()
      await page.getByText('1 passkey.').waitFor()

      await press(page, 'Sign out')
      await page.goto(`${broker.url}/admin/keys`)
      await press(page, 'Sign in with a passkey')
      await page.getByRole('heading', { name: 'Signing keys' }).waitFor()
      t.equal(page.url(), `${broker.url}/admin/keys`)

      await press(page, 'Sign out')
      await page.goto(`${broker.url}/admin/admins`)
      await fillSignInForm(page)
      await press(page, 'Use a passkey')
      await page.getByRole('heading', { name: 'Admins', exact: true }).waitFor()
      t.match(await page.getByRole('main').innerText(), '1 passkey')
    })
  }

  t.test('changing passkeys needs a recent sign-in, which a passkey confirms', async (t) => {
    const { broker, page } = await open(t)
    await page.goto(`${broker.url}/admin`)
    await fillSignInForm(page)
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    await addPasskey(broker, page, 'Phone')
    await page.getByLabel('Name of the passkey').fill('Twice')
    await press(page, 'Add passkey')
    await page.getByText('already has a passkey').waitFor()

    broker.clock.advance(FRESH_PERIOD_MS)
    await press(page, 'Add passkey')
    await page.getByRole('heading', { name: 'Confirm your identity' }).waitFor()
    t.equal(await page.getByLabel('Current password').count(), 0, 'the password is not enough')
    await press(page, 'Confirm with a passkey')
    await press(page, 'Remove the passkey Phone')
    await page.getByText('Removed the passkey “Phone”').waitFor()

    broker.clock.advance(FRESH_PERIOD_MS)
    await page.reload()
    await page.getByRole('link', { name: 'Confirm your identity' }).click()
    await page.getByLabel('Current password').fill(PASSWORD)
    await press(page, 'Confirm')
    await page.getByRole('heading', { name: 'Second factor' }).waitFor()
  })

  t.test('a passkey that is unknown here is refused with advice', async (t) => {
    const { broker, page } = await open(t)
    await page.goto(`${broker.url}/admin`)
    await fillSignInForm(page)
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    await addPasskey(broker, page, 'Lost')
    await press(page, 'Remove the passkey Lost')
    await page.getByText('Removed the passkey').waitFor()
    await press(page, 'Sign out')
    await press(page, 'Sign in with a passkey')
    await page.getByText('The passkey was not accepted').waitFor()
    await fillSignInForm(page)
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
  })

  t.test('without an authenticator that can answer, the page says so', async (t) => {
    const { broker, page, authenticator } = await open(t)
    await authenticator.setVerified(false)
    await page.goto(`${broker.url}/admin/sign-in`)
    await press(page, 'Sign in with a passkey')
    await page.getByText('The dialog was closed or timed out').waitFor()
    await fillSignInForm(page)
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
  })

  t.test('without JavaScript, no passkey is offered and all else works', async (t) => {
    const { broker, page } = await open(t, { javaScriptEnabled: false })
    await page.goto(`${broker.url}/admin/sign-in`)
    t.equal(await page.getByRole('button').count(), 1)
    await fillSignInForm(page)
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    await page.goto(`${broker.url}/admin/account/second-factor`)
    await page.getByText('Adding a passkey needs JavaScript').waitFor()
    await page.getByLabel('Current password').fill(PASSWORD)
    await press(page, 'Set up')
    await page.getByText('Scan this QR code').waitFor()
  })

  t.test('an address instead of a host name has no passkeys, and the page says why', async (t) => {
    const { broker, page } = await open(t, { host: '127.0.0.1' })
    await page.goto(`${broker.url}/admin/sign-in`)
    t.equal(await page.getByRole('button').count(), 1)
    await fillSignInForm(page)
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    await page.goto(`${broker.url}/admin/account/second-factor`)
    await page.getByText('Passkeys need a host name').waitFor()
  })
})
