/** Is each part of a JWT the one way to write its bytes in base64url (RFC 4648 3.5)? Decoders accept others. */
export const isCanonicalJwt = (token: string): boolean =>
  token.split('.').every((part) => Buffer.from(part, 'base64url').toString('base64url') === part)
