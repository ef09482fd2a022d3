import t from 'tap'
import { addApp, authorizationRequest, buildBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'
import type { Page } from '../visitor.ts'

const hidden = (body: string): Record<string, string> =>
  Object.fromEntries(
    [...body.matchAll(/<input type="?hidden"? name="?(\w+)"? value="([^"]*)"/g)].map(
      ([, name = '', value = '']) => [name, value.replaceAll('&amp;', '&')],
    ),
  )

/** Headers of a form’s POST, and whether it is of the broker’s own page. */
const POSTS: [Record<string, string>, boolean][] = [
  [{ origin: 'null', 'sec-fetch-site': 'same-origin' }, true],
  [{ 'sec-fetch-site': 'same-origin' }, true],
  [{ origin: 'null', 'sec-fetch-site': 'cross-site' }, false],
  [{ origin: 'null', 'sec-fetch-site': 'same-site' }, false],
  [{ origin: 'null', 'sec-fetch-site': 'none' }, false],
  [{ origin: 'null' }, false],
  [{ origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' }, false],
  [{ origin: 'null', 'sec-fetch-site': 'same-origin, cross-site' }, false],
]

t.test('where Origin is null, Fetch Metadata says whose form it is', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  await broker.services.admins.add(
    'ada@example.com',
    new (await import('../../server/secret.ts')).Secret('correct horse battery'),
    'cli',
  )
  const send = async (
    page: Page,
    action: string,
    fields: object,
    headers: object,
    visitor: Visitor,
  ) => {
    const cookie = [...visitor.cookies(broker.url)].map((pair) => pair.join('=')).join('; ')
    const body = new URLSearchParams({ ...hidden(page.body), ...fields })
    return fetch(broker.url + action, {
      method: 'POST',
      body,
      headers: { cookie, accept: 'text/html', ...headers },
      redirect: 'manual',
    })
  }
  for (const [headers, own] of POSTS) {
    const name = JSON.stringify(headers)
    const visitor = new Visitor()
    const query = new URLSearchParams(authorizationRequest(app).parameters).toString()
    const asked = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
    const allowed = await send(asked, '/oauth/authorize', { decision: 'allow' }, headers, visitor)
    t.equal(allowed.status, own ? 303 : 403, `Allow: ${name}`)
    const form = await visitor.open(`${broker.url}/admin/sign-in`)
    const person = { email: 'ada@example.com', password: 'correct horse battery' }
    const signedIn = await send(form, '/admin/sign-in', person, headers, visitor)
    t.equal(signedIn.status, own ? 303 : 403, `sign-in: ${name}`)
    if (!own) continue
    const forged = await send({ ...form, body: '' }, '/admin/sign-in', person, headers, visitor)
    t.equal(forged.status, 403, `without the CSRF token: ${name}`)
  }
})
