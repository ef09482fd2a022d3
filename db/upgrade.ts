/** The migrations of an existing store, when a newer version has opened it. */
export interface Upgrade {
  migrations: string[]
  /** The copy of the store as it was before; `null`: no copy was made. */
  copy: string | null
}
