import type { Client } from '../client.ts'

/**
 * `loadOptions` for layers of deck.gl: they load with the user's token. The layer's `data` is a path of Ellipsis
 * Drive's API, such as the template of a `TileLayer` with `{z}`, `{x}` and `{y}`.
 */
export const createLoadOptions = (client: Pick<Client, 'fetch'>) => ({
  fetch: (path: string, init?: RequestInit) => client.fetch(path, init),
})
