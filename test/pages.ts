import type { Page } from 'playwright-core'
import { PASSWORD } from './admin.ts'
import type { SampleData } from './sample-data.ts'

/**
 * Every page that a person can meet: what axe looks at (test/axe.ts), and what `npm run
 * pictures` makes pictures of, each with data and empty. A page is added with its route.
 */
export interface ShownPage {
  /** What its pictures are called. */
  name: string
  /** Its address without the base path; `null`: only there with data. */
  path: (data: SampleData | null) => string | null
  /** Somebody is signed in (with the role `admin`) unless this says otherwise. */
  stranger?: boolean
  /** What is done on the page before it is looked at. */
  act?: (page: Page) => Promise<unknown>
}

/** The same address, whatever there is. */
const always = (path: string) => () => path
/** An address that needs what is there. */
const of = (path: (data: SampleData) => string) => (data: SampleData | null) => data && path(data)

export const pages: ShownPage[] = [
  // Connecting.
  { name: 'home', path: always('/'), stranger: true },
  {
    name: 'ask',
    path: of(({ appId }) => `/connect/${appId}`),
    stranger: true,
  },
  {
    name: 'refused',
    path: of(({ appId }) => `/connect/${appId}`),
    stranger: true,
    act: press('Refuse'),
  },
  { name: 'error', path: always('/connect/app_unknown'), stranger: true },
  // Getting in.
  { name: 'sign-in', path: always('/admin/sign-in'), stranger: true },
  {
    name: 'sign-in-refused',
    path: always('/admin/sign-in'),
    stranger: true,
    act: async (page) => {
      await page.getByLabel('E-mail address').fill('nobody@example.com')
      await page.getByLabel('Password').fill('wrong')
      await page.getByRole('button', { name: 'Sign in' }).click()
      await page.getByRole('alert').waitFor()
    },
  },
  // The dashboard.
  { name: 'overview', path: always('/admin') },
  { name: 'keys', path: always('/admin/keys') },
  { name: 'key-rotate', path: always('/admin/keys/rotate') },
  { name: 'key-revoke', path: of(({ kid }) => `/admin/keys/${kid}/revoke`) },
  { name: 'admins', path: always('/admin/admins') },
  { name: 'audit', path: always('/admin/audit') },
  { name: 'bulks', path: always('/admin/bulk') },
  { name: 'bulk', path: of(() => '/admin/bulk/1') },
  { name: 'account', path: always('/admin/account') },
  { name: 'second-factor', path: always('/admin/account/second-factor') },
  { name: 'second-factor-proposed', path: always('/admin/account/second-factor'), act: propose },
  { name: 'nothing-here', path: always('/admin/keys/none/revoke') },
]

function press(name: string) {
  return async (page: Page) => {
    await page.getByRole('button', { name, exact: true }).click()
    await page.waitForLoadState()
  }
}

async function propose(page: Page) {
  await page.getByLabel('Your password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Begin' }).click()
  await page.getByRole('img', { name: 'QR code' }).waitFor()
}
