import type { Client } from '../client.ts'

/**
 * Loads a tile with the user's token, and shows it in the image.
 * @param path of Ellipsis Drive's API
 * @throws BrokerError of `client.fetch`; Error if Ellipsis Drive has no such image
 */
export async function loadTile(
  client: Pick<Client, 'fetch'>,
  path: string,
  image: HTMLImageElement,
  signal?: AbortSignal,
): Promise<void> {
  const response = await client.fetch(path, signal ? { signal } : {})
  if (!response.ok) throw new Error(`Ellipsis Drive answered with status ${response.status}.`)
  const url = URL.createObjectURL(await response.blob())
  try {
    image.src = url
    await image.decode()
  } finally {
    URL.revokeObjectURL(url)
  }
}
