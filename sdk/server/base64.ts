/** Bytes as base64url without padding (RFC 4648 5). */
export function toBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

/** Bytes of base64 or base64url. @throws DOMException if it is neither */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  return Uint8Array.from(binary, (character) => character.charCodeAt(0))
}

/** The claims of a JWT, whose signature is not checked. */
export function decodeJwt(token: string): Record<string, unknown> {
  const payload = new TextDecoder().decode(fromBase64(token.split('.')[1] ?? ''))
  return JSON.parse(payload) as Record<string, unknown>
}

/** 256 random bits as base64url. */
export const randomText = (): string => toBase64Url(crypto.getRandomValues(new Uint8Array(32)))
