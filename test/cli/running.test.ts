import { once } from 'node:events'
import { readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { startDemo } from '../../server/cli/demo.ts'
import { standInDefaults } from '../../server/stand-in/app.ts'
import { command } from '../command.ts'
import { RETURN, buildBroker, freePort } from '../helper.ts'
import { runCli, serve, waitForOutput } from '../processes.ts'
import { temporaryFolder } from '../temporary.ts'

t.test('serve prints the callback URL to register and stops gracefully', async (t) => {
  const broker = await buildBroker(t)
  const admin = ['admin', 'add', 'ada@example.com', '--password-stdin']
  t.match(await command(admin, broker.env, 'correct horse battery'), { code: 0 })
  const { output, stop } = await serve(t, { ...broker.env, BROKER_NAMEE: 'misspelt' })
  t.match(output(), 'BROKER_NAMEE')
  t.match(output(), `register ${broker.url}/callback`)
  t.equal(await stop(), 0)
  t.match(output(), 'stopped')
  t.notMatch(output(), 'There is no admin yet')
})

t.test('an unavailable address is an error that says what to do', async (t) => {
  const broker = await buildBroker(t)
  const { port } = new URL(broker.url)
  const taken = new RegExp(
    `^Port ${port} of 127.0.0.1 is already in use.\\n.*--port.\\n\\(.*EADDRINUSE.*\\)\\n$`,
  )
  t.match(await command(['serve'], broker.env), { code: 2, stderr: taken })
  t.match(await command(['stand-in', '--port', port], {}), { code: 2, stderr: taken })
  const elsewhere = { ...broker.env, BROKER_HOST: '192.0.2.1' }
  t.match(await command(['serve'], elsewhere), {
    code: 2,
    stderr: /^Can’t listen on .*BROKER_HOST/s,
  })
})

t.test('stand-in prints the settings for a broker', async (t) => {
  const port = await freePort()
  const child = runCli(['stand-in', '--port', String(port)], {})
  t.teardown(() => child.kill('SIGKILL'))
  const closed = once(child, 'close')
  await t.resolves(waitForOutput(child, new RegExp(`ELLIPSIS_API_URL=http://127.0.0.1:${port}/v3`)))
  child.kill('SIGTERM')
  await closed
  t.equal(child.exitCode, 0)
})

t.test('stand-in --data keeps tokens when the process is killed', async (t) => {
  const port = await freePort()
  const data = join(temporaryFolder(t), 'new', 'folder')
  const url = `http://127.0.0.1:${port}`
  const start = async () => {
    const child = runCli(['stand-in', '--port', String(port), '--data', data], {})
    t.teardown(() => child.kill('SIGKILL'))
    await waitForOutput(child, /Stop it with Ctrl-C/)
    return child
  }
  const post = async (path: string, body: object) => {
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    return answer.json()
  }
  const refresh = (refresh_token: string) => {
    const { id: client_id, secret: client_secret } = standInDefaults.client
    const grant_type = 'refresh_token'
    return post('/v3/oauth/token', { grant_type, client_id, client_secret, refresh_token })
  }

  const child = await start()
  const { refresh_tokens: granted } = await post('/control/grants', { usernames: ['bo'] })
  const { access_token: token } = await refresh(granted[0])
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
  await start()
  const headers = { authorization: `Bearer ${token}` }
  t.match(await (await fetch(`${url}/v3/account`, { headers })).json(), { username: 'bo' })
  t.match(await refresh(granted[0]), { refresh_token: granted[0] })
})

t.test('demo prints instructions and stops on SIGTERM', async (t) => {
  const port = await freePort()
  const child = runCli(['demo', '--port', String(port)], {})
  t.teardown(() => child.kill('SIGKILL'))
  const closed = once(child, 'close')
  await t.resolves(waitForOutput(child, /Connect Ellipsis Drive/))
  child.kill('SIGTERM')
  await closed
  t.equal(child.exitCode, 0)
})

t.test('commands beside a demo print its address, and doctor checks it', async (t) => {
  const port = await freePort()
  const demo = await startDemo({ port })
  t.teardown(() => demo.stop())
  const [, directory = ''] = /BROKER_DATA_DIR=(\S+)/.exec(demo.instructions) ?? []
  const cwd = temporaryFolder(t)
  const env = { BROKER_DATA_DIR: directory }
  const add = ['app', 'add', 'My map', '--device', '--redirect-uri', RETURN]
  const added = await command(add, env, '', cwd)
  t.match(added.stdout, `Connect link   http://127.0.0.1:${port}/connect/app_`)
  t.match(added.stdout, `Device page    http://127.0.0.1:${port}/device`)
  const link = /http\S+connect\S+/.exec(added.stdout)?.[0] ?? ''
  const page = await fetch(link, { headers: { accept: 'text/html' } })
  t.match([page.status, await page.text()], [200, /My map/])
  t.match(
    (await command(['doctor'], env, '', cwd)).stdout,
    `ok       public URL: http://127.0.0.1:${port}`,
  )

  // Settings of another broker in the directory from which the demo was started.
  writeFileSync(join(cwd, '.env'), 'BROKER_PUBLIC_URL=https://broker.example.com\n')
  const exported = /^ +export (.*)$/m.exec(demo.instructions)?.[1]?.split(' ') ?? []
  const printed = Object.fromEntries(exported.map((pair) => pair.split('=') as [string, string]))
  const besides = await command(add, printed, '', cwd)
  t.match(besides.stdout, `Connect link   http://127.0.0.1:${port}/connect/app_`)
})

t.test('a demo that fails to start leaves nothing behind', async (t) => {
  const port = await freePort()
  const [taken, demoPort] = [createServer(), port - 2]
  await new Promise<void>((resolve) => taken.listen(port, '127.0.0.1', resolve))
  t.teardown(() => taken.close())
  const folder = temporaryFolder(t)
  const { TMPDIR } = process.env
  process.env.TMPDIR = folder
  t.teardown(() => {
    if (TMPDIR === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = TMPDIR
  })
  await t.rejects(startDemo({ port: demoPort }), { name: 'StartError', message: `Port ${port} of` })
  t.strictSame(readdirSync(folder), [])
  await t.rejects(fetch(`http://127.0.0.1:${demoPort}/`), 'the broker has stopped')
})
