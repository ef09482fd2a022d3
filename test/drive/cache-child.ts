import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { createCacheDirectory } from '../../server/drive/cache-directory.ts'

/** Writes files in pieces, until it is killed. */
const [, , directory = '', bytes = ''] = process.argv
const files = createCacheDirectory({
  directory,
  maxBytes: 2 ** 30,
  clock: { now: Date.now },
  random: randomBytes,
  onEvict: () => undefined,
})
await files.open()
const writer = await files.create('con_a', randomBytes(32).toString('base64url'))
await writer.append(Buffer.alloc(Number(bytes) / 2))
process.send?.('half')
for (;;) {
  await setTimeout(1)
  await writer.append(Buffer.alloc(1))
}
