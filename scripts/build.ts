/**
 * Builds the single binary: `npm run build [-- DIRECTORY]`, default `dist`. Output:
 * - `ellipsis-broker`: the binary;
 * - `bundle/ellipsis-broker.cjs` with its assets: the same program for an installed Node;
 * - `LICENSES.txt`: the licenses of all bundled software.
 */
import { copyFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { licensesFile } from '../server/assets.ts'
import { makeBinary } from './binary.ts'
import { makeBundle } from './bundle.ts'

// Measured: a larger young generation or more garbage-collector threads cost memory and save no time. A smaller
// young generation saves 4 MiB and costs an eighth of the swaps per second.
// `--` ends them: Node would otherwise take the program's own `--env-file` for its option.
const NODE_OPTIONS = ['--max-semi-space-size=2', '--v8-pool-size=2', '--']

/* c8 ignore next -- tests build elsewhere */
const out = resolve(process.argv[2] ?? join(import.meta.dirname, '../dist'))
/* c8 ignore next -- Windows */
const binary = join(out, process.platform === 'win32' ? 'ellipsis-broker.exe' : 'ellipsis-broker')

const { program, assets } = await makeBundle(join(out, 'bundle'))
copyFileSync(assets[licensesFile] ?? '', join(out, licensesFile))
await makeBinary(program, binary, assets, NODE_OPTIONS)
process.stdout.write(`${binary}\n`)
