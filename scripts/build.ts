/**
 * Builds the single binary: `npm run build [-- DIRECTORY]`, `dist` unless told. Makes there
 * - `ellipsis-broker`, all that users need;
 * - `bundle/ellipsis-broker.mjs` with its assets beside it, the same program for a Node at hand;
 * - `LICENSES.txt`, the licenses of everything that is inside.
 */
import { copyFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { licensesFile } from '../server/assets.ts'
import { makeBinary } from './binary.ts'
import { makeBundle } from './bundle.ts'

// A swap leaves little behind: room for more young objects, or more threads to look after them, costs memory
// and saves no time (measured); less room costs an eighth of the swaps a second, for 4 MiB.
const NODE_OPTIONS = ['--max-semi-space-size=2', '--v8-pool-size=2']

/* c8 ignore next -- tests build elsewhere */
const out = resolve(process.argv[2] ?? join(import.meta.dirname, '../dist'))
/* c8 ignore next -- Windows */
const binary = join(out, process.platform === 'win32' ? 'ellipsis-broker.exe' : 'ellipsis-broker')

const { program, assets } = await makeBundle(join(out, 'bundle'))
copyFileSync(assets[licensesFile] ?? '', join(out, licensesFile))
makeBinary(program, binary, assets, NODE_OPTIONS)
process.stdout.write(`${binary}\n`)
