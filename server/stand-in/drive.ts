import { randomUUID } from 'node:crypto'
import { contentOf, DATA_ZOOM, styleIdOf, timestampIdOf } from './rasters.ts'
import type { Item, ItemType } from './sample-drives.ts'
import { sampleItemsOf } from './sample-drives.ts'
import type { User } from './users.ts'
import { stableId } from './users.ts'

/** An item with its owner and its position in the drive. */
export interface Node {
  id: string
  item: Item
  owner: User
  parent: Node | null
  children: Node[]
}

export const ROOTS = ['myDrive', 'sharedWithMe', 'favorites', 'trash'] as const
export type Root = (typeof ROOTS)[number]

/** Access levels of Ellipsis Drive. */
const ACCESS_LEVELS = { none: 0, view: 100, owner: 900 } as const

/** The drives of all users. */
export class Drive {
  readonly #byId = new Map<string, Node>()
  readonly #byOwner = new Map<string, Node[]>()

  constructor(users: User[]) {
    for (const user of users) this.create(user)
  }

  /** Creates the user's drive if it does not exist. Returns the items at its top. */
  create(owner: User): Node[] {
    const existing = this.#byOwner.get(owner.id)
    if (existing) return existing
    const nodes = this.#createNodes(sampleItemsOf(owner.username), owner, null)
    this.#byOwner.set(owner.id, nodes)
    return nodes
  }

  /** Adds an item at the end of a folder, or at the top of the owner's drive. */
  add(owner: User, parent: Node | null, item: Item): Node {
    const node: Node = { id: randomUUID(), item, owner, parent, children: [] }
    const siblings = parent?.children ?? this.create(owner)
    siblings.push(node)
    this.#byId.set(node.id, node)
    return node
  }

  find(id: string): Node | undefined {
    return this.#byId.get(id)
  }

  /** The items directly in one of the user's four roots. */
  listRoot(user: User, root: Root): Node[] {
    const own = this.create(user)
    const all = [...this.#byId.values()]
    switch (root) {
      case 'myDrive':
        return own.filter((node) => !node.item.trashed)
      case 'trash':
        return own.filter((node) => node.item.trashed)
      case 'favorites':
        return all.filter((node) => node.owner === user && node.item.favorite)
      case 'sharedWithMe':
        return all.filter((node) => node.item.sharedWith?.includes(user.username))
    }
  }

  #createNodes(items: Item[], owner: User, parent: Node | null): Node[] {
    return items.map((item) => {
      const id = stableId(`path/${parent?.id ?? owner.id}/${item.name}`)
      const node: Node = { id, item, owner, parent, children: [] }
      node.children = this.#createNodes(item.children ?? [], owner, node)
      this.#byId.set(id, node)
      return node
    })
  }
}

/** The item itself and its parent folders, innermost first. */
function withAncestors(node: Node): Node[] {
  return node.parent ? [node, ...withAncestors(node.parent)] : [node]
}

/** The item or innermost parent folder that gives access. */
const findShared = (node: Node, user: User) =>
  withAncestors(node).find(({ item }) => item.sharedWith?.includes(user.username))
const findPublic = (node: Node) => withAncestors(node).find(({ item }) => item.public)

/** The viewer's access to the item. Without a token, `viewer` is `null`. */
export function accessLevel(node: Node, viewer: User | null): number {
  if (node.owner === viewer) return ACCESS_LEVELS.owner
  const isVisible = findPublic(node) ?? (viewer && findShared(node, viewer))
  return isVisible ? ACCESS_LEVELS.view : ACCESS_LEVELS.none
}

const isTrashed = (node: Node): boolean => withAncestors(node).some(({ item }) => item.trashed)

/** The root and the visible path to the item, including the item, as the viewer sees them. */
function driveLocation(node: Node, viewer: User | null) {
  const visible = withAncestors(node).filter(
    (visited) => accessLevel(visited, viewer) > ACCESS_LEVELS.none,
  )
  const path = visible.reverse().map(({ id, item }) => ({ id, name: item.name }))
  if (node.owner !== viewer) return { root: 'sharedWithMe', path }
  return { root: isTrashed(node) ? 'trash' : 'myDrive', path }
}

/** The property named after the type, with the fields that clients read. */
function typeDetails(node: Node): object {
  const { item } = node
  const timestamp = {
    id: timestampIdOf(node),
    status: 'active',
    trashed: false,
    availability: { blocked: false },
    zoom: DATA_ZOOM,
    extent: contentOf(node).extent,
    totalSize: item.sizeBytes ?? 0,
  }
  const style = {
    id: styleIdOf(node),
    name: 'Default',
    default: true,
    method: 'file',
    parameters: {},
  }
  const details: Record<ItemType, object> = {
    folder: {},
    raster: { timestamps: [timestamp], styles: [style], bands: [] },
    vector: { timestamps: [timestamp], styles: [], properties: [] },
    pointCloud: { timestamps: [timestamp] },
    file: { format: item.name.split('.').at(-1) },
    bookmark: {},
  }
  return details[item.type]
}

/** The path object of Ellipsis Drive, as this viewer sees it. */
export function describePath(node: Node, viewer: User | null) {
  const { id, item, owner } = node
  return {
    id,
    name: item.name,
    type: item.type,
    user: { id: owner.id, username: owner.username },
    driveLocation: driveLocation(node, viewer),
    yourAccess: { accessLevel: accessLevel(node, viewer) },
    publicAccess: { accessLevel: findPublic(node) ? ACCESS_LEVELS.view : ACCESS_LEVELS.none },
    trashed: isTrashed(node),
    metadata: { description: item.description ?? '' },
    hashtags: item.hashtags ?? [],
    storageSize: item.sizeBytes ?? 0,
    [item.type]: typeDetails(node),
  }
}
