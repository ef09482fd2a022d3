import type { Client } from '../client.ts'
import { loadTile } from './tile.ts'

/** OpenLayers' `TileState.ERROR`. */
const ERROR = 3

/** What the function uses of an `ImageTile`. */
interface ImageTile {
  getImage(): HTMLImageElement
  setState(state: number): void
}

/**
 * A `tileLoadFunction` for image sources, such as `new XYZ({ url: path, tileLoadFunction })`: loads tiles with the
 * user's token. The source's `url` is a path of Ellipsis Drive's API, with `{z}`, `{x}` and `{y}`.
 */
export function createTileLoadFunction(client: Pick<Client, 'fetch'>) {
  // OpenLayers types tiles by a base class that has no image.
  return (tile: object, path: string): void => {
    const imageTile = tile as ImageTile
    loadTile(client, path, imageTile.getImage()).catch(() => imageTile.setState(ERROR))
  }
}
