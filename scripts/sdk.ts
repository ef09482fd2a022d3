/** Builds the SDK's npm package, without dependencies: `npm run build:sdk`, into `dist/sdk`. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')

/** Modules and types of the SDK, and a manifest for them alone: the broker's has its dependencies. */
export function buildSdk(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc')
  const args = [compiler, '--project', join(root, 'sdk'), '--outDir', folder]
  execFileSync(process.execPath, args, { stdio: 'inherit' })
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest(), null, 2))
  writeFileSync(join(folder, 'README.md'), README)
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'))
}

interface Manifest {
  exports: Record<string, string>
  [name: string]: unknown
}

function manifest(): Manifest {
  const text = readFileSync(join(root, 'package.json'), 'utf8')
  const { name, version, license, type, exports } = JSON.parse(text) as Manifest
  return {
    ...{ name, version, description: 'The SDK of Ellipsis Broker', license, type },
    sideEffects: false,
    // For `ellipsis-broker/react`.
    peerDependencies: { react: '>=18' },
    peerDependenciesMeta: { react: { optional: true } },
    exports: JSON.parse(
      JSON.stringify(exports).replaceAll('./dist/sdk/', './'),
    ) as Manifest['exports'],
  }
}

const README = `# The SDK of Ellipsis Broker

For apps that use Ellipsis Drive through an Ellipsis Broker: \`ellipsis-broker/client\` for browsers,
\`ellipsis-broker/server\` for back ends in Node, Deno and Bun. No dependencies. See docs/sdk.md in the
repository of the broker.
`

/* c8 ignore next -- tests build elsewhere */
if (import.meta.main) buildSdk(join(root, 'dist/sdk'))
