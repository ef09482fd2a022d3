import { chmodSync, lstatSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../server/config/config.ts'
import { writeSettings } from '../../server/operate/env-file.ts'
import { probe, settingsOf } from '../../server/operate/probe.ts'
import { runtime } from '../../server/runtime.ts'
import type { Switches } from '../../server/stand-in/app.ts'
import { command } from '../command.ts'
import { allow, freePort } from '../helper.ts'
import { cli } from '../processes.ts'
import { Visitor } from '../visitor.ts'
import { buildHeadless } from './headless.ts'
import type { HeadlessSetup } from './headless.ts'
import { temporaryFolder } from '../temporary.ts'

async function ask(
  setup: HeadlessSetup,
  switches: Partial<Switches>,
  reuse = true,
  fetchFn = runtime.fetch,
) {
  Object.assign(setup.standIn.switches, switches)
  const config = loadConfig(setup.env, { serve: true })
  const authorize = async (url: string) => {
    const visitor = new Visitor()
    const page = await visitor.open(url, config.callbackUrl)
    return (await allow(visitor, page, 'amelie', config.callbackUrl)).url
  }
  return probe(config, { ...runtime, fetch: fetchFn }, authorize, { reuse })
}

t.test('every variant of Ellipsis Drive is recognized', async (t) => {
  const variants: [Partial<Switches>, object][] = [
    [
      {},
      {
        encodings: { form: 'read', json: 'read' },
        codeParameters: ['code', 'authorization_code'],
        errorShape: 'oauth',
        expiresIn: 3600,
        refreshToken: 'same',
        account: 'id and username',
        accessToken: { jwt: true, jwtLifeSeconds: 3600 },
      },
    ],
    [{ tokenRequest: 'form' }, { encodings: { form: 'read', json: 'not read' } }],
    [{ tokenRequest: 'json' }, { encodings: { form: 'not read', json: 'read' } }],
    [{ codeParameter: 'code' }, { codeParameters: ['code'] }],
    [{ codeParameter: 'authorization_code' }, { codeParameters: ['authorization_code'] }],
    [{ errorShape: 'message' }, { errorShape: 'message' }],
    [{ errorShape: 'html' }, { errorShape: 'html' }],
    [
      { errorShape: 'empty', tokenRequest: 'json' },
      { errorShape: 'empty', encodings: { form: 'not read', json: 'read' } },
    ],
    [{ errorShape: 'empty', codeParameter: 'code' }, { codeParameters: ['code'] }],
    [
      { errorShape: 'empty', codeParameter: 'authorization_code' },
      { codeParameters: ['authorization_code'] },
    ],
    [
      { omitExpiresIn: true, tokenLifetime: 900 },
      { expiresIn: null, accessToken: { jwtLifeSeconds: 900 } },
    ],
    [{ opaqueTokens: true, tokenLength: 2000 }, { accessToken: { jwt: false, length: 2000 } }],
    [{ rotation: 'always' }, { refreshToken: 'rotated', reuse: 'ends the grant' }],
    [{ rotation: 'grace' }, { refreshToken: 'rotated', reuse: 'works' }],
    [{ omitRefreshToken: true }, { refreshToken: 'left out' }],
    [{ refuseAccount: true }, { account: 'refused' }],
    [{ accountWithoutId: true }, { account: 'username' }],
  ]
  for (const [switches, expected] of variants) {
    const setup = await buildHeadless(t)
    t.match(await ask(setup, switches), expected, JSON.stringify(switches))
  }
})

t.test('differences between answers to the same request are ignored', async (t) => {
  for (const errorShape of ['oauth', 'html'] as const) {
    const setup = await buildHeadless(t, {
      tokenRequest: 'json',
      codeParameter: 'code',
      errorShape,
    })
    const config = loadConfig(setup.env, { serve: true })
    let calls = 0
    const numbered = async (...[url, init]: Parameters<typeof fetch>) => {
      const response = await fetch(url, init)
      const text = (await response.text()).replace(/<pre>|(?<=^)\{/, `$&"request ${++calls}", `)
      return new Response(text, { status: response.status })
    }
    const found = await probe(config, { ...runtime, fetch: numbered }, null, { reuse: false })
    t.match(found, { encodings: { form: 'not read', json: 'read' }, codeParameters: ['code'] })
  }
})

t.test('answers that always differ give no result', async (t) => {
  const { env } = await buildHeadless(t)
  let calls = 0
  const longer = async () => new Response('word '.repeat(++calls), { status: 400 })
  const config = loadConfig(env, { serve: true })
  const found = await probe(config, { ...runtime, fetch: longer }, null, { reuse: false })
  t.strictSame(found.encodings, { form: null, json: null })
})

t.test('a rate limit or an outage gives no result', async (t) => {
  const { env, standIn, ...setup } = await buildHeadless(t, { tokenRequest: 'json' })
  /** Probes while the n-th call, counted from 1, fails. */
  const failing = (call: number, status: number, switches: Partial<Switches> = {}) => {
    let calls = 0
    const fetchFn = async (...args: Parameters<typeof fetch>) => {
      const response = await fetch(...args)
      return ++calls === call ? new Response('', { status }) : response
    }
    return ask({ env, standIn, ...setup }, switches, true, fetchFn)
  }
  t.match(await failing(2, 429), { encodings: { form: null, json: 'read' } })
  const json = await failing(5, 503)
  t.match(json, { encodings: { form: 'not read', json: null }, errorShape: null })
  t.strictSame(settingsOf(json), [])
  t.match(await failing(8, 429), { codeParameters: ['authorization_code'] })
  t.match(await failing(12, 429), { account: null, refreshToken: 'same' })
  t.match(
    await failing(13, 400),
    { refreshToken: null, reuse: null },
    'a refusal leaves nothing out',
  )
  const rotating = { rotation: 'always' } as const
  t.match(await failing(14, 500, rotating), { refreshToken: 'rotated', reuse: null })
  t.match(await failing(15, 500, rotating), { refreshToken: 'rotated', reuse: null })
  standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 429, share: 1 })
  const untold = await command(['probe', '--no-authorize'], env)
  t.match(untold, { code: 1, stderr: /could not be determined: it limits the rate/ })
})

