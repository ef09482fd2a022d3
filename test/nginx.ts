import { execFileSync, spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'

/** For tap's `skip`: the reason if nginx or openssl is missing, otherwise `false`. */
export const noNginx: string | false =
  (!isInstalled('nginx', '-v') && 'nginx is missing: apt-get install nginx-light') ||
  (!isInstalled('openssl', 'version') && 'openssl is missing: apt-get install openssl')

function isInstalled(command: string, argument: string): boolean {
  const { PATH = '' } = process.env
  const env = { PATH: `${PATH}:/usr/sbin:/usr/local/sbin` }
  return spawnSync(command, [argument], { env, stdio: 'ignore' }).status === 0
}

/** What a proxy should tell, as docs/install.md shows it. */
const HEADERS = {
  Host: '$host',
  'X-Forwarded-For': '$remote_addr',
  'X-Forwarded-Proto': '$scheme',
  'X-Request-Id': '$request_id',
}

/** Starts nginx with TLS and a self-signed certificate, as a proxy of `path` to `upstream`. Stops it with the test. */
export async function startNginx(
  t: Test,
  {
    port,
    path,
    upstream,
    headers = HEADERS,
  }: { port: number; path: string; upstream: string; headers?: Record<string, string> },
): Promise<void> {
  const folder = t.testdir({ logs: {}, temporary: {} })
  const [certificate, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  const files = ['-keyout', key, '-out', certificate]
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  execFileSync('openssl', ['req', ...kind, '-days', '2', ...subject, ...files], { stdio: 'ignore' })

  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `  ${name}_temp_path ${folder}/temporary;`)
    .join('\n')
  const configuration = `daemon off;
pid ${folder}/nginx.pid;
error_log ${folder}/logs/error.log;
events {}
http {
  access_log off;
${temporary}
  server {
    listen 127.0.0.1:${port} ssl;
    listen 127.0.0.2:${port} ssl;
    ssl_certificate ${certificate};
    ssl_certificate_key ${key};
    location ${path}/ {
      proxy_pass ${upstream};
${Object.entries(headers)
  .map((header) => `      proxy_set_header ${header.join(' ')};`)
  .join('\n')}
    }
  }
}
`
  await runNginx(t, folder, configuration, port)
}

const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so'

/** For tap's `skip`: the reason if nginx can't pass TCP through, otherwise `false`. */
export const noStream: string | false =
  noNginx || (!existsSync(STREAM_MODULE) && 'apt-get install libnginx-mod-stream')

/** Starts nginx as a proxy that passes TCP connections through, unread. Stops it with the test. */
export async function startTcpProxy(t: Test, port: number, upstream: string): Promise<void> {
  const folder = t.testdir({ logs: {} })
  const configuration = `load_module ${STREAM_MODULE};
daemon off;
pid ${folder}/nginx.pid;
error_log ${folder}/logs/error.log;
events {}
stream {
  server {
    listen 127.0.0.1:${port};
    proxy_pass ${new URL(upstream).host};
  }
}
`
  await runNginx(t, folder, configuration, port)
}

async function runNginx(t: Test, folder: string, configuration: string, port: number) {
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, configuration)
  const { PATH = '' } = process.env
  const env = { PATH: `${PATH}:/usr/sbin:/usr/local/sbin` }
  const child = spawn('nginx', ['-e', `${folder}/logs/error.log`, '-c', file], { env })
  const ended = new Promise((resolve) => child.once('close', resolve))
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
  })
  await waitUntilListening(port, child)
}

/** Waits until a server listens. @throws Error if it exits */
export async function waitUntilListening(port: number, child: ChildProcess): Promise<void> {
  while (child.exitCode === null) {
    const code = await fetch(`http://127.0.0.1:${port}/`).then(
      () => 'open',
      (error: Error) => (error.cause as { code?: string } | undefined)?.code,
    )
    if (code !== 'ECONNREFUSED') return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`${child.spawnfile} did not start`)
}
