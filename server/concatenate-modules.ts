import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'

const IMPORT = /^import [^'"]*from '(\.[^']+)'\n/gm

/**
 * One JavaScript module of a TypeScript file and its relative imports, for a checkout without esbuild. It keeps to
 * what the SDK's files do: names are unique, imports have no aliases, and an export is in front of a declaration.
 */
export function concatenateModules(entry: string): string {
  const seen = new Set([entry])
  const read = (file: string): string => {
    const source = stripTypeScriptTypes(readFileSync(file, 'utf8'))
    const imported = [...source.matchAll(IMPORT)]
      .map(([, path = '']) => join(dirname(file), path))
      .filter((path) => !seen.has(path) && seen.add(path))
      .map((path) => read(path).replace(/^export /gm, ''))
    return imported.join('') + source.replace(IMPORT, '')
  }
  return read(entry)
}
