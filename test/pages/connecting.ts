import type { Page } from 'playwright-core'
import { always, of, press } from './shown.ts'
import type { ShownPage } from './shown.ts'

/** What people meet who connect their Ellipsis Drive: strangers, all of them. */
const pages: Omit<ShownPage, 'stranger'>[] = [
  { name: 'home', path: always('/') },
  { name: 'ask', path: of(({ appId }) => `/connect/${appId}`) },
  { name: 'ask-app', path: of(authorize) },
  { name: 'refused', path: of(({ appId }) => `/connect/${appId}`), act: press('Refuse') },
  {
    name: 'refused-there',
    path: of(({ appId }) => `/connect/${appId}`),
    act: answerThere('Refuse', 'Nothing was connected'),
  },
  {
    name: 'connected',
    path: of(({ appId }) => `/connect/${appId}`),
    act: answerThere('Allow', 'You are connected'),
  },
  { name: 'error', path: always('/connect/app_unknown') },
  { name: 'error-callback', path: always('/callback?state=none&code=none') },
  { name: 'nothing', path: always('/none') },
  { name: 'reference', path: always('/docs') },
  { name: 'device', path: always('/device') },
  { name: 'device-filled', path: of(deviceAt(0)) },
  {
    name: 'device-unknown',
    path: always('/device?user_code=BBBB-BBBB'),
    act: async (page) => {
      await press('Continue')(page)
      await page.getByRole('alert').waitFor()
    },
  },
  { name: 'device-ask', path: of(deviceAt(0)), act: askedOnDevice },
  {
    name: 'device-refused',
    path: of(deviceAt(1)),
    act: async (page) => {
      await askedOnDevice(page)
      await press('Refuse')(page)
    },
  },
  {
    name: 'device-connected',
    path: of(deviceAt(2)),
    act: async (page) => {
      await askedOnDevice(page)
      await answerThere('Allow', 'You are connected')(page)
    },
  },
]

export const connectingPages: ShownPage[] = pages.map((page) => ({ ...page, stranger: true }))

function authorize({ appId }: { appId: string }): string {
  const challenge = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
  const query = { response_type: 'code', client_id: appId, code_challenge: challenge }
  return `/oauth/authorize?${new URLSearchParams({ ...query, code_challenge_method: 'S256' })}`
}

/** Where a device leads: each code is good for one answer. */
function deviceAt(index: number) {
  return ({ userCodes }: { userCodes: string[] }) => `/device?user_code=${userCodes[index]}`
}

async function askedOnDevice(page: Page): Promise<void> {
  await press('Continue')(page)
  await page.getByRole('button', { name: 'Refuse' }).waitFor()
}

/** On to Ellipsis Drive, signs in there and answers, where it asks, and comes back. */
function answerThere(answer: 'Allow' | 'Refuse', heading: string) {
  return async (page: Page) => {
    await press('Continue to Ellipsis Drive')(page)
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
