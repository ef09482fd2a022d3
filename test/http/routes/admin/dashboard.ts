/** What tests of the dashboard share. */

import { signIn } from '../../../admin.ts'
import { postForm } from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'
import type { Page, Visitor } from '../../../visitor.ts'

/** Signs in an admin. `look` opens a page by its path under `/admin`. */
export async function openDashboard(broker: TestBroker) {
  const admin = await signIn(broker)
  const look = (path: string) => admin.open(`${broker.url}/admin${path}`)
  return { admin, look }
}

/** The text of a page, without markup. */
export const textOf = ({ body }: { body: string }): string =>
  body
    .replace(/<script.*?<\/script>|<[^>]+>/gs, ' ')
    .replace(/\s+/g, ' ')
    .trim()

/** The CSRF token in the forms of a page. */
export const csrfTokenOf = ({ body }: { body: string }): string =>
  /name="_csrf" value="([^"]+)"/.exec(body)?.[1] ?? ''

/** Posts a form of the dashboard with a valid CSRF token. */
export async function postToDashboard(
  { url }: TestBroker,
  visitor: Visitor,
  path: string,
  fields: [string, string][],
): Promise<Page> {
  const token = csrfTokenOf(await visitor.open(`${url}/admin/account`))
  const body = new URLSearchParams([['_csrf', token], ...fields])
  return visitor.open(url + path, undefined, { method: 'POST', body, headers: { origin: url } })
}

/** Does the token endpoint accept the client secret? */
export async function isSecretAccepted(
  broker: Pick<TestBroker, 'url'>,
  clientId: string,
  secret: string,
): Promise<boolean> {
  const fields = { grant_type: 'authorization_code', code: 'x', code_verifier: 'x' }
  const credentials = { client_id: clientId, client_secret: secret }
  const { body } = await postForm(`${broker.url}/oauth/token`, { ...fields, ...credentials })
  return body.error === 'invalid_grant'
}
