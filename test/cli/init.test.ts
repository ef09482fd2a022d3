import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import t from 'tap'
import { program } from '../../server/cli/program.ts'
import { answering, command } from '../command.ts'
import { listening, runCli } from '../processes.ts'
import { temporaryFolder } from '../temporary.ts'
import { onTerminal } from './terminal.ts'

// Both quotes.
const SECRET = `not#to'be"seen`

async function init(cwd: string, args: string[], input = SECRET) {
  const { code, stdout, stderr } = await command(['init', ...args], {}, input, cwd)
  return { code, output: stdout + stderr }
}

const flags = ['--client-id', 'abc', '--client-secret-stdin']

t.test(
  'init writes a configuration file with every setting, readable by its owner only',
  async (t) => {
    const cwd = temporaryFolder(t)
    const file = join(cwd, '.env')
    const url = ['--public-url', 'https://broker.example.com/base']
    const secret = 'a1-b2=c3'
    const { code, output } = await init(
      cwd,
      [...flags, ...url, '--data-dir', 'here'],
      `${secret}\n`,
    )
    t.equal(code, 0)
    t.match(output, '\n  https://broker.example.com/base/callback\n')
    t.notMatch(output, secret)
    t.equal(statSync(file).mode & 0o777, 0o600)
    const written = readFileSync(file, 'utf8')
    t.match(written, /^# BROKER_LOG_LEVEL=info$/m, 'other settings are comments')
    t.same(parseEnv(written), {
      ELLIPSIS_CLIENT_ID: 'abc',
      ELLIPSIS_CLIENT_SECRET: secret,
      BROKER_PUBLIC_URL: 'https://broker.example.com/base',
      BROKER_DATA_DIR: join(cwd, 'here'),
    })
    t.match(await init(cwd, flags, 'x'), { code: 2, output: /already exists/ })
    t.equal(readFileSync(file, 'utf8'), written)
    const named = await init(cwd, [...flags, '--file', 'broker.env'], 'x')
    t.match(named, { code: 0, output: /--env-file \S+\/broker\.env serve/ })
  },
)

t.test('init prompts on a terminal and shows no secret', async (t) => {
  const cwd = temporaryFolder(t)
  const answers = {
    'Public URL': '',
    'Client id': 'abc',
    'Client secret': 'a-secret',
  }
  const { code, stdout, stderr } = await command(['init'], {}, answering(answers), cwd)
  t.equal(code, 0, stderr)
  t.match(stderr, 'Its callback URL is http://127.0.0.1:3000/callback')
  t.match(stdout, /Start the broker with: .* serve/)
  t.notMatch(stdout + stderr, 'a-secret')
  t.same(parseEnv(readFileSync(join(cwd, '.env'), 'utf8')), {
    ELLIPSIS_CLIENT_ID: 'abc',
    ELLIPSIS_CLIENT_SECRET: 'a-secret',
    BROKER_PUBLIC_URL: 'http://127.0.0.1:3000',
    BROKER_PORT: '3000',
  })
})

t.test('init on a terminal ends with what to do next, and starts no broker', async (t) => {
  const [cwd, elsewhere] = [temporaryFolder(t), temporaryFolder(t)]
  const file = join(elsewhere, 'broker.env')
  const { code, output } = await onTerminal(
    ['init', '--file', file],
    [
      ['Public URL', 'https://broker.example.com'],
      ['Client id', 'abc'],
      ['Client secret', 'a-secret'],
    ],
    { cwd, env: {} },
  )
  t.equal(code, 0, output)
  t.notMatch(output, /Start the broker now|admin\/setup|ready at/)
  t.match(
    output,
    `deploy/ellipsis-broker.service with EnvironmentFile=${file}, then: systemctl enable`,
  )
  t.match(output, `podman run --env-file ${file} --volume ellipsis-broker:/data`)
  t.match(output, `--env-file ${file} serve`)
  t.match(output, /as an unprivileged user/)
  t.strictSame(readdirSync(cwd), [], 'no store was made')
})

t.test('init repeats a question after an invalid answer', async (t) => {
  const cwd = temporaryFolder(t)
  const answers: Record<string, string[]> = {
    'Public URL': [
      'example.com',
      'http://example.com',
      `https://${'y'.repeat(99)}.example`,
      'http://localhost:8080/base/',
    ],
    'Client id': ['', 'abc'],
    'Client secret': ['', SECRET, 'a-secret'],
  }
  const answerNext = (said: string) =>
    Object.entries(answers)
      .find(([question]) => said.startsWith(question))?.[1]
      .shift()
  const { code, stderr } = await command(['init'], {}, answerNext, cwd)
  t.equal(code, 0, stderr)
  t.match(stderr, 'That is not an http or https URL.')
  t.match(stderr, 'That must begin with https://')
  t.match(stderr, 'That is too long')
  t.match(stderr, 'That is empty. A value is required.')
  t.match(stderr, "That has characters that a configuration file can't hold")
  t.same(parseEnv(readFileSync(join(cwd, '.env'), 'utf8')), {
    ELLIPSIS_CLIENT_ID: 'abc',
    ELLIPSIS_CLIENT_SECRET: 'a-secret',
    BROKER_PUBLIC_URL: 'http://localhost:8080/base',
    BROKER_PORT: '8080',
  })
  t.same(Object.values(answers).flat(), [], 'every answer was used')
})

t.test('init writes nothing if the input ends or the file exists', async (t) => {
  const cwd = temporaryFolder(t)
  const cancelAtClientId = (said: string) => {
    if (said.startsWith('Client id')) process.nextTick(() => process.stdin.emit('end'))
    return said.startsWith('Public URL') ? '' : undefined
  }
  const cancelled = await command(['init'], {}, cancelAtClientId, cwd)
  t.match(cancelled, { code: 2, stderr: /Cancelled: no answer was given\.\n$/ })
  t.notOk(existsSync(join(cwd, '.env')))

  writeFileSync(join(cwd, '.env'), '')
  const existing = await command(['init'], {}, answering({}), cwd)
  t.match(existing, { code: 2, stderr: /^\S+ already exists/ }, 'before any question')
})

t.test('init --serve starts a broker', async (t) => {
  const cwd = temporaryFolder(t)
  const url = ['--public-url', 'http://127.0.0.1:3000']
  const args = ['init', ...flags, ...url, '--file', 'broker.env', '--serve']
  const child = runCli(args, { BROKER_PORT: '0', BROKER_DATA_DIR: join(cwd, 'data') }, cwd)
  child.stdin?.end('a-secret')
  const address = await listening(child)
  const closed = once(child, 'close')
  t.equal((await fetch(`${address}/readyz`)).status, 200)
  child.kill('SIGTERM')
  await closed
  t.equal(child.exitCode, 0)
})

t.test('invalid input is reported and nothing is written', async (t) => {
  const cwd = temporaryFolder(t)
  const cases: [string[], string, RegExp][] = [
    [[], '', /No terminal to prompt on/],
    [[...flags, '--public-url', 'http://example.com'], 'x', /must begin with https/],
    [flags, SECRET, /characters that a configuration file can't hold/],
    [[...flags, '--file', 'no/where'], 'x', /can't be written \(ENOENT\)/],
  ]
  for (const [args, input, message] of cases) {
    t.match(await init(cwd, args, input), { code: 2, output: message })
  }
  t.notOk(existsSync(join(cwd, '.env')))
})

t.test('every command has examples of that command', async (t) => {
  const walk = (command = program(), names: string[] = []): void => {
    for (const child of command.commands) walk(child, [...names, child.name()])
    if (command.commands.length > 0 && names.length > 0) return
    let help = ''
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp()
    const name = names.join(' ')
    const lines = help.match(/^ {2}ellipsis-broker .*/gm) ?? []
    t.ok(lines.length > 0, `${name || 'the program'} has examples`)
    if (name) for (const line of lines) t.match(line, `ellipsis-broker ${name}`)
  }
  walk()
})

t.test('a similar option is suggested, and licenses are printed', async (t) => {
  t.match(await command(['demo', '--prot', '1'], {}), { code: 2, stderr: /Did you mean --port/ })
  t.match(await command(['app', 'add', 'X', '--trustd'], {}), { code: 2, stderr: /mean --trusted/ })
  t.match(await command(['licenses'], {}), { code: 0, stdout: /MIT License/ })
})
