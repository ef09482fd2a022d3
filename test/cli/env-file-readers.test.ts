import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { loadConfig, readEnvironment } from '../../server/config/config.ts'
import { formatEnvFile, isPortable } from '../../server/config/settings.ts'
import { writeSettings } from '../../server/operate/env-file.ts'
import { command } from '../command.ts'
import { size } from '../size.ts'
import { temporaryFolder } from '../temporary.ts'
import { docker, shell, systemd } from './env-file-readers.ts'
import type { EnvFileReader } from './env-file-readers.ts'

const NAME = 'ELLIPSIS_CLIENT_SECRET'
const RUNS = Number(process.env.RUNS ?? size(300, 5000))
const BATCH_SIZE = 250

/** The program itself, as it starts in the folder of a `.env`. */
const program =
  (folder: string): EnvFileReader =>
  async (name, files) =>
    files.map((file) => {
      writeFileSync(join(folder, '.env'), readFileSync(file))
      const environment = readEnvironment({}, folder)
      if (name !== NAME) return environment[name]
      return loadConfig(environment).ellipsis.clientSecret.reveal()
    })

async function allReaders(t: Parameters<typeof docker>[0]): Promise<[string, EnvFileReader][]> {
  const found = {
    'the program': program(temporaryFolder(t)),
    sh: shell('sh'),
    bash: shell('bash'),
    systemd,
    docker: await docker(t),
  }
  for (const [name, reader] of Object.entries(found)) if (!reader) t.comment(`without ${name}`)
  return Object.entries(found).filter((entry): entry is [string, EnvFileReader] => !!entry[1])
}

const WRITTEN = [
  ...['plain', 'a-b_c.d~e', 'a=b', 'a==', 'p+q/r=', 'a!b', '!!', '%n', 'x*?[a-z]{b,c}', '^', '@:,'],
  ...['https://example.com/~ada', 'ключ', '日本', 'josé', 'jose\u0301', '*', '{', 'export', '-n'],
]
const REFUSED = [
  ...[
    'with space',
    "it's",
    'say "hi"',
    'a$b',
    '$(touch /tmp/x)',
    '`id`',
    'back\\slash',
    'a#b',
    '#a',
  ],
  ...[
    'a #b',
    `both ' and "`,
    'tail\\',
    '$HOME',
    '${HOME}',
    '~',
    '~root',
    'a:~',
    'a=~',
    '=ls',
    'a;b',
  ],
  ...['a&b', 'a|b', '<x>', '(x)', '\\n', "'", '"', '`', '"quoted"', "'quoted'", '`quoted`'],
  ...['two\nlines', 'a\tb', 'a\u00a0b', '“curly”', 'a\u0000b', '\u001b[31m', '\u{1f600}'],
]

t.test('init writes a secret that every reader reads the same, or refuses it', async (t) => {
  const cwd = temporaryFolder(t)
  const readers = await allReaders(t)
  const init = (secret: string, file: string) =>
    command(['init', '--client-id', 'id', '--client-secret-stdin', '--file', file], {}, secret, cwd)
  for (const [index, secret] of REFUSED.entries()) {
    const result = await init(secret, `${index}.env`)
    t.match(result, { code: 2 }, JSON.stringify(secret))
    // A zero byte is not text at all.
    if (!secret.includes('\0')) t.match(result.stderr, /^ELLIPSIS_CLIENT_SECRET .*\n.*_SECRET_FILE/)
    t.notOk(existsSync(join(cwd, `${index}.env`)))
  }
  const files = WRITTEN.map((_, index) => join(cwd, `written-${index}.env`))
  for (const [index, secret] of WRITTEN.entries()) {
    t.match(await init(secret, files[index] ?? ''), { code: 0 }, secret)
  }
  for (const [reader, read] of readers) t.strictSame(await read(NAME, files), WRITTEN, reader)
})

t.test(`${RUNS} generated secrets are read the same by every reader, or refused`, async (t) => {
  const folder = temporaryFolder(t)
  const readers = await allReaders(t)
  const portable = 'aZ09_.,:/@+=%^!?*{}[]~-ж日é'
  const character = fc.oneof(
    { weight: 30, arbitrary: fc.constantFrom(...portable) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }) },
    { weight: 1, arbitrary: fc.constantFrom(...' "\'`$\\#;&|<>()\t\r\n\u00a0\u0085\u2028') },
  )
  const secret = fc
    .array(character, { minLength: 1, maxLength: 24 })
    .map((characters) => characters.join('').trim())
  const sample = fc.sample(secret, RUNS).filter(isPortable).filter(Boolean)
  t.ok(sample.length > RUNS / 10, `${sample.length} of ${RUNS} are written`)
  for (let from = 0; from < sample.length; from += BATCH_SIZE) {
    const values = sample.slice(from, from + BATCH_SIZE)
    const files = values.map((value, index) => {
      const file = join(folder, `${index}.env`)
      writeFileSync(file, formatEnvFile({ ELLIPSIS_CLIENT_SECRET: value }, '# Settings.'))
      return file
    })
    for (const [reader, read] of readers) t.strictSame(await read(NAME, files), values, reader)
  }
})

