/**
 * Builds the single binary: `npm run build [-- DIRECTORY]`, `dist` unless told. Makes there
 * - `ellipsis-broker`, all that users need;
 * - `bundle/ellipsis-broker.mjs` with its assets beside it, the same program for a Node at hand;
 * - `LICENSES.txt`, the licenses of everything that is inside.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { build } from 'esbuild'
import { assetFolders, licensesFile, listAssets, sqliteAddon } from '../server/assets.ts'
import { bundling, makeBinary } from './binary.ts'
import { licenses } from './licenses.ts'

// A swap leaves little behind: room for more young objects, or more threads to look after them, costs memory
// and saves no time (measured); less room costs an eighth of the swaps a second, for 4 MiB.
const NODE_OPTIONS = ['--max-semi-space-size=2', '--v8-pool-size=2']

const root = join(import.meta.dirname, '..')
const require = createRequire(import.meta.url)

/* c8 ignore next -- tests build elsewhere */
const out = resolve(process.argv[2] ?? join(root, 'dist'))
const bundle = join(out, 'bundle', 'ellipsis-broker.mjs')
/* c8 ignore next -- Windows */
const binary = join(out, process.platform === 'win32' ? 'ellipsis-broker.exe' : 'ellipsis-broker')

const assets = copyAssets(dirname(bundle))
assets[licensesFile] = join(dirname(bundle), licensesFile)
writeFileSync(assets[licensesFile], licenses(root, await makeBundle()))
copyFileSync(assets[licensesFile], join(out, licensesFile))
makeBinary(bundle, binary, assets, NODE_OPTIONS)
process.stdout.write(`${binary}\n`)

/** Copies all assets to a folder. Answers their paths there by their names. */
function copyAssets(folder: string): Record<string, string> {
  const sources: Record<string, string> = { [sqliteAddon]: findAddon() }
  for (const path of assetFolders.flatMap(listAssets)) sources[path] = join(root, path)
  rmSync(folder, { recursive: true, force: true })
  return Object.fromEntries(
    Object.entries(sources).map(([name, source]) => {
      const target = join(folder, name)
      mkdirSync(dirname(target), { recursive: true })
      copyFileSync(source, target)
      return [name, target]
    }),
  )
}

/** Writes the bundle. Answers the files that went into it, relative to the project's root. */
async function makeBundle(): Promise<string[]> {
  const { metafile } = await build({
    ...bundling,
    absWorkingDir: root,
    entryPoints: ['server/main.ts'],
    outfile: bundle,
    define: { BUILD_STAMP: JSON.stringify({ version: version(), commit: commit() }) },
    metafile: true,
  })
  return Object.keys(metafile.inputs)
}

/** better-sqlite3's addon for this platform, as it finds it itself. */
function findAddon(): string {
  const folder = dirname(require.resolve('better-sqlite3/package.json'))
  const finder = require(join(folder, 'lib/binding.js')) as { getPrebuildPath(): string | null }
  const path = finder.getPrebuildPath()
  /* c8 ignore next -- there is one wherever tests run */
  if (path === null) throw new Error('better-sqlite3 has no addon for this platform.')
  return path
}

function version(): string {
  const text = readFileSync(join(root, 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** The commit that this is built from, `-dirty` if changed since; `null`: not in a git checkout. */
function commit(): string | null {
  const args = ['describe', '--always', '--exclude=*', '--abbrev=40', '--dirty']
  try {
    const stdio: ['ignore', 'pipe', 'ignore'] = ['ignore', 'pipe', 'ignore']
    return execFileSync('git', args, { cwd: root, stdio, encoding: 'utf8' }).trim()
    /* c8 ignore next 3 -- the tests run in a git checkout */
  } catch {
    return null
  }
}
