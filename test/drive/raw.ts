import { connect } from 'node:net'
import type { Socket } from 'node:net'

/** Sends bytes as they are, and returns everything that comes back until the connection ends or is quiet. */
export async function sendRaw(url: string, text: string, quietMs = 1500): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write(text)
  return readAll(socket, quietMs)
}

async function readAll(socket: Socket, quietMs: number): Promise<string> {
  let received = ''
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  await new Promise<void>((resolve) => {
    socket.setTimeout(quietMs, resolve)
    socket.once('close', resolve)
  })
  socket.destroy()
  return received
}
