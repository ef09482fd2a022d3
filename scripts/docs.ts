/** Writes the documents that come from the code: `npm run docs`. A test holds them equal to it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { documents } from './documents.ts'

for (const [path, text] of Object.entries(await documents())) {
  writeFileSync(join(import.meta.dirname, '..', path), text)
}
