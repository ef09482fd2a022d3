/** How the broker's cookies are called and kept. */

/** `__Host-`: only this host could have set it (draft-ietf-httpbis-rfc6265bis 4.1.3.2). */
export const cookieName = (name: string, secure: boolean): string =>
  secure ? `__Host-${name}` : name

/** The path of `__Host-` cookies is `/`, whatever the base path. */
export const cookieOptions = (secure: boolean) =>
  ({ path: '/', httpOnly: true, sameSite: 'lax', secure }) as const
