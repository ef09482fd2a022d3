import type { BrowserContext } from 'playwright-core'
import type { Admin } from '../db/store.ts'
import { Secret } from '../server/secret.ts'
import type { TestBroker } from './helper.ts'
import { Visitor } from './visitor.ts'

export const PASSWORD = 'correct horse battery staple'

/** Signs in as an admin, who is added if necessary. Returns the visitor with the session. */
export async function signIn(
  broker: TestBroker,
  { role = 'admin', email = `${role}@example.com` }: { role?: Admin['role']; email?: string } = {},
): Promise<Visitor> {
  const exists = (await broker.services.admins.list()).some((admin) => admin.email === email)
  if (!exists) await broker.services.admins.add(email, new Secret(PASSWORD), 'test', role)
  const visitor = new Visitor()
  const page = await visitor.open(`${broker.url}/admin/sign-in`)
  const overview = await visitor.press(page, 'Sign in', { email, password: PASSWORD })
  if (overview.url !== `${broker.url}/admin`) throw new Error(`not signed in:\n${overview.body}`)
  return visitor
}

/** Signs a real browser in as an admin. */
export async function signInBrowser(
  broker: TestBroker,
  context: BrowserContext,
  options: Parameters<typeof signIn>[1] = {},
): Promise<void> {
  const { origin } = new URL(broker.url)
  const cookies = (await signIn(broker, options)).cookies(origin)
  await context.addCookies([...cookies].map(([name, value]) => ({ name, value, url: origin })))
}
