import type { App } from '../../db/store.ts'

/**
 * Where the user of a connection can connect again, for one app.
 * @param app what is registered; only its id is known of one that is gone
 */
export function reconnectUrl(
  publicUrl: string,
  app: Pick<App, 'id'> & Partial<Pick<App, 'redirectUris'>>,
  connectionId: string,
): string {
  const url = new URL(`${publicUrl}/connect/${encodeURIComponent(app.id)}`)
  url.searchParams.set('connection', connectionId)
  const [first, second] = app.redirectUris ?? []
  if (first !== undefined && second !== undefined) url.searchParams.set('redirect_uri', first)
  return url.href
}
