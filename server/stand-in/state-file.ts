import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { AccessTokenState } from './access-tokens.ts'
import type { StoredFamily } from './refresh-tokens.ts'
import type { StoredUser } from './users.ts'

/** What a stand-in keeps between starts. Its calls, faults, switches and login sessions end with the process. */
export interface State {
  users: StoredUser[]
  accessTokens: AccessTokenState
  refreshTokens: StoredFamily[]
}

/** A JSON file with the state, replaced as a whole. */
export class StateFile {
  readonly #path: string
  #written = ''

  constructor(path: string) {
    this.#path = path
  }

  /** The state; `undefined`: there is no file yet. @throws Error if the file is damaged */
  read(): State | undefined {
    try {
      this.#written = readFileSync(this.#path, 'utf8')
      return JSON.parse(this.#written) as State
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw new Error(
        `${this.#path} can't be read. Delete it to start with new users and tokens.`,
        {
          cause: error,
        },
      )
    }
  }

  /** Writes the state if it has changed. */
  write(state: State): void {
    const text = JSON.stringify(state)
    if (text === this.#written) return
    const temporary = `${this.#path}.new`
    writeFileSync(temporary, text, { mode: 0o600 })
    renameSync(temporary, this.#path)
    this.#written = text
  }
}
