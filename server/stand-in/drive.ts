import type { Item, ItemType } from './drive-data.ts'
import { itemsOf } from './drive-data.ts'
import { stableId } from './stable-id.ts'
import type { User } from './users.ts'

/** An item in its place. */
export interface Node {
  id: string
  item: Item
  owner: User
  parent: Node | null
  children: Node[]
}

export const ROOTS = ['myDrive', 'sharedWithMe', 'favorites', 'trash'] as const
export type Root = (typeof ROOTS)[number]

/** Levels as clients of Ellipsis Drive know them: none, view, and all that an owner may do. */
const ACCESS = { none: 0, view: 100, owner: 900 } as const

/** The drives of all users. */
export class Drive {
  readonly #byId = new Map<string, Node>()
  readonly #byOwner = new Map<string, Node[]>()

  constructor(users: User[]) {
    for (const user of users) this.plant(user)
  }

  /** Gives a user the drive that belongs to the username, once; answers what lies at its top. */
  plant(owner: User): Node[] {
    const planted = this.#byOwner.get(owner.id)
    if (planted) return planted
    const grown = this.#grow(itemsOf(owner.username), owner, null)
    this.#byOwner.set(owner.id, grown)
    return grown
  }

  find(id: string): Node | undefined {
    return this.#byId.get(id)
  }

  /** What lies directly in one of the four roots of this user. */
  root(user: User, root: Root): Node[] {
    const own = this.plant(user)
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

  #grow(items: Item[], owner: User, parent: Node | null): Node[] {
    return items.map((item) => {
      const id = stableId(`path/${parent?.id ?? owner.id}/${item.name}`)
      const node: Node = { id, item, owner, parent, children: [] }
      node.children = this.#grow(item.children ?? [], owner, node)
      this.#byId.set(id, node)
      return node
    })
  }
}

/** The item itself and the folders around it, from the inside out. */
function chain(node: Node): Node[] {
  return node.parent ? [node, ...chain(node.parent)] : [node]
}

/** Where an item's rights come from: itself, or the innermost folder around it that grants them. */
const sharedAt = (node: Node, user: User) =>
  chain(node).find(({ item }) => item.sharedWith?.includes(user.username))
const publicAt = (node: Node) => chain(node).find(({ item }) => item.public)

/** What this viewer may do with the item; `null` is someone without a token. */
export function accessLevel(node: Node, viewer: User | null): number {
  if (node.owner === viewer) return ACCESS.owner
  const seen = publicAt(node) ?? (viewer && sharedAt(node, viewer))
  return seen ? ACCESS.view : ACCESS.none
}

const isTrashed = (node: Node): boolean => chain(node).some(({ item }) => item.trashed)

/** Where the viewer finds it: the root, and the visible way from there, the item itself included. */
function driveLocation(node: Node, viewer: User | null) {
  const visible = chain(node).filter((one) => accessLevel(one, viewer) > ACCESS.none)
  const path = visible.reverse().map(({ id, item }) => ({ id, name: item.name }))
  if (node.owner !== viewer) return { root: 'sharedWithMe', path }
  return { root: isTrashed(node) ? 'trash' : 'myDrive', path }
}

/** The object named after the type, as far as clients look into it. */
function typeDetails({ id, item }: Node): object {
  const timestamp = { id: stableId(`timestamp/${id}`), status: 'active', totalSize: item.size ?? 0 }
  const details: Record<ItemType, object> = {
    folder: {},
    raster: { timestamps: [timestamp], styles: [], bands: [] },
    vector: { timestamps: [timestamp], styles: [], properties: [] },
    pointCloud: { timestamps: [timestamp] },
    file: { format: item.name.split('.').at(-1) },
    bookmark: {},
  }
  return details[item.type]
}

/** The path object of Ellipsis Drive, as this viewer gets it. */
export function describe(node: Node, viewer: User | null) {
  const { id, item, owner } = node
  return {
    id,
    name: item.name,
    type: item.type,
    user: { id: owner.id, username: owner.username },
    driveLocation: driveLocation(node, viewer),
    yourAccess: { accessLevel: accessLevel(node, viewer) },
    publicAccess: { accessLevel: publicAt(node) ? ACCESS.view : ACCESS.none },
    trashed: isTrashed(node),
    metadata: { description: item.description ?? '' },
    hashtags: item.hashtags ?? [],
    storageSize: item.size ?? 0,
    [item.type]: typeDetails(node),
  }
}
