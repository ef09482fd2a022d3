import type { Page } from 'playwright-core'
import t from 'tap'
import { openDashboard, testInBrowser } from './admin-browser.ts'
import type { AdminBrowser } from './admin-browser.ts'
import { fillBroker } from '../sample-data.ts'

/** The names on the page, in order. */
const shown = (page: Page): Promise<string[]> => page.locator('tbody th a').allInnerTexts()

async function search(page: Page, name: string): Promise<void> {
  await page.getByLabel('Name or ID').fill(name)
  await page.getByRole('button', { name: 'Search' }).click()
  await page.waitForURL((url) => url.searchParams.get('q') === name)
}

/** Waits for the end of a bulk revocation. Without JavaScript, reloads the page. */
async function waitForRevocation({ page, javaScriptEnabled }: AdminBrowser): Promise<void> {
  const end = page.getByRole('heading', { name: 'Revoked', exact: true })
  if (!javaScriptEnabled) {
    while (!(await end.isVisible())) await page.getByRole('link', { name: 'Reload' }).click()
  }
  await end.waitFor()
}

testInBrowser(t, 'users are searched, filtered, sorted and paged', async (t, admin) => {
  const { broker, page } = admin
  await fillBroker(broker)
  await openDashboard(admin, '/users')
  await page.getByText('33 users.').waitFor()
  const first = await shown(page)
  t.equal(first.length, 25)
  await page.getByRole('link', { name: 'Next page' }).click()
  await page.getByRole('link', { name: 'Previous page' }).waitFor()
  const second = await shown(page)
  t.equal(new Set([...first, ...second]).size, 33, 'every user exactly once')
  await page.getByRole('link', { name: 'Previous page' }).click()
  await page.getByRole('link', { name: 'Next page' }).waitFor()
  t.strictSame(await shown(page), first)

  await search(page, 'person1')
  await page.getByText('11 users match.').waitFor()
  t.equal((await shown(page))[0], 'person1')
  await page.locator('th[aria-sort="ascending"]').waitFor()
  await page.getByRole('link', { name: 'User', exact: true }).click()
  await page.locator('th[aria-sort="descending"]').waitFor()
  t.equal((await shown(page))[0], 'person19')
  await page.getByLabel('App').selectOption('Nightly report')
  await page.getByRole('button', { name: 'Search' }).click()
  await page.getByText(/^\d users match/).waitFor()
  const those = await shown(page)
  t.ok(those.length < 11 && those.every((name) => name.startsWith('person1')), 'both filters apply')

  await search(page, 'nobody')
  await page.getByText('No users match these filters').waitFor()
  await page.getByRole('link', { name: 'Clear filters' }).first().click()
  await page.getByLabel('Status').selectOption('Needs reconnecting')
  await page.getByRole('button', { name: 'Search' }).click()
  await page.getByText('1 user matches.').waitFor()
  t.strictSame(await shown(page), ['bo.lindqvist'])
})

testInBrowser(t, 'selected users, and all matches, are revoked', async (t, admin) => {
  const { broker, page, javaScriptEnabled } = admin
  const { store, bulks } = broker.services
  await fillBroker(broker)
  const before = await store.countConnections()
  await openDashboard(admin, '/users?q=person2')
  await page.getByRole('button', { name: 'Revoke selected…' }).click()
  await page.getByText('No users selected. Nothing was revoked.').waitFor()

  await search(page, 'person2')
  if (javaScriptEnabled) {
    await page.getByRole('button', { name: 'Select all' }).click()
    t.equal(await page.locator('tbody input:checked').count(), 10)
    await page.getByRole('button', { name: 'Deselect all' }).click()
  }
  for (const name of ['person20', 'person21']) await page.getByLabel(`Select ${name}`).check()
  await page.getByRole('button', { name: 'Revoke selected…' }).click()
  await page.getByRole('heading', { name: 'Revoke these connections?' }).waitFor()
  t.strictSame(await page.locator('.sample li').allInnerTexts(), ['person20', 'person21'])
  t.match(
    await page.getByRole('main').innerText(),
    'Access tokens that apps already hold work until they expire',
  )
  t.strictSame(await store.countConnections(), before, 'the confirmation page changes nothing')
  await page.getByRole('button', { name: 'Revoke these 2 connections' }).click()
  await page.getByRole('heading', { name: 'Revoking' }).waitFor()
  t.equal(await page.getByRole('progressbar').getAttribute('value'), '0')
  t.match(
    await page.getByRole('main').innerText(),
    'The revocation continues if you leave this page',
  )
  bulks.start()
  await waitForRevocation(admin)
  await page.getByText('2 of 2 revoked.').waitFor()

  await page.getByRole('link', { name: 'Users', exact: true }).click()
  await search(page, 'person1')
  await page.getByRole('button', { name: 'Revoke all matches…' }).click()
  await page.getByText('All connections matching “person1”').waitFor()
  await page.getByRole('button', { name: 'Revoke these 11 connections' }).click()
  await waitForRevocation(admin)
  await page.getByText('11 of 11 revoked.').waitFor()
  const after = await store.countConnections()
  t.equal(after.revoked, before.revoked + 13)
  await page.getByRole('link', { name: 'Bulk revocations' }).click()
  await page.getByRole('cell', { name: '11 of 11' }).waitFor()
})
