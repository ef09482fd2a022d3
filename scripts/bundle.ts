import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import type { BuildOptions } from 'esbuild'
import { assetFolders, licensesFile, listAssets, sqliteAddon } from '../server/assets.ts'
import { licenses } from './licenses.ts'

const root = join(import.meta.dirname, '..')
const require = createRequire(import.meta.url)

// CommonJS packages in the bundle go on calling `require`, which a module doesn't have.
const BANNER = `import { createRequire as makeRequire } from 'node:module'
const require = makeRequire(import.meta.url)`

/** esbuild's options for the program, and for what it is measured against. */
export const bundling: BuildOptions = {
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  banner: { js: BANNER },
  // A third less to read at every start; names stay, for the stack of an error.
  minifyWhitespace: true,
  minifySyntax: true,
  logLevel: 'warning',
}

/** A program in one file, and its assets beside it. */
export interface Bundle {
  /** The file that Node runs. */
  program: string
  /** Paths of the assets by their names. */
  assets: Record<string, string>
}

/** Bundles the program into a folder, which is emptied first: `ellipsis-broker.mjs`, assets beside it. */
export async function makeBundle(folder: string): Promise<Bundle> {
  rmSync(folder, { recursive: true, force: true })
  const program = join(folder, 'ellipsis-broker.mjs')
  const assets = copyAssets(folder)
  const { metafile } = await build({
    ...bundling,
    absWorkingDir: root,
    entryPoints: ['server/main.ts'],
    outfile: program,
    define: { BUILD_STAMP: JSON.stringify({ version: version(), commit: commit() }) },
    metafile: true,
  })
  assets[licensesFile] = join(folder, licensesFile)
  writeFileSync(assets[licensesFile], licenses(root, Object.keys(metafile.inputs)))
  return { program, assets }
}

function copyAssets(folder: string): Record<string, string> {
  const sources: Record<string, string> = { [sqliteAddon]: findAddon() }
  for (const path of assetFolders.flatMap(listAssets)) sources[path] = join(root, path)
  return Object.fromEntries(
    Object.entries(sources).map(([name, source]) => {
      const target = join(folder, name)
      mkdirSync(dirname(target), { recursive: true })
      copyFileSync(source, target)
      return [name, target]
    }),
  )
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
