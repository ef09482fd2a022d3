import type { Page } from 'playwright-core'
import { clickButton, fixedPath, pathWithData } from './page.ts'
import type { TestedPage } from './page.ts'

/** Pages for users who connect their Ellipsis Drive. None needs a session. */
const pages: Omit<TestedPage, 'anonymous'>[] = [
  { name: 'home', path: fixedPath('/') },
  { name: 'consent', path: pathWithData(({ appId }) => `/connect/${appId}`) },
  { name: 'consent-app', path: pathWithData(authorizePath) },
  {
    name: 'refused',
    path: pathWithData(({ appId }) => `/connect/${appId}`),
    act: clickButton('Deny'),
  },
  {
    name: 'refused-at-ellipsis-drive',
    path: pathWithData(({ appId }) => `/connect/${appId}`),
    act: answerAtEllipsisDrive('Refuse', 'Nothing was connected'),
  },
  {
    name: 'connected',
    path: pathWithData(({ appId }) => `/connect/${appId}`),
    act: answerAtEllipsisDrive('Allow', 'You are connected'),
  },
  {
    name: 'other-account',
    path: pathWithData(({ appId }) => `/connect/${appId}?login_hint=johanna.van-der-berg`),
    act: answerAtEllipsisDrive('Allow', 'Which account do you want to connect?'),
  },
  { name: 'error', path: fixedPath('/connect/app_unknown') },
  {
    name: 'error-redirect-uri',
    path: pathWithData(
      (data) =>
        `${authorizePath(data)}&redirect_uri=https://preview-17.map.example.com/return?from=menu`,
    ),
  },
  {
    name: 'error-redirect-uri-http',
    path: pathWithData((data) => `${authorizePath(data)}&redirect_uri=http://map.example.com/`),
  },
  {
    name: 'error-link',
    path: pathWithData(
      ({ appId }) => `/oauth/authorize?client_id=${appId}&redirect_uri=a&redirect_uri=b`,
    ),
  },
  { name: 'error-callback', path: fixedPath('/callback?state=none&code=none') },
  { name: 'nothing', path: fixedPath('/none') },
  { name: 'no-page', path: fixedPath('/exchange') },
  { name: 'me-sign-in', path: fixedPath('/me') },
  {
    name: 'me',
    path: pathWithData(() => '/me'),
    act: answerAtEllipsisDrive('Allow', 'Everything'),
  },
  { name: 'me-device', path: pathWithData(({ grantId }) => `/me/devices/${grantId}/disconnect`) },
  { name: 'me-app', path: pathWithData(({ appId }) => `/me/apps/${appId}/disconnect`) },
  { name: 'me-link', path: pathWithData(({ linkId }) => `/me/links/${linkId}/revoke`) },
  { name: 'me-all', path: pathWithData(() => '/me/disconnect') },
  { name: 'me-erase', path: pathWithData(() => '/me/erase') },
  { name: 'reference', path: fixedPath('/docs') },
  { name: 'device', path: fixedPath('/device') },
  { name: 'device-filled', path: pathWithData(devicePath(0)) },
  {
    name: 'device-unknown',
    path: fixedPath('/device?user_code=BBBB-BBBB'),
    act: async (page) => {
      await clickButton('Continue')(page)
      await page.getByRole('alert').waitFor()
    },
  },
  { name: 'device-consent', path: pathWithData(devicePath(0)), act: openDeviceConsent },
  {
    name: 'device-refused',
    path: pathWithData(devicePath(1)),
    act: async (page) => {
      await openDeviceConsent(page)
      await clickButton('Deny')(page)
    },
  },
  {
    name: 'device-connected',
    path: pathWithData(devicePath(2)),
    act: async (page) => {
      await openDeviceConsent(page)
      await answerAtEllipsisDrive('Allow', 'You are connected')(page)
    },
  },
]

export const connectingPages: TestedPage[] = pages.map((page) => ({ ...page, anonymous: true }))

function authorizePath({ appId }: { appId: string }): string {
  const challenge = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
  const query = { response_type: 'code', client_id: appId, code_challenge: challenge }
  return `/oauth/authorize?${new URLSearchParams({ ...query, code_challenge_method: 'S256' })}`
}

/** The verification URI of a device. Each code takes one answer. */
function devicePath(index: number) {
  return ({ userCodes }: { userCodes: string[] }) => `/device?user_code=${userCodes[index]}`
}

async function openDeviceConsent(page: Page): Promise<void> {
  await clickButton('Continue')(page)
  await page.getByRole('button', { name: 'Deny' }).waitFor()
}

/** Continues to Ellipsis Drive, signs in if needed, answers if asked, and returns. */
function answerAtEllipsisDrive(answer: 'Allow' | 'Refuse', heading: string) {
  return async (page: Page) => {
    await clickButton('Continue to Ellipsis Drive')(page)
    const end = page.getByRole('heading', { name: heading })
    const user = page.getByRole('button', { name: /^Log in as Amelie/ })
    const button = page.getByRole('button', { name: answer, exact: true })
    await user.or(button).or(end).waitFor()
    if (await user.isVisible()) await user.click()
    await button.or(end).waitFor()
    if (await button.isVisible()) await button.click()
    await end.waitFor()
  }
}
