/** The real readers of configuration files, as far as they are installed. */
import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import type { Test } from 'tap'

/** Reads a variable from each of these files. */
export type EnvFileReader = (name: string, files: string[]) => Promise<(string | undefined)[]>

const run = (file: string, args: string[]) =>
  promisify(execFile)(file, args, {
    env: { PATH: process.env.PATH ?? '' },
    maxBuffer: 2 ** 26,
  }).then(({ stdout }) => stdout)

/** Exports the variables of a file as `init` says, and prints the variable as a child process gets it. */
const SOURCE_ALL = `name=$1; shift; for file; do (set -a; . "$file"; set +a; eval "printf '%s\\0' \\"\\$$name\\"") || exit 1; done`

/** `sh` or `bash`, with `set -a; . FILE`. */
export const shell =
  (program: string): EnvFileReader =>
  async (name, files) =>
    (await run(program, ['-c', SOURCE_ALL, program, name, ...files])).split('\0').slice(0, -1)

/** The parser of systemd’s EnvironmentFile, from systemd’s own library. */
const SYSTEMD_SCRIPT = `
import ctypes, sys
library, name, files = sys.argv[1], sys.argv[2].encode(), sys.argv[3:]
load = ctypes.CDLL(library).load_env_file
for file in files:
    entries = ctypes.POINTER(ctypes.c_char_p)()
    if load(None, file.encode(), ctypes.byref(entries)) < 0: sys.exit(1)
    values = []
    while entries[len(values)]: values.append(entries[len(values)])
    found = [value for value in values if value.startswith(name + b'=')]
    sys.stdout.buffer.write(found[-1][len(name) + 1:] + b'\\0')
`

const systemdLibrary = globSync('/usr/lib{,64}/{,*/}systemd/libsystemd-shared-*.so')[0]
const has = (program: string, option = '--version') =>
  spawnSync(program, [option], { stdio: 'ignore' }).status === 0

/** `null` if it is not installed. */
export const systemd: EnvFileReader | null =
  systemdLibrary !== undefined && has('python3')
    ? async (name, files) =>
        (await run('python3', ['-c', SYSTEMD_SCRIPT, systemdLibrary, name, ...files]))
          .split('\0')
          .slice(0, -1)
    : null

/** `docker create --env-file` against a server that records what docker would start; `null` if not installed. */
export async function docker(t: Test): Promise<EnvFileReader | null> {
  if (!has('docker')) return null
  let received: string[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      response.setHeader('api-version', '1.44')
      response.setHeader('content-type', 'application/json')
      if (!request.url?.includes('/containers/create')) return response.end('OK')
      received = (JSON.parse(body) as { Env: string[] }).Env
      return response.writeHead(201).end('{"Id":"x","Warnings":[]}')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const host = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`
  return async (name, files) => {
    const options = files.flatMap((file) => ['--env-file', file])
    await run('docker', ['--host', host, 'create', ...options, 'image'])
    return received
      .filter((line) => line.startsWith(`${name}=`))
      .map((line) => line.slice(name.length + 1))
  }
}
