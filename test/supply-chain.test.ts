import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { PROGRAM } from './program.ts'
import { temporaryFolder } from './temporary.ts'

const root = join(import.meta.dirname, '..')
const readJson = (path: string): unknown => JSON.parse(readFileSync(join(root, path), 'utf8'))

interface Locked {
  version: string
  integrity?: string
  hasInstallScript?: boolean
  /** A workspace. */
  link?: boolean
}
const { packages } = readJson('package-lock.json') as { packages: Record<string, Locked> }
const nameOf = (path: string): string => path.replace(/^.*node_modules\//, '')

t.test('every install script that may run was reviewed in exactly this version', (t) => {
  const { allowScripts } = readJson('package.json') as { allowScripts: Record<string, boolean> }
  const reviewed = readJson('.ci/install-scripts.json') as { package: string; integrity: string }[]
  const locked = Object.entries(packages)
    .filter(
      ([path, { hasInstallScript }]) => hasInstallScript && allowScripts[nameOf(path)] !== false,
    )
    .map(([path, { version, integrity }]) => ({ package: `${nameOf(path)}@${version}`, integrity }))
  t.strictSame(
    locked,
    reviewed.map(({ package: name, integrity }) => ({ package: name, integrity })),
    'read the new script, then change .ci/install-scripts.json',
  )
  const allowed = Object.keys(allowScripts).filter((name) => allowScripts[name])
  t.strictSame(
    allowed.sort(),
    [...new Set(reviewed.map(({ package: name }) => name.replace(/@[^@]*$/, '')))].sort(),
  )
  t.match(readFileSync(join(root, '.npmrc'), 'utf8'), /^strict-allow-scripts=true$/m)
  t.end()
})

/** The project itself and its workspaces are in the lock file, too. */
const isInstalled = (path: string): boolean =>
  path.includes('node_modules/') && packages[path]?.link !== true

t.test('every locked package has a checksum', (t) => {
  const without = Object.entries(packages)
    .filter(([path, { integrity }]) => isInstalled(path) && integrity === undefined)
    .map(([path]) => path)
  t.strictSame(without, [])
  t.end()
})

interface Component {
  name: string
  version: string
  group?: string
  purl: string
}

t.test('the bill of materials has every package that the program contains', (t) => {
  const file = join(temporaryFolder(t), 'bom.json')
  execFileSync(process.execPath, [join(root, 'scripts/sbom.ts'), file])
  const bom = JSON.parse(readFileSync(file, 'utf8')) as {
    bomFormat: string
    metadata: { component: { name: string; version: string } }
    components: Component[]
  }
  const { version } = readJson('package.json') as { version: string }
  t.match(bom, {
    bomFormat: 'CycloneDX',
    metadata: { component: { name: 'ellipsis-broker', version } },
  })
  const listed = new Set(bom.components.map((one) => `${one.name} ${one.version}`))
  const licenses = readFileSync(join(PROGRAM, '../LICENSES.txt'), 'utf8')
  const bundled = [...licenses.matchAll(/(?:^|={80}\n\n)(\S+ \S+) \(/g)].map(
    ([, name = '']) => name,
  )
  t.ok(bundled.length > 30)
  t.strictSame(
    bundled.filter((name) => !listed.has(name)),
    [],
  )
  t.notOk(
    [...listed].some((name) => name.startsWith('typescript ')),
    'without development tools',
  )
  t.end()
})
