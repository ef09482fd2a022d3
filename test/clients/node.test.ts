/** Runs the programs of docs/connect/node.md unchanged, as a user of the app. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { addAppWithSecret, allow, buildBroker, freePort } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { size } from '../size.ts'
import { Visitor } from '../visitor.ts'
import { runProgram } from './python.ts'

const root = join(import.meta.dirname, '../..')
const page = readFileSync(join(root, 'docs/connect/node.md'), 'utf8')
/** The libraries are installed here. */
const cwd = join(import.meta.dirname, 'libraries')

/** Lifetime of the stand-in's access tokens, and a little more. */
const ACCESS_TOKEN_LIFETIME_MS = 3_610_000

const SIGNED_IN = /^Signed in as amelie \(acc_[\w-]{22}\). Drive of amelie.$/

/** How the program tells that the user refused, in the words of its library. */
const refusals: Record<string, string> = {
  '@auth/core': 'Try signing in with a different account.',
  '@badgateway/oauth2-client': 'Error: The user refused access.',
  '@fastify/oauth2': '"message":"access_denied"',
  'better-auth': 'Error: access_denied',
  'express-openid-connect': 'Error: access_denied',
  grant: 'Error: access_denied',
  oauth4webapi: 'Error: access_denied',
  'openid-client': 'Error: access_denied',
  'passport-oauth2': 'Error: Unauthorized',
  'passport-openidconnect': 'Error: Unauthorized',
  'simple-oauth2': 'Error: access_denied',
}

const sections = new Map(
  page.split('\n## ').map((text) => {
    const title = text.slice(0, text.indexOf('\n'))
    const blocks = [...text.matchAll(/```js\n([^]*?)```/g)].map(([, block = '']) => block)
    return [title, { text, blocks }] as const
  }),
)
const [start = '', ownRefresh = ''] = sections.get('Start')?.blocks ?? []

/** The program of a library's section. */
function programOf(name: string) {
  const { text, blocks: [block = ''] = [] } = sections.get(name) ?? { text: '' }
  const redirectPath = /Redirect URI: `https:\/\/[^/]+(\/\S+)`/.exec(text)?.[1] ?? ''
  const isComplete = block.includes('process.env')
  const parts = [...(isComplete ? [] : [start]), block]
  if (text.includes('add `refresh` from above')) parts.push(ownRefresh)
  return { source: parts.join('\n'), redirectPath }
}

/**
 * Starts the program for a new app of the broker. Returns its URL.
 * @param without a setting to take out of the program
 */
async function startProgram(t: Test, broker: TestBroker, name: string, without = '') {
  const { source, redirectPath } = programOf(name)
  const here = `http://127.0.0.1:${await freePort()}`
  const { app, clientSecret } = await addAppWithSecret(broker, {
    ...{ confidential: true, tokens: 'ellipsis', redirectUris: [here + redirectPath] },
  })
  const env = {
    ...{ BROKER: broker.url, CLIENT_ID: app.id, HERE: here, SESSION_SECRET: 's'.repeat(40) },
    CLIENT_SECRET: clientSecret?.reveal() ?? '',
    ELLIPSIS_API: broker.env.ELLIPSIS_API_URL ?? '',
  }
  const stop = new AbortController()
  const listening = Promise.withResolvers<undefined>()
  const onLine = (line: string) =>
    void (line.startsWith('Listening') && listening.resolve(undefined))
  // With --eval, imports resolve from the working directory.
  const command = [
    process.execPath,
    '--input-type=module',
    '--eval',
    without === '' ? source : source.replace(without, `x_${without}`),
  ]
  const ended = runProgram(command, env, onLine, { signal: stop.signal, cwd })
  t.teardown(async () => {
    stop.abort()
    const { output } = await ended
    if (!t.passing()) t.comment(output)
  })
  const failure = await Promise.race([listening.promise, ended.then(({ output }) => output)])
  t.equal(failure, undefined, 'it listens')
  return here
}

/** Opens the app. A library may have a page with a button of its own first. */
async function openConsent(visitor: Visitor, here: string) {
  const opened = await visitor.open(here)
  const button = 'Sign in with Ellipsis Drive'
  return opened.body.includes(button) ? visitor.press(opened, button) : opened
}

/** Opens the app and signs in. Returns the last page. */
async function signIn(visitor: Visitor, here: string) {
  const consent = await openConsent(visitor, here)
  const login = await visitor.press(consent, 'Continue to Ellipsis Drive')
  return allow(visitor, login, 'amelie')
}

for (const [name, refusal] of Object.entries(refusals)) {
  t.test(`${name}: sign in, call Ellipsis Drive, refresh; refuse; revoke`, async (t) => {
    const broker = await buildBroker(t)
    const here = await startProgram(t, broker, name)
    const visitor = new Visitor()
    const signedIn = await signIn(visitor, here)
    t.match(signedIn.body, SIGNED_IN)

    broker.clock.advance(ACCESS_TOKEN_LIFETIME_MS)
    t.equal((await visitor.open(here)).body, signedIn.body)
    t.equal(broker.standIn.calls.refresh, 1, 'the access token had expired')

    const other = new Visitor()
    const refused = await other.press(await openConsent(other, here), 'Deny')
    t.match(refused.body, refusal)

    for await (const { id } of broker.services.connections.all()) {
      await broker.services.connections.revoke(id, 'test')
    }
    broker.clock.advance(ACCESS_TOKEN_LIFETIME_MS)
    t.match((await openConsent(visitor, here)).body, 'Continue to Ellipsis Drive')
  })
}

for (const name of Object.keys(refusals).slice(0, size(1, Infinity))) {
  t.test(`${name}: sign in at a broker with a base path`, async (t) => {
    const broker = await buildBroker(t, { basePath: '/broker' })
    const here = await startProgram(t, broker, name)
    t.match((await signIn(new Visitor(), here)).body, SIGNED_IN)
  })
}

const settings = readFileSync(join(root, 'docs/connect/README.md'), 'utf8').matchAll(
  /^\| \[(\S+)\]\(node\.md[^|]*\|[^|]*\| `([^`]+)`/gm,
)
for (const [, name = '', setting = ''] of settings) {
  t.test(`${name} needs ${setting}`, async (t) => {
    const broker = await buildBroker(t)
    const visitor = new Visitor()
    let page = await visitor.open(await startProgram(t, broker, name, setting))
    if (page.body.includes('Continue to Ellipsis Drive')) {
      page = await visitor.press(page, 'Continue to Ellipsis Drive')
      page = await allow(visitor, page, 'amelie')
    }
    t.match(page.body, /^Error: /)
  })
}