t.test('the requests are those it announces', async (t) => {
  const { env, standIn } = await buildHeadless(t)
  const config = loadConfig(env, { serve: true })
  const asked: string[] = []
  const counted = (...[url, init]: Parameters<typeof fetch>) => {
    asked.push((init?.body as URLSearchParams | string).toString())
    return fetch(url, init)
  }
  await probe(config, { ...runtime, fetch: counted }, null, { reuse: false })
  const wrong = asked.filter((body) => body.includes(`${env.ELLIPSIS_CLIENT_SECRET}x`))
  t.strictSame([asked.length, wrong.length], [10, 2])
  t.strictSame([standIn.calls.refresh, standIn.calls.token], [6, 4])
  const { stderr } = await command(['probe', '--no-authorize'], env)
  t.match(stderr, 'six requests with an invalid token, two of them with a wrong client secret')
  t.match(stderr, 'four requests with an invalid code or none')
})

t.test(
  'without authorization only free requests are sent; the settings follow from the answers',
  async (t) => {
    const setup = await buildHeadless(t, { tokenRequest: 'json' })
    const config = loadConfig(setup.env, { serve: true })
    const found = await probe(config, runtime, null, { reuse: false })
    t.match(found, { encodings: { form: 'not read', json: 'read' }, refreshToken: null })
    t.equal(setup.standIn.calls.authorize, 0)
    t.strictSame(settingsOf(found), ['ELLIPSIS_TOKEN_REQUEST=json'])
    const all = await ask(setup, { rotation: 'always' }, false)
    t.equal(all.reuse, null, 'not without being asked to')
    t.strictSame(settingsOf(all), [
      'ELLIPSIS_TOKEN_REQUEST=json',
      'ELLIPSIS_ACCESS_TOKEN_LIFETIME=3600',
    ])
    const wrong = { ...config, ellipsis: { ...config.ellipsis, clientId: 'nobody' } }
    t.strictSame(settingsOf(await probe(wrong, runtime, null, { reuse: false })), [])
    await t.rejects(
      probe(config, runtime, async () => 'http://127.0.0.1/?error=access_denied', { reuse: false }),
      { name: 'ProbeError' },
    )
  },
)

t.test('an unknown variant of Ellipsis Drive', async (t) => {
  const setup = await buildHeadless(t)
  const silent = async (...[url, init]: Parameters<typeof fetch>) => {
    const response = await fetch(url, init)
    const body = (await response.json()) as object
    const { status } = response
    if ((url as string).endsWith('/account')) return Response.json({})
    return Response.json({ ...body, refresh_token: undefined, expires_in: undefined }, { status })
  }
  const found = await ask(setup, { opaqueTokens: true }, true, silent)
  t.match(found, { account: 'neither', refreshToken: null, expiresIn: null })
  t.strictSame(settingsOf(found), ['ELLIPSIS_TOKEN_REQUEST=form'])

  const slow = async (...[url, init]: Parameters<typeof fetch>) => {
    const response = await fetch(url, init)
    if (response.ok) setup.clock.advance(61_000)
    return response
  }
  t.match(await ask(setup, { rotation: 'grace' }, true, slow), { reuse: 'refused' })

  const config = loadConfig(setup.env, { serve: true })
  const wrongCode = async (url: string) =>
    `${config.callbackUrl}?code=x&state=${new URL(url).searchParams.get('state')}`
  await t.rejects(probe(config, runtime, wrongCode, { reuse: false }), { name: 'ProbeError' })
})

