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