t.test('the command that init prints starts the broker with that file', async (t) => {
  const cwd = temporaryFolder(t)
  for (const file of [
    'broker.env',
    'my broker.env',
    "it's.env",
    '-x.env',
    '$HOME.env',
    './b.env',
  ]) {
    const args = ['init', '--client-id', 'id', '--client-secret-stdin', `--file=${file}`]
    const { code, stdout } = await command(args, {}, 'a-secret', cwd)
    t.equal(code, 0, file)
    const [, option = ''] = / (--env-file .*) serve$/m.exec(stdout) ?? []
    for (const program of ['sh', 'bash']) {
      const script = `printf '%s\n' ${option}`
      const printed = execFileSync(program, ['-c', script], { cwd }).toString()
      t.equal(printed, `--env-file\n${resolve(cwd, file)}\n`, stdout)
    }
  }
})

t.test('a directory that a configuration file cannot hold is refused', async (t) => {
  const cwd = temporaryFolder(t)
  const flags = ['init', '--client-id', 'id', '--client-secret-stdin']
  for (const directory of ['my data', 'a$b', "it's"]) {
    const result = await command([...flags, '--data-dir', directory], {}, 'x', cwd)
    t.match(result, { code: 2, stderr: /^BROKER_DATA_DIR has characters/ }, directory)
  }
  const id = await command(['init', '--client-id', 'a b', '--client-secret-stdin'], {}, 'x', cwd)
  t.match(id, { code: 2, stderr: /^ELLIPSIS_CLIENT_ID has characters/ })
  t.notOk(existsSync(join(cwd, '.env')))
})

t.test('any secret can stay in a file that init names', async (t) => {
  const cwd = temporaryFolder(t)
  for (const [index, secret] of REFUSED.filter((text) => !/[\n\0]/.test(text)).entries()) {
    writeFileSync(join(cwd, 'secret'), `${secret}\n`)
    const file = join(cwd, `${index}.env`)
    const flags = ['--client-id', 'id', '--client-secret-file', 'secret', '--file', file]
    t.match(await command(['init', ...flags], {}, '', cwd), { code: 0 }, secret)
    t.notMatch(readFileSync(file, 'utf8'), /^ELLIPSIS_CLIENT_SECRET=/m)
    const [path] = await shell('sh')(`${NAME}_FILE`, [file])
    const { ellipsis } = loadConfig({ [`${NAME}_FILE`]: path })
    t.equal(ellipsis.clientSecret.reveal(), secret)
  }
})

t.test('probe --write keeps what a file means, however it was saved', async (t) => {
  const readers = await allReaders(t)
  const folder = temporaryFolder(t)
  const line = 'ELLIPSIS_TOKEN_REQUEST=json'
  const files: [text: string, name: string, kept: string][] = [
    ['', 'ELLIPSIS_TOKEN_REQUEST', 'json'],
    ['BROKER_PORT=1', 'BROKER_PORT', '1'],
    ['\uFEFFBROKER_PORT=1\nELLIPSIS_TOKEN_REQUEST=form\n', 'BROKER_PORT', '1'],
    ['ELLIPSIS_TOKEN_REQUEST=form\nBROKER_PORT=1\n\n', 'BROKER_PORT', '1'],
    ['# ELLIPSIS_TOKEN_REQUEST=form\nBROKER_PORT=1', 'BROKER_PORT', '1'],
  ]
  for (const [index, [text, name, kept]] of files.entries()) {
    const file = join(folder, `${index}.env`)
    writeFileSync(file, text)
    writeSettings(file, [line])
    for (const [reader, read] of readers) {
      t.strictSame(await read('ELLIPSIS_TOKEN_REQUEST', [file]), ['json'], `${index}: ${reader}`)
      t.strictSame(await read(name, [file]), [kept], `${index}: ${reader}`)
    }
  }
  const written = (text: string | Buffer) => {
    const file = join(folder, 'written.env')
    writeFileSync(file, text)
    writeSettings(file, [line])
    return readFileSync(file, 'utf8')
  }
  t.equal(written('A=1\r\nB=2\r\n'), `A=1\r\nB=2\r\n${line}\r\n`, 'line ends stay')
  t.equal(written(' export ELLIPSIS_TOKEN_REQUEST = form\nA=1\n'), `A=1\n${line}\n`)
  t.equal(written('A="1\n2"\n'), `A="1\n2"\n${line}\n`)
  t.throws(() => written('A="\nELLIPSIS_TOKEN_REQUEST=form"\n'), /another value .* would change/)
  t.throws(() => written(Buffer.from('A=1\n', 'utf16le')), /UTF-16/)
  t.throws(() => written(Buffer.from('A=é\n', 'latin1')), /UTF-8/)
})
