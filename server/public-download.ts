import { createPublicRequests } from './public-request.ts'
import type { Secret } from './secret.ts'

const TIMEOUT_MS = 5000

/**
 * Returns a function that downloads a document from the Internet: within five seconds, without redirects, and
 * from public addresses only (public-request.ts).
 * @param options.allowed networks that are allowed although they are not public
 */
export function createPublicDownload(options: {
  allowed: string[]
  proxy: Secret | null
  maxBytes: number
}): (url: string) => Promise<string> {
  return async (url) => {
    const { hostname } = new URL(url)
    const requests = createPublicRequests({ ...options, connectTimeoutMs: TIMEOUT_MS })
    try {
      const { statusCode, body } = await requests.send(url, {
        method: 'GET',
        headers: { accept: 'application/json', 'user-agent': 'ellipsis-broker' },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      })
      if (statusCode !== 200) throw new Error(`${hostname} answered with status ${statusCode}`)
      return await readLimited(body, hostname, options.maxBytes)
    } finally {
      await requests.close()
    }
  }
}

async function readLimited(
  body: AsyncIterable<Buffer>,
  hostname: string,
  maxBytes: number,
): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.byteLength
    if (length > maxBytes) throw new Error(`${hostname} sent more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}