t.test('probe prints its result, and accepts the address where the browser ended', async (t) => {
  const { env, standIn } = await buildHeadless(t)
  const free = await command(['probe', '--no-authorize'], env)
  t.match(free, { code: 0, stdout: /encodings.*form/s })
  t.match(free.stderr, 'ELLIPSIS_TOKEN_REQUEST=form')
  const json = await command(['probe', '--no-authorize', '--json'], env)
  t.match(JSON.parse(json.stdout), { encodings: { form: 'read', json: 'read' }, account: null })
  const taken = { ...env, BROKER_PORT: new URL(env.ELLIPSIS_API_URL ?? '').port }
  const nobody = await command(['probe', '--json'], taken, 'no address\n')
  t.match(nobody, { code: 1, stderr: /did not return/ })
  const away = await command(['probe'], { ...env, ELLIPSIS_API_URL: 'http://127.0.0.1:9/v3' })
  t.match(away, { code: 1, stderr: /could not be reached at http:\/\/127.0.0.1:9\/v3: .*\nCheck/ })
  standIn.switches.errorShape = 'empty'
  standIn.switches.tokenRequest = 'form'
  const unread = await command(['probe', '--no-authorize'], { ...env, ELLIPSIS_CLIENT_ID: 'x' })
  t.match(unread, { code: 1, stderr: /answers every request the same way/ })
})

t.test('the browser returns to the port, and the settings are written to .env', async (t) => {
  const { env } = await buildHeadless(t)
  const cwd = t.testdir({ '.env': 'A=1\nELLIPSIS_TOKEN_REQUEST=json\n\n' })
  const port = String(await freePort())
  const browse = async (url: string) => {
    const visitor = new Visitor()
    const page = await visitor.open(url, 'http://127.0.0.1:3000/callback')
    const ended = await allow(visitor, page, 'amelie', 'http://127.0.0.1:3000/callback')
    await fetch(`http://127.0.0.1:${port}/favicon.ico`)
    const answer = await fetch(ended.url.replace(':3000', `:${port}`))
    t.equal(await answer.text(), 'You can close this page.')
  }
  const browsed: Promise<void>[] = []
  const person = (said: string) => {
    const [url] = /http\S+oauth\/authorize\S+/i.exec(said) ?? []
    if (url !== undefined) browsed.push(browse(url))
    return undefined
  }
  const args = ['probe', '--write', '--reuse']
  const { code, stderr } = await command(args, { ...env, BROKER_PORT: port }, person, cwd)
  await Promise.all(browsed)
  t.equal(code, 0, stderr)
  t.match(stderr, `Written to ${join(cwd, '.env')}: ELLIPSIS_TOKEN_REQUEST=form`)
  const written = 'ELLIPSIS_TOKEN_REQUEST=form\nELLIPSIS_ACCESS_TOKEN_LIFETIME=3600\n'
  t.equal(readFileSync(join(cwd, '.env'), 'utf8'), `A=1\n${written}`)
  const fresh = temporaryFolder(t)
  await command(['probe', '--write', '--no-authorize'], env, '', fresh)
  t.equal(readFileSync(join(fresh, '.env'), 'utf8'), 'ELLIPSIS_TOKEN_REQUEST=form\n')
  t.equal(statSync(join(fresh, '.env')).mode & 0o777, 0o600)
})

t.test('a .env that can’t be written is unchanged, and the settings are printed', async (t) => {
  const { env } = await buildHeadless(t)
  const cwd = t.testdir({ '.env': 'A=1\n', '.env.new': { 'in the way': '' } })
  const told = await command(['probe', '--write', '--no-authorize'], env, '', cwd)
  t.match(told, { code: 1, stderr: /\.env could not be written: .*ELLIPSIS_TOKEN_REQUEST=form/ })
  t.equal(readFileSync(join(cwd, '.env'), 'utf8'), 'A=1\n')
})

t.test('.env is replaced atomically, through a link, with its permissions', async (t) => {
  const cwd = t.testdir({
    real: 'A=1\n',
    '.env.new': 'interrupted',
    '.env': t.fixture('symlink', 'real'),
  })
  const path = join(cwd, '.env')
  chmodSync(path, 0o640)
  writeSettings(path, ['B=2'])
  t.equal(readFileSync(join(cwd, 'real'), 'utf8'), 'A=1\nB=2\n')
  t.equal(statSync(path).mode & 0o777, 0o640)
  t.ok(lstatSync(path).isSymbolicLink())
  t.throws(() => writeSettings(join(cwd, 'none', '.env'), ['B=2']), { code: 'ENOENT' })
})

t.test('without a terminal or a port the browser can’t return', async (t) => {
  const { env } = await buildHeadless(t)
  const taken = { ...env, BROKER_PORT: new URL(env.ELLIPSIS_API_URL ?? '').port }
  t.match(await cli(['probe'], taken), { code: 1, stderr: /can’t return to `probe`.*EADDRINUSE/ })
})
