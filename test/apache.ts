import { spawn, spawnSync } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { waitUntilListening } from './nginx.ts'
import { temporaryFolder } from './temporary.ts'

const PROGRAM = '/usr/sbin/apache2'
const MODULES_FOLDER = '/usr/lib/apache2/modules'
const MODULES = ['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'dir', 'mime', 'rewrite']

/** For tap's `skip`: the reason if Apache or its OpenID Connect module is missing, otherwise `false`. */
export const noApache: string | false =
  (!existsSync(PROGRAM) || !existsSync(`${MODULES_FOLDER}/mod_auth_openidc.so`)) &&
  'Apache is missing: apt-get install apache2 libapache2-mod-auth-openidc'

/** An Apache that is about to start. */
export interface ApacheFolder {
  path: string
  /** Creates or replaces a file. */
  write(name: string, text: string): void
}

/**
 * Starts Apache with mod_auth_openidc on a port of 127.0.0.1, with the pages in `pages/`. As root, it runs as
 * another user. It is stopped after the test.
 * @param configure writes files and returns the configuration of the module
 * @returns reads its error log
 */
export async function startApache(
  t: Pick<Test, 'teardown'>,
  port: number,
  configure: (folder: ApacheFolder) => string,
): Promise<() => string> {
  const path = temporaryFolder(t)
  const user = process.getuid?.() === 0 ? findUser() : undefined
  const own = (file: string) => user && chownSync(file, user.uid, user.gid)
  const write = (name: string, text: string): void => {
    writeFileSync(join(path, name), text)
    own(join(path, name))
  }
  for (const name of ['', 'pages', 'run']) {
    mkdirSync(join(path, name), { recursive: true })
    own(join(path, name))
  }
  const modules = [...MODULES, 'auth_openidc']
  const load = modules.map((name) => `LoadModule ${name}_module ${MODULES_FOLDER}/mod_${name}.so`)
  const configuration = configure({ path, write })
  write(
    'apache.conf',
    `ServerRoot ${path}
DefaultRuntimeDir ${path}/run
PidFile ${path}/run/apache.pid
ServerName 127.0.0.1
Listen 127.0.0.1:${port}
ErrorLog ${path}/run/error.log
${load.join('\n')}
TypesConfig /etc/mime.types
DocumentRoot ${path}/pages
DirectoryIndex index.html
${configuration}
`,
  )
  const child = spawn(PROGRAM, ['-f', join(path, 'apache.conf'), '-DFOREGROUND'], { ...user })
  const ended = new Promise((resolve) => child.once('close', resolve))
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
  })
  await waitUntilListening(port, child)
  return () => readFileSync(join(path, 'run/error.log'), 'utf8')
}

/** The user of Debian's web servers. */
function findUser(): { uid: number; gid: number } {
  const id = (flag: string) => Number(spawnSync('id', [flag, 'www-data']).stdout.toString())
  return { uid: id('-u'), gid: id('-g') }
}
