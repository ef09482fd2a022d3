import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/** A free port, below the ephemeral range, so that no outgoing connection of another test takes it. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(11_000, 32_000)
    if (await isFree(port)) return port
  }
}

/** The first of `count` free ports in a row. */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = await freePort()
    const next = Array.from({ length: count - 1 }, (_, index) => isFree(first + 1 + index))
    if ((await Promise.all(next)).every(Boolean)) return first
  }
}

function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
