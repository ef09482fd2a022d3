import { request as httpRequest } from 'node:http'
import type { DriveTest } from './upstream.ts'

/** Begins an upload over a connection of its own. */
export function openUpload(
  { broker, bearer }: Pick<DriveTest, 'bearer'> & { broker: { url: string } },
  headers: Record<string, string>,
) {
  const { hostname, port } = new URL(broker.url)
  const request = httpRequest({
    ...{ hostname, port, path: '/drive/file', method: 'PUT', agent: false },
    headers: { ...bearer, ...headers },
  })
  request.on('error', () => undefined)
  const answered = new Promise<{ status: number; body: string }>((resolve, reject) => {
    request.once('error', reject)
    request.once('response', (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => (body += text))
      response.on('error', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    })
  })
  return { request, answered }
}
