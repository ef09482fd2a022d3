import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import type { App } from '../../../db/store.ts'
import { createSnippets } from '../../../server/http/snippets/snippets.ts'
import { RETURN, addAppWithSecret, allow, buildBroker } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import { Visitor } from '../../visitor.ts'
import { temporaryFolder } from '../../temporary.ts'

const missing = ['curl', 'openssl', 'python3'].filter(
  (name) => spawnSync(name, [name === 'openssl' ? 'version' : '--version']).error,
)
const skip = missing.length > 0 && `not installed: ${missing.join(', ')}`

const APP_KINDS = [
  {},
  { tokens: 'ellipsis' },
  { confidential: true },
  { confidential: true, tokens: 'ellipsis' },
] as const

/** Connects as a user, and returns the URL at which the user comes back to the app. */
async function connectUser(url: string): Promise<URL> {
  const visitor = new Visitor()
  const consent = await visitor.open(url, RETURN)
  const signIn = await visitor.press(consent, 'Continue to Ellipsis Drive', {}, RETURN)
  return new URL((await allow(visitor, signIn, 'amelie', RETURN)).url)
}

const authorizationCode = async (url: string): Promise<string> =>
  (await connectUser(url)).searchParams.get('code') ?? ''

const snippetCode = (app: App, { url }: TestBroker, language: string): string =>
  createSnippets(app, url).find((snippet) => snippet.language === language)?.code ?? ''

/** Does Ellipsis Drive accept this access token? */
async function isAccepted(broker: TestBroker, token: unknown): Promise<boolean> {
  const authorization = `Bearer ${String(token)}`
  const api = broker.env.ELLIPSIS_API_URL ?? ''
  return (await fetch(`${api}/account`, { headers: { authorization } })).ok
}

/** Starts a program that reads and writes lines. */
function startProgram(command: string, args: string[], env: Record<string, string>) {
  const child = spawn(command, args, { env: { PATH: process.env.PATH, ...env } })
  const lines: string[] = []
  let rest = ''
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  child.stdout.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
  })
  const closed = once(child, 'close')
  return {
    writeLine: (line: string) => void child.stdin.write(`${line}\n`),
    async readLine(): Promise<string> {
      while (lines.length === 0 && child.exitCode === null) await once(child.stdout, 'data')
      const line = lines.shift()
      if (line === undefined) throw new Error(`the program ended: ${errors}`)
      return line
    },
    closed,
  }
}

