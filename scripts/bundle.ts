import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import type { BuildOptions } from 'esbuild'
import {
  assetFolders,
  findPackageFile,
  licensesFile,
  listAssets,
  packageFiles,
  sdkBuild,
  sdkModules,
  sqliteAddon,
} from '../server/assets.ts'

const root = join(import.meta.dirname, '..')
const require = createRequire(import.meta.url)

/**
 * esbuild's options for the program, benchmarks and tests. CommonJS, because V8 can keep its compiled code, and
 * because importing `node:http` into an ES module loads Node's fetch.
 */
export const bundleOptions: BuildOptions = {
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  define: {
    'import.meta.dirname': '__dirname',
    'import.meta.filename': '__filename',
    // For `createRequire`, which takes a path, too.
    'import.meta.url': '__filename',
  },
  // `debug` loads it if it is there, and here it would come from a development tool.
  external: ['supports-color', 'esbuild'],
  // A third less to read at every start. Names stay, for stack traces.
  minifyWhitespace: true,
  minifySyntax: true,
  logLevel: 'warning',
}

/** A program in one file, with its assets beside it. */
interface Bundle {
  /** The file that Node runs. */
  program: string
  /** Paths of the assets by name. */
  assets: Record<string, string>
}

/** Bundles the program into a folder, which is emptied first. */
export async function makeBundle(folder: string): Promise<Bundle> {
  rmSync(folder, { recursive: true, force: true })
  const program = join(folder, 'ellipsis-broker.cjs')
  const assets = copyAssets(folder)
  const { metafile } = await build({
    ...bundleOptions,
    absWorkingDir: root,
    entryPoints: ['server/main.ts'],
    outfile: program,
    define: {
      ...bundleOptions.define,
      BUILD_STAMP: JSON.stringify({ version: version(), commit: commit() }),
    },
    metafile: true,
  })
  for (const name of Object.keys(sdkModules)) {
    assets[name] = join(folder, name)
    await build({ ...sdkBuild(name), outfile: assets[name] })
  }
  assets[licensesFile] = join(folder, licensesFile)
  const inputs = [
    ...Object.keys(metafile.inputs),
    ...packageFiles.map((path) => `node_modules/${path}`),
  ]
  writeFileSync(assets[licensesFile], collectLicenses(inputs))
  return { program, assets }
}

function copyAssets(folder: string): Record<string, string> {
  const sources: Record<string, string> = { [sqliteAddon]: findAddon() }
  for (const path of assetFolders.flatMap(listAssets)) sources[path] = join(root, path)
  for (const path of packageFiles) sources[path] = findPackageFile(path)
  return Object.fromEntries(
    Object.entries(sources).map(([name, source]) => {
      const target = join(folder, name)
      mkdirSync(dirname(target), { recursive: true })
      copyFileSync(source, target)
      return [name, target]
    }),
  )
}

/** Path of better-sqlite3's addon for this platform. */
function findAddon(): string {
  const folder = dirname(require.resolve('better-sqlite3/package.json'))
  const finder = require(join(folder, 'lib/binding.js')) as { getPrebuildPath(): string | null }
  const path = finder.getPrebuildPath()
  /* c8 ignore next -- tests run on platforms with an addon */
  if (path === null) throw new Error('better-sqlite3 has no addon for this platform.')
  return path
}

function version(): string {
  const text = readFileSync(join(root, 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** The current commit, with `-dirty` if files have changed; `null` outside a git checkout. */
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

/**
 * The license texts of all bundled packages and of Node. The licenses require a copy.
 * @param inputs files of the bundle, relative to the project root
 */
function collectLicenses(inputs: string[]): string {
  const folders = new Set(inputs.map(packageOf).filter((folder) => folder !== undefined))
  return [...folders, 'node_modules/node']
    .sort()
    .map((folder) => licenseOf(join(root, folder)))
    .join(`\n${'='.repeat(80)}\n\n`)
}

/** Folder of the package that a file belongs to; `undefined` for our own files. */
const packageOf = (file: string): string | undefined =>
  /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]

function licenseOf(folder: string): string {
  const manifest = readFileSync(join(folder, 'package.json'), 'utf8')
  const { name, version, license } = JSON.parse(manifest) as Record<string, string>
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry))
  const text = file === undefined ? '' : `\n${readFileSync(join(folder, file), 'utf8').trimEnd()}\n`
  return `${name} ${version} (${license})\n${text}`
}
