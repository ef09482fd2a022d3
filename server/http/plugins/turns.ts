import type { onRequestHookHandler } from 'fastify'

/**
 * Returns an `onRequest` hook that lets one request through per turn of the event loop. Pages and device codes
 * cost many times as much as an exchange, and anyone may ask for any number of them: exchanges are answered in
 * between, instead of waiting for all of them. Without a queue nobody waits.
 */
export function createTurns(): onRequestHookHandler {
  const waiting: (() => void)[] = []
  let isTaken = false

  const giveNext = (): void => {
    const next = waiting.shift()
    isTaken = next !== undefined
    if (!next) return
    setImmediate(giveNext)
    next()
  }

  return (_request, _reply, done) => {
    if (isTaken) return void waiting.push(done)
    isTaken = true
    setImmediate(giveNext)
    done()
  }
}