for (const kind of APP_KINDS) {
  const name = JSON.stringify(kind)

  t.test(`curl ${name}`, { skip }, async (t) => {
    const broker = await buildBroker(t)
    const { app, clientSecret } = await addAppWithSecret(broker, kind)
    const file = join(temporaryFolder(t), 'connect.sh')
    writeFileSync(file, snippetCode(app, broker, 'curl'))
    const script = startProgram('sh', [file], { CLIENT_SECRET: clientSecret?.reveal() ?? '' })
    script.writeLine(await authorizationCode(await script.readLine()))
    const redeemed = JSON.parse(await script.readLine()) as Record<string, string>
    script.writeLine(
      (app.tokens === 'ellipsis' ? redeemed.refresh_token : redeemed.access_token) ?? '',
    )
    const swapped = JSON.parse(await script.readLine()) as Record<string, string>
    t.ok(await isAccepted(broker, swapped.access_token))
    await script.closed
  })

  t.test(`JavaScript ${name}`, async (t) => {
    const broker = await buildBroker(t)
    const { app, clientSecret } = await addAppWithSecret(broker, kind)
    const file = join(temporaryFolder(t), 'app.mjs')
    writeFileSync(file, snippetCode(app, broker, 'JavaScript'))
    process.env.CLIENT_SECRET = clientSecret?.reveal() ?? ''
    const code = (await import(pathToFileURL(file).href)) as {
      connect(): Promise<{ url: string; verifier: string; state: string }>
      redeem(query: string, verifier: string, state: string): Promise<string>
      swap(token: string): Promise<{ accessToken: string; brokerToken: string }>
    }
    const { url, verifier, state } = await code.connect()
    const back = await connectUser(url)
    await t.rejects(code.redeem(back.search, verifier, 'another'))
    const refusal = `?error=access_denied&state=${state}`
    const refused = await code.redeem(refusal, verifier, state).catch((error: unknown) => error)
    t.match(refused, { error: 'access_denied' })
    const token = await code.redeem(back.search, verifier, state)
    const { accessToken, brokerToken } = await code.swap(token)
    t.ok(await isAccepted(broker, accessToken))
    t.ok(await isAccepted(broker, (await code.swap(brokerToken)).accessToken))
    await t.rejects(code.swap('nonsense'))

    broker.clock.advance(16 * 86_400_000)
    const renewed = await code.swap(brokerToken)
    t.not(renewed.brokerToken, brokerToken)
    broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
    broker.clock.advance(3_600_000)
    const error: unknown = await code.swap(renewed.brokerToken).catch((error: unknown) => error)
    t.match(error, { reconnect_url: `${broker.url}/connect/${app.id}` })
  })

  t.test(`Python ${name}`, { skip }, async (t) => {
    const broker = await buildBroker(t)
    const { app, clientSecret } = await addAppWithSecret(broker, kind)
    const file = join(temporaryFolder(t), 'app.py')
    const use = `
url, verifier, state = connect()
print(url, flush=True)
try:
    redeem("?error=access_denied&state=" + state, verifier, state)
except BrokerError as refusal:
    print(refusal.args[0]["error"], flush=True)
access_token, token = swap(redeem(input(), verifier, state))
print(access_token, flush=True)
input()
access_token, newer = swap(token)
print(newer != token, flush=True)
input()
try:
    swap(newer)
except BrokerError as failure:
    print(failure.args[0]["reconnect_url"], flush=True)
`
    writeFileSync(file, snippetCode(app, broker, 'Python') + use)
    const program = startProgram('python3', [file], { CLIENT_SECRET: clientSecret?.reveal() ?? '' })
    const back = await connectUser(await program.readLine())
    t.equal(await program.readLine(), 'access_denied')
    program.writeLine(back.href)
    t.ok(await isAccepted(broker, await program.readLine()))
    broker.clock.advance(16 * 86_400_000)
    program.writeLine('go on')
    t.equal(await program.readLine(), 'True', 'a newer broker token')
    broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
    broker.clock.advance(3_600_000)
    program.writeLine('go on')
    t.match(await program.readLine(), `${broker.url}/connect/${app.id}`)
    await program.closed
  })
}

t.test('JavaScript for a page that gets its token in the fragment', async (t) => {
  const broker = await buildBroker(t)
  const { app } = await addAppWithSecret(broker, { deliver: 'fragment' })
  t.equal(createSnippets(app, broker.url).length, 1)
  const file = join(temporaryFolder(t), 'page.mjs')
  writeFileSync(file, snippetCode(app, broker, 'JavaScript'))
  const code = (await import(pathToFileURL(file).href)) as {
    connect(): { url: string; state: string }
    receive(hash: string, state: string): { accessToken: string; expiresIn: number }
  }
  const { url, state } = code.connect()
  const { hash } = await connectUser(url)
  const { accessToken, expiresIn } = code.receive(hash, state)
  t.ok(await isAccepted(broker, accessToken))
  t.ok(expiresIn > 0)
  t.throws(() => code.receive(hash, 'another'))
  t.throws(() => code.receive(`#error=access_denied&state=${state}`, state))
})

t.test('which apps have snippets', async (t) => {
  const broker = await buildBroker(t)
  const languagesOf = async (settings: Parameters<typeof addAppWithSecret>[1]) => {
    const { app } = await addAppWithSecret(broker, settings)
    return createSnippets(app, broker.url).map(({ language }) => language)
  }
  const all = ['curl', 'JavaScript', 'Python']
  t.strictSame(await languagesOf({}), ['Browser SDK', ...all])
  t.strictSame(await languagesOf({ confidential: true }), all)
  t.strictSame(await languagesOf({ tokens: 'ellipsis' }), all)
  t.strictSame(await languagesOf({ redirectUris: ['com.example.map:/back'] }), all)
  t.strictSame(await languagesOf({ dpop: 'required' }), ['Browser SDK'])
  t.strictSame(await languagesOf({ access: 'proxy' }), ['Browser SDK'])
  t.strictSame(await languagesOf({ redirectUris: [], device: true }), [])
})
