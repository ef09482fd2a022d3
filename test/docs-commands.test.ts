import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { onTerminal } from './cli/terminal.ts'
import { buildBroker } from './helper.ts'
import { PROGRAM, PROGRAM_ENV } from './program.ts'

const root = join(import.meta.dirname, '..')
const missing = ['bash', 'curl', 'script'].find((name) => spawnSync(name, ['--version']).error)
const options = { skip: missing !== undefined && `${missing} is not installed` }

/** Commands that would change this machine: they are replaced by scripts that record the call. */
const RECORDED = ['systemctl', 'systemd-analyze', 'npm', 'nginx', 'sleep']

const blocks = (page: string): string[] =>
  [...readFileSync(join(root, page), 'utf8').matchAll(/^```sh\n(.*?)^```$/gms)].map(
    ([, text = '']) => text,
  )

t.test('every shell command of docs/install.md and docs/run.md works', options, async (t) => {
  const broker = await buildBroker(t)
  const machine = join(t.testdir({}), 'machine')
  for (const place of ['bin', 'usr/local/bin', 'etc/systemd/system', 'etc/nginx/conf.d']) {
    mkdirSync(join(machine, place), { recursive: true })
  }
  const script = (name: string, text: string) => {
    writeFileSync(join(machine, 'bin', name), `#!/bin/bash\n${text}\n`)
    chmodSync(join(machine, 'bin', name), 0o755)
  }
  for (const name of RECORDED) script(name, `echo "${name} $*" >> ${machine}/recorded`)
  script('ellipsis-broker', `exec ${process.execPath} -- ${PROGRAM} "$@"`)
  writeFileSync(
    join(machine, 'etc/nginx/conf.d/ellipsis-broker.conf'),
    readFileSync(join(root, 'deploy/nginx.conf')),
  )
  const { port } = new URL(broker.url)
  const adapt = (text: string) =>
    text
      .replaceAll(/(?<![\w.])\/(etc|usr)\//g, `${machine}/$1/`)
      .replaceAll(/http:\/\/127\.0\.0\.1:300[01]/g, `http://127.0.0.1:${port}`)
      .replaceAll('dist/', `${machine}/dist/`)
  mkdirSync(join(machine, 'dist'))
  writeFileSync(join(machine, 'dist/ellipsis-broker'), '')
  writeFileSync(join(machine, 'client-secret.txt'), 'a-secret')
  symlinkSync(join(root, 'deploy'), join(machine, 'deploy'))
  const env = {
    ...PROGRAM_ENV,
    PATH: `${machine}/bin:${process.env.PATH}`,
    BROKER_DATA_DIR: broker.dataDir,
  }
  const file = join(machine, 'etc/ellipsis-broker.env')

  for (const page of ['docs/install.md', 'docs/run.md']) {
    for (const block of blocks(page)) {
      // Contents of a settings file.
      if (/^[A-Z_]+=/.test(block)) continue
      if (block.trim() === 'ellipsis-broker init --file /etc/ellipsis-broker.env') {
        const { code, output } = await onTerminal(
          ['init', '--file', file],
          [
            ['Public URL', 'https://broker.example.com/'],
            ['Client id', 'the-id'],
            ['Client secret', 'the-secret'],
          ],
          { cwd: machine, env },
        )
        t.equal(code, 0, output)
        t.match(output, 'https://broker.example.com/callback')
        t.notMatch(output, 'the-secret')
        t.equal(statSync(file).mode & 0o777, 0o600)
        t.match(readFileSync(file, 'utf8'), 'ELLIPSIS_CLIENT_SECRET=the-secret')
        rmSync(file)
        continue
      }
      const child = spawn('bash', ['-euo', 'pipefail', '-c', adapt(block)], { cwd: machine, env })
      let output = ''
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
      }
      await once(child, 'close')
      t.equal(child.exitCode, 0, `${page}: ${block}${output.slice(-500)}`)
    }
  }
  t.ok(existsSync(join(machine, 'usr/local/bin/ellipsis-broker')))
  t.ok(existsSync(join(machine, 'etc/systemd/system/ellipsis-broker.service')))
  t.match(readFileSync(file, 'utf8'), 'BROKER_PUBLIC_URL=https://broker.example.com')
  const site = readFileSync(join(machine, 'etc/nginx/conf.d/ellipsis-broker.conf'), 'utf8')
  t.match(site, 'server 127.0.0.1:3001;', 'nginx uses the new broker')
  const recorded = readFileSync(join(machine, 'recorded'), 'utf8')
  t.match(recorded, /enable --now ellipsis-broker$/m)
  t.match(
    recorded,
    /disable --now ellipsis-broker\nsystemctl enable --now ellipsis-broker@3000\nsystemctl enable --now ellipsis-broker@3001\nnginx -s reload\nsleep 30\nsystemctl disable --now ellipsis-broker@3000/,
  )
})

t.test('every metric that docs/run.md names is served', async (t) => {
  const broker = await buildBroker(t)
  const text = await (await fetch(`${broker.url}/metrics`)).text()
  const page = readFileSync(join(root, 'docs/run.md'), 'utf8')
  const named = page.match(/\b(ellipsis_broker|nodejs|process)_[a-z0-9_]+/g) ?? []
  t.ok(named.length > 9)
  for (const name of named) t.match(text, `# TYPE ${name} `, name)
  for (const [, name = ''] of text.matchAll(/^# TYPE (ellipsis_broker_\w+)/gm)) {
    t.ok(page.includes(name), `${name} is explained`)
  }
})
