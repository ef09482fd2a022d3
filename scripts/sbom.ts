/**
 * `npm run sbom -- FILE`: writes the software bill of materials of a release (CycloneDX, JSON): every package
 * that the program may contain, as package-lock.json pins it, and Node.js itself.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const [, , file = 'ellipsis-broker.cdx.json'] = process.argv
const root = join(import.meta.dirname, '..')

interface Bom {
  metadata: { component: { name: string } }
  components: { 'bom-ref': string; name: string; version: string }[]
  dependencies: { ref: string; dependsOn: string[] }[]
}
interface Lock {
  packages: Record<string, { version: string; dev?: boolean }>
}
const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock

// `--omit dev` would also leave out packages that both the program and a development tool need.
const args =
  'sbom --sbom-format cyclonedx --sbom-type application --package-lock-only --workspaces=false'
const npmOptions = { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 } as const
const bom = JSON.parse(execFileSync('npm', args.split(' '), npmOptions)) as Bom
// npm takes the name of the folder.
bom.metadata.component.name = 'ellipsis-broker'
const shipped = new Set(
  Object.entries(packages)
    .filter(([, { dev }]) => dev !== true)
    .map(([path, { version }]) => `${path.replace(/^.*node_modules\//, '')}@${version}`),
)
const omitted = new Set(
  bom.components.map((one) => one['bom-ref']).filter((reference) => !shipped.has(reference)),
)
bom.components = [...bom.components.filter((one) => !omitted.has(one['bom-ref'])), nodeComponent()]
bom.dependencies = bom.dependencies
  .filter(({ ref }) => !omitted.has(ref))
  .map((one) => ({ ...one, dependsOn: one.dependsOn.filter((ref) => !omitted.has(ref)) }))
writeFileSync(file, `${JSON.stringify(bom, null, 2)}\n`)

/** A copy of Node.js is the greater part of the binary. It comes from the development package `node`. */
function nodeComponent() {
  const version = packages['node_modules/node']?.version ?? ''
  const reference = `node@${version}`
  const licenses = [{ license: { id: 'MIT' } }]
  const purl = `pkg:generic/${reference}`
  return { 'bom-ref': reference, type: 'platform', name: 'node', version, purl, licenses }
}
