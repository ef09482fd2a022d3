import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from '../helper.ts'

const NGINX = 'nginx'
const PATH = `${process.env.PATH ?? ''}:/usr/sbin`
const example = readFileSync(join(import.meta.dirname, '../../deploy/nginx.conf'), 'utf8')

/** Why tests with nginx are skipped; `false` if nginx is installed. */
export const nginxMissing =
  spawnSync(NGINX, ['-v'], { env: { PATH } }).error !== undefined && 'nginx is not installed'

interface Proxy {
  url: string
  /** Sends new requests to another port, like `nginx -s reload`. Resolves when running requests have ended. */
  switchTo(port: number): Promise<void>
}

/** Starts nginx with the example configuration on free local ports. It is stopped after the test. */
export async function startNginx(t: Test, upstream: number, port: number): Promise<Proxy> {
  // Not the test's folder, which may contain a broker's data.
  const folder = mkdtempSync(join(tmpdir(), 'ellipsis-broker-nginx-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const subject = ['-subj', '/CN=broker.example.com', '-days', '2']
  execFileSync('openssl', [...request, '-keyout', key, '-out', cert, ...subject], {
    stdio: 'ignore',
  })
  const tlsPort = await freePort()
  const configure = (upstream: number) => {
    const site = example
      .replace('server 127.0.0.1:3000', `server 127.0.0.1:${upstream}`)
      .replace('listen 443 ssl', `listen 127.0.0.1:${port};\n    listen 127.0.0.1:${tlsPort} ssl`)
      .replace('    listen [::]:443 ssl;\n', '')
      .replace(/ssl_certificate .*;/, `ssl_certificate ${cert};`)
      .replace(/ssl_certificate_key .*;/, `ssl_certificate_key ${key};`)
    const temporaryPaths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${folder}/${name};`,
    )
    const user = process.getuid?.() === 0 ? 'user root;' : ''
    const main = `${user} daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
      events { worker_connections 4096; } http { access_log off; ${temporaryPaths.join('\n')} ${site} }`
    writeFileSync(join(folder, 'nginx.conf'), main)
  }
  configure(upstream)
  const options = ['-p', folder, '-e', join(folder, 'error.log'), '-c', join(folder, 'nginx.conf')]
  const child = spawn(NGINX, options, { env: { PATH }, stdio: 'inherit' })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
  })
  const url = `http://127.0.0.1:${port}`
  while (!(await fetch(`${url}/healthz`).catch(() => null))) {
    if (child.exitCode !== null) throw new Error(readFileSync(join(folder, 'error.log'), 'utf8'))
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const workers = (): string =>
    readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim()
  return {
    url,
    async switchTo(upstream) {
      const before = workers()
      configure(upstream)
      child.kill('SIGHUP')
      // The old workers end when their running requests are done.
      while (before.split(' ').some((pid) => workers().split(' ').includes(pid))) {
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    },
  }
}
