import type { Page } from 'playwright-core'
import type { PageData } from './data.ts'

/** A page, and how a test opens it. */
export interface TestedPage {
  /** The name of its screenshots. */
  name: string
  /** Its path without the base path; `null` if the page does not exist. `setupSecret` is `null` if there is an admin. */
  path: (data: PageData | null, setupSecret: string | null) => string | null
  /** Opened without a session. By default an admin is signed in. */
  anonymous?: boolean
  /** The page looks different on an empty broker, or exists only there. */
  hasEmptyState?: boolean
  /** Steps on the page before it is checked. */
  act?: (page: Page) => Promise<unknown>
}

/** A path that does not depend on data. */
export const fixedPath = (path: string) => () => path
/** A path that depends on data; the page does not exist on an empty broker. */
export const pathWithData = (path: (data: PageData) => string) => (data: PageData | null) =>
  data && path(data)

/** Clicks the button with exactly this name, and waits for the next page. */
export function clickButton(name: string) {
  return async (page: Page) => {
    const loaded = page.waitForEvent('load')
    await page.getByRole('button', { name, exact: true }).click()
    await loaded
  }
}
