/** Runs the examples in docs/connect/ that use the device flow, with curl and requests-oauthlib, unchanged. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { findGrant } from '../db/rows.ts'
import { buildBroker } from '../helper.ts'
import { addDevice, allowDevice, enterCode } from '../oauth/device/begin.ts'
import { temporaryFolder } from '../temporary.ts'
import { Visitor } from '../visitor.ts'
import { codeBlock } from './code-block.ts'
import { runProgram, runPython, without } from './python.ts'

const DAY_MS = 86_400_000

const examples = {
  curl: {
    language: 'bash',
    tokens: 'broker',
    file: '.ellipsis-broker-token',
    skip: false,
    run: (source: string, env: Record<string, string>, onLine: (line: string) => void) =>
      runProgram(['bash', '-c', source], env, onLine),
    connected: '"username":"amelie"',
    /** The user gets the URL to connect again. */
    ended: { code: 1, output: /Ellipsis Drive ended this connection. Open http.*\/connect\// },
  },
  python: {
    language: 'python',
    tokens: 'ellipsis',
    file: '.ellipsis-drive.json',
    skip: without('requests_oauthlib'),
    run: runPython,
    connected: 'Connected as amelie',
    /** The program connects again. */
    ended: { code: 0, output: 'Connected again as amelie' },
  },
} as const

// Run at the same time, because they wait between polls as long as the broker tells them.
t.test('examples of the device flow', { jobs: 4 }, (t) => {
  for (const [name, example] of Object.entries(examples)) {
    const { language, tokens, file, skip, connected, ended } = example

    const begin = async (t: Test) => {
      const broker = await buildBroker(t)
      const { app } = await addDevice(broker, { tokens })
      const home = temporaryFolder(t)
      const env = {
        ...{ BROKER: broker.url, CLIENT_ID: app.id, HOME: home },
        ELLIPSIS_API: broker.env.ELLIPSIS_API_URL ?? '',
      }
      const run = (answer: (code: string) => Promise<unknown>) =>
        example.run(codeBlock(name, language), env, (line) => {
          const code = /Open .*user_code=(\S+)/.exec(line)?.[1]
          if (code !== undefined) void answer(code)
        })
      const allow = (code: string) => allowDevice(broker, code)
      return { broker, app, path: join(home, file), run, allow }
    }

    void t.test(`${name}.md: the user refuses`, { buffered: true, skip }, async (t) => {
      const { broker, path, run } = await begin(t)
      const visitor = new Visitor()
      const { code, output } = await run(async (userCode) =>
        visitor.press(await enterCode(broker, userCode, visitor), 'Deny'),
      )
      t.match({ code, output }, { code: 1, output: 'You refused, so nothing was connected.' })
      t.notOk(existsSync(path))
    })

    void t.test(`${name}.md`, { buffered: true, skip }, async (t) => {
      const { broker, app, path, run, allow } = await begin(t)
      const runLater = (milliseconds: number) => {
        broker.clock.advance(milliseconds)
        expire(path)
        return run(allow)
      }
      t.match(await run(allow), { code: 0, output: connected })
      const stored = readFileSync(path, 'utf8')

      t.match(await runLater(16 * DAY_MS), { code: 0, output: connected })
      t.not(readFileSync(path, 'utf8'), stored, 'the newer token is stored')
      t.match(await runLater(3_600_000), { code: 0, output: connected })
      t.type((await findGrant(broker.services.store, app.id))?.jtiUsedAt, 'number', 'and used')

      broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
      t.match(await runLater(3_600_000), ended)
    })
  }
  t.end()
})

/** Python's clock can't be moved: the access token in its file expires. */
function expire(path: string): void {
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, text.replace(/"expires_at": [0-9.]+/, '"expires_at": 1'))
}
