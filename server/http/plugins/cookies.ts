import type { Config } from '../../config/config.ts'

/** Names and attributes of the broker's cookies. */

type PublicUrl = Pick<Config, 'publicUrl'>

/** Do browsers reach the broker over https? */
export const isHttps = ({ publicUrl }: PublicUrl): boolean => publicUrl.startsWith('https:')

/** Over https with `__Host-`: only this host can set it (draft-ietf-httpbis-rfc6265bis 4.1.3.2). */
export const cookieName = (name: string, config: PublicUrl): string =>
  isHttps(config) ? `__Host-${name}` : name

/** `__Host-` requires the path `/`, also under a base path. */
export const cookieOptions = (config: PublicUrl) =>
  ({ path: '/', httpOnly: true, sameSite: 'lax', secure: isHttps(config) }) as const
