/** Runs the examples in docs/connect/ unchanged. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { launch, noBrowser, visit } from '../browser/chromium.ts'
import { addDevice, allowDevice } from '../oauth/device/begin.ts'
import {
  addApp,
  addAppWithSecret,
  allow,
  authorize,
  buildBroker,
  freePort,
  postForm,
} from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'
import { runProgram, runPython, without } from './python.ts'

const root = join(import.meta.dirname, '../..')

/** The code block in that language of docs/connect/NAME.md. */
function codeBlock(name: string, language: string): string {
  const text = readFileSync(join(root, `docs/connect/${name}.md`), 'utf8')
  const found = new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(text)?.[1]
  if (found === undefined) throw new Error(`no ${language} in ${name}.md`)
  return found
}

/** Allows the device whose program prints the URL to open. */
const allowPrintedCode = (broker: TestBroker) => (line: string) => {
  const code = /Open .*user_code=(\S+)/.exec(line)?.[1]
  if (code !== undefined) void allowDevice(broker, code)
}

// Run at the same time, because two of them wait between polls as long as the broker tells them.
t.test('programs', { jobs: 3 }, (t) => {
  void t.test('curl.md', { buffered: true }, async (t) => {
    const broker = await buildBroker(t)
    const { app } = await addDevice(broker)
    const env = {
      BROKER: broker.url,
      CLIENT_ID: app.id,
      ELLIPSIS_API: broker.env.ELLIPSIS_API_URL ?? '',
    }
    const command = ['bash', '-c', codeBlock('curl', 'bash')]
    const { code, output } = await runProgram(command, env, allowPrintedCode(broker))
    t.equal(code, 0, output)
    t.match(output, '"username":"amelie"')
  })

  void t.test('python.md', { buffered: true, skip: without('requests_oauthlib') }, async (t) => {
    const broker = await buildBroker(t)
    const { app } = await addDevice(broker, { tokens: 'ellipsis' })
    const env = {
      BROKER: broker.url,
      CLIENT_ID: app.id,
      ELLIPSIS_API: broker.env.ELLIPSIS_API_URL ?? '',
    }
    const { code, output } = await runPython(
      codeBlock('python', 'python'),
      env,
      allowPrintedCode(broker),
    )
    t.equal(code, 0, output)
    t.match(output, /Connected as amelie\nStill amelie/)
  })

  void t.test('server.md', { buffered: true }, async (t) => {
    const broker = await buildBroker(t)
    const here = `http://127.0.0.1:${await freePort()}`
    const redirectUris = [`${here}/connected`]
    const { app, clientSecret } = await addAppWithSecret(broker, {
      confidential: true,
      redirectUris,
    })
    const env = {
      ...{ BROKER: broker.url, CLIENT_ID: app.id, HERE: here },
      CLIENT_SECRET: clientSecret?.reveal() ?? '',
      ELLIPSIS_API: broker.env.ELLIPSIS_API_URL ?? '',
    }
    const stop = new AbortController()
    t.teardown(() => stop.abort())
    const listening = Promise.withResolvers<undefined>()
    const onLine = (line: string) => void (line === 'listening' && listening.resolve(undefined))
    // With --eval, so that imports resolve from the working directory of the tests.
    const source = `${codeBlock('server', 'js')}\nconsole.log('listening')`
    const command = [process.execPath, '--input-type=module', '--eval', source]
    const ended = runProgram(command, env, onLine, { signal: stop.signal }).then(
      ({ output }) => output,
    )
    t.equal(await Promise.race([listening.promise, ended]), undefined, 'it listens')
    const visitor = new Visitor()
    const login = await visitor.press(await visitor.open(here), 'Continue to Ellipsis Drive')
    const page = await allow(visitor, login, 'amelie')
    t.equal(page.body, 'Connected as amelie')
    t.equal((await visitor.open(here)).body, 'Connected as amelie')
    stop.abort()
    await ended
  })
  t.end()
})

t.test('page.md', { skip: noBrowser }, async (t) => {
  const broker = await buildBroker(t)
  const server = createServer((request, response) => {
    const script = request.url === '/oauth4webapi.js'
    response.setHeader('content-type', script ? 'text/javascript' : 'text/html')
    response.end(script ? readFileSync(library) : html)
  })
  const library = join(root, 'node_modules/oauth4webapi/build/index.js')
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const here = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const app = await addApp(broker, { redirectUris: [here], dpop: 'required' })
  const html = codeBlock('page', 'html')
    .replace('https://broker.example.com', broker.url)
    .replace('app_…', app.id)
    .replace('https://api.ellipsis-drive.com/v3', broker.env.ELLIPSIS_API_URL ?? '')
    .replace(/https:\/\/cdn[^"]*/, '/oauth4webapi.js')
  const context = await visit(t, await launch(t))
  const page = await context.newPage()
  await page.goto(here)
  await page.click('#connect')
  await page.click('text=Continue to Ellipsis Drive')
  await page.click('text=Amelie Laurent')
  await page.getByRole('button', { name: 'Allow', exact: true }).click()
  await page.waitForSelector('text=Connected as amelie')
  t.equal(page.url(), here)
})

t.test('qgis.md: the requests of QGIS, with another port', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { tokens: 'ellipsis', redirectUris: ['http://127.0.0.1:7070'] })
  const parameters = { redirect_uri: 'http://127.0.0.1:7071', scope: 'projects' }
  const { returned, verifier } = await authorize(broker, app, { parameters })
  const token = `${broker.url}/oauth/token`
  const { body } = await postForm(token, {
    ...{ grant_type: 'authorization_code', client_id: app.id, client_secret: '' },
    ...{ code: returned.searchParams.get('code') ?? '', code_verifier: verifier },
    redirect_uri: parameters.redirect_uri,
  })
  t.ok(broker.standIn.issued().includes(String(body.access_token)))
  const refresh = { grant_type: 'refresh_token', refresh_token: String(body.refresh_token) }
  const again = await postForm(token, { ...refresh, client_id: app.id, client_secret: '' })
  t.equal(again.status, 200)
})
