import { Secret as OtpSecret, TOTP } from 'otpauth'
import type { Page } from 'playwright-core'
import { PASSWORD } from './admin.ts'
import { connectingPages } from './pages/connecting.ts'
import { clickButton, fixedPath, pathWithData } from './pages/page.ts'
import type { TestedPage } from './pages/page.ts'
import { CAREFUL } from './sample-data.ts'

export type { TestedPage } from './pages/page.ts'

/**
 * Every page: axe checks them (test/browser/axe.ts) and `npm run pictures` makes screenshots of them, with
 * data and empty. Add a page together with its route.
 */
export const pages: TestedPage[] = [
  ...connectingPages,
  // Before anyone signs in, so that an empty broker still needs its setup.
  {
    name: 'setup',
    path: (_data, secret) => secret && `/admin/setup/${secret}`,
    anonymous: true,
    hasEmptyState: true,
  },
  { name: 'setup-ended', path: fixedPath('/admin/setup/none'), anonymous: true },
  { name: 'sign-in', path: fixedPath('/admin/sign-in'), anonymous: true, hasEmptyState: true },
  {
    name: 'sign-in-refused',
    path: fixedPath('/admin/sign-in'),
    anonymous: true,
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
    path: pathWithData(() => '/admin/sign-in'),
    anonymous: true,
    act: async (page) => {
      await page.getByLabel('E-mail address').fill(CAREFUL)
      await page.getByLabel('Password').fill(PASSWORD)
      await page.getByRole('button', { name: 'Sign in' }).click()
      await page.getByRole('heading', { name: 'Second factor' }).waitFor()
    },
  },
  { name: 'sign-in-link-ended', path: fixedPath('/admin/sign-in/link/none'), anonymous: true },
  // The dashboard.
  { name: 'overview', path: fixedPath('/admin'), hasEmptyState: true },
  { name: 'keys', path: fixedPath('/admin/keys'), hasEmptyState: true },
  { name: 'key-rotate', path: fixedPath('/admin/keys/rotate') },
  { name: 'key-revoke', path: pathWithData(({ kid }) => `/admin/keys/${kid}/revoke`) },
  { name: 'admins', path: fixedPath('/admin/admins'), hasEmptyState: true },
  {
    name: 'admin-remove',
    path: pathWithData(({ carefulId }) => `/admin/admins/${carefulId}/remove`),
  },
  {
    name: 'confirm-identity',
    path: fixedPath('/admin/confirm-identity?next=/admin/keys/rotate'),
  },
  { name: 'audit', path: fixedPath('/admin/audit'), hasEmptyState: true },
  { name: 'bulks', path: fixedPath('/admin/bulk'), hasEmptyState: true },
  ...(['collecting', 'ready', 'running', 'done', 'cancelled'] as const).map((status) => ({
    name: `bulk-${status}`,
    path: pathWithData(({ bulkIds }) => `/admin/bulk/${bulkIds[status]}`),
  })),
  { name: 'users', path: fixedPath('/admin/users'), hasEmptyState: true },
  { name: 'users-found', path: pathWithData(() => '/admin/users?q=per&sort=used') },
  { name: 'users-nobody', path: pathWithData(() => '/admin/users?q=nobody') },
  { name: 'user', path: pathWithData(({ connectionId }) => `/admin/users/${connectionId}`) },
  { name: 'user-troubled', path: pathWithData(({ troubledId }) => `/admin/users/${troubledId}`) },
  { name: 'user-revoked', path: pathWithData(({ revokedId }) => `/admin/users/${revokedId}`) },
  { name: 'user-erased', path: pathWithData(({ erasedId }) => `/admin/users/${erasedId}`) },
  { name: 'user-missing', path: fixedPath('/admin/users/con_none') },
  {
    name: 'user-revoke',
    path: pathWithData(({ connectionId }) => `/admin/users/${connectionId}/revoke`),
  },
  {
    name: 'user-revoke-app',
    path: pathWithData(
      ({ connectionId, appId }) => `/admin/users/${connectionId}/apps/${appId}/revoke`,
    ),
  },
  {
    name: 'user-revoke-device',
    path: pathWithData(
      ({ connectionId, grantId }) => `/admin/users/${connectionId}/devices/${grantId}/revoke`,
    ),
  },
  {
    name: 'user-revoke-link',
    path: pathWithData(
      ({ connectionId, linkId }) => `/admin/users/${connectionId}/links/${linkId}/revoke`,
    ),
  },
  {
    name: 'user-erase',
    path: pathWithData(({ connectionId }) => `/admin/users/${connectionId}/erase`),
  },
  { name: 'apps', path: fixedPath('/admin/apps'), hasEmptyState: true },
  { name: 'app', path: pathWithData(({ appId }) => `/admin/apps/${appId}`) },
  {
    name: 'app-confidential',
    path: pathWithData(({ confidentialAppId }) => `/admin/apps/${confidentialAppId}`),
  },
  { name: 'app-fragment', path: pathWithData(({ oddAppId }) => `/admin/apps/${oddAppId}`) },
  { name: 'app-new', path: fixedPath('/admin/apps/new') },
  {
    name: 'app-refused',
    path: fixedPath('/admin/apps/new'),
    act: async (page) => {
      await page.getByLabel('Name').fill('Map')
      await page.getByLabel('Redirect URIs').fill('http://map.example.com/')
      await page.getByRole('button', { name: 'Register app' }).click()
      await page.getByRole('alert').waitFor()
    },
  },
  { name: 'app-edit', path: pathWithData(({ appId }) => `/admin/apps/${appId}/edit`) },
  {
    name: 'app-rotate',
    path: pathWithData(({ confidentialAppId }) => `/admin/apps/${confidentialAppId}/rotate`),
  },
  {
    name: 'app-secret',
    path: pathWithData(({ confidentialAppId }) => `/admin/apps/${confidentialAppId}/rotate`),
    act: clickButton('Rotate secret'),
  },
  {
    name: 'app-end-old-secret',
    path: pathWithData(
      ({ confidentialAppId }) => `/admin/apps/${confidentialAppId}/end-old-secret`,
    ),
  },
  { name: 'app-remove', path: pathWithData(({ appId }) => `/admin/apps/${appId}/remove`) },
  { name: 'webhooks', path: fixedPath('/admin/webhooks'), hasEmptyState: true },
  { name: 'webhook', path: pathWithData(({ webhookId }) => `/admin/webhooks/${webhookId}`) },
  { name: 'webhook-new', path: fixedPath('/admin/webhooks/new') },
  {
    name: 'webhook-refused',
    path: fixedPath('/admin/webhooks/new'),
    act: async (page) => {
      await page.getByLabel('URL', { exact: true }).fill('http://ops.example.com/events')
      await page.getByRole('button', { name: 'Add endpoint' }).click()
      await page.getByRole('alert').waitFor()
    },
  },
  {
    name: 'webhook-rotate',
    path: pathWithData(({ webhookId }) => `/admin/webhooks/${webhookId}/rotate`),
  },
  {
    name: 'webhook-key',
    path: pathWithData(({ webhookId }) => `/admin/webhooks/${webhookId}/rotate`),
    act: clickButton('Rotate key'),
  },
  {
    name: 'webhook-remove',
    path: pathWithData(({ webhookId }) => `/admin/webhooks/${webhookId}/remove`),
  },
  { name: 'account', path: fixedPath('/admin/account') },
  { name: 'second-factor', path: fixedPath('/admin/account/second-factor') },
  {
    name: 'second-factor-proposed',
    path: fixedPath('/admin/account/second-factor'),
    act: proposeSecret,
  },
  { name: 'recovery-codes', path: fixedPath('/admin/account/second-factor'), act: confirmSecret },
  { name: 'second-factor-on', path: fixedPath('/admin/account/second-factor') },
  { name: 'nothing-here', path: fixedPath('/admin/keys/none/revoke') },
]

async function proposeSecret(page: Page) {
  await page.getByLabel('Current password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Set up' }).click()
  await page.getByRole('img', { name: 'QR code' }).waitFor()
}

/** Enters the code that an authenticator app would show. */
async function confirmSecret(page: Page) {
  const key = (await page.locator('#key').innerText()).replaceAll(' ', '')
  const code = new TOTP({ secret: OtpSecret.fromBase32(key) }).generate()
  await page.getByLabel('Code', { exact: true }).fill(code)
  await page.getByRole('button', { name: 'Enable second factor' }).click()
  await page.getByRole('heading', { name: 'Recovery codes' }).waitFor()
}
