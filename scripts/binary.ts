import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { buildSync } from 'esbuild'
import { bundleOptions } from './bundle.ts'

/** How long the program may take until it answers. */
const READY_TIMEOUT_MS = 60_000

/**
 * Builds a single binary: a copy of this Node with a bundle, assets, and the code that V8 compiled for one start of
 * the program.
 * @param program the bundle's file: CommonJS that serves on `BROKER_PORT` when called with `serve`
 * @param assets paths by name
 * @param execArgv Node options of the binary
 * @throws Error if the program doesn't start
 */
export async function makeBinary(
  program: string,
  output: string,
  assets: Record<string, string>,
  execArgv: string[] = [],
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'ellipsis-broker-build-'))
  const embed = (binary: string, packed: Record<string, string | Buffer>, recordsCode: boolean) => {
    const main = join(folder, 'main.cjs')
    buildSync({
      ...bundleOptions,
      entryPoints: [join(import.meta.dirname, 'binary-main.ts')],
      outfile: main,
      define: { RECORDS_CODE: String(recordsCode) },
    })
    const paths = Object.entries(packed).map(([name, content]) => {
      const path = join(folder, name)
      writeFileSync(path, zstdCompressSync(content))
      return [name, path] as const
    })
    embedInNode(main, binary, { ...assets, ...Object.fromEntries(paths) }, execArgv)
  }
  try {
    const source = toFunction(readFileSync(program, 'utf8'))
    const recorder = join(folder, process.platform === 'win32' ? 'recorder.exe' : 'recorder')
    embed(recorder, { program: source }, true)
    const code = await recordCode(recorder, folder)
    embed(output, { program: source, 'compiled-code': code }, false)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * The program as a function of what Node gives to a CommonJS module, in ASCII: V8 stores other text in two bytes
 * for each character. In regular expressions and comments, where esbuild leaves other text, escapes are the same.
 */
const toFunction = (source: string): string =>
  `(function (require, __filename, __dirname) {${source}\n})`.replace(
    /[\u0080-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

/** Starts the program until it has answered, and returns the code that V8 compiled for that. */
async function recordCode(recorder: string, folder: string): Promise<Buffer> {
  const file = join(folder, 'code')
  const port = await freePort()
  const env = {
    COMPILED_CODE_FILE: file,
    ELLIPSIS_CLIENT_ID: 'build',
    ELLIPSIS_CLIENT_SECRET: 'build',
    BROKER_PUBLIC_URL: 'http://127.0.0.1:3000',
    BROKER_PORT: String(port),
    BROKER_DATA_DIR: join(folder, 'data'),
    BROKER_LOG_LEVEL: 'error',
  }
  const child = spawn(recorder, ['serve'], { env, stdio: ['pipe', 'ignore', 'ignore'] })
  const ended = new Promise((resolve) => child.once('close', resolve))
  const timer = setTimeout(() => child.kill('SIGKILL'), READY_TIMEOUT_MS)
  while (child.exitCode === null && child.signalCode === null) {
    const call = fetch(`http://127.0.0.1:${port}/exchange`, { method: 'POST' })
    if (await call.then(({ ok, status }) => ok || status === 401).catch(() => false)) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  child.stdin.end()
  await ended
  clearTimeout(timer)
  return readFileSync(file)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

function embedInNode(
  main: string,
  output: string,
  assets: Record<string, string>,
  execArgv: string[],
): void {
  const file = `${output}.sea.json`
  const settings = {
    main,
    mainFormat: 'commonjs',
    output,
    disableExperimentalSEAWarning: true,
    execArgv,
    assets,
  }
  writeFileSync(file, JSON.stringify(settings, null, 2))
  rmSync(output, { force: true })
  execFileSync(process.execPath, ['--build-sea', file], { stdio: ['ignore', 'ignore', 'inherit'] })
  rmSync(file)
  // macOS on ARM requires a valid signature; releases are signed with a real identity.
  /* c8 ignore next -- macOS only */
  if (process.platform === 'darwin') execFileSync('codesign', ['--force', '--sign', '-', output])
}
