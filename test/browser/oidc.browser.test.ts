import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
// @ts-expect-error -- it has no types
import Provider from 'oidc-provider'
import type { Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { Secret } from '../../server/secret.ts'
import { PASSWORD } from '../admin.ts'
import { buildBroker } from '../helper.ts'
import type { TestOptions } from '../helper.ts'
import { EMAIL, fillSignInForm } from './admin-browser.ts'
import { axe, findViolations, findWideElements } from './axe.ts'
import { launch, noBrowser, visit } from './chromium.ts'

const CLIENT = { client_id: 'broker', client_secret: 'a secret of the tests' }
const HOUR_MS = 3_600_000

/** A broker that signs in with oidc-provider, and a window. People sign in there with any password. */
async function open(t: Test, options: TestOptions & { javaScriptEnabled?: boolean } = {}) {
  const { javaScriptEnabled = true, env, ...rest } = options
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const stop = () => {
    server.closeAllConnections()
    server.close()
  }
  t.teardown(stop)
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  // Another site than the provider's, as browsers see it.
  const broker = await buildBroker(t, {
    ...rest,
    host: 'localhost',
    env: {
      BROKER_ADMIN_OIDC_ISSUER: issuer,
      BROKER_ADMIN_OIDC_CLIENT_ID: CLIENT.client_id,
      BROKER_ADMIN_OIDC_CLIENT_SECRET: CLIENT.client_secret,
      BROKER_ADMIN_OIDC_SCOPE: 'openid email groups',
      BROKER_ADMIN_OIDC_ADMIN_VALUES: 'ops',
      BROKER_ADMIN_OIDC_VIEWER_VALUES: 'staff',
      ...env,
    },
  })
  const groups: Record<string, string[]> = { ada: ['staff', 'ops'], vic: ['staff'], eve: [] }
  const provider = new Provider(issuer, {
    clients: [
      {
        ...CLIENT,
        redirect_uris: [`${broker.url}/admin/oidc/callback`],
        backchannel_logout_uri: `${broker.url}/admin/oidc/logout`,
        backchannel_logout_session_required: true,
      },
    ],
    claims: { openid: ['sub'], email: ['email'], groups: ['groups'] },
    cookies: { keys: ['tests'] },
    features: { backchannelLogout: { enabled: true } },
    // It calls no loopback address by itself.
    fetch: (url: string, { dispatcher: _unused, ...init }: RequestInit & { dispatcher: unknown }) =>
      fetch(url, init),
    findAccount: (_context: unknown, sub: string) => ({
      accountId: sub,
      claims: () => ({ sub, email: `${sub}@corp.example`, groups: groups[sub] }),
    }),
  })
  server.on('request', provider.callback())
  const context = await visit(t, await launch(t), { javaScriptEnabled })
  const page = await context.newPage()
  return { broker, issuer, groups, stop, page }
}

const press = (page: Page, name: string) => page.getByRole('button', { name, exact: true }).click()
const startSignIn = (page: Page) => page.getByRole('link', { name: /^Sign in with / }).click()

/** Signs in at the provider. */
async function confirmThere(page: Page, login: string): Promise<void> {
  await page.locator('input[name=login]').fill(login)
  await page.locator('input[name=password]').fill('any')
  await page.getByRole('button', { name: 'Sign-in' }).click()
}

/** Signs in at the provider for the first time, and allows the broker to know who it is. */
async function enterThere(page: Page, login: string): Promise<void> {
  await confirmThere(page, login)
  await page.getByRole('button', { name: 'Continue' }).click()
}

const heading = (page: Page, name: string) =>
  page.getByRole('heading', { name, exact: true }).waitFor()

for (const javaScriptEnabled of [true, false]) {
  const suffix = `, JavaScript ${javaScriptEnabled ? 'on' : 'off'}`

  t.test(`the first admin, a viewer and a stranger${suffix}`, { skip: noBrowser }, async (t) => {
    const basePath = '/broker'
    const { broker, groups, page } = await open(t, { javaScriptEnabled, basePath })
    await page.goto(`${broker.url}/admin/keys`)
    await page.getByText('There is no admin yet').waitFor()
    await startSignIn(page)
    await enterThere(page, 'ada')
    await heading(page, 'Signing keys')
    t.equal(page.url(), `${broker.url}/admin/keys`)

    // The provider did not say when: a sensitive page asks again, there.
    await page.getByRole('link', { name: 'Rotate keys' }).click()
    await heading(page, 'Confirm your identity')
    await page.getByRole('link', { name: /^Confirm with / }).click()
    await confirmThere(page, 'ada')
    await heading(page, 'Rotate the signing keys?')
    await press(page, 'Rotate keys')
    await page.getByText(/now the active key/).waitFor()

    // Signed in there already, with another role by now.
    groups.ada = ['staff']
    await press(page, 'Sign out')
    await startSignIn(page)
    await heading(page, 'Overview')
    await page.getByText('(read-only)').waitFor()

    groups.ada = []
    await press(page, 'Sign out')
    await startSignIn(page)
    t.match(await page.getByRole('alert').innerText(), 'ada@corp.example has no access')
    t.match(await broker.services.admins.list(), [{ email: /^ada@corp\.example#/, role: 'viewer' }])
  })

  t.test(`an account is linked and unlinked${suffix}`, { skip: noBrowser }, async (t) => {
    const { broker, issuer, page } = await open(t, { javaScriptEnabled })
    const { host } = new URL(issuer)
    await broker.services.admins.add(EMAIL, new Secret(PASSWORD), 'test')
    await page.goto(`${broker.url}/admin/account`)
    await fillSignInForm(page)
    await page.getByRole('link', { name: 'Link your account' }).click()
    await press(page, `Continue to ${host}`)
    await enterThere(page, 'ada')
    await page.getByText(`You can now sign in with ${host}`).waitFor()
    await press(page, 'Sign out')
    await startSignIn(page)
    await heading(page, 'Overview')
    await page.getByText(`Signed in as ${EMAIL}`).waitFor()

    await page.getByRole('link', { name: 'Account', exact: true }).click()
    await page.getByRole('link', { name: 'Unlink' }).click()
    // It was long ago, so the provider asks again.
    await page.getByRole('link', { name: /^Confirm with / }).click()
    await confirmThere(page, 'ada')
    await press(page, 'Unlink account')
    await page.getByText(`${host} no longer signs you in`).waitFor()
    t.match(await broker.services.admins.list(), [{ email: EMAIL, oidcSubject: null }])
  })

  t.test(`the provider is down${suffix}`, { skip: noBrowser }, async (t) => {
    const { broker, stop, page } = await open(t, { javaScriptEnabled })
    await broker.services.admins.add(EMAIL, new Secret(PASSWORD), 'test')
    stop()
    await page.goto(`${broker.url}/admin/keys`)
    await startSignIn(page)
    await page.getByText('can’t be reached at the moment').waitFor()
    await fillSignInForm(page)
    await heading(page, 'Signing keys')
  })
}

t.test('signing out at the provider ends the session here', { skip: noBrowser }, async (t) => {
  const { broker, issuer, page } = await open(t)
  await page.goto(`${broker.url}/admin`)
  await startSignIn(page)
  await enterThere(page, 'vic')
  await heading(page, 'Overview')
  const other = await page.context().newPage()
  await other.goto(`${issuer}/session/end`)
  await other.getByRole('button', { name: /^Yes/ }).click()
  await other.getByText(/Sign-out Success/).waitFor()
  await page.reload()
  await heading(page, 'Sign in')
})

t.test('axe finds nothing, and nothing is too wide', { skip: noBrowser }, async (t) => {
  const { broker, page } = await open(t)
  const { admins, signInLinks } = broker.services
  const admin = await admins.add(EMAIL, new Secret(PASSWORD), 'test')
  const check = async (name: string) => {
    await page.evaluate(axe)
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 900 })
      // The renderer may lay out the new size in the next frame.
      await page.evaluate(
        'new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))',
      )
      t.strictSame(await page.evaluate(findWideElements), [], `${name}, ${width} wide`)
      if (process.env.OIDC_PICTURES !== undefined)
        await page.screenshot({
          path: `${process.env.OIDC_PICTURES}/${name}.${width}.png`,
          fullPage: true,
        })
    }
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      t.strictSame(await findViolations(page), [], `${name}, ${colorScheme}`)
    }
  }
  await page.goto(`${broker.url}/admin/sign-in`)
  await check('sign-in')
  await page.goto(`${broker.url}/admin/sign-in/link/${signInLinks.create(admin).reveal()}`)
  await check('sign-in-link')
  await press(page, 'Sign in')
  await page.goto(`${broker.url}/admin/account/oidc/link`)
  await check('link')
  await page.getByRole('button', { name: /^Continue to/ }).click()
  await enterThere(page, 'ada')
  await page.getByText('You can now sign in').waitFor()
  await check('account')
  await page.goto(`${broker.url}/admin/admins`)
  await check('admins')
  await page.goto(`${broker.url}/admin/account/oidc/unlink`)
  await check('unlink')
  broker.clock.advance(HOUR_MS / 2)
  await page.goto(`${broker.url}/admin/keys/rotate`)
  await check('confirm-identity')
})
