import type { Page } from 'playwright-core'
import type { ShownData } from './data.ts'

/** A page that a person can meet, and how it is reached. */
export interface ShownPage {
  /** What its pictures are called. */
  name: string
  /** Its address without the base path; `null`: not there. `setupSecret`: as long as there is no admin. */
  path: (data: ShownData | null, setupSecret: string | null) => string | null
  /** Somebody is signed in (with the role `admin`) unless this says otherwise. */
  stranger?: boolean
  /** It looks different on an empty broker, or is there alone. */
  hasEmptyState?: boolean
  /** What is done on the page before it is looked at. */
  act?: (page: Page) => Promise<unknown>
}

/** The same address, whatever there is. */
export const always = (path: string) => () => path
/** An address that needs what is there. */
export const of = (path: (data: ShownData) => string) => (data: ShownData | null) =>
  data && path(data)

/** Presses a button of that very name, and waits for the page that it leads to. */
export function press(name: string) {
  return async (page: Page) => {
    const loaded = page.waitForEvent('load')
    await page.getByRole('button', { name, exact: true }).click()
    await loaded
  }
}
