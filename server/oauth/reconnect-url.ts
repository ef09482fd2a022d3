import type { App } from '../../db/store.ts'

/** Where the user of a connection can connect again, for one app. */
export function reconnectUrl(
  publicUrl: string,
  { id, redirectUris: [first, second] }: Pick<App, 'id' | 'redirectUris'>,
  connectionId: string,
): string {
  const url = new URL(`${publicUrl}/connect/${encodeURIComponent(id)}`)
  url.searchParams.set('connection', connectionId)
  if (first !== undefined && second !== undefined) url.searchParams.set('redirect_uri', first)
  return url.href
}
