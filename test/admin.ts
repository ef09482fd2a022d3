import type { BrowserContext } from 'playwright-core'
import type { Admin } from '../db/store.ts'
import { Secret } from '../server/secret.ts'
import type { TestBroker } from './helper.ts'
import { Visitor } from './visitor.ts'

export const PASSWORD = 'correct horse battery staple'

/** An admin of that role, signed in: a browser that has the session. */
export async function signIn(
  broker: TestBroker,
  { role = 'admin', email = `${role}@example.com` }: { role?: Admin['role']; email?: string } = {},
): Promise<Visitor> {
  const known = (await broker.services.admins.list()).some((admin) => admin.email === email)
  if (!known) await broker.services.admins.add(email, new Secret(PASSWORD), 'test', role)
  const visitor = new Visitor()
  const page = await visitor.open(`${broker.url}/admin/sign-in`)
  const inside = await visitor.press(page, 'Sign in', { email, password: PASSWORD })
  if (inside.url !== `${broker.url}/admin`) throw new Error(`not signed in:\n${inside.body}`)
  return visitor
}

/** Gives a real browser an admin's session. */
export async function signInBrowser(
  broker: TestBroker,
  context: BrowserContext,
  who: Parameters<typeof signIn>[1] = {},
): Promise<void> {
  const { origin } = new URL(broker.url)
  const cookies = (await signIn(broker, who)).cookies(origin)
  await context.addCookies([...cookies].map(([name, value]) => ({ name, value, url: origin })))
}
