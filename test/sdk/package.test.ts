import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { build } from 'esbuild'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import t from 'tap'
import type { Test } from 'tap'
import { buildSdk } from '../../scripts/sdk.ts'
import { temporaryFolder } from '../temporary.ts'

const root = join(import.meta.dirname, '../..')
const readJson = (path: string) =>
  JSON.parse(readFileSync(path, 'utf8')) as { exports: Record<string, string> }

/** A program that cannot ask a registry. */
const run = (cwd: string, program: string, ...args: string[]): string =>
  execFileSync(program, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, npm_config_offline: 'true' },
  })

/** The packed SDK, and a project that has installed it. */
function install(t: Test) {
  const folder = temporaryFolder(t)
  const source = join(folder, 'sdk')
  buildSdk(source)
  const [packed] = JSON.parse(run(folder, 'npm', 'pack', '--json', source)) as {
    filename: string
    files: { path: string }[]
  }[]
  if (!packed) throw new Error('npm packed nothing.')
  const project = join(folder, 'project')
  const installed = join(project, 'node_modules/ellipsis-broker')
  mkdirSync(installed, { recursive: true })
  const tarball = join(folder, packed.filename)
  run(folder, 'tar', '-xzf', tarball, '-C', installed, '--strip-components=1')
  return { project, installed, tarball, files: packed.files.map(({ path }) => path) }
}

const SAMPLE = `
import { BrokerError, createClient } from 'ellipsis-broker/client'
import type { Client } from 'ellipsis-broker/client'
import { useEllipsis } from 'ellipsis-broker/react'
import { createServerClient, verifyWebhook } from 'ellipsis-broker/server'
import type { AuthorizationFlow, Connected, Grant, ServerClient } from 'ellipsis-broker/server'

const broker = 'https://broker.example.com'
const client: Client = createClient({ broker, clientId: 'app_1' })
export const Page = (): string => useEllipsis(client).status
export const header = async (): Promise<string> => (await client.getToken()).accessToken.trim()

export const server: ServerClient = createServerClient({ broker, clientId: 'a', clientSecret: 'b' })
createServerClient({ broker, clientId: 'a', privateKey: { kty: 'OKP', kid: 'one' } })
// @ts-expect-error: a secret or a key
createServerClient({ broker, clientId: 'a' })
// @ts-expect-error: not both
createServerClient({ broker, clientId: 'a', clientSecret: 'b', privateKey: {} })

export async function work(request: Request, flow: AuthorizationFlow): Promise<number> {
  const { grantId, user }: Connected = await server.handleCallback(request, flow)
  for await (const grant of server.listGrants({ status: 'active' })) {
    const status: Grant['status'] = grant.status
    // @ts-expect-error: no such status
    if (status === 'ended') return 0
  }
  try {
    return (await server.getToken(grantId, { minTtl: 60 })).expiresAt
  } catch (error) {
    if (error instanceof BrokerError) return error.reconnectUrl?.length ?? error.code.length
    throw error
  } finally {
    console.log(user?.username?.length, (await verifyWebhook(request, 'whpk_')).type)
  }
}
`

t.test('the npm package', async (t) => {
  const { project, installed, tarball, files } = install(t)

  t.test('the tarball has the modules and their types, and nothing else', async (t) => {
    const own = readJson(join(root, 'package.json')).exports
    for (const [name, path] of Object.entries(own)) {
      if (name === './package.json') continue
      const module = path.replace('./dist/sdk/', '')
      for (const file of [module, module.replace(/js$/, 'd.ts')]) t.ok(files.includes(file), file)
    }
    const others = files.filter((file) => !/^[\w/-]+(\.js|\.d\.ts)$/.test(file))
    t.strictSame(others.sort(), ['LICENSE', 'README.md', 'package.json'])
    const manifest: object = readJson(join(installed, 'package.json'))
    t.notOk('dependencies' in manifest)
    t.notOk('private' in manifest)
  })

  t.test('publint', async (t) => {
    const { messages, pkg } = await publint({ pkgDir: installed, strict: true })
    t.strictSame(
      messages.map((message) => formatMessage(message, pkg)),
      [],
    )
  })

  t.test('arethetypeswrong', async (t) => {
    const found = await checkPackage(createPackageFromTarballData(readFileSync(tarball)))
    if (!found.types) throw new Error('The package has no types.')
    // As its profile esm-only: TypeScript before `exports`, and CommonJS, are not supported.
    const ignored = ['node10', 'node16-cjs']
    const problems = found.problems.filter(
      (problem) => !('resolutionKind' in problem && ignored.includes(problem.resolutionKind)),
    )
    t.strictSame(problems, [])
  })

  t.test('tsc --strict on a project that imports both', async (t) => {
    writeFileSync(join(project, 'package.json'), '{"type": "module"}')
    writeFileSync(join(project, 'sample.ts'), SAMPLE)
    const compiler = join(root, 'node_modules/typescript/bin/tsc')
    for (const [module, resolution] of [
      ['nodenext', 'nodenext'],
      ['esnext', 'bundler'],
    ]) {
      const compilerOptions = {
        ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
        ...{
          skipLibCheck: false,
          skipDefaultLibCheck: true,
          types: [],
          noEmit: true,
          target: 'es2022',
        },
        ...{ lib: ['es2024', 'dom', 'dom.iterable', 'dom.asynciterable'] },
        ...{ module, moduleResolution: resolution },
      }
      const config = { compilerOptions, files: ['sample.ts'] }
      writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(config))
      t.equal(run(project, process.execPath, compiler), '')
    }
  })

  t.test('Node imports it; the server needs nothing of Node', async (t) => {
    const program = `import { createServerClient } from 'ellipsis-broker/server'
    console.log(typeof createServerClient)`
    const printed = run(project, process.execPath, '--input-type=module', '--eval', program)
    t.equal(printed.trim(), 'function')
    const entryPoints = [join(installed, 'server.js')]
    const { outputFiles } = await build({
      ...{ entryPoints, bundle: true, write: false, platform: 'browser', format: 'esm' },
    })
    const text = outputFiles[0]?.text ?? ''
    t.notMatch(text, /\b(process|Buffer|require|node:)\b/)
  })
})
