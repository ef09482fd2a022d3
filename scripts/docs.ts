/** Writes the documents that are generated from code: `npm run docs`. A test compares them. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateDocuments } from './documents.ts'

for (const [path, text] of Object.entries(await generateDocuments())) {
  writeFileSync(join(import.meta.dirname, '..', path), text)
}
