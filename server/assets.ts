import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, join, posix, sep } from 'node:path'
import * as sea from 'node:sea'
import type { BuildOptions } from 'esbuild'
import type { Migration } from '../db/data-directory/open.ts'
import type { PostgresMigration } from '../db/postgres/open.ts'
import { concatenateModules } from './concatenate-modules.ts'
import { loadAddon } from './data/native-addon.ts'

/**
 * The only reader of bundled files (views, styles, scripts, migrations): from disk, or from the single binary.
 * Paths are relative to the project's root and use `/`, such as `views/ask.eta`.
 */

/** Folders whose files are assets; scripts/build.ts puts them into the binary. */
export const assetFolders = ['views', 'server/demo/public', 'db/migrations']

/** Files of packages that pages load as they are. They are assets, too. */
export const packageFiles = ['leaflet/dist/leaflet.js', 'leaflet/dist/leaflet.css']

/** The native addon of better-sqlite3: an asset of the binary, or a file beside the bundle. */
export const sqliteAddon = 'better_sqlite3.node'

/**
 * The modules of the browser SDK, by the paths that serve them: assets of the binary, or files beside the bundle.
 * That for React is only in the package: it imports React.
 */
export const sdkModules: Record<string, string> = {
  'sdk.js': 'sdk/client.ts',
  ...Object.fromEntries(
    ['deck', 'leaflet', 'maplibre', 'openlayers'].map((name) => [
      `sdk/${name}.js`,
      `sdk/adapters/${name}.ts`,
    ]),
  ),
}

/** The licenses of all included packages: an asset of the binary, or a file beside the bundle. */
export const licensesFile = 'LICENSES.txt'

/** Replaced by scripts/build.ts in the bundle; undeclared when run from source. */
declare const BUILD_STAMP: { version: string; commit: string | null }

const bundled = typeof BUILD_STAMP !== 'undefined'
const binary = sea.isSea()
const root = findRoot()

/**
 * The running build. `commit`: the git commit; `null` when run from source. `command`: how to call the program,
 * for messages that say what to run next.
 */
export const build: { version: string; commit: string | null; binary: boolean; command: string } = {
  ...readStamp(),
  binary,
  /* c8 ignore next -- counted per instance, and only the binary has the other value */
  command: binary ? process.execPath : 'npm run --silent broker --',
}

/**
 * An asset's text.
 * @throws if there is no such asset
 */
export const readAsset = (path: string): string => readAssetBytes(path).toString('utf8')

/**
 * An asset's bytes.
 * @throws if there is no such asset
 */
export function readAssetBytes(path: string): Buffer {
  if (!isAsset(path)) throw new Error(`${path} is not in ${assetFolders.join(', ')}`)
  return binary ? Buffer.from(sea.getAsset(path)) : readFileSync(join(root, path))
}

/** The bytes of one of `packageFiles`. */
export function readPackageFile(path: string): Buffer {
  if (binary) return Buffer.from(sea.getAsset(path))
  return readFileSync(bundled ? join(root, path) : findPackageFile(path))
}

/** Path of one of `packageFiles` on disk, from source. */
export const findPackageFile = (path: string): string =>
  createRequire(import.meta.url).resolve(path)

/** Paths of all assets in a folder and its subfolders, sorted. */
export function listAssets(folder: string): string[] {
  const paths = binary ? sea.getAssetKeys() : assetFolders.flatMap(filesIn)
  return paths.filter((path) => path.startsWith(`${folder}/`)).sort()
}

/** Drizzle's SQLite migrations in order, as its `readMigrationFiles` returns them. */
export function readMigrations(): Migration[] {
  const folder = 'db/migrations/sqlite'
  const { entries } = JSON.parse(readAsset(`${folder}/meta/_journal.json`)) as Journal
  return entries.map(({ tag, when, breakpoints }) => {
    const text = readAsset(`${folder}/${tag}.sql`)
    return {
      name: tag,
      sql: text.split('--> statement-breakpoint'),
      bps: breakpoints,
      folderMillis: when,
      hash: createHash('sha256').update(text).digest('hex'),
    }
  })
}

/** The migrations of PostgreSQL, in order. */
export const readPostgresMigrations = (): PostgresMigration[] =>
  listAssets('db/migrations/postgres').map((path) => ({
    name: basename(path, '.sql'),
    sql: readAsset(path),
  }))

interface Journal {
  entries: { tag: string; when: number; breakpoints: boolean }[]
}

/**
 * The `nativeBinding` option of better-sqlite3. From source it finds its addon itself (`undefined`); the binary
 * writes the addon to `nativeDir`, by default `native/` in the data directory.
 * @throws StartError if another user could change the written file, or if it can't be loaded
 */
export function sqliteBinding({ dataDir, nativeDir }: DataDirectories): string | undefined {
  if (binary) {
    const folder = nativeDir ?? join(dataDir, 'native')
    const addon = loadAddon(Buffer.from(sea.getAsset(sqliteAddon)), folder, 'better_sqlite3')
    // better-sqlite3 also takes a loaded addon, which its types don't know.
    return addon as unknown as string
  }
  return bundled ? join(root, sqliteAddon) : undefined
}

/** The licenses of all included packages. From source: this program's own, and where to find the others. */
export function readLicenses(): string {
  if (binary) return Buffer.from(sea.getAsset(licensesFile)).toString('utf8')
  if (bundled) return readFileSync(join(root, licensesFile), 'utf8')
  const own = readFileSync(join(root, 'LICENSE'), 'utf8')
  return `${own}\nFrom source: the licenses of the used packages are in node_modules.`
}

/** esbuild's options for one of `sdkModules`: an ES module in one file. */
export const sdkBuild = (name: string): BuildOptions => ({
  entryPoints: [join(root, sdkModules[name] ?? '')],
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
})

/** One of `sdkModules`. From source it is built at each call. */
export async function readSdk(name: string): Promise<Uint8Array> {
  if (binary) return Buffer.from(sea.getAsset(name))
  if (bundled) return readFileSync(join(root, name))
  // A development tool, which `npm ci --omit=dev` leaves out.
  const esbuild = await import('esbuild').catch(() => null)
  if (!esbuild) return Buffer.from(concatenateModules(join(root, sdkModules[name] ?? '')))
  const { outputFiles } = await esbuild.build({ ...sdkBuild(name), write: false })
  return outputFiles[0]?.contents ?? new Uint8Array()
}

/** Directories from the configuration. */
export interface DataDirectories {
  dataDir: string
  nativeDir?: string | null
}

/** Only paths inside the asset folders, without `..`: the same on disk as in the binary. */
const isAsset = (path: string): boolean =>
  posix.normalize(path) === path && assetFolders.some((folder) => path.startsWith(`${folder}/`))

function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .map((path) => path.replaceAll(sep, '/'))
}

/** The assets of the bundle are beside it. */
function findRoot(): string {
  return bundled ? import.meta.dirname : join(import.meta.dirname, '..')
}

function readStamp(): { version: string; commit: string | null } {
  if (bundled) return BUILD_STAMP
  const manifest = readFileSync(join(root, 'package.json'), 'utf8')
  return { version: (JSON.parse(manifest) as { version: string }).version, commit: null }
}
