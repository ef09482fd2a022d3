import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The licenses of all packages that went into a bundle, and of the Node that runs it: theirs ask that
 * the text goes along with every copy.
 * @param inputs files of the bundle, relative to `root`
 */
export function licenses(root: string, inputs: string[]): string {
  const folders = new Set(inputs.map(packageOf).filter((folder) => folder !== undefined))
  return [...folders, 'node_modules/node']
    .sort()
    .map((folder) => licenseOf(join(root, folder)))
    .join(`\n${'='.repeat(80)}\n\n`)
}

/** Folder of the package that a file belongs to; `undefined`: the file is our own. */
const packageOf = (file: string): string | undefined =>
  /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]

function licenseOf(folder: string): string {
  const manifest = readFileSync(join(folder, 'package.json'), 'utf8')
  const { name, version, license } = JSON.parse(manifest) as Record<string, string>
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry))
  const text = file === undefined ? '' : `\n${readFileSync(join(folder, file), 'utf8').trimEnd()}\n`
  return `${name} ${version} (${license})\n${text}`
}
