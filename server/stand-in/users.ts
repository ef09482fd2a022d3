import { createHash } from 'node:crypto'

/** A fictional account. */
export interface User {
  /** UUID; the same at every start. */
  id: string
  username: string
  /** Display name. */
  name: string
  /** Ids of the clients that the user has allowed. */
  allowedClients: Set<string>
}

/** An account as it is stored. */
export interface StoredUser {
  username: string
  name: string
  allowedClients: string[]
}

/** The accounts: two fixed ones, and those that a test adds. */
export class Users {
  readonly #byUsername = new Map<string, User>()
  readonly #byId = new Map<string, User>()

  constructor(state: StoredUser[] = []) {
    this.add('amelie', 'Amelie Laurent')
    this.add('bo', 'Bo Lindqvist')
    for (const { username, name, allowedClients } of state) {
      const user = this.add(username, name)
      for (const id of allowedClients) user.allowedClients.add(id)
    }
  }

  state(): StoredUser[] {
    return this.list().map(({ username, name, allowedClients }) => ({
      username,
      name,
      allowedClients: [...allowedClients],
    }))
  }

  /** Adds an account. If the username exists, returns the existing account. */
  add(username: string, name = username): User {
    const existing = this.#byUsername.get(username)
    if (existing) return existing
    const id = stableId(`user/${username}`)
    const user = { id, username, name, allowedClients: new Set<string>() }
    this.#byUsername.set(username, user)
    this.#byId.set(user.id, user)
    return user
  }

  findByUsername(username: string): User | undefined {
    return this.#byUsername.get(username)
  }

  findById(id: string): User | undefined {
    return this.#byId.get(id)
  }

  list(): User[] {
    return [...this.#byUsername.values()]
  }
}

/** A UUID (version 8, RFC 9562 5.8) derived from a name: the same name always gives the same id. */
export function stableId(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex')
  const version = `8${hex.slice(13, 16)}`
  const variant = `a${hex.slice(17, 20)}`
  return [hex.slice(0, 8), hex.slice(8, 12), version, variant, hex.slice(20, 32)].join('-')
}
