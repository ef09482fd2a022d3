import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The first code block in that language in docs/connect/NAME.md, or in a section of it.
 * @throws Error if there is none
 */
export function codeBlock(name: string, language: string, section = ''): string {
  const file = join(import.meta.dirname, `../../docs/connect/${name}.md`)
  const text = readFileSync(file, 'utf8')
  const start =
    section === ''
      ? 0
      : text.indexOf(`
## ${section}
`)
  const found = new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(text.slice(start))?.[1]
  if (found === undefined) throw new Error(`no ${language} in ${name}.md`)
  return found
}
