import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { backup } from '../../server/operate/backup.ts'
import { formatMessage, messages } from '../../server/operate/messages.ts'
import { runtime } from '../../server/runtime.ts'
import { freePort } from '../free-port.ts'
import { command } from '../command.ts'
import { connectMany } from './load.ts'
import { buildHeadless } from './headless.ts'
import { temporaryFolder } from '../temporary.ts'

const server = join(import.meta.dirname, '../../server')

/** The messages that start at the beginning of a line of the text. */
function messagesIn(text: string) {
  const pattern = (template: string) =>
    new RegExp(
      `^${template.replace(/[.*+?()[\]|^$\\]/g, '\\$&').replace(/\{[a-z]+\}/g, '.*')}`,
      'm',
    )
  return Object.values(messages).filter((message) => pattern(message.text).test(text))
}

t.test('every message is used', async (t) => {
  const code = readdirSync(server, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('operate/messages.ts'))
    .map((path) => readFileSync(join(server, path), 'utf8'))
    .join('')
  for (const name of Object.keys(messages)) t.ok(code.includes(`'${name}'`), name)
  t.throws(() => formatMessage('backup.exists'), /needs file/, 'every value is required')
})

t.test(
  'whatever the state of the data, a command ends with one of its messages and exit codes',
  async (t) => {
    const setup = await buildHeadless(t)
    const broker = await setup.start()
    await connectMany(broker, 1)
    const folder = temporaryFolder(t)
    const kept = join(folder, 'kept')
    await backup({ dataDir: setup.dataDir }, kept, runtime)
    await broker.stop()
    writeFileSync(join(folder, 'a file'), 'x')
    const directory = (name: string) => join(folder, name)
    for (const name of ['empty', 'damaged', 'no key']) mkdirSync(directory(name))
    writeFileSync(join(directory('damaged'), 'broker.db'), 'no database')
    writeFileSync(join(directory('no key'), 'broker.db'), readFileSync(kept))

    const commands: [name: string, ...args: string[]][] = [
      ['backup', join(folder, 'none', 'b')],
      ['backup', kept],
      ['restore', kept],
      ['restore', join(folder, 'a file')],
      ['secret check'],
      ['secret rotate'],
      ['key rotate'],
      ['key revoke', 'none'],
      ['connection import', join(folder, 'none')],
      ['connection import', folder],
      ['doctor'],
      ['probe', '--no-authorize'],
    ]
    const places = [...['empty', 'damaged', 'no key', 'a file'].map(directory), setup.dataDir]
    const unreachable = `postgres://127.0.0.1:${await freePort()}/broker`
    for (const dataDir of [...places, unreachable]) {
      for (const [name, ...args] of [
        ...commands,
        ['backup', `${dataDir}.copy`] as [string, string],
      ]) {
        const env = { ...setup.env, BROKER_DATA_DIR: dataDir }
        if (dataDir === unreachable)
          Object.assign(env, { BROKER_DATABASE_URL: dataDir, BROKER_DATA_DIR: directory('empty') })
        const { code, stdout, stderr } = await command([...name.split(' '), ...args], env)
        const [ending, ...others] = messagesIn(stdout + stderr)
        const what = `${name} ${args.join(' ')} on ${dataDir}: ${stderr}`
        t.equal(ending?.exit, code, what)
        t.ok(ending?.command === name || ending?.command === 'start', what)
        t.strictSame(others, [])
      }
    }
  },
)
