import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import t from 'tap'
import { findSettings } from '../../server/config/find-settings.ts'
import { listServices } from '../../server/config/units.ts'
import { UNIT } from '../cli/installation.ts'
import { temporaryFolder } from '../temporary.ts'

const TEMPLATE = readFileSync(
  join(import.meta.dirname, '../../deploy/ellipsis-broker@.service'),
  'utf8',
)

/** A system's root directory with these files. */
function buildRoot(t: Test, files: Record<string, string>): string {
  const root = temporaryFolder(t)
  for (const [name, text] of Object.entries(files)) put(root, name, text)
  return root
}

function put(root: string, name: string, text: string): void {
  mkdirSync(dirname(join(root, name)), { recursive: true })
  writeFileSync(join(root, name), text)
}

const find = (root: string, environment: NodeJS.ProcessEnv = {}, envFile?: string) =>
  findSettings({ environment, directory: join(root, 'nowhere'), root, envFile })

t.test('the unit’s settings are found; plain unit and template are one service', async (t) => {
  const root = buildRoot(t, {
    'etc/systemd/system/ellipsis-broker.service': UNIT,
    'etc/systemd/system/ellipsis-broker@.service': TEMPLATE,
    'etc/systemd/system/ellipsis-broker-backup.service': UNIT.replace(' serve', ' backup x'),
    'etc/systemd/system/other.service': UNIT,
    'etc/ellipsis-broker.env': 'BROKER_NAME=Ours\nBROKER_PORT=4000\n',
  })
  t.equal(listServices(root).length, 1)
  const { variables, files, missing } = find(root, { BROKER_PORT: '5000' })
  t.strictSame(variables, {
    BROKER_NAME: 'Ours',
    BROKER_PORT: '5000',
    BROKER_DATA_DIR: '/var/lib/ellipsis-broker',
  })
  t.strictSame(files, [join(root, 'etc/ellipsis-broker.env')])
  t.strictSame(missing, [join(root, 'nowhere/.env')])
})

t.test('without a unit, its settings file means the same', async (t) => {
  const root = buildRoot(t, { 'etc/ellipsis-broker.env': 'BROKER_NAME=Ours\n' })
  const dataDir = /^Environment=BROKER_DATA_DIR=(.*)$/m.exec(UNIT)?.[1]
  t.match(find(root).variables, { BROKER_NAME: 'Ours', BROKER_DATA_DIR: dataDir })
  rmSync(join(root, 'etc/ellipsis-broker.env'))
  t.strictSame(find(root).variables, {})
})

t.test('an environment that has the settings is used alone', async (t) => {
  const root = buildRoot(t, { 'etc/ellipsis-broker.env': 'BROKER_NAME=Ours\n' })
  for (const environment of [{ BROKER_DATA_DIR: '/data' }, { ELLIPSIS_CLIENT_ID: 'one' }]) {
    t.strictSame(find(root, environment).variables, environment)
  }
  put(root, 'nowhere/.env', 'BROKER_NAME=This directory\n')
  t.strictSame(find(root).variables, { BROKER_NAME: 'This directory' }, '.env, and nothing else')
})

t.test('a unit is read as systemd reads it', async (t) => {
  const unit = `# Environment=BROKER_NAME=comment
[Unit]
Environment=BROKER_NAME=wrong-section
[Service]
ExecStart=/usr/bin/env X=1 \\
  /opt/ellipsis-broker serve
Environment=BROKER_PORT=1 "BROKER_NAME=Our maps" 'BROKER_CONTACT=a@example.com'
EnvironmentFile=-/etc/one.env
EnvironmentFile=/etc/two.env
`
  const root = buildRoot(t, {
    'usr/lib/systemd/system/ellipsis-broker.service': unit.replaceAll('maps', 'packages'),
    'etc/systemd/system/ellipsis-broker.service': unit,
    'etc/two.env': 'BROKER_PORT=2\n',
    'usr/lib/systemd/system/ellipsis-broker.service.d/a.conf':
      '[Service]\nEnvironment=BROKER_PORT=9',
    'etc/systemd/system/ellipsis-broker.service.d/a.conf':
      '[Service]\nEnvironment=BROKER_HOST=::1\n',
    'etc/systemd/system/ellipsis-broker.service.d/b.conf': '[Service]\nWorkingDirectory=/srv\n',
  })
  const { variables, missing } = find(root)
  t.strictSame(variables, {
    BROKER_PORT: '2',
    BROKER_NAME: 'Our maps',
    BROKER_CONTACT: 'a@example.com',
    BROKER_HOST: '::1',
    BROKER_DATA_DIR: '/srv/data',
  })
  t.strictSame(missing, [join(root, 'nowhere/.env'), join(root, 'etc/one.env')])
  put(
    root,
    'etc/systemd/system/ellipsis-broker.service.d/c.conf',
    '[Service]\nEnvironment=\nEnvironment=BROKER_PORT=3',
  )
  put(root, 'srv/.env', 'BROKER_DATA_DIR=store\nBROKER_PORT=4\n')
  t.strictSame(find(root).variables, { BROKER_PORT: '2', BROKER_DATA_DIR: '/srv/store' })
  put(
    root,
    'etc/systemd/system/ellipsis-broker.service.d/d.conf',
    '[Service]\nExecStart=\nExecStart=/opt/ellipsis-broker --env-file /etc/named.env serve',
  )
  put(root, 'etc/named.env', 'BROKER_DATA_DIR=/named\n')
  t.equal(find(root).variables.BROKER_DATA_DIR, '/named')
})

t.test('a template with a settings file for each instance is several services', async (t) => {
  const unit = TEMPLATE.replace('/etc/ellipsis-broker.env', '/etc/brokers/%i.env').replace(
    '/var/lib/ellipsis-broker',
    '/var/lib/brokers/%i',
  )
  const root = buildRoot(t, {
    'etc/systemd/system/ellipsis-broker@.service': unit,
    'etc/brokers/4000.env': 'BROKER_NAME=One\n',
  })
  t.match(find(root).variables, { BROKER_NAME: 'One', BROKER_DATA_DIR: '/var/lib/brokers/4000' })
  put(root, 'etc/brokers/4001.env', 'BROKER_NAME=Other\n')
  const files = ['4000', '4001'].map((port) => join(root, `etc/brokers/${port}.env`))
  t.throws(() => find(root), { name: 'ConfigError', message: new RegExp(files.join('[^]*')) })
  const { variables } = find(root, {}, files[1])
  t.strictSame(variables, { BROKER_NAME: 'Other', BROKER_DATA_DIR: '/var/lib/brokers/4001' })
})
