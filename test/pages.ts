import { Secret as OtpSecret, TOTP } from 'otpauth'
import type { Page } from 'playwright-core'
import { PASSWORD } from './admin.ts'
import { connectingPages } from './pages/connecting.ts'
import { always, of, press } from './pages/shown.ts'
import type { ShownPage } from './pages/shown.ts'
import { CAREFUL } from './sample-data.ts'

export type { ShownPage } from './pages/shown.ts'

/**
 * Every page that a person can meet: what axe looks at (test/browser/axe.ts), and what `npm run
 * pictures` makes pictures of, each with data and empty. A page is added with its route.
 */
export const pages: ShownPage[] = [
  ...connectingPages,
  // Getting in: before somebody is signed in, so that the broker is still to be set up where it's empty.
  {
    name: 'setup',
    path: (_data, secret) => secret && `/admin/setup/${secret}`,
    stranger: true,
    hasEmptyState: true,
  },
  { name: 'setup-ended', path: always('/admin/setup/none'), stranger: true },
  { name: 'sign-in', path: always('/admin/sign-in'), stranger: true, hasEmptyState: true },
  {
    name: 'sign-in-refused',
    path: always('/admin/sign-in'),
    stranger: true,
    hasEmptyState: true,
    act: async (page) => {
      await page.getByLabel('E-mail address').fill('nobody@example.com')
      await page.getByLabel('Password').fill('wrong')
      await page.getByRole('button', { name: 'Sign in' }).click()
      await page.getByRole('alert').waitFor()
    },
  },
  {
    name: 'sign-in-code',
    path: of(() => '/admin/sign-in'),
    stranger: true,
    act: async (page) => {
      await page.getByLabel('E-mail address').fill(CAREFUL)
      await page.getByLabel('Password').fill(PASSWORD)
      await page.getByRole('button', { name: 'Sign in' }).click()
      await page.getByRole('heading', { name: 'Second factor' }).waitFor()
    },
  },
  // The dashboard.
  { name: 'overview', path: always('/admin'), hasEmptyState: true },
  { name: 'keys', path: always('/admin/keys'), hasEmptyState: true },
  { name: 'key-rotate', path: always('/admin/keys/rotate') },
  { name: 'key-revoke', path: of(({ kid }) => `/admin/keys/${kid}/revoke`) },
  { name: 'admins', path: always('/admin/admins'), hasEmptyState: true },
  { name: 'admin-remove', path: of(({ carefulId }) => `/admin/admins/${carefulId}/remove`) },
  { name: 'audit', path: always('/admin/audit'), hasEmptyState: true },
  { name: 'bulks', path: always('/admin/bulk'), hasEmptyState: true },
  ...(['collecting', 'ready', 'running', 'done', 'cancelled'] as const).map((status) => ({
    name: `bulk-${status}`,
    path: of(({ bulkIds }) => `/admin/bulk/${bulkIds[status]}`),
  })),
  { name: 'users', path: always('/admin/users'), hasEmptyState: true },
  { name: 'users-found', path: of(() => '/admin/users?q=per&sort=used') },
  { name: 'users-nobody', path: of(() => '/admin/users?q=nobody') },
  { name: 'user', path: of(({ connectionId }) => `/admin/users/${connectionId}`) },
  { name: 'user-troubled', path: of(({ troubledId }) => `/admin/users/${troubledId}`) },
  { name: 'user-revoked', path: of(({ revokedId }) => `/admin/users/${revokedId}`) },
  { name: 'user-erased', path: of(({ erasedId }) => `/admin/users/${erasedId}`) },
  { name: 'user-missing', path: always('/admin/users/con_none') },
  { name: 'user-revoke', path: of(({ connectionId }) => `/admin/users/${connectionId}/revoke`) },
  {
    name: 'user-revoke-app',
    path: of(({ connectionId, appId }) => `/admin/users/${connectionId}/apps/${appId}/revoke`),
  },
  {
    name: 'user-revoke-device',
    path: of(
      ({ connectionId, grantId }) => `/admin/users/${connectionId}/devices/${grantId}/revoke`,
    ),
  },
  { name: 'user-erase', path: of(({ connectionId }) => `/admin/users/${connectionId}/erase`) },
  { name: 'apps', path: always('/admin/apps'), hasEmptyState: true },
  { name: 'app', path: of(({ appId }) => `/admin/apps/${appId}`) },
  {
    name: 'app-confidential',
    path: of(({ confidentialAppId }) => `/admin/apps/${confidentialAppId}`),
  },
  { name: 'app-fragment', path: of(({ oddAppId }) => `/admin/apps/${oddAppId}`) },
  { name: 'app-new', path: always('/admin/apps/new') },
  {
    name: 'app-refused',
    path: always('/admin/apps/new'),
    act: async (page) => {
      await page.getByLabel('Name').fill('Map')
      await page.getByLabel('Redirect URIs').fill('http://map.example.com/')
      await page.getByRole('button', { name: 'Register this app' }).click()
      await page.getByRole('alert').waitFor()
    },
  },
  { name: 'app-edit', path: of(({ appId }) => `/admin/apps/${appId}/edit`) },
  {
    name: 'app-rotate',
    path: of(({ confidentialAppId }) => `/admin/apps/${confidentialAppId}/rotate`),
  },
  {
    name: 'app-secret',
    path: of(({ confidentialAppId }) => `/admin/apps/${confidentialAppId}/rotate`),
    act: press('Make a new secret'),
  },
  {
    name: 'app-end-old-secret',
    path: of(({ confidentialAppId }) => `/admin/apps/${confidentialAppId}/end-old-secret`),
  },
  { name: 'app-remove', path: of(({ appId }) => `/admin/apps/${appId}/remove`) },
  { name: 'account', path: always('/admin/account') },
  { name: 'second-factor', path: always('/admin/account/second-factor') },
  { name: 'second-factor-proposed', path: always('/admin/account/second-factor'), act: propose },
  { name: 'recovery-codes', path: always('/admin/account/second-factor'), act: confirm },
  { name: 'second-factor-on', path: always('/admin/account/second-factor') },
  { name: 'nothing-here', path: always('/admin/keys/none/revoke') },
]

async function propose(page: Page) {
  await page.getByLabel('Your password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Begin' }).click()
  await page.getByRole('img', { name: 'QR code' }).waitFor()
}

/** Types the code that an authenticator app would show. */
async function confirm(page: Page) {
  const key = (await page.locator('#key').innerText()).replaceAll(' ', '')
  const code = new TOTP({ secret: OtpSecret.fromBase32(key) }).generate()
  await page.getByLabel('Code', { exact: true }).fill(code)
  await page.getByRole('button', { name: 'Add the second factor' }).click()
  await page.getByRole('heading', { name: 'Recovery codes' }).waitFor()
}
