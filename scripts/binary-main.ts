/**
 * The single binary's first script. It runs the program, with the code that V8 compiled when the binary was built.
 * V8 compiles what that lacks, and everything if it doesn't fit, such as with other options of V8.
 */
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { getRawAsset } from 'node:sea'
import { debuglog } from 'node:util'
import { Script } from 'node:vm'
import { zstdDecompressSync } from 'node:zlib'

/** Replaced by scripts/binary.ts: does this binary record compiled code? A release has no code that does. */
declare const RECORDS_CODE: boolean

const read = (name: string): Buffer => zstdDecompressSync(Buffer.from(getRawAsset(name)))

const options = { filename: 'ellipsis-broker.cjs' }
const source = read('program').toString('latin1')
const script = new Script(
  source,
  RECORDS_CODE ? options : { ...options, cachedData: read('compiled-code') },
)
debuglog('ellipsis-broker')(`compiled code rejected: ${script.cachedDataRejected}`)
if (RECORDS_CODE) {
  process.stdin.resume().on('end', () => {
    writeFileSync(process.env.COMPILED_CODE_FILE ?? '', script.createCachedData())
    process.exit()
  })
}
const program = script.runInThisContext() as (
  require: NodeJS.Require,
  filename: string,
  dirname: string,
) => void
program(createRequire(process.execPath), __filename, __dirname)
