import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The first code block in that language in docs/connect/NAME.md. @throws Error if there is none */
export function codeBlock(name: string, language: string): string {
  const file = join(import.meta.dirname, `../../docs/connect/${name}.md`)
  const found = new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(
    readFileSync(file, 'utf8'),
  )?.[1]
  if (found === undefined) throw new Error(`no ${language} in ${name}.md`)
  return found
}
