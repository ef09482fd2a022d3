/** Files, input and arguments that other systems wrote. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readKeys } from '../../server/data/secret-key.ts'
import { StartError } from '../../server/data/start-error.ts'
import { command } from '../command.ts'
import { addApp, buildBroker } from '../helper.ts'
import { importLine, runImport } from '../operate/imports.ts'
import { PROGRAM, PROGRAM_ENV } from '../program.ts'
import { temporaryFolder } from '../temporary.ts'

const inUtf16 = (text: string): Buffer[] => [
  Buffer.from(`\uFEFF${text}`, 'utf16le'),
  Buffer.from(`\uFEFF${text}`, 'utf16le').swap16(),
  Buffer.from(text, 'utf16le'),
  Buffer.from(text, 'utf16le').swap16(),
]

t.test('an import file is read however an editor saved it, or refused', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const file = join(temporaryFolder(t), 'tokens')
  const lineOf = (account: string) => importLine(broker, account, app.id)
  const texts = [
    `\uFEFF${lineOf('a1')}\n${lineOf('a2')}\n`,
    `${lineOf('b1')}\r\n${lineOf('b2')}\r\n\r\n`,
    `\uFEFF${lineOf('josé')}\r\n\uFEFF${lineOf('日本')}`,
  ]
  for (const text of texts) {
    writeFileSync(file, text)
    const { code, results, stderr } = await runImport(broker, file)
    t.equal(code, 0, stderr)
    t.match(results, [{ status: 'imported' }, { status: 'imported' }])
  }
  for (const content of inUtf16(`${lineOf('c1')}\r\n`)) {
    writeFileSync(file, content)
    const result = await runImport(broker, file)
    t.match(result, { code: 2, results: [], stderr: /tokens can’t be read: it is in UTF-16/ })
  }
  writeFileSync(file, Buffer.from(`${lineOf('d1')}\n${lineOf('jos\u00e9')}\n`, 'latin1'))
  const { code, results } = await runImport(broker, file)
  t.equal(code, 1)
  t.match(results, [{ status: 'imported' }, { reason: 'the line is not in UTF-8' }])
})

t.test('secret.key is read however an editor saved it, or refused', async (t) => {
  const file = join(temporaryFolder(t), 'secret.key')
  const keys = [1, 2].map((byte) => Buffer.alloc(32, byte).toString('base64url'))
  for (const text of [
    `\uFEFF${keys.join('\n')}\n`,
    `${keys.join('\r\n')}\r\n`,
    `\uFEFF${keys.join('\r\n')}`,
    keys.join('\r'),
    keys.join(' , '),
    keys.map((key) => `"${key}"`).join('\n'),
    keys.map((key) => `${key}=`).join('\n'),
  ]) {
    writeFileSync(file, text)
    t.strictSame(
      readKeys(file).map((key) => key.reveal()),
      keys,
      JSON.stringify(text),
    )
  }
  for (const content of [...inUtf16(`${keys.join('\r\n')}\r\n`), Buffer.from('\u00e9', 'latin1')]) {
    writeFileSync(file, content)
    t.throws(() => readKeys(file), StartError)
  }
})

t.test('a password or secret on standard input is read as text', async (t) => {
  const env = { BROKER_DATA_DIR: temporaryFolder(t) }
  const password = 'correct horse battery'
  const run = (args: string[], input: string | Buffer) =>
    spawnSync(process.execPath, [PROGRAM, ...args], {
      input,
      env: { ...PROGRAM_ENV, ...env },
      encoding: 'utf8',
    })
  const add = (email: string) => ['admin', 'add', email, '--password-stdin']
  t.match(run(add('a@example.com'), `\uFEFF${password}\r\n`), { status: 0 })
  for (const content of [
    ...inUtf16(`${password}\r\n`),
    Buffer.from('mot de passe cl\u00e9', 'latin1'),
  ]) {
    const refused = {
      status: 2,
      stderr: /^(Store: .*\n)?Standard input is .*UTF-8\. Save it as UTF-8\.\n$/,
    }
    t.match(run(add('b@example.com'), content), refused)
  }
  const file = join(temporaryFolder(t), 'broker.env')
  const init = ['init', '--client-id', 'x', '--client-secret-stdin', '--file', file]
  t.match(run(init, inUtf16('hush')[0] ?? ''), { status: 2, stderr: /UTF-16/ })
  t.match(run(init, '\uFEFFhush\r\n'), { status: 0 })
  t.match(readFileSync(file, 'utf8'), /^ELLIPSIS_CLIENT_SECRET=hush$/m)
})

t.test('a script with Windows line ends works', async (t) => {
  const broker = await buildBroker(t)
  const folder = temporaryFolder(t)
  const backup = join(folder, 'copy.db')
  const program = `'${process.execPath}' '${PROGRAM}'`
  const lines = ['app list', 'app list --json', `backup ${backup}`, '--version', 'key list ']
  const script = lines.map((line) => `${program} ${line}\r\n`).join('')
  writeFileSync(join(folder, 'script'), `set -e\n${script}`)
  execFileSync('sh', [join(folder, 'script')], { env: { ...PROGRAM_ENV, ...broker.env } })
  t.strictSame(readdirSync(folder), ['copy.db', 'script'])
})

t.test('names that were garbled on the way are refused', async (t) => {
  const { env } = await buildBroker(t)
  const folder = temporaryFolder(t)
  const cases: [file: string, message: RegExp][] = [
    ['a\nb.db', /control character/],
    ['a\rb.db', /control character/],
    ['\u001b[31m.db', /control character/],
    ['\u009b31m.db', /control character/],
    ['caf\uFFFD.db', /is not in UTF-8/],
    ['"copy.db"', /quotation mark/],
    ["'copy.db'", /quotation mark/],
  ]
  for (const [file, message] of cases) {
    for (const name of ['backup', 'restore']) {
      const result = await command([name, file], env, '', folder)
      t.match(result, { code: 2, stderr: message }, JSON.stringify(file))
      t.notMatch(result.stderr.trimEnd().replaceAll('\n', ''), /\p{Cc}/u)
    }
  }
  t.strictSame(readdirSync(folder), [])
  t.match(await command(['backup', '\uFEFFcopy.db\r'], env, '', folder), { code: 0 })
  t.ok(existsSync(join(folder, 'copy.db')))
})
