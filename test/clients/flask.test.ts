import t from 'tap'
import { findGrant } from '../db/rows.ts'
import { addAppWithSecret, allow, buildBroker, freePort } from '../helper.ts'
import { Visitor } from '../visitor.ts'
import { codeBlock } from './code-block.ts'
import { runPython, without } from './python.ts'

const skip = without('authlib', 'flask', 'requests')

t.test('flask.md: Authlib with OpenID Connect', { skip }, async (t) => {
  const broker = await buildBroker(t)
  const port = await freePort()
  const here = `http://127.0.0.1:${port}`
  const { app, clientSecret } = await addAppWithSecret(broker, {
    ...{ confidential: true, tokens: 'ellipsis', redirectUris: [`${here}/connected`] },
  })
  const env = {
    ...{ BROKER: broker.url, CLIENT_ID: app.id, SESSION_SECRET: 'a random text' },
    CLIENT_SECRET: clientSecret?.reveal() ?? '',
    ELLIPSIS_API: broker.env.ELLIPSIS_API_URL ?? '',
  }
  const stop = new AbortController()
  const listening = Promise.withResolvers<undefined>()
  const onLine = (line: string) => void (/Running on/.test(line) && listening.resolve(undefined))
  const source = `${codeBlock('flask', 'python')}
@app.get("/expire")
def expire():
    for token in tokens.values():
        token["expires_at"] = 1
    return ""
app.run(port=${port})`
  const ended = runPython(source, env, onLine, stop.signal).then(({ output }) => output)
  t.teardown(async () => {
    stop.abort()
    const output = await ended
    if (!t.passing()) console.error(output)
  })
  t.equal(await Promise.race([listening.promise, ended]), undefined, 'it listens')

  const visitor = new Visitor()
  const refused = await visitor.press(await visitor.open(here), 'Deny')
  t.match(refused.body, 'You refused')
  const consent = await visitor.open(here)
  const login = await visitor.press(consent, 'Continue to Ellipsis Drive')
  const connected = { body: 'amelie is connected as amelie' }
  t.match(await allow(visitor, login, 'amelie'), connected)

  const reloadAfter = async (milliseconds: number) => {
    broker.clock.advance(milliseconds)
    await visitor.open(`${here}/expire`)
    return visitor.open(here)
  }
  const grant = async () => {
    const found = await findGrant(broker.services.store, app.id)
    if (!found) throw new Error('no grant')
    return found
  }
  const { jti } = await grant()
  t.match(await reloadAfter(16 * 86_400_000), connected, 'refreshed')
  t.not((await grant()).jti, jti, 'the broker renewed its token')
  t.match(await reloadAfter(3_600_000), connected)
  t.type((await grant()).jtiUsedAt, 'number', 'Flask uses the newer one')

  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
  t.match((await reloadAfter(3_600_000)).body, 'asks to use your Ellipsis Drive')
})
