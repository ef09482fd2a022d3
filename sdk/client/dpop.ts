import { base64url, digest } from '../shared/base64url.ts'

/** A key whose private half no script can read. */
export interface Key {
  privateKey: CryptoKey
  publicKey: JsonWebKey
  /** Does it outlive this page load? */
  isKept: boolean
}

const STORE = 'keys'

const done = <Result>(request: IDBRequest<Result>): Promise<Result> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error ?? new Error())
  })

/** The key that all tabs share under this name. In memory if the browser has no IndexedDB, as in private windows. */
export async function loadKey(name: string): Promise<Key> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
  const generate = () => crypto.subtle.generateKey(algorithm, false, ['sign'])
  let pair: CryptoKeyPair | undefined
  let isKept = false
  try {
    const open = indexedDB.open('ellipsis-broker')
    open.onupgradeneeded = () => open.result.createObjectStore(STORE)
    const database = await done(open)
    const store = () => database.transaction(STORE, 'readwrite').objectStore(STORE)
    const read = () => done(store().get(name) as IDBRequest<CryptoKeyPair | undefined>)
    pair = await read()
    if (!pair) {
      pair = await generate()
      // Another tab may have been faster.
      await done(store().add(pair, name)).catch(() => undefined)
      pair = (await read()) ?? pair
    }
    database.close()
    isKept = true
  } catch {
    pair ??= await generate()
  }
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', pair.publicKey)
  return { privateKey: pair.privateKey, publicKey: { kty, crv, x, y } as JsonWebKey, isKept }
}

/** A DPoP proof (RFC 9449 4.2). @param nowMs by the broker's clock */
export async function prove(
  { privateKey, publicKey: jwk }: Key,
  request: { method: string; url: string; token: string | undefined; nonce: string | undefined },
  nowMs: number,
): Promise<string> {
  const header = { typ: 'dpop+jwt', alg: 'ES256', jwk }
  const { method, url, token, nonce } = request
  const claims = {
    jti: crypto.randomUUID(),
    htm: method,
    htu: url.replace(/[?#].*/s, ''),
    iat: Math.floor(nowMs / 1000),
    nonce,
    ath: token && (await digest(token)),
  }
  const encode = (value: object) => base64url(new TextEncoder().encode(JSON.stringify(value)))
  const signed = `${encode(header)}.${encode(claims)}`
  const algorithm = { name: 'ECDSA', hash: 'SHA-256' }
  const bytes = new TextEncoder().encode(signed)
  return `${signed}.${base64url(await crypto.subtle.sign(algorithm, privateKey, bytes))}`
}
