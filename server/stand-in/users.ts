import { stableId } from './stable-id.ts'

/** A made-up account. */
export interface User {
  /** UUID; the same at every start. */
  id: string
  username: string
  /** For people. */
  name: string
  /** Ids of the clients that this user allowed once. */
  allowed: Set<string>
}

/** The accounts: two people, and whoever a test adds. */
export class Users {
  readonly #byUsername = new Map<string, User>()
  readonly #byId = new Map<string, User>()

  constructor() {
    this.add('amelie', 'Amelie Laurent')
    this.add('bo', 'Bo Lindqvist')
  }

  /** Adds an account, or answers the one that has this username. */
  add(username: string, name = username): User {
    const known = this.#byUsername.get(username)
    if (known) return known
    const user = { id: stableId(`user/${username}`), username, name, allowed: new Set<string>() }
    this.#byUsername.set(username, user)
    this.#byId.set(user.id, user)
    return user
  }

  get(username: string): User | undefined {
    return this.#byUsername.get(username)
  }

  byId(id: string): User | undefined {
    return this.#byId.get(id)
  }

  list(): User[] {
    return [...this.#byUsername.values()]
  }
}
