import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const root = join(import.meta.dirname, '../..')

/** A library to compare: what a page bundles of it, and how the page uses it. */
export interface Library {
  name: string
  /** Bundled alone, it gives the size. */
  entry: string
  /** Sets `getToken` and `connect`; the constants `BROKER`, `CLIENT_ID` and `HERE` are defined. */
  page: string
  /** Does it fetch Ellipsis Drive's own tokens? */
  ownTokens: boolean
}

export const libraries: Library[] = [
  {
    name: 'Ellipsis Broker SDK',
    entry: `export { createClient } from '${join(root, 'sdk/client.ts')}'`,
    page: `import { createClient } from '${join(root, 'sdk/client.ts')}'
      const client = createClient({ broker: BROKER, clientId: CLIENT_ID, redirectUri: HERE })
      await client.handleRedirect()
      globalThis.connect = () => client.connect({ redirect: true })
      globalThis.getToken = async () => (await client.getToken()).accessToken`,
    ownTokens: false,
  },
  {
    name: 'auth0-spa-js',
    entry: `export { Auth0Client } from '@auth0/auth0-spa-js'`,
    page: `import { Auth0Client } from '@auth0/auth0-spa-js'
      const client = new Auth0Client({
        domain: BROKER,
        clientId: CLIENT_ID,
        useRefreshTokens: true,
        cacheLocation: 'localstorage',
        authorizationParams: { redirect_uri: HERE, scope: 'openid profile projects' },
      })
      if (location.search.includes('state=')) {
        await client.handleRedirectCallback()
        history.replaceState(null, '', '/')
      }
      globalThis.connect = () => client.loginWithRedirect()
      globalThis.getToken = () => client.getTokenSilently()`,
    ownTokens: true,
  },
  {
    name: 'oidc-client-ts',
    entry: `export { UserManager } from 'oidc-client-ts'`,
    page: `import { UserManager, WebStorageStateStore } from 'oidc-client-ts'
      const manager = new UserManager({
        authority: BROKER,
        client_id: CLIENT_ID,
        redirect_uri: HERE,
        scope: 'openid profile projects',
        userStore: new WebStorageStateStore({ store: localStorage }),
      })
      if (location.search.includes('state=')) {
        await manager.signinCallback()
        history.replaceState(null, '', '/')
      }
      await manager.getUser() // starts its timers
      globalThis.connect = () => manager.signinRedirect()
      globalThis.getToken = async () => {
        const user = await manager.getUser()
        return (user && !user.expired ? user : await manager.signinSilent()).access_token
      }`,
    ownTokens: true,
  },
]

async function bundle(contents: string, define: Record<string, string> = {}): Promise<Uint8Array> {
  const resolveDir = join(root, 'test/clients/libraries')
  const { outputFiles } = await build({
    stdin: { contents, resolveDir },
    ...{ bundle: true, minify: true, write: false, format: 'esm', target: 'es2022', define },
  })
  return outputFiles[0]?.contents ?? new Uint8Array()
}

/** Bytes of a library, minified and gzipped. */
export const gzippedBytes = async ({ entry }: Library): Promise<number> =>
  gzipSync(await bundle(entry), { level: 9 }).length

type Cleanup = Pick<AsyncDisposableStack, 'defer'>

async function listen(server: Server, cleanup: Cleanup): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanup.defer(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Serves the page of a library on an origin of its own. `start` bundles it when the app is registered. */
export async function servePage(cleanup: Cleanup, { page }: Library) {
  let script: Uint8Array = new Uint8Array()
  const server = createServer(({ url }, response) => {
    const isScript = url === '/app.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    const html = '<link rel="icon" href="data:,"><script type="module" src="/app.js"></script>'
    response.end(isScript ? script : html)
  })
  const here = `${await listen(server, cleanup)}/`
  const start = async (broker: string, clientId: string): Promise<void> => {
    const constants = { BROKER: broker, CLIENT_ID: clientId, HERE: here }
    const texts = Object.entries(constants).map(([name, value]) => [name, JSON.stringify(value)])
    script = await bundle(page, Object.fromEntries(texts) as Record<string, string>)
  }
  return { here, start }
}

const readBody = async (request: IncomingMessage): Promise<string> =>
  Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)).toString()

/**
 * Makes the broker look like Auth0, for auth0-spa-js: its paths are fixed, and it expects an ID token of an issuer
 * with a slash at the end in each answer, whose signature it does not check.
 * @param now milliseconds since the epoch
 */
export async function serveAsAuth0(
  cleanup: Cleanup,
  broker: string,
  now: () => number,
): Promise<string> {
  let user: object = {}
  const idToken = (given: string | undefined): string => {
    if (given) user = JSON.parse(atob(given.split('.')[1] ?? '')) as object
    const iat = Math.floor(now() / 1000)
    const claims = { ...user, iss: `${front}/`, iat, exp: iat + 3600 }
    const parts = [{ alg: 'RS256', typ: 'JWT' }, claims, {}]
    return parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  }
  const server = createServer((request, response) => {
    const { url = '', method, headers } = request
    response.setHeader('access-control-allow-origin', headers.origin ?? '*')
    response.setHeader('access-control-allow-headers', '*')
    const forward = async (): Promise<void> => {
      const answer = await fetch(broker + url, {
        method: 'POST',
        body: new URLSearchParams(await readBody(request)),
        headers: { origin: headers.origin ?? '' },
      })
      const body = (await answer.json()) as { id_token?: string }
      const shown = answer.ok ? { ...body, id_token: idToken(body.id_token) } : body
      response.writeHead(answer.status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(shown))
    }
    if (method === 'OPTIONS') response.end()
    else if (method === 'POST') void forward()
    else response.writeHead(302, { location: `${broker}/oauth${url}` }).end()
  })
  const front = await listen(server, cleanup)
  return front
}
