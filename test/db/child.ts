/** A child process of a test: `child.ts MODE DIRECTORY`. It sends messages, and ends by itself. */
import { once } from 'node:events'
import { openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { withStartLock } from '../../db/data-directory/open.ts'
import { registerProcess, listProcesses } from '../../db/data-directory/presence.ts'
import { NOW, newTokens } from './rows.ts'
import { openAt } from './temporary.ts'

const [mode = '', directory = ''] = process.argv.slice(2)
const tell = (message: unknown) => process.send?.(message)
/** Resolves when the test ends, unless this process is killed before. */
const untilKilled = () => once(process, 'disconnect')

const modes: Record<string, () => Promise<void>> = {
  /** Starts as the broker does: creates a key if there is none. Sends who created it. */
  async 'first-start'() {
    const store = await withStartLock(directory, undefined, async () => {
      const store = await openAt(directory)
      const { key } = await store.getMeta()
      if (key === undefined) await store.setMeta({ key: `made by ${process.pid}` })
      return store
    })
    tell((await store.getMeta()).key)
    await store.close()
  },

  /** Holds the start lock until it is killed. */
  async 'hold-lock'() {
    await withStartLock(directory, undefined, async () => {
      tell('held')
      await untilKilled()
    })
  },

  /** Sends whether the start lock is free, without waiting for it. */
  async 'try-lock'() {
    const lock = new Database(join(directory, 'start.lock'), { timeout: 0 })
    try {
      lock.exec('begin immediate')
      tell('free')
    } catch (error) {
      tell((error as { code: string }).code)
    }
    lock.close()
  },

  /** Is registered as having the store open, until it is killed. */
  async 'be-present'() {
    const told = { pid: process.pid, command: 'test', startedAt: 0, keyIds: [] }
    const presence = registerProcess(directory, undefined, told)
    tell('here')
    await untilKilled()
    // Keeps a reference: a lock without one is garbage collected and released.
    presence.unregister()
  },

  /** Lists the processes that have the store open, again and again. */
  async 'look-around'() {
    tell('here')
    while (process.connected) {
      for (let look = 0; look < 100; look++) listProcesses(directory, undefined)
      await setImmediate()
    }
  },

  /** Refreshes the connection `con` a hundred times, against others. Sends the generations it stored. */
  async refresh() {
    const store = await openAt(directory)
    const stored: number[] = []
    while (stored.length < 100) {
      const { generation } = (await store.getConnection('con')) ?? { generation: 0 }
      const owner = `${process.pid} ${generation}`
      const own = { id: 'con', expectedGeneration: generation, owner }
      const times = { forMs: 30_000, maxLeaseMs: 30_000, deadOwner: null }
      if (!(await store.takeLease({ ...own, ...times }))) continue
      const tokens = newTokens(owner)
      const saving = { ...own, tokens, previousRefreshToken: null, now: NOW, events: [] }
      if (!(await store.saveTokens(saving))) throw new Error('a lease was held by two')
      stored.push(generation)
    }
    await store.close()
    tell(stored)
  },

  /** Revokes one grant after the other, and writes a byte into the pipe `revoked` right after each commit. */
  async 'revoke-grants'() {
    const store = await openAt(directory)
    const pipe = openSync(join(directory, 'revoked'), 'w')
    const { length } = await store.listGrants('con')
    for (let index = 0; index < length; index++) {
      await store.revokeGrants({ id: `grant ${index}`, now: NOW, events: [] })
      writeSync(pipe, 'x')
    }
    await store.close()
  },

  /** Stores refreshed tokens for ever, and sends each generation once its promise resolved. */
  async 'refresh-until-killed'() {
    const store = await openAt(directory)
    for (let generation = 1; ; generation++) {
      const tokens = newTokens(`${generation + 1}`)
      const own = { id: 'con', expectedGeneration: generation, owner: 'me' }
      const events = [{ at: NOW, actor: 'system', action: `${generation + 1}` }]
      await store.saveTokens({ ...own, tokens, previousRefreshToken: null, now: NOW, events })
      tell(generation + 1)
    }
  },
}

void modes[mode]?.().then(() => {
  if (process.connected) process.disconnect?.()
})
